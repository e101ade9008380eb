"""Times of a camera's own clock on this machine's clock. No ROS in it.

A frame arrives after it was taken, by a delay that is never negative and varies. The least difference between
arrival and hardware time over the last seconds is therefore the clocks' offset plus the least delay; adding
it to hardware times keeps their evenness, and errs by that least delay (a few ms on USB), always towards
late.
"""

from __future__ import annotations

from collections import deque

__all__ = ["ClockMap"]

_MOST_JUMP_NS = 500_000_000


class ClockMap:
    """Maps one camera clock to the system clock."""

    def __init__(self, window: int = 300) -> None:
        """
        Args:
            window: frames that the least delay is taken over: long enough to meet a prompt one, short enough
                for the clocks' drift (20 ppm make 0.2 ms in 10 s).
        """
        self._offsets: deque[int] = deque(maxlen=window)
        self.resets = 0
        """how often the camera's clock, or this machine's, jumped"""

    def system_time(self, time_ns: int, arrival_ns: int) -> int:
        """ns on the system clock of a frame taken at ``time_ns`` on the camera's clock.

        Args:
            arrival_ns: when it was received, system clock.
        """
        offset = arrival_ns - time_ns
        if self._offsets and abs(offset - min(self._offsets)) > _MOST_JUMP_NS:
            self._offsets.clear()
            self.resets += 1
        self._offsets.append(offset)
        return time_ns + min(self._offsets)
