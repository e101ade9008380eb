"""Hand-eye calibration: the closed form, what it refuses, and robot poses from files."""

import sys

import cv2
import numpy as np
import pytest
from rendered import BOARD
from synthetic_views import BASE_FROM_RAW_CAMERA, arm_views, seen_by_projection

from grasp_calibration import robot_poses
from grasp_calibration.errors import CalibrationRefusedError
from grasp_calibration.geometry import angle_deg, inverse, pose, rotation_vector
from grasp_calibration.hand_eye import calibrate_hand_eye, robot_world_hand_eye
from grasp_calibration.robot_poses import joints_between, link_pose, read_poses
from grasp_calibration.views import PairViews

STRAIGHT = {f"lbr_A{number}": 0.0 for number in range(1, 8)}


@pytest.fixture(scope="module")
def arm(rig):
    rng = np.random.default_rng(1)
    boards, said = arm_views(rng)
    return seen_by_projection(rig, boards, rng), said


def random_chains(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Poses that fulfil A Z = X B exactly: A, B, X, Z."""
    x, z = (pose(rng.uniform(-2, 2, 3), rng.uniform(-1, 1, 3)) for _ in range(2))
    b = np.stack([pose(rng.uniform(-2, 2, 3), rng.uniform(-1, 1, 3)) for _ in range(12)])
    a = x @ b @ inverse(z)
    return a, b, x, z


@pytest.mark.parametrize("seed", range(10))
def test_the_closed_form_is_exact_on_exact_poses(seed):
    a, b, x, z = random_chains(np.random.default_rng(seed))
    found_x, found_z = robot_world_hand_eye(a, b)
    np.testing.assert_allclose(found_x, x, atol=1e-9)
    np.testing.assert_allclose(found_z, z, atol=1e-9)


@pytest.mark.skipif(
    not hasattr(cv2, "calibrateRobotWorldHandEye"),
    reason="this OpenCV has no calibrateRobotWorldHandEye (5.0)",
)
def test_the_closed_form_agrees_with_opencv_on_noisy_poses():
    rng = np.random.default_rng(2)
    a, b, *_ = random_chains(rng)
    a = np.stack([one @ pose(rng.normal(0, 0.01, 3), rng.normal(0, 0.005, 3)) for one in a])
    # For a camera on the base and a board on the link, OpenCV's gripper is the base and its base the link.
    *_, rotation, translation = cv2.calibrateRobotWorldHandEye(
        b[:, :3, :3], b[:, :3, 3], a[:, :3, :3], a[:, :3, 3], method=cv2.CALIB_ROBOT_WORLD_HAND_EYE_SHAH
    )
    camera_from_base = np.eye(4)
    camera_from_base[:3, :3], camera_from_base[:3, 3] = rotation, translation.ravel()
    found_x, _ = robot_world_hand_eye(a, b)
    expected = inverse(camera_from_base)
    np.testing.assert_allclose(found_x[:3, :3], expected[:3, :3], atol=1e-9)
    # The same equations, weighed by noisy rotations in another frame: equal up to a part of that noise.
    np.testing.assert_allclose(found_x[:3, 3], expected[:3, 3], atol=0.003)


def test_a_view_with_the_pose_of_another_is_refused_by_name(arm, good_result):
    views, said = arm
    mixed = dict(said) | {"3": said["4"], "4": said["3"]}
    found = calibrate_hand_eye(BOARD, views, good_result.calibration, mixed)
    assert {one.name for one in found.refusals} == {"3", "4"}
    assert all("do not belong together" in one.reason for one in found.refusals)


def test_views_without_a_pose_are_refused_by_name(arm, good_result):
    views, said = arm
    found = calibrate_hand_eye(
        BOARD, views, good_result.calibration, {name: one for name, one in said.items() if name != "5"}
    )
    assert [(one.name, one.reason) for one in found.refusals] == [
        ("5", "there is no robot pose of that name")
    ]


def test_turns_about_one_axis_alone_are_refused(rig, good_result):
    rng = np.random.default_rng(4)
    link_from_board = pose([0.3, 0.1, 0], [0, 0, 0.05])
    first = pose([0, 0, 0], [-0.13, -0.1, 0.8])
    boards = [first @ pose([0, angle, 0], [0, 0, 0]) for angle in np.linspace(-0.5, 0.5, 15)]
    said = {str(i): BASE_FROM_RAW_CAMERA @ one @ inverse(link_from_board) for i, one in enumerate(boards)}
    with pytest.raises(CalibrationRefusedError, match="turn the wrist in more directions"):
        calibrate_hand_eye(BOARD, seen_by_projection(rig, boards, rng), good_result.calibration, said)


def test_a_wrong_square_size_is_refused(arm, good_result):
    from dataclasses import replace

    views, said = arm
    with pytest.raises(CalibrationRefusedError, match=r"wrong square size|usable views"):
        calibrate_hand_eye(replace(BOARD, square_mm=33.0), views, good_result.calibration, said)


def test_too_few_views_are_refused(arm, good_result):
    views, said = arm
    few = PairViews(views.size, views.pairs[:9], ())
    with pytest.raises(CalibrationRefusedError, match="9 usable views; expected at least 10"):
        calibrate_hand_eye(BOARD, few, good_result.calibration, said)


def test_images_of_another_size_than_the_calibration_are_refused(arm, good_result):
    views, said = arm
    with pytest.raises(CalibrationRefusedError, match="320x240 px; the calibration is for 640x480"):
        calibrate_hand_eye(BOARD, PairViews((320, 240), views.pairs, ()), good_result.calibration, said)


def test_robot_poses_are_read_from_poses_and_from_joints(tmp_path):
    (tmp_path / "poses.yaml").write_text(
        "base: lbr_link_0\nlink: lbr_link_7\nviews:\n"
        "  a: {translation_m: [1, 2, 3], quaternion_wxyz: [0, 1, 0, 0]}\n"
        f"  b: {{joint_position_rad: {STRAIGHT | {'lbr_A1': np.pi / 2}}}}\n"
    )
    found = read_poses(tmp_path / "poses.yaml")
    np.testing.assert_allclose(found.poses["a"], np.diag([1.0, -1, -1, 1]) + 0 * np.eye(4) + shifted(1, 2, 3))
    # Straight up at zero, so a turn about the base's axis leaves the flange where it was.
    straight = link_pose("lbr_link_0", "lbr_link_7", STRAIGHT, "")
    np.testing.assert_allclose(found.poses["b"][:3, 3], straight[:3, 3], atol=1e-9)
    turned = found.poses["b"][:3, :3] @ straight[:3, :3].T
    np.testing.assert_allclose(rotation_vector(turned), [0, 0, np.pi / 2], atol=1e-9)
    assert angle_deg(turned) == pytest.approx(90.0)


def test_a_link_that_there_is_not_or_that_the_base_does_not_carry_is_refused():
    assert joints_between("lbr_link_0", "lbr_link_7", "") == tuple(STRAIGHT)
    with pytest.raises(CalibrationRefusedError, match="--link: the robot has no link 'tool0'"):
        joints_between("lbr_link_0", "tool0", "--link")
    with pytest.raises(CalibrationRefusedError, match="lbr_link_7 does not carry lbr_link_2"):
        joints_between("lbr_link_7", "lbr_link_2", "--link")


def test_without_mujoco_poses_from_joints_are_refused_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", None)
    robot_poses._compiled.cache_clear()
    with pytest.raises(CalibrationRefusedError, match="need grasp_description and mujoco"):
        joints_between("lbr_link_0", "lbr_link_7", "--link")


def shifted(*translation: float) -> np.ndarray:
    matrix = np.zeros((4, 4))
    matrix[:3, 3] = translation
    return matrix


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (f"{{joint_position_rad: {STRAIGHT | {'lbr_A9': 0.1}}}}", "joint 'lbr_A9' at 0.1"),
        (f"{{joint_position_rad: {STRAIGHT}}}".replace("0.0", ".nan", 1), "joint 'lbr_A1' at nan"),
        (
            "{joint_position_rad: {lbr_A1: 0.1, lbr_A2: 0, lbr_A4: 0, lbr_A5: 0, lbr_A7: 0}}",
            "missing: lbr_A3, lbr_A6",
        ),
        ("{translation_m: [1, 2], quaternion_wxyz: [1, 0, 0, 0]}", "expected 3 and 4 finite numbers"),
        ("{translation_m: [1, 2, 3], quaternion_wxyz: [1, 1, 0, 0]}", "expected unit length"),
        ("{translation_m: [1, 2, 3]}", "expected translation_m and quaternion_wxyz"),
        ("[1, 2, 3]", "expected translation_m and quaternion_wxyz"),
    ],
)
def test_a_malformed_robot_pose_is_refused_by_the_views_name(tmp_path, entry, message):
    (tmp_path / "poses.yaml").write_text(f"base: lbr_link_0\nlink: lbr_link_7\nviews:\n  shot: {entry}\n")
    with pytest.raises(CalibrationRefusedError, match="'shot'") as refusal:
        read_poses(tmp_path / "poses.yaml")
    assert message in str(refusal.value)
