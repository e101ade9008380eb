"""Between the canonical joint order and the drivers' own names and orders: the only place that maps them. No
ROS in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grasp_control.safety import Command
from grasp_description.robot import JOINT_NAMES, JointLimits

_COLUMNS = {name: column for column, name in enumerate(JOINT_NAMES)}
_REMEMBERED = 64
"""orders of names that are kept, so that a message costs no mapping"""


@dataclass(frozen=True)
class DriverJoints:
    """The joints of one driver."""

    part: str
    """arm or hand"""
    joints: tuple[str, ...]
    """canonical names in the order of its command"""
    own_names: tuple[str, ...]
    """its own names for the same joints"""

    def __post_init__(self) -> None:
        if len(self.own_names) != len(self.joints) or len(set(self.own_names)) != len(self.own_names):
            raise ValueError(
                f"Parameter {self.part}_driver_joints lists {list(self.own_names)}; expected another "
                f"name for each of the {len(self.joints)} joints in {self.part}_joints"
            )

    @property
    def columns(self) -> np.ndarray:
        """Column in canonical order of each number in its command."""
        return np.array([_COLUMNS[name] for name in self.joints])


class StateReader:
    """Reads the names of joint states that come on one topic.

    Args:
        drivers: those that speak there; arm and hand may share a topic.
        topic: its name, for messages.
    """

    def __init__(self, drivers: Sequence[DriverJoints], topic: str) -> None:
        self._drivers, self._topic = tuple(drivers), topic
        self._canonical = {
            own: canonical
            for driver in drivers
            for own, canonical in zip(driver.own_names, driver.joints, strict=True)
        }
        self._read: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def read(self, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Canonical names for a message's, and which parts it measures.

        Joints of nobody's get an empty name; whoever speaks of a driver's joints has to name all of them.

        Returns:
            as many names as were given; "arm", "hand" or both

        Raises:
            ValueError: no joint of a driver here is named, or a driver's joint is missing.
        """
        key = tuple(names)
        if key not in self._read:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[key] = self._map(key)
        return self._read[key]

    def _map(self, names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        parts = []
        for driver in self._drivers:
            missing = [own for own in driver.own_names if own not in names]
            if not missing:
                parts.append(driver.part)
            elif len(missing) < len(driver.own_names):
                raise ValueError(
                    f"Joint state on {self._topic} lacks {missing[:4]} of the {driver.part}; expected all of "
                    f"its {len(driver.own_names)} joints in one message"
                )
        if not parts:
            expected = [driver.own_names[0] for driver in self._drivers]
            raise ValueError(
                f"Joint state on {self._topic} names none of our joints (it names {list(names)[:4]}); "
                f"expected names such as {expected}"
            )
        return tuple(self._canonical.get(name, "") for name in names), tuple(parts)


class StateMerger:
    """Says when the joints of all drivers have been measured anew, and as of when.

    Args:
        parts: parts that are measured.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self._stamps_ns: dict[str, int | None] = dict.fromkeys(parts)
        self._told_ns: int | None = None

    def take(self, parts: Sequence[str], stamp_ns: int) -> int | None:
        """Note that ``parts`` were measured at ``stamp_ns``.

        Returns:
            ns, the stamp of the oldest part where that is another than was told before; else None
        """
        for part in parts:
            self._stamps_ns[part] = stamp_ns
        stamps = [stamp for stamp in self._stamps_ns.values() if stamp is not None]
        if len(stamps) < len(self._stamps_ns) or min(stamps) == self._told_ns:
            return None
        self._told_ns = min(stamps)
        return self._told_ns

    def forget(self) -> None:
        """Wait for every part anew."""
        self._stamps_ns = dict.fromkeys(self._stamps_ns)


class ImaginedRobot:
    """A robot that follows perfectly, for a dry run: it is where the last command was.

    It stands there until the robot itself has been measured again.

    Args:
        parts: parts that are measured.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = frozenset(parts)
        self._unmeasured: set[str] = set()
        self._command: Command | None = None

    @property
    def stands(self) -> bool:
        """Whether joints were imagined that have not been measured since."""
        return self._command is not None

    def follow(self, command: Command) -> None:
        """Go where a command says."""
        self._command, self._unmeasured = command, set(self._parts)

    def measured(self, parts: Sequence[str]) -> None:
        """Note that parts of the robot itself were measured, and are used as they are."""
        self._unmeasured.difference_update(parts)
        if not self._unmeasured:
            self.vanish()

    def vanish(self) -> None:
        """Be nowhere."""
        self._command = None

    def instead_of(
        self, names: Sequence[str], position: list[float], velocity: list[float]
    ) -> tuple[list[float], list[float]]:
        """What would have been measured in place of a joint state; see `imagined`."""
        if self._command is None:
            return position, velocity
        return imagined(names, position, velocity, self._command)


def imagined(
    names: Sequence[str], position: Sequence[float], velocity: Sequence[float], command: Command
) -> tuple[list[float], list[float]]:
    """What a robot that follows perfectly would have measured, for a dry run.

    Numbers that are not finite stay as they are, lengths too: a driver's faults are not imagined away.

    Args:
        names: canonical ones of a joint state; an empty name for joints of nobody's.
        position, velocity: rad and rad/s, as measured; velocity may be empty.
        command: the last one.
    """

    def instead(measured: Sequence[float], commanded: np.ndarray) -> list[float]:
        pairs = zip(names, measured, strict=False)
        followed = [
            float(commanded[_COLUMNS[name]]) if name in _COLUMNS and np.isfinite(value) else value
            for name, value in pairs
        ]
        return [*followed, *measured[len(followed) :]]

    return instead(position, command.position), instead(velocity, command.velocity)


def narrowed(limits: JointLimits, lower_rad: np.ndarray, upper_rad: np.ndarray) -> JointLimits:
    """The limits with position ranges no wider than a driver's: (23,) rad, canonical order.

    Raises:
        ValueError: a joint is left without any range.
    """
    lower, upper = np.maximum(limits.lower, lower_rad), np.minimum(limits.upper, upper_rad)
    # Not "lower >= upper", which a NaN would slip through.
    if not (lower < upper).all():
        joint = int(np.argmin(lower < upper))
        raise ValueError(
            f"Joint {JOINT_NAMES[joint]!r} has {lower_rad[joint]} to {upper_rad[joint]} rad in the "
            f"parameters; expected a range that overlaps the robot description's, "
            f"{limits.lower[joint]:.3f} to {limits.upper[joint]:.3f} rad"
        )
    return JointLimits(lower, upper, limits.velocity, limits.acceleration, limits.jerk, limits.effort)
