"""Joint measurements, collected by name from messages that may each carry only some of the joints."""

from collections.abc import Sequence

import numpy as np

from grasp_control.watchdog import Freshness

JUMP_SPEED_FACTOR = 1.5
"""Measured speed over the joint's speed limit that still counts as motion rather than as a jump."""


class JointMeasurement:
    """The newest position and velocity of every joint, and their ages.

    Args:
        names: joint names in canonical order.
        velocity_limit: (n,) rad/s.
        period_s: nominal time between ticks.
        jump_rad: jump that counts as a reset or fault, beyond what the speed limit explains.
        future_s: how far in the future a stamp may lie.
    """

    def __init__(
        self,
        names: Sequence[str],
        velocity_limit: np.ndarray,
        period_s: float,
        jump_rad: float,
        future_s: float,
    ) -> None:
        self._index = {name: i for i, name in enumerate(names)}
        self._speed = JUMP_SPEED_FACTOR * velocity_limit
        self._jump_rad, self._future_s = jump_rad, future_s
        self._columns: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray] | str] = {}
        self.freshness = Freshness(len(names), period_s)
        self.position = np.full(len(names), np.nan)
        """(n,) rad, NaN before the first message"""
        self.velocity = np.full(len(names), np.nan)
        """(n,) rad/s; zero where messages carry none"""
        self.jumped = False
        """whether a jump was seen since ``forget``"""

    def forget(self) -> None:
        """Start anew: what was measured so far is neither fresh nor a reference for jumps."""
        self.freshness.forget()
        self.jumped = False

    def update(
        self,
        names: Sequence[str],
        positions: Sequence[float] | np.ndarray,
        velocities: Sequence[float] | np.ndarray,
        stamp_s: float,
        now_s: float,
        tick: int,
    ) -> str:
        """Take one message; joints that are not ours are ignored. Returns why it was refused, or an empty
        string."""
        columns = self._columns_of(tuple(names))
        if isinstance(columns, str):
            return columns
        ours, theirs = columns
        if len(positions) != len(names) or len(velocities) not in (0, len(names)):
            return (
                f"Joint state has {len(names)} names, {len(positions)} positions, {len(velocities)} "
                f"velocities; expected as many positions as names, and as many velocities or none"
            )
        position = np.asarray(positions, float)[theirs]
        velocity = np.asarray(velocities, float)[theirs] if len(velocities) else np.zeros(len(theirs))
        if not (np.isfinite(position).all() and np.isfinite(velocity).all()):
            bad = theirs[int(np.argmax(~(np.isfinite(position) & np.isfinite(velocity))))]
            return f"Joint {names[bad]!r} has a position or velocity that is not finite in the joint state"
        if not stamp_s <= now_s + self._future_s:
            ahead = stamp_s - now_s
            return (
                f"Joint state is stamped {ahead:.3f} s in the future; at most {self._future_s} s is tolerated"
            )
        before = self.freshness.times(ours)
        if (stamp_s < before).any():
            return f"Joint state is stamped {stamp_s:.3f} s, before one already taken"
        known = np.isfinite(before)
        reach = self._jump_rad + self._speed[ours] * np.where(known, stamp_s - before, np.inf)
        if (np.abs(position - np.where(known, self.position[ours], position)) > reach).any():
            self.jumped = True
        self.position[ours], self.velocity[ours] = position, velocity
        self.freshness.renew(ours, stamp_s, tick)
        return ""

    def _columns_of(self, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray] | str:
        """Our columns and those of a message with these names, or why it cannot be read; remembered for the
        next one."""
        if names not in self._columns:
            if len(self._columns) > 64:
                self._columns.clear()
            theirs = [i for i, name in enumerate(names) if name in self._index]
            ours = [self._index[names[i]] for i in theirs]
            if not ours:
                self._columns[names] = f"Joint state names none of our joints (it names {list(names)[:4]})"
            elif len(set(ours)) < len(ours):
                self._columns[names] = "Joint state names a joint twice"
            else:
                self._columns[names] = (np.array(ours), np.array(theirs))
        return self._columns[names]
