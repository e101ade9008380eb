"""Whether time goes forward, and how old things are."""

import math

import numpy as np

CLOCK_STEP_S = 1e-3
"""A step of the clock backwards by more than this stops the robot; less is a clock being disciplined."""
NEVER = -np.inf


class Freshness:
    """When each of n things last arrived, by the clock and, beside it, by the number of ticks.

    A clock that stands or steps back makes old things look fresh; ticks do not lie about that. The age is the
    larger of both.

    Args:
        count: number of things.
        period_s: nominal time between ticks.
    """

    def __init__(self, count: int, period_s: float) -> None:
        self._period_s = period_s
        self._times = np.full(count, NEVER)
        self._ticks = np.zeros(count)

    def forget(self) -> None:
        """Make everything as old as can be."""
        self._times[:] = NEVER

    def renew(self, index: np.ndarray | slice, time_s: float, tick: int) -> None:
        """Note that the things at ``index`` are from time ``time_s`` and arrived after ``tick``."""
        self._times[index] = time_s
        self._ticks[index] = tick

    def times(self, index: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Times in s noted for the things at ``index``; ``NEVER`` where none is."""
        return self._times[index]

    def age_s(self, now_s: float, tick: int) -> np.ndarray:
        """Age (count,) of each thing in s, infinite for one that never came."""
        return np.maximum(now_s - self._times, (tick - self._ticks) * self._period_s)


class Clock:
    """Remembers the latest time seen, and notices a step back."""

    def __init__(self) -> None:
        self.latest_s = NEVER

    def steps_back(self, now_s: float) -> bool:
        """Take a reading; whether it is behind an earlier one, or no number. A finite reading is then the new
        reference."""
        forward = bool(now_s >= self.latest_s - CLOCK_STEP_S) and math.isfinite(now_s)
        if forward:
            self.latest_s = max(now_s, self.latest_s)
        elif math.isfinite(now_s):
            self.latest_s = now_s
        return not forward
