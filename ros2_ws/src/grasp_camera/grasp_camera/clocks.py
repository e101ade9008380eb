"""Times of a camera's own clock on this machine's clock. No ROS in it.

A frame arrives after it was taken, by a delay that is never negative and varies. The least difference between
arrival and hardware time over the last seconds is therefore the clocks' offset plus the least delay; adding
it to hardware times keeps their evenness, and errs by that least delay (a few ms on USB), always towards
late.

A frame that comes much too late for the map is not used to move it: it may have lain in a buffer while this
process was stopped, and must not pass for new. Where it was the camera's clock that fell back, all frames
come too late, and the capture opens the cameras anew, with a new map.
"""

from __future__ import annotations

from collections import deque

__all__ = ["ClockMap"]

_MOST_JUMP_NS = 500_000_000
"""no frame of a running camera comes later than that; pairing refuses those that do"""


class ClockMap:
    """Maps one camera clock to the system clock."""

    def __init__(self, window: int = 300) -> None:
        """
        Args:
            window: frames that the least delay is taken over: long enough to meet a prompt one, short enough
                for the clocks' drift (20 ppm make 0.2 ms in 10 s).
        """
        self._offsets: deque[int] = deque(maxlen=window)

    def system_time(self, time_ns: int, arrival_ns: int) -> int:
        """ns on the system clock of a frame taken at ``time_ns`` on the camera's clock.

        Args:
            arrival_ns: when it was received, system clock.
        """
        offset = arrival_ns - time_ns
        behind_ns = offset - min(self._offsets, default=offset)
        if behind_ns < -_MOST_JUMP_NS:
            # No frame comes before it was taken: a clock jumped.
            self._offsets.clear()
        if behind_ns <= _MOST_JUMP_NS:
            self._offsets.append(offset)
        return time_ns + min(self._offsets)
