"""Whether cameras and calibration are as a run wants them; nothing is opened for long. No ROS in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from grasp_camera.contract import check_cameras, has_hand_eye
from grasp_camera.errors import CalibrationFileError, CameraConfigError
from grasp_camera.rectification import NominalView, StereoRectifier
from grasp_camera.source_fit import check_devices, check_size, is_of_unnamed_cameras
from grasp_camera.sources import SourceConfig
from grasp_camera.stereo_calibration import EXTRINSICS_FILE, EYE_FILES, StereoCalibration, read_stereo
from grasp_policy.errors import PolicyFileError
from grasp_policy.policy_spec import PolicySpec

__all__ = ["Trouble", "asked_source", "calibration_troubles", "camera_troubles", "connected_serials"]

Trouble = tuple[bool, str, str]
"""Whether it is in the way of a run, what is wrong, what to do."""
_DAY_S = 86400.0
_CALIBRATE = "run grasp-calibrate"
_HAND_EYE = "run grasp-calibrate hand-eye"
_FIELDS = {"raw_width": "width", "raw_height": "height", "rate_hz": "rate_hz"}
"""fields of `SourceConfig` by the node's parameter"""


def asked_source(told: Mapping[str, Any]) -> SourceConfig:
    """What the node's parameters ask of the cameras; its defaults where they say nothing.

    Args:
        told: parameters of /grasp_camera by name, as a robot's file says them

    Raises:
        CameraConfigError: values that the node would refuse.
    """
    kind, devices = told.get("source", "realsense_pair"), told.get("devices", [])
    if not isinstance(devices, list) or not all(isinstance(name, str) for name in devices):
        raise CameraConfigError(f"devices is {devices!r}; expected a list of names, in quotes")
    wholes = {field: told[name] for name, field in _FIELDS.items() if name in told}
    for name, value in told.items():
        if name in _FIELDS and type(value) is not int:
            raise CameraConfigError(f"{name} is {value!r}; expected a whole number")
    return SourceConfig(kind, tuple(devices), **wholes)


def connected_serials() -> list[str]:
    """Serial numbers of the RealSense cameras that are plugged in.

    Raises:
        ImportError: pyrealsense2 or the USB library that it needs is missing.
    """
    library = import_module("pyrealsense2")
    devices = library.context().query_devices()
    return [device.get_info(library.camera_info.serial_number) for device in devices]


def camera_troubles(
    source: str, devices: Sequence[str], serials: Callable[[], list[str]] = connected_serials
) -> list[Trouble]:
    """What is wrong with the cameras that the node is to open.

    Args:
        source: kind of source, as the node's parameter says it
        devices: serial numbers, device files or a folder
        serials: asks for the RealSense cameras that are there
    """
    if source.startswith("realsense"):
        try:
            there = serials()
        except (ImportError, RuntimeError) as error:
            return [
                (True, f"RealSense cameras cannot be asked: {error}", "install pyrealsense2, libusb-1.0-0")
            ]
        told = ", ".join(there) or "none"
        advice = f"plug it in, or put its serial number into the robot's file (connected: {told})"
        return [(True, f"camera {name} is not connected", advice) for name in devices if name not in there]
    advice = "check the name, the cable and the permissions"
    return [(True, f"{name} is not there", advice) for name in devices if not Path(name).exists()]


def calibration_troubles(
    folder: Path, days: float, spec: PolicySpec | None, asked: SourceConfig, now_s: float | None = None
) -> list[Trouble]:
    """What is wrong with the calibration in ``folder``, for the cameras that the node is to open.

    Args:
        folder: what grasp-calibrate wrote
        days: age in days from which it is old
        spec: of the policy that is to see through these cameras; None where there is none
        asked: what is asked of the cameras
        now_s: the time; None asks the machine
    """
    try:
        calibration = read_stereo(folder)
    except (CalibrationFileError, OSError) as error:
        return [(True, str(error), _CALIBRATE)]
    troubles: list[Trouble] = []
    # As old as its oldest part: hand-eye calibration alone writes extrinsics.yaml anew.
    files = (folder / name for name in (*EYE_FILES, EXTRINSICS_FILE))
    oldest_s = min(path.stat().st_mtime for path in files if path.exists())
    age_days = ((time.time() if now_s is None else now_s) - oldest_s) / _DAY_S
    if age_days > days:
        text = f"{folder} is {age_days:.0f} days old; {days:g} are allowed"
        troubles.append((False, text, "run grasp-calibrate check, or calibrate anew"))
    troubles += _source_troubles(calibration, asked, folder)
    try:
        if not has_hand_eye(calibration):
            text = "the cameras' place is not known: extrinsics.yaml lacks the arm's base"
            troubles.append((False, text, _HAND_EYE))
        if spec is not None:
            troubles += _contract_troubles(spec, calibration, asked)
    except CalibrationFileError as error:
        troubles.append((True, f"{folder}: {error}", _HAND_EYE))
    return troubles


def _source_troubles(calibration: StereoCalibration, asked: SourceConfig, folder: Path) -> list[Trouble]:
    troubles: list[Trouble] = []
    for check, advice in (
        (check_devices, "put the devices in the calibration's order, or calibrate anew"),
        (check_size, "ask for the calibration's size in the robot's file, or calibrate anew"),
    ):
        try:
            check(calibration, asked, folder)
        except CameraConfigError as error:
            troubles.append((True, str(error), advice))
    if is_of_unnamed_cameras(calibration, asked):
        text = f"{folder} does not say which cameras it was made with"
        advice = "calibrate with --devices LEFT RIGHT: swapped cameras are noticed then"
        troubles.append((False, text, advice))
    return troubles


def _contract_troubles(
    spec: PolicySpec, calibration: StereoCalibration, asked: SourceConfig
) -> list[Trouble]:
    view = NominalView(spec.image_width, spec.image_height, spec.fovy_deg)
    troubles: list[Trouble] = []
    try:
        StereoRectifier(calibration, view)
    except CameraConfigError as error:
        troubles.append((True, str(error), "take lenses that see the policy's field of view, and calibrate"))
    try:
        check_cameras(spec, calibration, view, asked.rate_hz)
    except PolicyFileError as error:
        advice = "move the cameras to where the policy expects them, or calibrate anew"
        if error.field == "control_rate_hz":
            advice = "set the cameras' rate_hz in the robot's file to the policy's rate"
        troubles.append((True, str(error), advice))
    return troubles
