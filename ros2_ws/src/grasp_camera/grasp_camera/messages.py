"""ROS messages of the camera node."""

from __future__ import annotations

import array
from collections.abc import Iterable

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import TransformStamped
from sensor_msgs.msg import CameraInfo, Image

from grasp_camera.extrinsics import Transform
from grasp_camera.monitor import Report
from grasp_camera.rectification import NominalView

__all__ = ["camera_info", "diagnostic_array", "image_message", "stamp_of", "static_transforms"]


def stamp_of(time_ns: int) -> Time:
    """A stamp of a time in ns."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return Time(sec=seconds, nanosec=nanoseconds)


def image_message(image: np.ndarray, stamp: Time, frame: str) -> Image:
    """An rgb8 Image of (H, W, 3) uint8."""
    height, width = image.shape[:2]
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    message.header.stamp = stamp
    message.header.frame_id = frame
    # An array of bytes is taken as it is; anything else is checked number by number.
    message.data = array.array("B", image.tobytes())
    return message


def camera_info(view: NominalView, baseline_m: float, stamp: Time, frame: str) -> CameraInfo:
    """CameraInfo of a rectified image: a pinhole without distortion, as the simulator gives it.

    Args:
        baseline_m: how far the eye stands to the right of the left one; 0 for the left one itself.
    """
    info = CameraInfo(height=view.height, width=view.width, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.stamp = stamp
    info.header.frame_id = frame
    info.k = view.k().ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = view.projection(baseline_m).ravel().tolist()
    return info


def static_transforms(transforms: Iterable[Transform], stamp: Time) -> list[TransformStamped]:
    """The calibration's frames for /tf_static."""
    messages = []
    for one in transforms:
        message = TransformStamped(child_frame_id=one.child)
        message.header.frame_id = one.parent
        message.header.stamp = stamp
        place, turn = message.transform.translation, message.transform.rotation
        place.x, place.y, place.z = one.translation_m
        turn.w, turn.x, turn.y, turn.z = one.quaternion_wxyz
        messages.append(message)
    return messages


def diagnostic_array(report: Report, hardware: str, more: dict[str, str], stamp: Time) -> DiagnosticArray:
    """A report as /diagnostics wants it."""
    values = {**report.values, **more}
    status = DiagnosticStatus(
        level=bytes([report.level]),
        name="grasp_camera",
        message=report.message,
        hardware_id=hardware,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message
