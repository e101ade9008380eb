"""Raw images into the rectified images of a nominal camera, at the size that the policy asks for. No ROS in
it.

One look-up undoes the lens, turns the image plane (the calibration's R), and crops and zooms to the nominal
field of view. It samples at about the raw image's resolution; whole blocks of pixels are then averaged.
Sampling at the policy's few pixels at once would pick single raw pixels, noise and aliasing included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from grasp_camera.camera_info import CameraCalibration
from grasp_camera.errors import CameraConfigError
from grasp_camera.stereo_calibration import StereoCalibration

__all__ = ["NominalView", "StereoRectifier"]

_MOST_SCALE = 40


@dataclass(frozen=True)
class NominalView:
    """The rectified pinhole camera that images are made for; the same for both eyes."""

    width: int
    """px"""
    height: int
    """px"""
    fovy_deg: float
    """degrees, vertical field of view"""

    @property
    def focal(self) -> float:
        """px; pixels are square"""
        return float(0.5 * self.height / np.tan(0.5 * np.radians(self.fovy_deg)))

    def k(self, scale: int = 1) -> np.ndarray:
        """Intrinsics (3, 3), px, the centre in the image's middle, with every pixel split into scale x
        scale."""
        centre = 0.5 * (scale * np.array([self.width, self.height]) - 1.0)
        focal = scale * self.focal
        return np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])

    def projection(self, baseline_m: float) -> np.ndarray:
        """P (3, 4) of sensor_msgs/CameraInfo for an eye that stands ``baseline_m`` to the right of the left
        one."""
        return np.hstack([self.k(), [[-self.focal * baseline_m], [0.0], [0.0]]])


class StereoRectifier:
    """Rectifies both eyes.

    Raises:
        CameraConfigError: parts of the nominal view lie outside what a camera sees: they would be black.
    """

    def __init__(self, calibration: StereoCalibration, view: NominalView) -> None:
        self.calibration, self.view = calibration, view
        self._scale = _scale(calibration, view)
        for camera in calibration.cameras:
            _check_covered(camera, view, self._scale)
        self._maps = [_maps(camera, view, self._scale, cv2.CV_16SC2) for camera in calibration.cameras]

    def rectify(self, images: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Rectified images (height, width, 3) uint8 of raw ones, left and right.

        Raises:
            CameraConfigError: an image is not of the calibration's size.
        """
        left, right = (self._rectify(eye, image) for eye, image in enumerate(images))
        return left, right

    def _rectify(self, eye: int, image: np.ndarray) -> np.ndarray:
        camera = self.calibration.cameras[eye]
        height, width = image.shape[:2]
        if (width, height) != (camera.width, camera.height):
            raise CameraConfigError(
                f"camera {camera.name} gives {width}x{height} px; its calibration file is for "
                f"{camera.width}x{camera.height} px"
            )
        fine = cv2.remap(image, *self._maps[eye], cv2.INTER_LINEAR)
        if self._scale == 1:
            return fine
        return cv2.resize(fine, (self.view.width, self.view.height), interpolation=cv2.INTER_AREA)


def _scale(calibration: StereoCalibration, view: NominalView) -> int:
    """Samples across a pixel: so many that none of the raw pixels is passed over."""
    focal = max(float(camera.k[1, 1]) for camera in calibration.cameras)
    return int(np.clip(np.ceil(focal / view.focal), 1, _MOST_SCALE))


def _maps(
    camera: CameraCalibration, view: NominalView, scale: int, kind: int
) -> tuple[np.ndarray, np.ndarray]:
    size = (scale * view.width, scale * view.height)
    return cv2.initUndistortRectifyMap(camera.k, camera.d, camera.r, view.k(scale), size, kind)


def _black_share(camera: CameraCalibration, view: NominalView, scale: int) -> float:
    """Share of the samples that lie outside the raw image."""
    x, y = _maps(camera, view, scale, cv2.CV_32FC1)
    inside = (x >= 0) & (x <= camera.width - 1) & (y >= 0) & (y <= camera.height - 1)
    return 1.0 - float(inside.mean())


def _check_covered(camera: CameraCalibration, view: NominalView, scale: int) -> None:
    # At the samples themselves: those of the outermost pixels reach beyond the pixels' centres.
    share = _black_share(camera, view, scale)
    if share == 0.0:
        return
    narrower = (replace(view, fovy_deg=float(fovy)) for fovy in np.arange(view.fovy_deg, 1.0, -0.5))
    covered = (one.fovy_deg for one in narrower if _black_share(camera, one, scale) == 0.0)
    raise CameraConfigError(
        f"camera {camera.name} does not see {max(100 * share, 0.1):.1f} % of a rectified view of "
        f"{view.fovy_deg:g} degrees vertically ({view.width}x{view.height} px); it covers "
        f"{next(covered, 0.0):g} degrees"
    )
