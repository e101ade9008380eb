"""Frames of two eyes into pairs of one moment, by hardware time. No ROS in it.

A pair's two frames were taken within ``max_skew_ns`` of each other. A frame is used at most once, in order of
time; repeated ones (same frame number, a time that does not advance, or the very same pixels) are dropped and
counted: a sensor's noise never gives the same picture twice, a stuck driver does.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

from grasp_camera.clocks import ClockMap
from grasp_camera.frames import HOST_CLOCK, Frame, StereoPair

__all__ = ["FramePairer", "PairingConfig", "Reason"]

_WAITING = 4
_RESTART = 1000
"""frames that a number falls back by from which on the camera counts anew, rather than repeating itself"""


class Reason(enum.Enum):
    """Why a frame was not used; names of counters in the diagnostics."""

    REPEATED = "repeated"
    """The frame number, or the hardware time, did not advance."""
    IDENTICAL = "identical"
    """The pixels are those of the frame before: the sensor or its driver hangs."""
    UNPAIRED = "unpaired"
    """No frame of the other eye near enough in time."""
    OFF_CLOCK = "off_clock"
    """Its time is far from this machine's clock."""
    LOST = "lost"
    """Missing in the camera's count: never arrived."""


@dataclass(frozen=True)
class PairingConfig:
    """What makes a pair."""

    max_skew_s: float = 0.005
    """s, longest time between the two eyes' images"""
    max_age_s: float = 0.5
    """s, a frame's time may be that far from this machine's clock on arrival"""
    drop_identical: bool = True
    """whether a picture equal to the one before it, to the last bit, is dropped; off for synthetic images"""


@dataclass(frozen=True, eq=False)
class _Waiting:
    time_ns: int
    frame: Frame


class FramePairer:
    """Collects frames; gives out pairs.

    Attributes:
        counts: frames not used, by `Reason`, left and right.
    """

    def __init__(self, config: PairingConfig = PairingConfig()) -> None:
        self.config = config
        self.counts: tuple[Counter[Reason], Counter[Reason]] = (Counter(), Counter())
        self._max_skew_ns = round(1e9 * config.max_skew_s)
        self.restart()

    def restart(self) -> None:
        """Forget what waits and what came before: the cameras were opened anew."""
        self._clocks: dict[str, ClockMap] = {}
        self._waiting: tuple[deque[_Waiting], deque[_Waiting]] = (deque(), deque())
        self._last: list[_Waiting | None] = [None, None]
        self._stamp_ns: int | None = None

    def add(self, frame: Frame) -> StereoPair | None:
        """Take a frame; returns the pair that it completes, if any."""
        time_ns = self._system_time(frame)
        reason = self._reason_to_drop(frame, time_ns)
        if reason is not None:
            self.counts[frame.eye][reason] += 1
            return None
        self._count_lost(frame)
        self._last[frame.eye] = _Waiting(time_ns, frame)
        self._waiting[frame.eye].append(_Waiting(time_ns, frame))
        return self._pair()

    def _system_time(self, frame: Frame) -> int:
        if frame.clock == HOST_CLOCK:
            return frame.time_ns
        clock = self._clocks.setdefault(frame.clock, ClockMap())
        return clock.system_time(frame.time_ns, frame.arrival_ns)

    def _reason_to_drop(self, frame: Frame, time_ns: int) -> Reason | None:
        if abs(frame.arrival_ns - time_ns) > round(1e9 * self.config.max_age_s):
            return Reason.OFF_CLOCK
        last = self._last[frame.eye]
        if last is None:
            return None
        if _repeats(last.frame.number, frame.number) or frame.time_ns == last.frame.time_ns:
            return Reason.REPEATED
        if frame.clock == last.frame.clock and frame.time_ns < last.frame.time_ns:
            return Reason.REPEATED
        if self.config.drop_identical and np.array_equal(frame.image, last.frame.image):
            return Reason.IDENTICAL
        return None

    def _count_lost(self, frame: Frame) -> None:
        last = self._last[frame.eye]
        if last is None or frame.number is None or last.frame.number is None:
            return
        self.counts[frame.eye][Reason.LOST] += max(0, frame.number - last.frame.number - 1)

    def _pair(self) -> StereoPair | None:
        left, right = self._waiting
        while left and right:
            skew_ns = right[0].time_ns - left[0].time_ns
            if abs(skew_ns) <= self._max_skew_ns:
                return self._made(left.popleft(), right.popleft())
            self._drop_first(1 if skew_ns < 0 else 0)
        for eye in (0, 1):
            while len(self._waiting[eye]) > _WAITING:
                self._drop_first(eye)
        return None

    def _made(self, left: _Waiting, right: _Waiting) -> StereoPair | None:
        stamp_ns = (left.time_ns + right.time_ns) // 2
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            # The clock map moved by more than a frame period: stamps never go back.
            for eye in (0, 1):
                self.counts[eye][Reason.REPEATED] += 1
            return None
        self._stamp_ns = stamp_ns
        return StereoPair(stamp_ns, right.time_ns - left.time_ns, (left.frame.image, right.frame.image))

    def _drop_first(self, eye: int) -> None:
        self._waiting[eye].popleft()
        self.counts[eye][Reason.UNPAIRED] += 1


def _repeats(last: int | None, number: int | None) -> bool:
    """Whether a frame number says that the frame, or a later one, was seen before."""
    if last is None or number is None:
        return False
    return last - _RESTART < number <= last
