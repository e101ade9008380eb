"""Whether a calibration is of the cameras that the node is to open. No ROS in it."""

from __future__ import annotations

from pathlib import Path

from grasp_camera.errors import CameraConfigError
from grasp_camera.sources import SourceConfig
from grasp_camera.stereo_calibration import EXTRINSICS_FILE, StereoCalibration

__all__ = ["check_devices", "check_size", "is_of_unnamed_cameras"]

_NAMED = ("realsense_pair", "v4l2_pair")
"""kinds of source whose two devices have names that stay"""


def is_of_unnamed_cameras(calibration: StereoCalibration, asked: SourceConfig) -> bool:
    """Whether the calibration should say which cameras it was made with, and does not."""
    return asked.kind in _NAMED and not calibration.devices


def check_devices(calibration: StereoCalibration, asked: SourceConfig, folder: Path) -> None:
    """Hold the cameras that a calibration was made with against those that are to be opened.

    A recording has no cameras, and a calibration that names none cannot be told apart: both pass.

    Args:
        folder: of the calibration, for the message

    Raises:
        CameraConfigError: the calibration is of other cameras, or of the same in another order.
    """
    # One device that gives both eyes may be named for each.
    named = tuple(dict.fromkeys(calibration.devices))
    if not named or asked.kind == "recorded" or named == asked.devices:
        return
    swapped = sorted(named) == sorted(asked.devices)
    raise CameraConfigError(
        f"devices is {list(asked.devices)}, left before right; {folder / EXTRINSICS_FILE} was made with "
        f"{list(calibration.devices)}: {'the eyes are swapped' if swapped else 'these are other cameras'}"
    )


def check_size(calibration: StereoCalibration, asked: SourceConfig, folder: Path) -> None:
    """Hold the size of raw images that is asked for against the calibration's; a recording has its own.

    Args:
        folder: of the calibration, for the message

    Raises:
        CameraConfigError: the calibration is for images of another size.
    """
    camera = calibration.left
    if asked.kind != "recorded" and (asked.width, asked.height) != (camera.width, camera.height):
        raise CameraConfigError(
            f"raw_width, raw_height are {asked.width}, {asked.height} px; the calibration in {folder} is for "
            f"{camera.width}, {camera.height} px"
        )
