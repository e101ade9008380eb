"""Ways to spoil messages on their way. A tamper takes a message and gives what is passed on in its place."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time

from grasp_description.robot import ARM_JOINTS

Tamper = Callable[[Any], Sequence[Any]]
"""Message in; out come messages, or `Later` ones."""


@dataclass(frozen=True)
class Later:
    """A message that is passed on only after a while."""

    message: Any
    """what is passed on"""
    after_ns: int
    """ns of the simulator's clock from now on"""


def nanoseconds(stamp: Any) -> int:
    """A stamp in ns."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def to_stamp(stamp_ns: int) -> Time:
    """A stamp of so many ns, 0 at least."""
    return Time(sec=max(stamp_ns, 0) // 10**9, nanosec=max(stamp_ns, 0) % 10**9)


# Any message.


def dropped(_message: Any) -> list[Any]:
    """Nothing arrives."""
    return []


def late(by_s: float) -> Tamper:
    """All arrives, with its own stamp, so much later."""
    return lambda message: [Later(message, round(1e9 * by_s))]


def restamped(by_s: float) -> Tamper:
    """Stamps are off by so much."""

    def spoil(message: Any) -> list[Any]:
        message.header.stamp = to_stamp(nanoseconds(message.header.stamp) + round(1e9 * by_s))
        return [message]

    return spoil


def clock_shifted(by_s: float) -> Tamper:
    """/clock is off by so much."""

    def spoil(message: Any) -> list[Any]:
        message.clock = to_stamp(nanoseconds(message.clock) + round(1e9 * by_s))
        return [message]

    return spoil


def repeated(last: Any) -> Tamper:
    """The last message comes again and again, stamp and all."""
    return lambda _message: [last]


def twice(message: Any) -> list[Any]:
    """Each message comes twice."""
    return [message, message]


def overtaken(_last: Any) -> Tamper:
    """Every second message comes before the one that was sent before it."""
    waiting: list[Any] = []

    def spoil(message: Any) -> list[Any]:
        if waiting:
            return [message, waiting.pop()]
        waiting.append(message)
        return []

    return spoil


# Joint states.


def not_finite(message: Any) -> list[Any]:
    """One joint's position is NaN."""
    message.position[3] = math.nan
    return [message]


def other_order(message: Any) -> list[Any]:
    """The joints are listed the other way round."""
    for part in ("name", "position", "velocity", "effort"):
        setattr(message, part, list(reversed(getattr(message, part))))
    return [message]


def renamed(message: Any) -> list[Any]:
    """One joint has a name that nobody knows."""
    message.name[2] = "somebody_elses"
    return [message]


def without(first: int, last: int) -> Tamper:
    """The joints from ``first`` up to ``last`` are missing."""

    def spoil(message: Any) -> list[Any]:
        for part in ("name", "position", "velocity", "effort"):
            values = list(getattr(message, part))
            setattr(message, part, values[:first] + values[last:])
        return [message]

    return spoil


def without_hand(message: Any) -> list[Any]:
    """Only the arm is measured."""
    return list(without(len(ARM_JOINTS), len(message.name))(message))


def without_arm(message: Any) -> list[Any]:
    """Only the hand is measured."""
    return list(without(0, len(ARM_JOINTS))(message))


def displaced(by_rad: float) -> Tamper:
    """One joint is measured so far from where it is."""

    def spoil(message: Any) -> list[Any]:
        message.position[4] += by_rad
        return [message]

    return spoil


def stuck(last: Any) -> Tamper:
    """The last measurement comes again and again, under new stamps."""

    def spoil(message: Any) -> list[Any]:
        message.position, message.velocity = last.position, last.velocity
        return [message]

    return spoil


# Images.


def painted(grey: int) -> Tamper:
    """All pixels have this value."""

    def spoil(message: Any) -> list[Any]:
        message.data = bytes([grey]) * len(message.data)
        return [message]

    return spoil


def frozen(last: Any) -> Tamper:
    """The last picture comes again and again, under new stamps."""

    def spoil(message: Any) -> list[Any]:
        message.data = last.data
        return [message]

    return spoil


def cut_short(message: Any) -> list[Any]:
    """Half of the pixels are missing."""
    message.data = message.data[: len(message.data) // 2]
    return [message]


def other_encoding(message: Any) -> list[Any]:
    """The image says that it is grey."""
    message.encoding = "mono8"
    return [message]


# Targets.


def target_not_finite(message: Any) -> list[Any]:
    """One joint's target is NaN."""
    message.points[0].positions[0] = math.nan
    return [message]


def target_of_another_robot(message: Any) -> list[Any]:
    """A name is unknown."""
    message.joint_names[0] = "somebody_elses"
    return [message]


def thrown(by_rad: float) -> Tamper:
    """Every joint's target is so far off, beyond limits, to and fro."""
    sign = [1.0]

    def spoil(message: Any) -> list[Any]:
        sign[0] = -sign[0]
        positions = [value + sign[0] * by_rad for value in message.points[0].positions]
        message.points[0].positions = positions
        return [message]

    return spoil


def into_the_table(message: Any) -> list[Any]:
    """The shoulder is to bend down as far as it goes."""
    message.points[0].positions[1] = 2.0
    return [message]
