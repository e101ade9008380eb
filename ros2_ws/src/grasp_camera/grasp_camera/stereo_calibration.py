"""The calibration of a stereo pair: a folder with ``left.yaml``, ``right.yaml`` and ``extrinsics.yaml``.

``grasp-calibrate`` writes the folder, the camera node reads it. No ROS and no OpenCV in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grasp_camera.camera_info import CameraCalibration, read_camera, write_camera
from grasp_camera.errors import CalibrationFileError
from grasp_camera.extrinsics import Transform, read_devices, read_extrinsics

__all__ = [
    "BASE_FRAME",
    "EXTRINSICS_FILE",
    "EYE_FILES",
    "OPTICAL_FRAMES",
    "StereoCalibration",
    "read_stereo",
    "write_stereo",
]

EYE_FILES = ("left.yaml", "right.yaml")
EXTRINSICS_FILE = "extrinsics.yaml"
BASE_FRAME = "lbr_link_0"
"""The arm's base: parent of the left camera once hand-eye calibration is done."""
OPTICAL_FRAMES = ("stereo_left_optical_frame", "stereo_right_optical_frame")
"""Frames of the rectified images, as the simulator names them."""


@dataclass(frozen=True)
class StereoCalibration:
    """Two cameras whose rectified images have matching rows."""

    left: CameraCalibration
    """left camera"""
    right: CameraCalibration
    """right camera; its P[0, 3] holds the baseline"""
    transforms: tuple[Transform, ...] = ()
    """poses of the optical frames; empty before there are any"""
    devices: tuple[str, ...] = ()
    """serial numbers or device files of the cameras, left before right; empty where the file does not say"""

    def __post_init__(self) -> None:
        left, right = self.left, self.right
        if (left.width, left.height) != (right.width, right.height):
            raise CalibrationFileError(
                f"left images are {left.width}x{left.height} px, right ones {right.width}x{right.height} "
                "px; expected the same size"
            )
        if not np.allclose(left.p[:, :3], right.p[:, :3], rtol=1e-6, atol=1e-6):
            raise CalibrationFileError(
                f"left P has fx {left.p[0, 0]:.6g}, cx {left.p[0, 2]:.6g}, cy {left.p[1, 2]:.6g}, right P "
                f"{right.p[0, 0]:.6g}, {right.p[0, 2]:.6g}, {right.p[1, 2]:.6g}; expected the same: a "
                "rectified pair"
            )
        if abs(left.p[0, 3]) > 1e-9:
            raise CalibrationFileError(f"left P[0, 3] is {left.p[0, 3]:.6g}; expected 0")
        if not 0.001 < self.baseline_m < 2.0:
            raise CalibrationFileError(
                f"baseline from right P is {self.baseline_m:.6g} m; expected 0.001 to 2 m, the right camera "
                "being to the right (P[0, 3] negative): are left and right swapped?"
            )

    @property
    def cameras(self) -> tuple[CameraCalibration, CameraCalibration]:
        """Left, right."""
        return self.left, self.right

    @property
    def baseline_m(self) -> float:
        """m, distance of the two centres of projection."""
        return self.right.baseline_m


def read_stereo(folder: Path) -> StereoCalibration:
    """Read the folder; ``extrinsics.yaml`` may be missing.

    Raises:
        CalibrationFileError: a file is missing or malformed, or the two cameras do not fit each other.
    """
    folder = Path(folder)
    left, right = (read_camera(folder / name) for name in EYE_FILES)
    file = folder / EXTRINSICS_FILE
    transforms, devices = (read_extrinsics(file), read_devices(file)) if file.exists() else ((), ())
    try:
        return StereoCalibration(left, right, transforms, devices)
    except CalibrationFileError as error:
        raise CalibrationFileError(f"{folder}: {error}") from error


def write_stereo(folder: Path, calibration: StereoCalibration) -> None:
    """Write the two cameras' files; ``extrinsics.yaml`` is written by `write_extrinsics`.

    Raises:
        OSError: the folder cannot be written.
    """
    for name, camera in zip(EYE_FILES, calibration.cameras, strict=True):
        write_camera(Path(folder) / name, camera)
