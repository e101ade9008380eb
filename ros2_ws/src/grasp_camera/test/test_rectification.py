"""Raw images become the nominal camera's, and a point in space is where that camera sees it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from camera_samples import calibration, picture

from grasp_camera.camera_info import CameraCalibration
from grasp_camera.errors import CameraConfigError
from grasp_camera.rectification import NominalView, StereoRectifier
from grasp_camera.stereo_calibration import StereoCalibration
from grasp_description.cameras import STEREO_RIG

VIEW = NominalView(64, 48, 28.0)


def turned(angles: tuple[float, float, float]) -> np.ndarray:
    return cv2.Rodrigues(np.radians(np.array(angles)))[0]


def crooked() -> StereoCalibration:
    """Cameras with lenses that distort and axes that are off: rectification has work to do."""
    straight = calibration(focal=560.0)
    left = replace(straight.left, d=np.array([-0.12, 0.05, 1e-3, -5e-4, 0]), r=turned((0.8, -1.2, 0.6)))
    right = replace(straight.right, d=np.array([-0.1, 0.04, -1e-3, 5e-4, 0]), r=turned((-0.5, 1.0, -0.9)))
    return StereoCalibration(left, right)


def raw_picture_of(point: np.ndarray, camera: CameraCalibration, shift_m: float) -> np.ndarray:
    """A bright soft spot where a raw camera sees a point given in the rectified left frame."""
    seen = camera.r.T @ (point - np.array([shift_m, 0, 0]))
    place = cv2.projectPoints(seen.reshape(1, 3), np.zeros(3), np.zeros(3), camera.k, camera.d)[0].ravel()
    x, y = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    spot = 200 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 9.0**2))
    return np.repeat(spot.astype(np.uint8)[..., None], 3, axis=2)


def centre_of_mass(image: np.ndarray) -> np.ndarray:
    weight = image[..., 0].astype(float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("point", [(0.0, 0.0, 0.8), (0.08, -0.06, 0.7), (-0.05, 0.07, 1.1)])
@pytest.mark.parametrize("view", [VIEW, NominalView(320, 240, 28.0), NominalView(640, 480, 30.0)])
def test_a_point_lies_where_camera_info_says(point, view):
    pair = crooked()
    rectifier = StereoRectifier(pair, view)
    images = tuple(
        raw_picture_of(np.array(point), camera, shift)
        for camera, shift in zip(pair.cameras, (0.0, pair.baseline_m), strict=True)
    )
    for image, shift in zip(rectifier.rectify(images), (0.0, pair.baseline_m), strict=True):
        u, v, w = view.projection(shift) @ np.array([*point, 1.0])
        assert image.shape == (view.height, view.width, 3)
        np.testing.assert_allclose(centre_of_mass(image), [u / w, v / w], atol=0.1)


def test_the_nominal_camera_is_the_simulators():
    fx, fy, cx, cy = STEREO_RIG.intrinsics()
    k = NominalView(STEREO_RIG.width, STEREO_RIG.height, STEREO_RIG.fovy_deg).k()
    np.testing.assert_allclose(k, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def test_pixels_are_averaged_and_not_picked():
    stripes = np.zeros((480, 640, 3), np.uint8)
    stripes[:, ::2] = 200
    left, _ = StereoRectifier(calibration(), VIEW).rectify((stripes, stripes))
    # Every second column is black: picking would give stripes, or all of one.
    assert left.min() > 60
    assert left.max() < 140


def test_a_field_of_view_beyond_the_cameras_is_refused_with_what_they_cover():
    with pytest.raises(
        CameraConfigError, match=r"stereo_left does not see .* of 60 degrees .* it covers 4\d"
    ):
        StereoRectifier(calibration(), NominalView(64, 48, 60.0))


def test_the_outermost_pixels_are_made_of_what_the_camera_sees_alone():
    camera = calibration().left
    widest = np.degrees(2 * np.arctan(0.5 * (camera.height - 1) / camera.k[1, 1]))
    white = np.full((480, 640, 3), 200, np.uint8)
    left, _ = StereoRectifier(calibration(), NominalView(64, 48, widest)).rectify((white, white))
    assert left.min() == 200
    # The samples' centres reach as far out as the raw image's; a little more, and the first would be black.
    with pytest.raises(CameraConfigError, match=r"does not see 0\.\d % of a rectified view"):
        StereoRectifier(calibration(), NominalView(64, 48, widest + 0.2))


def test_an_image_of_another_size_is_refused():
    rectifier = StereoRectifier(calibration(), VIEW)
    good = picture(0, (640, 480))
    with pytest.raises(
        CameraConfigError, match="stereo_right gives 320x240 px; its calibration file is for 640x480"
    ):
        rectifier.rectify((good, picture(1, (320, 240))))
