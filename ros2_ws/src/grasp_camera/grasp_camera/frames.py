"""What sources hand over, and what pairing makes of it. No ROS in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["EYES", "HOST_CLOCK", "Frame", "Source", "StereoPair"]

EYES = ("left", "right")
"""Names of the eyes by index."""
HOST_CLOCK = "host"
"""The clock of frames whose hardware time is already on this machine's system clock."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One eye's image, as it came from its camera."""

    eye: int
    """0 left, 1 right"""
    number: int | None
    """the camera's own frame counter; None where it tells none"""
    time_ns: int
    """ns, when the image was taken, by the camera's own time stamp, on ``clock``"""
    clock: str
    """which clock that is: HOST_CLOCK, or a name; times on clocks of different names are not comparable"""
    arrival_ns: int
    """ns, this machine's system clock when the frame was received"""
    image: np.ndarray
    """(H, W, 3) uint8 RGB, raw; of its own, no camera's buffer"""


@dataclass(frozen=True, eq=False)
class StereoPair:
    """Both eyes' images of one moment."""

    stamp_ns: int
    """ns, system clock: when the images were taken, the mean of both"""
    skew_ns: int
    """ns, right image's time less the left one's"""
    images: tuple[np.ndarray, np.ndarray]
    """left, right: (H, W, 3) uint8 RGB, raw"""


class Source(Protocol):
    """Where frames come from. Used by one thread; may be opened again after it was closed."""

    @property
    def channels(self) -> str:
        """What the three channels of an image hold, in words: ``rgb``, or ``mono, replicated``."""
        ...

    def describe(self) -> str:
        """Which cameras, in words for logs and diagnostics."""
        ...

    def open(self) -> None:
        """Connect and start streaming.

        Raises:
            CameraLostError: a camera is not there now.
            CameraConfigError: a camera cannot do what it is asked to.
        """
        ...

    def read(self, timeout_s: float) -> list[Frame]:
        """Frames that have come, waiting for at most ``timeout_s`` where there are none yet.

        Raises:
            CameraLostError: a camera has gone.
            CameraEndedError: a recording is at its end.
        """
        ...

    def close(self) -> None:
        """Stop streaming and let go; never raises, may be called twice."""
        ...
