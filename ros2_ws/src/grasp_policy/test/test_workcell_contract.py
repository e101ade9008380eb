"""The contract of this stack's own robot."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grasp_description.cameras import STEREO_RIG
from grasp_description.robot import JOINT_NAMES
from grasp_policy.policy_file import check_contract
from grasp_policy.testing import sample_spec
from grasp_policy.workcell_contract import quaternion_from_rotation, workcell_contract


def rotation_from_quaternion(quaternion: tuple[float, ...]) -> np.ndarray:
    w, (x, y, z) = quaternion[0], quaternion[1:]
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + 2.0 * w * cross + 2.0 * cross @ cross


def test_names_the_robot_and_its_cameras() -> None:
    contract = workcell_contract()
    assert contract.joint_names == tuple(JOINT_NAMES)
    assert (contract.image_width, contract.image_height) == (STEREO_RIG.width, STEREO_RIG.height)
    assert np.isclose(contract.left_camera.distance_m(contract.right_camera), contract.baseline_m)


def test_a_policy_with_this_contract_is_accepted() -> None:
    check_contract(sample_spec(workcell_contract()), workcell_contract())


def test_cameras_look_at_the_rigs_target() -> None:
    contract = workcell_contract()
    forward = rotation_from_quaternion(contract.left_camera.quaternion_wxyz)[:, 2]
    wanted = np.asarray(STEREO_RIG.target) - np.asarray(STEREO_RIG.position)
    np.testing.assert_allclose(forward, wanted / np.linalg.norm(wanted), atol=1e-9)


def test_the_right_camera_stands_to_the_right_in_the_image() -> None:
    contract = workcell_contract()
    left, right = np.array(contract.left_camera.position_m), np.array(contract.right_camera.position_m)
    x_axis = rotation_from_quaternion(contract.left_camera.quaternion_wxyz)[:, 0]
    assert np.isclose((right - left) @ x_axis, contract.baseline_m)


@given(st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1))
def test_quaternions_survive_the_way_through_a_matrix(values: list[float]) -> None:
    quaternion = np.array(values) / np.linalg.norm(values)
    rotation = rotation_from_quaternion(tuple(quaternion))
    found = quaternion_from_rotation(rotation)
    np.testing.assert_allclose(rotation_from_quaternion(found), rotation, atol=1e-9)
    assert found[0] >= 0.0
