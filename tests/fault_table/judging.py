"""Judges the commands that were heard: limits, time to hold, motion that nobody asked for. No ROS in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from grasp_control import SequenceChecker
from grasp_control.checker import Violation
from grasp_description.robot import joint_limits

COMMAND_PERIOD_S = 1 / 120


@dataclass(frozen=True)
class Command:
    """One command as heard on /control/command."""

    stamp_ns: int
    """its stamp"""
    position: np.ndarray
    """(23,) rad"""
    velocity: np.ndarray
    """(23,) rad/s"""

    @property
    def at_rest(self) -> bool:
        """Whether it asks every joint to stand."""
        return not np.any(self.velocity)


def sequences(commands: Sequence[Command], armed_ns: Sequence[int] = ()) -> list[Sequence[Command]]:
    """The commands, cut where the robot was armed: at rest, after a pause or where an arming is known of, and
    elsewhere than it was before or cut off in motion.

    Args:
        commands: in the order in which they came, the first at rest
        armed_ns: times of armings, in the order in which they came
    """
    begins = []
    for place, (before, command) in enumerate(pairwise(commands), 1):
        # While the simulator's clock waits, the robot may be armed between a tick and the next.
        armed = any(before.stamp_ns <= time_ns <= command.stamp_ns for time_ns in armed_ns)
        if (armed or _paused(before, command)) and command.at_rest and _elsewhere(before, command):
            begins.append(place)
    return [commands[begin:end] for begin, end in pairwise([0, *begins, len(commands)]) if end > begin]


def _paused(before: Command, command: Command) -> bool:
    return not 0.0 < 1e-9 * (command.stamp_ns - before.stamp_ns) < 1.5 * COMMAND_PERIOD_S


def _elsewhere(before: Command, command: Command) -> bool:
    """Whether a command at rest does not go on where the one before it left the robot."""
    return not before.at_rest or not np.array_equal(before.position, command.position)


def violations(commands: Sequence[Command], armed_ns: Sequence[int] = ()) -> list[Violation]:
    """All that is outside a joint's limits of position, velocity, acceleration and jerk; see `sequences`."""
    limits = joint_limits()
    rates = (limits.velocity, limits.acceleration, limits.jerk)
    checker = SequenceChecker(limits.lower, limits.upper, *rates, COMMAND_PERIOD_S)
    found: list[Violation] = []
    for sequence in sequences(commands, armed_ns):
        found += checker.check(np.array([command.position for command in sequence]))
    return found


def stood_at(commands: Sequence[Command], hold: int) -> int | None:
    """Place of the first command at rest from ``hold`` on; None if it never came to rest."""
    return next((place for place in range(hold, len(commands)) if commands[place].at_rest), None)


def motions(commands: Sequence[Command], hold: int) -> int:
    """Commands that move the robot once it has stood still.

    Args:
        commands: all up to the next arming that a person asked for
        hold: place of the first command of the hold
    """
    stood = stood_at(commands, hold)
    if stood is None:
        return 0
    place = commands[stood].position
    after = commands[stood + 1 :]
    return sum(not one.at_rest or not np.array_equal(one.position, place) for one in after)
