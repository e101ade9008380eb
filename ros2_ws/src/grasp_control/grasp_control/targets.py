"""Joint targets: from the names of a message to canonical order, and from a staircase of targets to a
ramp."""

from collections.abc import Sequence

import numpy as np


class TargetReader:
    """Reads the positions of a target message into canonical order.

    Args:
        names: joint names in canonical order.
        lower, upper: (n,) position limits in rad.
    """

    def __init__(self, names: Sequence[str], lower: np.ndarray, upper: np.ndarray) -> None:
        self._names = tuple(names)
        self._lower, self._upper = lower, upper
        self._last_names: tuple[str, ...] | None = None
        self._order = np.zeros(0, int)

    def read(self, names: Sequence[str], positions: Sequence[float] | np.ndarray) -> tuple[np.ndarray, int]:
        """Positions (n,) in rad, clipped to the limits, and how many joints were clipped.

        Raises:
            ValueError: a name is unknown, missing or given twice; the lengths differ; a position is not a
                finite number.
        """
        order = self._order_of(tuple(names))
        if len(positions) != len(self._names):
            raise ValueError(
                f"Target has {len(positions)} positions; expected {len(self._names)}, one a joint"
            )
        values = np.asarray(positions, float)[order]
        finite = np.isfinite(values)
        if not finite.all():
            joint = int(np.argmin(finite))
            raise ValueError(
                f"Target of joint {self._names[joint]!r} is {values[joint]}; expected a finite angle in rad"
            )
        clipped = np.clip(values, self._lower, self._upper)
        return clipped, int(np.count_nonzero(clipped != values))

    def _order_of(self, names: tuple[str, ...]) -> np.ndarray:
        if names != self._last_names:
            place = {name: i for i, name in enumerate(names)}
            unknown = [name for name in names if name not in self._names]
            missing = [name for name in self._names if name not in place]
            if unknown or missing or len(names) != len(self._names):
                raise ValueError(
                    f"Target names {len(names)} joints (unknown: {unknown[:4]}, missing: {missing[:4]}); "
                    f"expected each of the {len(self._names)} joints once"
                )
            self._last_names, self._order = names, np.array([place[name] for name in self._names])
        return self._order


class TargetRamp:
    """Turns targets that arrive at the policy's rate into a reference that moves at the rate of commands.

    The reference goes in a straight line from where it is to the newest target and arrives when the next
    target is due. So a joint that the policy moves steadily moves steadily, where a staircase would have it
    stop at every step; and since the reference never passes the newest target, nothing is extrapolated.

    Args:
        period_s: time between two commands.
        longest_s: the longest time that a target is spread over.
    """

    def __init__(self, period_s: float, longest_s: float) -> None:
        self._period_s, self._longest_s = period_s, longest_s
        self._from = self._to = np.zeros(0)
        self._ticks = self._steps = 0

    def restart(self, position: np.ndarray) -> None:
        """Stand at ``position`` (n,) in rad."""
        self._from = self._to = position
        self._ticks = self._steps = 1

    def aim(self, target: np.ndarray, interval_s: float) -> None:
        """Go to ``target`` (n,) in rad within the time since the target before it; at once if that is unknown
        (infinite)."""
        self._from = self._at(self._ticks)
        self._to = target
        spread = interval_s if np.isfinite(interval_s) else 0.0
        self._steps = max(round(min(spread, self._longest_s) / self._period_s), 1)
        self._ticks = 0

    def advance(self) -> np.ndarray:
        """The reference (n,) in rad for the next command."""
        self._ticks = min(self._ticks + 1, self._steps)
        return self._at(self._ticks)

    def _at(self, ticks: int) -> np.ndarray:
        if ticks >= self._steps:
            return self._to
        return self._from + (self._to - self._from) * (ticks / self._steps)
