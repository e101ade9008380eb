"""Parameters of /grasp_camera, declared with ranges and descriptions; read on configure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from grasp_camera.backoff import BackoffConfig
from grasp_camera.capture import CaptureConfig
from grasp_camera.errors import CameraConfigError
from grasp_camera.pairing import PairingConfig
from grasp_camera.rectification import NominalView
from grasp_camera.settling import SettlingConfig
from grasp_camera.sources import KINDS, SourceConfig
from grasp_description.cameras import STEREO_RIG

__all__ = ["CameraParameters", "declare_parameters", "read_parameters"]

_TEXTS = {
    "source": ("realsense_pair", f"where images come from: {', '.join(KINDS)}"),
    "sync": ("host", "realsense_pair: host, or hardware (a cable between the cameras; the left one leads)"),
    "fourcc": ("MJPG", "v4l2: pixel format, four letters"),
    "calibration": ("", "folder that grasp-calibrate wrote; empty: raw images only (publish_raw)"),
    "policy": (
        "",
        "policy file that says image size and field of view, and that the cameras are held against",
    ),
}
_SWITCHES = {
    "auto_exposure": (True, "whether the cameras choose their exposure"),
    "publish_raw": (False, "publish the raw images too, for calibration"),
    "loop": (True, "recorded: begin again at the end"),
    "drop_identical": (
        True,
        "drop pictures equal to the one before, to the last bit; off for synthetic images",
    ),
}
_WHOLES = {
    "raw_width": (640, 16, 4096, "px, raw image of one eye"),
    "raw_height": (480, 16, 4096, "px, raw image"),
    "rate_hz": (30, 1, 240, "pairs a second"),
    "image_width": (STEREO_RIG.width, 8, 4096, "px, rectified image, where no policy says it"),
    "image_height": (STEREO_RIG.height, 8, 4096, "px, rectified image, where no policy says it"),
    "settling_pairs": (10, 2, 300, "pairs in a row whose brightness agrees before images are published"),
}
_REALS = {
    "fovy_deg": (STEREO_RIG.fovy_deg, 1.0, 150.0, "degrees, vertical, rectified, where no policy says it"),
    "exposure": (0.0, 0.0, 1e6, "exposure without auto_exposure, in the camera's own unit"),
    "max_skew_s": (0.005, 0.0, 0.1, "s, longest time between the two images of a pair"),
    "silence_s": (0.5, 0.05, 30.0, "s without a pair after which the cameras count as lost"),
    "start_s": (4.0, 0.5, 60.0, "s that the first pair after opening may take"),
    "settling_tolerance": (0.03, 0.001, 1.0, "spread of brightness that counts as settled, as a share of it"),
    "settling_patience_s": (5.0, 0.0, 60.0, "s after which images are published though not settled"),
    "retry_first_s": (
        0.25,
        0.01,
        60.0,
        "s to the first attempt after a loss; each further wait is twice as long",
    ),
    "retry_most_s": (5.0, 0.01, 600.0, "s, longest wait between attempts"),
}


@dataclass(frozen=True)
class CameraParameters:
    """All parameters, as read on configure."""

    source: SourceConfig
    """what is asked of the cameras"""
    capture: CaptureConfig
    """pairing, settling, retries"""
    view: NominalView
    """rectified image where no policy says it"""
    calibration: Path | None
    """folder of the calibration"""
    policy: Path | None
    """policy file"""
    publish_raw: bool
    """whether raw images are published"""


def declare_parameters(node: Node) -> None:
    """Declare them all.

    Raises:
        rclpy.exceptions.ParameterException: a value of the wrong type or out of its range was given.
    """
    for name, (default, text) in (_TEXTS | _SWITCHES).items():
        node.declare_parameter(name, default, ParameterDescriptor(description=text))
    text = "serial numbers, device files or a folder, as the source wants; left before right"
    node.declare_parameter("devices", [""], ParameterDescriptor(description=text))
    for name, (default, low, high, text) in _WHOLES.items():
        bounds = [IntegerRange(from_value=low, to_value=high, step=1)]
        node.declare_parameter(name, default, ParameterDescriptor(description=text, integer_range=bounds))
    for name, (default, low, high, text) in _REALS.items():
        limits = [FloatingPointRange(from_value=low, to_value=high, step=0.0)]
        node.declare_parameter(
            name, default, ParameterDescriptor(description=text, floating_point_range=limits)
        )


def read_parameters(node: Node) -> CameraParameters:
    """Read them all.

    Raises:
        CameraConfigError: values that do not go together.
    """

    def value(name: str) -> Any:
        return node.get_parameter(name).value

    calibration, policy = value("calibration"), value("policy")
    if not calibration and not value("publish_raw"):
        raise CameraConfigError(
            "parameter 'calibration' is empty; expected a folder, or publish_raw to calibrate first"
        )
    return CameraParameters(
        source=SourceConfig(
            kind=value("source"),
            devices=tuple(value("devices")),
            width=value("raw_width"),
            height=value("raw_height"),
            rate_hz=value("rate_hz"),
            sync=value("sync"),
            auto_exposure=value("auto_exposure"),
            exposure=value("exposure"),
            fourcc=value("fourcc"),
            loop=value("loop"),
        ),
        capture=CaptureConfig(
            rate_hz=float(value("rate_hz")),
            silence_s=value("silence_s"),
            start_s=value("start_s"),
            pairing=PairingConfig(value("max_skew_s"), drop_identical=value("drop_identical")),
            settling=SettlingConfig(
                value("settling_pairs"), value("settling_tolerance"), value("settling_patience_s")
            ),
            backoff=BackoffConfig(value("retry_first_s"), most_s=value("retry_most_s")),
        ),
        view=NominalView(value("image_width"), value("image_height"), value("fovy_deg")),
        calibration=Path(calibration).expanduser() if calibration else None,
        policy=Path(policy).expanduser() if policy else None,
        publish_raw=value("publish_raw"),
    )
