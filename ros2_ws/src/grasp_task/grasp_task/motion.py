"""Motions of the task's own (home, bin, open hand): interpolation in joint space, within limits. No ROS."""

from dataclasses import dataclass, replace

import numpy as np

_PEAK_VELOCITY = 1.875
"""largest derivative of the quintic blend below, at its middle"""
_PEAK_ACCELERATION = 10.0 / np.sqrt(3.0)
"""largest second derivative of the same"""


@dataclass(frozen=True)
class MotionLimits:
    """How fast, and how near is there."""

    velocity: np.ndarray
    """rad/s, magnitude, one a joint"""
    acceleration: np.ndarray
    """rad/s², magnitude, one a joint"""
    tolerance: np.ndarray
    """rad, largest distance of the measured position from the goal that counts as arrived, one a joint"""


def blend(fraction: float) -> float:
    """Quintic from 0 to 1, at rest at both ends; ``fraction`` of the time is clipped to 0…1."""
    u = min(max(fraction, 0.0), 1.0)
    return u * u * u * (10.0 + u * (6.0 * u - 15.0))


@dataclass(frozen=True)
class JointMotion:
    """All joints leave ``start`` and reach ``goal`` together, as fast as the slowest joint's limits allow."""

    start: np.ndarray
    """rad, where the joints were measured, or commanded, when the motion began"""
    goal: np.ndarray
    """rad"""
    limits: MotionLimits
    started_s: float
    """s of the node's clock"""

    @property
    def duration_s(self) -> float:
        """s; 0 where start and goal are the same."""
        distance = np.abs(self.goal - self.start)
        by_velocity = _PEAK_VELOCITY * distance / self.limits.velocity
        by_acceleration = np.sqrt(_PEAK_ACCELERATION * distance / self.limits.acceleration)
        return float(max(by_velocity.max(), by_acceleration.max()))

    def target(self, now_s: float) -> np.ndarray:
        """Joint positions in rad to command at ``now_s`` of the node's clock."""
        duration = self.duration_s
        fraction = blend((now_s - self.started_s) / duration) if duration > 0.0 else 1.0
        return self.start + fraction * (self.goal - self.start)

    def arrived(self, position: np.ndarray, now_s: float) -> bool:
        """Whether the time is over and every joint of ``position`` (rad) is within tolerance of the goal."""
        over = now_s >= self.started_s + self.duration_s
        return over and bool(np.all(np.abs(position - self.goal) <= self.limits.tolerance))

    def farthest(self, position: np.ndarray, names: tuple[str, ...]) -> str:
        """The joint that is farthest beyond its tolerance, in words, for messages."""
        distance = np.abs(position - self.goal)
        worst = int(np.argmax(distance / self.limits.tolerance))
        tolerance = f"tolerance {self.limits.tolerance[worst]:g} rad"
        return f"{names[worst]!r} is {distance[worst]:.3f} rad from its goal, {tolerance}"


class MotionFollower:
    """Runs one motion at a time on the stream of joint states: starts it, times its targets, notices its end.

    Args:
        limits: how fast, and how near is there
        rate_hz: rate of targets
    """

    def __init__(self, limits: MotionLimits, rate_hz: float) -> None:
        self._limits = limits
        self._rate_hz = rate_hz
        self._goal: np.ndarray | None = None
        self._start: np.ndarray | None = None
        self._motion: JointMotion | None = None
        self._position: np.ndarray | None = None
        self._last_index = -1
        self._settle_s, self._dwell_s = float("inf"), 0.0

    @property
    def active(self) -> bool:
        """Whether a motion is wanted or under way."""
        return self._goal is not None

    def begin(
        self,
        goal: np.ndarray,
        settle_s: float = float("inf"),
        start: np.ndarray | None = None,
        dwell_s: float = 0.0,
    ) -> None:
        """Move to ``goal``.

        Args:
            goal: rad, one a joint; nan leaves a joint at its start, and nobody waits for it there: fingers
                that press on something never arrive
            settle_s: s after the last target from which on the motion is over wherever the joints are
            start: rad, what was commanded last, for a robot that is in the midst of something; None: where
                the next joint state shows
            dwell_s: s after the last target before which the motion is not over, wherever the joints are
        """
        self._goal, self._start, self._motion, self._last_index = goal, start, None, -1
        self._settle_s, self._dwell_s = settle_s, dwell_s

    def cancel(self) -> None:
        """Forget the motion under way."""
        self._goal = self._motion = None

    def update(self, position: np.ndarray, now_s: float) -> tuple[np.ndarray | None, bool]:
        """Take a measured position in rad at ``now_s``.

        Returns:
            the target in rad to publish now, if one is due, and whether the motion has just arrived
        """
        if self._goal is None:
            return None, False
        self._position = position
        if self._motion is None:
            start = position if self._start is None else self._start
            free = np.isnan(self._goal)
            limits = replace(self._limits, tolerance=np.where(free, np.inf, self._limits.tolerance))
            self._motion = JointMotion(start, np.where(free, start, self._goal), limits, now_s)
        # Whole periods since the epoch, so that in simulation targets fall on the ticks of the images.
        index = int((now_s + 1e-6) * self._rate_hz)
        target = self._motion.target(now_s) if index != self._last_index else None
        self._last_index = index
        rested_s = now_s - self._motion.started_s - self._motion.duration_s
        there = rested_s >= self._dwell_s and self._motion.arrived(position, now_s)
        arrived = there or rested_s >= self._settle_s
        if arrived:
            self.cancel()
        return target, arrived

    @property
    def planned_s(self) -> float:
        """s that the motion under way is to take; 0 where there is none, or it has not begun."""
        return self._motion.duration_s if self._motion is not None else 0.0

    def waiting_for(self, names: tuple[str, ...]) -> str:
        """What the motion still lacks, in words; empty where there is none."""
        if self._motion is not None and self._position is not None:
            return self._motion.farthest(self._position, names)
        return "no complete /joint_states since it began" if self._goal is not None else ""
