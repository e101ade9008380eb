"""The workcell's geometry and the episode's rules, shared by training, the simulator node and the scoreboard.

Positions are in the arm's base frame (= world frame), metres; the table's top is the plane z = 0 that the arm
stands on.
"""

from dataclasses import dataclass, field, fields

import numpy as np

CONTROL_RATE_HZ = 30
"""Rate of images, policy steps and joint targets."""
PHYSICS_RATE_HZ = 120
"""Rate of physics steps, and of joint commands in simulation."""
EPISODE_LENGTH_S = 5.0
"""Duration of one attempt, from the first policy step to the verdict."""
GOAL_POSITION = np.array([0.62, 0.0, 0.25])
"""m, where the object's centre of mass is to be held."""
SUCCESS_TOLERANCE_M = 0.1
"""Largest distance of the object's centre of mass from the goal that counts as held there."""
HOLD_TIME_S = 0.5
"""How long, at the episode's end, the object has to stay within the tolerance."""
LIFTED_M = 0.05
"""Rise of the object above where it first lay from which it counts as lifted (for statistics, not for
success)."""
WORKSPACE_LOWER = np.array([0.3, -0.45, -0.02])
WORKSPACE_UPPER = np.array([0.95, 0.45, 0.8])
"""m, an object outside this box is lost: the episode has failed."""


SPAWN_CLEARANCE_M = 0.001
"""m that an object is placed above its height at rest, so that it never starts in the table."""


@dataclass(frozen=True)
class SpawnRegion:
    """Where an object is placed at an episode's start: upright on the table, at a random yaw."""

    centre: tuple[float, float] = (0.62, 0.0)
    """m, x and y"""
    half_size: tuple[float, float] = (0.08, 0.12)
    """m, half extents in x and y"""

    def sample(self, rng: np.random.Generator, scale: float = 1.0) -> tuple[np.ndarray, float]:
        """A position (2,) in m, with the region scaled about its centre by ``scale``, and a yaw in rad."""
        offset = rng.uniform(-1.0, 1.0, 2) * np.asarray(self.half_size) * scale
        return np.asarray(self.centre) + offset, float(rng.uniform(-np.pi, np.pi))


SPAWN_REGION = SpawnRegion()
REACH_LOWER = np.array([0.5, -0.16, 0.0])
REACH_UPPER = np.array([0.74, 0.16, 0.085])
"""m, box of the places on the table that objects are picked from: `SPAWN_REGION` and 4 cm around it; up to
a little above where the centre of the highest object lies (0.068 m)"""


@dataclass
class SuccessCriterion:
    """Judges one episode from the object's positions; feed it in order of time."""

    held_since_s: float | None = field(default=None, init=False)
    last_time_s: float | None = field(default=None, init=False)
    start_height_m: float | None = field(default=None, init=False)
    start_time_s: float | None = field(default=None, init=False)
    lifted_at_s: float | None = field(default=None, init=False)
    """s since the first update when the object first counted as lifted; None if it never did"""
    dropped: bool = field(default=False, init=False)
    """whether the object was lifted and later fell back below half of ``LIFTED_M``"""
    lost: bool = field(default=False, init=False)
    """whether the object left the workspace"""

    def reset(self) -> None:
        """Start a new episode."""
        for one in fields(self):
            setattr(self, one.name, one.default)

    def update(self, object_position: np.ndarray, time_s: float) -> None:
        """Take one object position (3,) in m, base frame, at a time in s (any fixed origin)."""
        height = float(object_position[2])
        if self.start_height_m is None or self.start_time_s is None:
            self.start_height_m, self.start_time_s = height, time_s
        self.last_time_s = time_s
        within = float(np.linalg.norm(object_position - GOAL_POSITION)) <= SUCCESS_TOLERANCE_M
        if not within:
            self.held_since_s = None
        elif self.held_since_s is None:
            self.held_since_s = time_s
        rise = height - self.start_height_m
        if rise > LIFTED_M and self.lifted_at_s is None:
            self.lifted_at_s = time_s - self.start_time_s
        if self.lifted_at_s is not None and rise < 0.5 * LIFTED_M:
            self.dropped = True
        if np.any(object_position < WORKSPACE_LOWER) or np.any(object_position > WORKSPACE_UPPER):
            self.lost = True

    @property
    def succeeded(self) -> bool:
        """Whether, as of the last update, the object has been within the goal's tolerance for
        ``HOLD_TIME_S``."""
        if self.held_since_s is None or self.last_time_s is None:
            return False
        return self.last_time_s - self.held_since_s >= HOLD_TIME_S - 1e-6
