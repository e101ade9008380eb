"""The command from folder to files and back: stereo, hand-eye, check, board."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml
from rendered import BOARD

from grasp_calibration.board import detect
from grasp_calibration.cli import main
from grasp_calibration.geometry import inverse, pose
from grasp_calibration.stereo import rectified_points
from grasp_camera.camera_info import read_yaml
from grasp_camera.extrinsics import Transform, chained, read_extrinsics
from grasp_camera.stereo_calibration import StereoCalibration, read_stereo, write_stereo

BASE_FROM_RAW = pose([-1.9, 0.3, 0.2], [1.15, -0.5, 0.5])


@pytest.fixture(scope="module")
def calibrated(good_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    assert main(["stereo", str(good_folder), "--output", str(folder), "--devices", "0123", "456"]) == 0
    return folder


def test_stereo_writes_what_it_found(calibrated, good_result):
    found = read_stereo(calibrated)
    for one, other in zip(found.cameras, good_result.calibration.cameras, strict=True):
        for name in ("k", "d", "r", "p"):
            # OpenCV adds up in another order from run to run.
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, atol=1e-8)
    right_in_left = chained(found.transforms, "stereo_left_optical_frame", "stereo_right_optical_frame")
    np.testing.assert_allclose(right_in_left[:3, 3], [found.baseline_m, 0, 0], atol=1e-12)


def test_stereo_writes_down_the_cameras_that_it_was_told(calibrated):
    assert read_yaml(calibrated / "extrinsics.yaml")["devices"] == ["0123", "456"]


@pytest.mark.parametrize("devices", [["1", "1"], ["1", ""], ["1", "2", "3"]])
def test_devices_that_are_no_pair_are_refused_before_anything_is_written(
    good_folder, tmp_path, capsys, devices
):
    arguments = ["stereo", str(good_folder), "--output", str(tmp_path), "--devices", *devices]
    assert main(arguments) == 1
    assert "--devices is (" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_devices_in_the_file_that_are_no_names_are_refused(calibrated, tmp_path, capsys):
    for name in ("left.yaml", "right.yaml"):
        shutil.copy(calibrated / name, tmp_path)
    text = (calibrated / "extrinsics.yaml").read_text()
    (tmp_path / "extrinsics.yaml").write_text(text.replace("['0123', '456']", "[123, 456]"))
    assert main(["hand-eye", str(tmp_path), "--calibration", str(tmp_path)]) == 1
    assert f"{tmp_path / 'extrinsics.yaml'}: devices is [123, 456]" in capsys.readouterr().err


def test_the_file_has_the_keys_that_ros_tools_read(calibrated):
    document = yaml.safe_load((calibrated / "right.yaml").read_text())
    assert (document["image_width"], document["image_height"]) == (640, 480)
    assert document["camera_name"] == "stereo_right"
    assert document["distortion_model"] == "plumb_bob"
    shapes = {
        "camera_matrix": (3, 3),
        "distortion_coefficients": (1, 5),
        "rectification_matrix": (3, 3),
        "projection_matrix": (3, 4),
    }
    for key, shape in shapes.items():
        assert (document[key]["rows"], document[key]["cols"]) == shape
        assert len(document[key]["data"]) == shape[0] * shape[1]


def test_a_file_read_back_rectifies_through_opencv_as_the_calibration_did(calibrated, good_result):
    document = yaml.safe_load((calibrated / "left.yaml").read_text())
    k, r, p = (
        np.array(document[key]["data"]).reshape(document[key]["rows"], document[key]["cols"])
        for key in ("camera_matrix", "rectification_matrix", "projection_matrix")
    )
    d = np.array(document["distortion_coefficients"]["data"])
    points = np.random.default_rng(0).uniform(20, 460, (50, 2))
    rectified = rectified_points(good_result.calibration.left, points)
    # Forwards through the file's lens: that needs no iteration, which OpenCV would end early.
    rays = np.hstack([rectified, np.ones((50, 1))]) @ np.linalg.inv(p[:, :3] @ r).T
    through_file, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), k, d)
    np.testing.assert_allclose(through_file.reshape(-1, 2), points, atol=1e-5)


@pytest.fixture(scope="module")
def arm_folder(good_folder, good_poses, tmp_path_factory):
    """The good views, as an arm would have shown them that says where its link was."""
    folder = tmp_path_factory.mktemp("arm") / "views"
    shutil.copytree(good_folder, folder)
    link_from_board = pose([0.2, -0.1, 0.4], [0.02, 0.01, 0.06])
    views = {}
    for index, board in enumerate(good_poses):
        link = Transform.from_matrix(
            "lbr_link_0", "lbr_link_7", BASE_FROM_RAW @ board @ inverse(link_from_board)
        )
        values = {"translation_m": list(link.translation_m), "quaternion_wxyz": list(link.quaternion_wxyz)}
        views[f"good_{index:02d}"] = values
    document = {"base": "lbr_link_0", "link": "lbr_link_7", "views": views}
    (folder / "poses.yaml").write_text(yaml.safe_dump(document))
    return folder


def assert_right_eye_is_found(rig, folder):
    found = chained(read_extrinsics(folder / "extrinsics.yaml"), "lbr_link_0", "stereo_right_optical_frame")
    true = BASE_FROM_RAW @ inverse(rig.right_from_left)
    # The right eye's place, through the chain of frames: hand-eye and baseline together.
    assert np.linalg.norm(found[:3, 3] - true[:3, 3]) < 0.0015


def test_hand_eye_from_a_folder_finds_the_camera(rig, arm_folder, calibrated):
    assert main(["hand-eye", str(arm_folder), "--calibration", str(calibrated)]) == 0
    made = yaml.safe_load((calibrated / "extrinsics.yaml").read_text())["made"]
    assert {name: one["views"] for name, one in made.items()} == {"stereo": 12, "hand_eye": 12}
    assert read_yaml(calibrated / "extrinsics.yaml")["devices"] == ["0123", "456"]
    assert_right_eye_is_found(rig, calibrated)


def test_hand_eye_places_the_right_eye_too_where_only_ros_tools_have_calibrated(
    rig, arm_folder, calibrated, tmp_path
):
    for name in ("left.yaml", "right.yaml"):
        shutil.copy(calibrated / name, tmp_path)
    assert main(["hand-eye", str(arm_folder), "--calibration", str(tmp_path)]) == 0
    assert_right_eye_is_found(rig, tmp_path)


def test_robot_poses_in_another_frame_than_the_arms_base_are_refused_and_nothing_is_written(
    calibrated, tmp_path, capsys
):
    before = (calibrated / "extrinsics.yaml").read_bytes()
    (tmp_path / "poses.yaml").write_text("base: world\nlink: lbr_link_7\nviews: {}\n")
    assert main(["hand-eye", str(tmp_path), "--calibration", str(calibrated)]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'poses.yaml'}: base is 'world'; expected 'lbr_link_0'" in said
    assert (calibrated / "extrinsics.yaml").read_bytes() == before


def test_check_passes_on_its_own_views_and_draws_them(good_folder, calibrated, tmp_path, capsys):
    picture = tmp_path / "check.png"
    arguments = ["check", str(good_folder), "--calibration", str(calibrated), "--picture", str(picture)]
    assert main(arguments) == 0
    assert "good_00" in capsys.readouterr().out
    image = cv2.imread(str(picture))
    assert image.shape == (6 * 480, 2 * 640, 3)


def spoilt(calibration: StereoCalibration, how: str) -> StereoCalibration:
    left, right = calibration.cameras
    if how == "a camera was knocked":
        turn = pose([np.radians(0.3), 0, 0], [0, 0, 0])[:3, :3]
        return StereoCalibration(left, replace(right, r=turn @ right.r))
    if how == "the squares are not that large":
        p = right.p.copy()
        p[0, 3] *= 1.02
        return StereoCalibration(left, replace(right, p=p))
    k = left.k.copy()
    k[0, 0] *= 1.03
    return StereoCalibration(replace(left, k=k), right)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("a camera was knocked", "epipolar error is"),
        ("the squares are not that large", "error of lengths is"),
        ("the lens was turned", "reprojection error is"),
    ],
)
def test_check_fails_a_calibration_that_is_off(good_folder, calibrated, tmp_path, capsys, how, message):
    write_stereo(tmp_path, spoilt(read_stereo(calibrated), how))
    arguments = [
        "check",
        str(good_folder),
        "--calibration",
        str(tmp_path),
        "--picture",
        str(tmp_path / "c.png"),
    ]
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_the_board_that_is_drawn_is_the_board_that_is_found(tmp_path):
    assert main(["board", str(tmp_path / "board.png"), "--dpi", "100"]) == 0
    image = cv2.imread(str(tmp_path / "board.png"), cv2.IMREAD_GRAYSCALE)
    padded = cv2.copyMakeBorder(image, *[40] * 4, cv2.BORDER_CONSTANT, value=255)
    assert len(detect(BOARD, padded).ids) == BOARD.corner_count


def test_a_missing_calibration_is_said_in_one_line(good_folder, tmp_path, capsys):
    assert main(["check", str(good_folder), "--calibration", str(tmp_path / "none")]) == 1
    assert "there is no such calibration file" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["unknown"]])
def test_without_a_command_the_usage_is_shown(arguments, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "hand-eye" in captured.out + captured.err
