"""What the drivers of arm and hand do with the commands they get: check them and hold the last. No ROS in
it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, HOME_POSITION

_PARTS = {
    "arm": slice(0, len(ARM_JOINTS)),
    "hand": slice(len(ARM_JOINTS), len(ARM_JOINTS) + len(HAND_JOINTS)),
}


class CommandRefusedError(ValueError):
    """A command that no driver would take; the one before stays in force."""


class Drivers:
    """The servos' targets: HOME until something is commanded, then the last good command of each part.

    Attributes:
        refused: number of refused commands by part ("arm", "hand").
    """

    def __init__(self) -> None:
        self._target = HOME_POSITION.copy()
        self.refused: Counter[str] = Counter()

    @property
    def target(self) -> np.ndarray:
        """Position targets (23,), rad, canonical order; a copy."""
        return self._target.copy()

    def command(self, part: str, values: Sequence[float], source: str) -> None:
        """Take a command.

        Args:
            part: "arm" or "hand".
            values: rad, the part's joints in canonical order.
            source: where it came from, for the message.

        Raises:
            CommandRefusedError: wrong length, or a number that is not finite.
        """
        where = _PARTS[part]
        expected = where.stop - where.start
        target = np.asarray(values, dtype=float)
        if target.shape != (expected,):
            self.refused[part] += 1
            raise CommandRefusedError(f"Command from {source} has {target.size} numbers; expected {expected}")
        if not np.isfinite(target).all():
            self.refused[part] += 1
            raise CommandRefusedError(f"Command from {source} is {target.tolist()}; expected finite numbers")
        self._target[where] = target

    def hold(self, command: np.ndarray) -> bool:
        """Whether both parts hold exactly this command (23,), rad."""
        return np.array_equal(self._target, command)
