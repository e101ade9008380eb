"""Judges a sequence of commands against joint limits by finite differences of the published numbers alone.

This is the definition of "within limits" that promise 1 is tested against. With commands c[k] published at
the fixed period h, and c[-1] = c[-2] = c[-3] = c[0] (a sequence starts at rest, at the measured position):

    lower <= c[k] <= upper
    |c[k] - c[k-1]|                              <= velocity     * h
    |c[k] - 2 c[k-1] + c[k-2]|                   <= acceleration * h^2
    |c[k] - 3 c[k-1] + 3 c[k-2] - c[k-3]|        <= jerk         * h^3

each with ``RELATIVE_TOLERANCE`` of the bound and ``ROUNDING_ULPS`` roundings of the largest position for the
arithmetic of the differences themselves. Samples of any trajectory with continuous acceleration whose
velocity, acceleration and jerk stay
within limits pass: each difference is an average of the derivative (with a B-spline as weight), so never
    above its maximum.
The converse direction is what matters to a driver: it sees nothing but these samples.
"""

from dataclasses import dataclass

import numpy as np

RELATIVE_TOLERANCE = 1e-9
ROUNDING_ULPS = 8.0


@dataclass(frozen=True)
class Violation:
    """One broken limit."""

    index: int
    """number of the command in its sequence, from 0"""
    joint: int
    """column of the joint"""
    limit: str
    """"finite", "length", "position", "velocity", "acceleration" or "jerk\""""
    value: float
    """what the command had, in rad, rad/s, rad/s² or rad/s³"""
    bound: float
    """what it was allowed"""


class SequenceChecker:
    """Takes commands one by one, or whole sequences at once.

    Args:
        lower, upper, velocity, acceleration, jerk: (n,) limits in rad, rad/s, rad/s², rad/s³.
        period_s: time between two commands.
    """

    def __init__(
        self,
        lower: np.ndarray,
        upper: np.ndarray,
        velocity: np.ndarray,
        acceleration: np.ndarray,
        jerk: np.ndarray,
        period_s: float,
    ) -> None:
        self._lower, self._upper = np.array(lower, float), np.array(upper, float)
        self._rates = [np.array(limit, float) for limit in (velocity, acceleration, jerk)]
        self._period_s = period_s
        scale = max(np.abs(self._lower).max(), np.abs(self._upper).max())
        self._rounding = ROUNDING_ULPS * np.finfo(float).eps * scale
        self.checked = 0
        """number of commands judged so far"""

    def check(self, commands: np.ndarray) -> list[Violation]:
        """Violations of one whole sequence.

        Args:
            commands: (T, n) positions in rad, from the first command after arming to the last.
        """
        commands = np.asarray(commands, float)
        self.checked += len(commands)
        if commands.ndim != 2 or commands.shape[1] != len(self._lower):
            return [Violation(0, 0, "length", float(commands.shape[-1]), float(len(self._lower)))]
        if not len(commands):
            return []
        finite = np.isfinite(commands)
        if not finite.all():
            return [
                Violation(int(k), int(j), "finite", float(commands[k, j]), 0.0)
                for k, j in np.argwhere(~finite)
            ]
        found = self._broken(self._lower - commands, self._rounding, "position", commands, self._lower)
        found += self._broken(commands - self._upper, self._rounding, "position", commands, self._upper)
        difference = np.concatenate([np.repeat(commands[:1], 3, axis=0), commands])
        for order, (name, limit) in enumerate(
            zip(("velocity", "acceleration", "jerk"), self._rates, strict=True), 1
        ):
            difference = np.diff(difference, axis=0)
            values = difference[3 - order :]
            bound = limit * self._period_s**order * (1.0 + RELATIVE_TOLERANCE)
            excess = np.abs(values) - bound
            found += self._broken(
                excess, self._rounding * 2**order, name, values / self._period_s**order, limit
            )
        return found

    @staticmethod
    def _broken(
        excess: np.ndarray, tolerance: float, name: str, values: np.ndarray, bounds: np.ndarray
    ) -> list[Violation]:
        return [
            Violation(int(k), int(j), name, float(values[k, j]), float(bounds[j]))
            for k, j in np.argwhere(excess > tolerance)
        ]
