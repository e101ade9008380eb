"""Which source, and how it is asked to stream. No ROS in it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grasp_camera.errors import CameraConfigError
from grasp_camera.frames import Source

__all__ = ["KINDS", "SourceConfig", "make_source"]

KINDS = ("realsense_pair", "realsense_infrared", "v4l2_side_by_side", "v4l2_pair", "recorded")
_DEVICES = {
    "realsense_pair": 2,
    "realsense_infrared": 1,
    "v4l2_side_by_side": 1,
    "v4l2_pair": 2,
    "recorded": 1,
}
_WHAT = {
    "realsense_pair": "serial numbers, left and right",
    "realsense_infrared": "serial number",
    "v4l2_side_by_side": "device such as /dev/video0",
    "v4l2_pair": "devices such as /dev/v4l/by-path/..., left and right",
    "recorded": "folder with left/ and right/",
}
SYNCS = ("host", "hardware")
_NUMBERED = re.compile(r"/dev/video\d+")


@dataclass(frozen=True)
class SourceConfig:
    """What is asked of the cameras."""

    kind: str
    """one of KINDS"""
    devices: tuple[str, ...]
    """serial numbers, device files or a folder, as the kind wants; left before right"""
    width: int = 640
    """px, of one eye's raw image"""
    height: int = 480
    """px, of the raw image"""
    rate_hz: int = 30
    """images a second"""
    sync: str = "host"
    """RealSense pair: host (both run free) or hardware (a cable; the left one leads)"""
    auto_exposure: bool = True
    """whether the cameras choose their exposure"""
    exposure: float = 0.0
    """without auto exposure: the camera's own unit (RealSense colour: 100 us; infrared: us; V4L2: 100 us)"""
    fourcc: str = "MJPG"
    """V4L2: pixel format, four letters"""
    loop: bool = True
    """recorded: begin again at the end"""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CameraConfigError(f"source is {self.kind!r}; expected one of {', '.join(KINDS)}")
        if len(self.devices) != _DEVICES[self.kind] or not all(self.devices):
            raise CameraConfigError(
                f"devices is {list(self.devices)}; {self.kind} expects {_DEVICES[self.kind]}: "
                f"{_WHAT[self.kind]}"
            )
        if len(set(self.devices)) != len(self.devices):
            raise CameraConfigError(f"devices is {list(self.devices)}; expected two different ones")
        numbered = [name for name in self.devices if _NUMBERED.fullmatch(name)]
        if self.kind == "v4l2_pair" and numbered:
            raise CameraConfigError(
                f"devices is {list(self.devices)}; v4l2_pair expects names under /dev/v4l/by-path or "
                f"/dev/v4l/by-id: the number of {numbered[0]} may be another camera's after the next start"
            )
        if self.sync not in SYNCS:
            raise CameraConfigError(f"sync is {self.sync!r}; expected {' or '.join(SYNCS)}")
        if not self.auto_exposure and self.exposure <= 0.0:
            raise CameraConfigError(
                f"exposure is {self.exposure:g}; without auto_exposure expected more than 0, in the camera's "
                "own unit"
            )
        if len(self.fourcc) != 4:
            raise CameraConfigError(f"fourcc is {self.fourcc!r}; expected four letters such as MJPG")


def make_source(config: SourceConfig) -> Source:
    """The source that a configuration describes; not opened yet.

    Raises:
        CameraConfigError: the library that it needs is missing.
    """
    if config.kind.startswith("realsense"):
        from grasp_camera.sources.realsense import RealSenseSource

        return RealSenseSource(config)
    if config.kind.startswith("v4l2"):
        from grasp_camera.sources.v4l2 import V4l2Source

        return V4l2Source(config)
    from grasp_camera.sources.recorded import RecordedSource

    return RecordedSource(config)
