"""What can be told about a pick without a simulator: what lies within reach, what the hand holds. No ROS.

Evidence comes from the policy's own estimate of the object and from the hand's joints.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, joint_limits
from grasp_description.workcell import REACH_LOWER, REACH_UPPER

_ARM = slice(0, len(ARM_JOINTS))
_HAND = slice(len(ARM_JOINTS), len(ARM_JOINTS) + len(HAND_JOINTS))


@dataclass(frozen=True)
class Picking:
    """Where objects are picked up and put down, and what counts as evidence."""

    bin_arm_rad: tuple[float, ...]
    """rad, the arm's joints in canonical order where the hand opens over the bin"""
    reach_lower_m: tuple[float, ...] = tuple(REACH_LOWER.tolist())
    """m, base frame: a grasp begins only for an object that is estimated within this box"""
    reach_upper_m: tuple[float, ...] = tuple(REACH_UPPER.tolist())
    """m, its other corner. Its top matters: on an empty table the shipped policy's estimate is above it"""
    steady_m: float = 0.01
    """m, largest spread along any axis of estimates that count as one object at rest"""
    steady_frames: int = 15
    """estimates in a row, all within reach, that a grasp takes"""
    grip_shift_rad: float = 0.15
    """rad that a joint of the hand may move on the way to the bin while its target stands still"""

    def __post_init__(self) -> None:
        _check_bin(self.bin_arm_rad)
        for name in ("reach_lower_m", "reach_upper_m"):
            box = getattr(self, name)
            if len(box) != 3 or not np.isfinite(box).all():
                raise ValueError(f"parameter {name!r} is {list(box)}; expected three finite numbers, m")
        if not np.all(np.array(self.reach_lower_m) < np.array(self.reach_upper_m)):
            box = f"from {list(self.reach_lower_m)} to {list(self.reach_upper_m)}"
            raise ValueError(f"the reach box goes {box}; expected each lower bound below its upper one")

    def within_reach(self, position: np.ndarray) -> bool:
        """Whether a position (3,) in m, base frame, lies in the box."""
        return bool(np.all(position >= self.reach_lower_m) and np.all(position <= self.reach_upper_m))

    def is_carried(self, position: np.ndarray) -> bool:
        """Whether an object whose true position (3,) in m is known is in the hand above the bin.

        It is if it is higher than any object on the table and beside the box that it was taken from: nothing
        else keeps it there.
        """
        lower, upper = np.array(self.reach_lower_m), np.array(self.reach_upper_m)
        beside = np.any(position[:2] < lower[:2]) or np.any(position[:2] > upper[:2])
        return bool(beside and position[2] > upper[2])


def _check_bin(bin_arm_rad: tuple[float, ...]) -> None:
    """Refuse a pose that the arm cannot take.

    Raises:
        ValueError: it has not one number a joint, or one is not finite or beyond the joint's limits.
    """
    if len(bin_arm_rad) != len(ARM_JOINTS):
        raise ValueError(
            f"parameter 'bin_arm_rad' has {len(bin_arm_rad)} numbers; mode picking expects "
            f"{len(ARM_JOINTS)}, rad, one for each of {', '.join(ARM_JOINTS)}"
        )
    limits = joint_limits()
    for name, value, lower, upper in zip(
        ARM_JOINTS, bin_arm_rad, limits.lower[_ARM], limits.upper[_ARM], strict=True
    ):
        if not lower <= value <= upper:  # a number that is none is in no range
            raise ValueError(
                f"parameter 'bin_arm_rad' has {value:g} rad for joint {name!r}; "
                f"expected {lower:g} to {upper:g}"
            )


class Search:
    """Watches the policy's estimates for an object that lies still within reach."""

    def __init__(self, picking: Picking) -> None:
        self._picking = picking
        self._steady: deque[np.ndarray] = deque(maxlen=picking.steady_frames)
        self.why_not = "no estimate yet"

    def restart(self) -> None:
        """Forget what was seen."""
        self._steady.clear()
        self.why_not = "no estimate yet"

    def see(self, position: np.ndarray) -> bool:
        """Take an estimate (3,) in m, base frame; whether the object is found. `why_not` says what lacks."""
        if not self._picking.within_reach(position):
            self._steady.clear()
            x, y, z = position
            self.why_not = f"estimate ({x:.3f}, {y:.3f}, {z:.3f}) m is out of reach"
            return False
        self._steady.append(position)
        spread = float(np.ptp(np.array(self._steady), axis=0).max())
        if len(self._steady) < self._picking.steady_frames:
            self.why_not = f"within reach for {len(self._steady)} of {self._picking.steady_frames} estimates"
            return False
        if spread > self._picking.steady_m:
            self.why_not = f"estimates spread over {spread:.3f} m; limit is {self._picking.steady_m:g} m"
            return False
        self.why_not = ""
        return True


class Grip:
    """Tells from the hand's joints whether it still holds what it held: their targets stand still meanwhile.

    A finger that pressed on an object goes on to its target when the object is gone.
    """

    def __init__(self) -> None:
        self._first: np.ndarray | None = None
        self.shift_rad = 0.0

    def restart(self) -> None:
        """Watch from the next position on."""
        self._first, self.shift_rad = None, 0.0

    def see(self, position: np.ndarray) -> None:
        """Take the robot's joints (23,) in rad."""
        if self._first is None:
            self._first = position[_HAND].copy()
        self.shift_rad = float(np.abs(position[_HAND] - self._first).max())
