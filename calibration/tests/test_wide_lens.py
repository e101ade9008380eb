"""Wide lenses, whose distortion takes many steps to undo: rectified points, and hand-eye with them."""

import cv2
import numpy as np
import pytest
from rendered import BOARD, Camera, Rig, look_at_board
from synthetic_views import BASE_FROM_RAW_CAMERA, seen_by_projection

from grasp_calibration.geometry import inverse, pose
from grasp_calibration.hand_eye import calibrate_hand_eye
from grasp_calibration.stereo import rectified_points
from grasp_camera.camera_info import CameraCalibration
from grasp_camera.stereo_calibration import StereoCalibration

STRONG = np.array([-0.35, 0.0, 0.0, 0.0, 0.0])
WIDE = np.array([-0.35, 0.09, 0.0, 0.0, 0.0])


def wide_rig(distortion: np.ndarray) -> Rig:
    cameras = (Camera(400.0, 322.0, 236.0, distortion), Camera(404.0, 316.0, 243.0, distortion))
    return Rig(*cameras, pose([0.01, -0.02, 0.015], [-0.12, 0.002, -0.001]))


def exact_calibration(rig: Rig) -> StereoCalibration:
    """What a calibration without any error would say of the rig."""
    left, right = rig.left, rig.right
    rotation, translation = rig.right_from_left[:3, :3], rig.right_from_left[:3, 3:]
    size = (left.width, left.height)
    r_left, r_right, p_left, p_right, *_ = cv2.stereoRectify(
        left.k, left.distortion, right.k, right.distortion, size, rotation, translation, alpha=0
    )
    return StereoCalibration(
        CameraCalibration("stereo_left", *size, "plumb_bob", left.distortion, left.k, r_left, p_left),
        CameraCalibration("stereo_right", *size, "plumb_bob", right.distortion, right.k, r_right, p_right),
    )


def through_the_lens(camera: Camera, rays: np.ndarray) -> np.ndarray:
    """Where directions (n, 2) at z = 1 are seen in the raw image, px."""
    square = np.sum(rays**2, axis=1, keepdims=True)
    k1, k2, *_ = camera.distortion
    return camera.focal * rays * (1.0 + square * (k1 + square * k2)) + (camera.cx, camera.cy)


@pytest.mark.parametrize("distortion", [STRONG, WIDE], ids=["strong", "wide"])
def test_points_at_the_edge_of_a_wide_lens_are_rectified_exactly(distortion):
    rig = wide_rig(distortion)
    left = exact_calibration(rig).left
    angles = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # As far out as the strong lens still tells one direction from another.
    rays = np.concatenate([radius * circle for radius in (0.2, 0.4, 0.6, 0.8, 0.85)])
    ideal = np.hstack([rays, np.ones((len(rays), 1))]) @ (left.p[:, :3] @ left.r).T
    found = rectified_points(left, through_the_lens(rig.left, rays))
    np.testing.assert_allclose(found, ideal[:, :2] / ideal[:, 2:], rtol=0, atol=0.01)


def test_an_opencv_that_takes_the_steps_in_undistort_points_is_told_as_many(monkeypatch):
    left = exact_calibration(wide_rig(STRONG)).left
    told = []

    def undistort(points, k, d, *, R, P, criteria):  # noqa: N803 - OpenCV's names
        told.append(criteria)
        return points

    monkeypatch.delattr(cv2, "undistortPointsIter", raising=False)
    monkeypatch.setattr(cv2, "undistortPoints", undistort)
    rectified_points(left, np.array([[10.0, 20.0]]))
    assert told == [(cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-9)]


@pytest.mark.parametrize("seed", range(3))
def test_hand_eye_through_a_wide_lens_is_as_good_as_it_says(seed):
    rng = np.random.default_rng(seed)
    rig = wide_rig(WIDE)
    calibration = exact_calibration(rig)
    link_from_board = pose(rng.uniform(-1, 1, 3), rng.uniform(-0.05, 0.05, 3))
    # Nearer and further from the centre than elsewhere: the edges of the images matter here.
    boards = [look_at_board(rng, rng.uniform(0.4, 0.7), rng.uniform(5, 40), 0.5) for _ in range(20)]
    said = {
        str(index): BASE_FROM_RAW_CAMERA @ board @ inverse(link_from_board)
        for index, board in enumerate(boards)
    }
    found = calibrate_hand_eye(BOARD, seen_by_projection(rig, boards, rng), calibration, said)
    error_mm = 1e3 * np.linalg.norm(found.base_from_camera[:3, 3] - BASE_FROM_RAW_CAMERA[:3, 3])
    assert error_mm < found.position_error_mm < 0.15
