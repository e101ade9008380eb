"""Whose topics, names, orders and rates the simulated robot speaks. No ROS in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grasp_description.drivers import DRIVER_STYLES, DriverFacts
from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, JOINT_NAMES

__all__ = ["NATIVE", "STYLES", "CommandHeard", "CompanyError", "DriverStyle", "StatesSpoken", "driver_style"]

NATIVE = "native"
"""The stack's own style: canonical names on one topic, commands in canonical order."""
STYLES = (NATIVE, *DRIVER_STYLES)
_PARTS = {"arm": ARM_JOINTS, "hand": HAND_JOINTS}


class CompanyError(RuntimeError):
    """A real driver is in the same ROS domain."""


@dataclass(frozen=True)
class StatesSpoken:
    """One topic of joint states."""

    topic: str
    names: tuple[str, ...]
    """as the driver says them"""
    columns: np.ndarray
    """column in canonical order of each of them"""
    rate_hz: float
    """messages a second in real time; 0 for one every tick"""

    def is_due(self, time_ns: int, last_ns: int) -> bool:
        """Whether a message is due at ``time_ns`` when the last one was at ``last_ns`` (-1: none yet)."""
        if self.rate_hz == 0.0 or last_ns < 0:
            return True
        return int(time_ns * self.rate_hz) // 1_000_000_000 > int(last_ns * self.rate_hz) // 1_000_000_000


@dataclass(frozen=True)
class CommandHeard:
    """One topic of commands."""

    topic: str
    part: str
    """arm or hand"""
    style: str
    """array: Float64MultiArray; joint_state: JointState, of which only the order of positions counts"""
    places: tuple[int, ...]
    """place in the driver's command of each of the part's joints in canonical order"""

    def canonical(self, values: list[float]) -> list[float]:
        """A command's numbers in canonical order; of a wrong length they are left as they are."""
        return [values[place] for place in self.places] if len(values) == len(self.places) else values


@dataclass(frozen=True)
class DriverStyle:
    """All that drivers say and hear."""

    states: tuple[StatesSpoken, ...]
    commands: tuple[CommandHeard, ...]


def driver_style(name: str, order_seed: int = 0) -> DriverStyle:
    """The style called ``name``.

    Args:
        name: one of STYLES.
        order_seed: of the order of names in joint states, which ros2_control does not promise; 0 is the
            driver's own. Orders of commands are the drivers' always.

    Raises:
        ValueError: there is no such style.
    """
    if name not in STYLES:
        raise ValueError(
            f"Parameter 'driver_style' of /grasp_sim is {name!r}; expected one of {', '.join(STYLES)}"
        )
    if name == NATIVE:
        states = [_states("/joint_states", JOINT_NAMES, JOINT_NAMES, 0.0, order_seed)]
        commands = [
            CommandHeard(f"/{part}/joint_command", part, "array", _places(part, _PARTS[part]))
            for part in _PARTS
        ]
        return DriverStyle(tuple(states), tuple(commands))
    drivers = DRIVER_STYLES[name]
    return DriverStyle(
        tuple(
            _states(one.states_topic, one.own_names, one.joints, one.state_rate_hz, order_seed)
            for one in drivers
        ),
        tuple(_command(one) for one in drivers),
    )


def _states(
    topic: str, names: tuple[str, ...], joints: tuple[str, ...], rate_hz: float, order_seed: int
) -> StatesSpoken:
    places = np.arange(len(names))
    if order_seed:
        places = np.random.default_rng(order_seed).permutation(places)
    columns = np.array([JOINT_NAMES.index(joints[place]) for place in places])
    return StatesSpoken(topic, tuple(names[place] for place in places), columns, rate_hz)


def _command(driver: DriverFacts) -> CommandHeard:
    return CommandHeard(
        driver.command_topic, driver.part, driver.command_style, _places(driver.part, driver.joints)
    )


def _places(part: str, joints: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(joints.index(name) for name in _PARTS[part])
