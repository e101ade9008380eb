"""Room for contacts and constraints, and what happens when it does not suffice: it is counted and said."""

import logging
import math
from dataclasses import dataclass
from typing import Any

import torch
import warp
from mujoco_warp import OverflowType

from grasp_training.runs import ConfigurationError
from grasp_training.simulators.config import WarpConfig

_log = logging.getLogger(__name__)

_CONTACTS = OverflowType.BROADPHASE | OverflowType.NARROWPHASE | OverflowType.CCD
_ROWS = OverflowType.NEFC | OverflowType.NJMAX_NNZ
_OTHER = OverflowType.EPA_HORIZON
"""a buffer of fixed size of MuJoCo Warp's, for the depth of one contact"""
REPORTED = int(_CONTACTS | _ROWS | _OTHER)
"""What counts as an overflow. That the solver used all its iterations does not: the scene limits them."""


@dataclass(frozen=True)
class Capacity:
    """What is reserved for a batch."""

    contacts: int
    """for all environments together; as many pairs of geoms that are near"""
    rows: int
    """rows of constraints, of each environment"""

    @staticmethod
    def of(config: WarpConfig, num_envs: int) -> "Capacity":
        """Return what the configuration reserves for ``num_envs`` environments.

        Each alone may need several times what they need on average, but not all at once.

        Raises:
            ConfigurationError: nothing would be reserved.
        """
        for name in ("contacts_of_one", "constraint_rows"):
            if getattr(config, name) < 1:
                raise ConfigurationError(f"task.warp.{name} is {getattr(config, name)}; expected at least 1")
        if not config.contacts >= 0:
            raise ConfigurationError(f"task.warp.contacts is {config.contacts}; expected at least 0")
        shared = config.contacts_of_one + math.ceil(num_envs * config.contacts)
        return Capacity(shared, config.constraint_rows)


class OverflowCount:
    """Counts environments in which something did not fit, and warns of the first.

    What does not fit is left out by MuJoCo Warp: a contact that pushes nothing, a constraint that holds
    nothing.

    Args:
        data: MuJoCo Warp's.
        capacity: what was reserved.
    """

    def __init__(self, data: Any, capacity: Capacity):
        self._capacity = capacity
        self._flags, self._rows = warp.to_torch(data.overflow), warp.to_torch(data.nefc)
        self._pairs, self._contacts = warp.to_torch(data.ncollision), warp.to_torch(data.nacon)
        self.last = 0
        """environments in which something did not fit in the last control step"""
        self.total = 0
        """the same, added up over all steps"""

    def take(self) -> None:
        """Count those of the control step that has just been made: one number goes to the host."""
        flags = self._flags & REPORTED
        self.last = int(torch.count_nonzero(flags))
        self._flags.zero_()
        if self.last and not self.total:
            _log.warning("%s", self._warning(flags))
        self.total += self.last

    def _warning(self, flags: torch.Tensor) -> str:
        capacity, found = self._capacity, 0
        for value in flags.unique().tolist():
            found |= value
        what = []
        if found & _CONTACTS:
            seen = max(int(self._pairs), int(self._contacts))
            what.append(
                f"contacts (task.warp.contacts: {capacity.contacts} reserved for all environments, {seen} "
                "wanted in the last physics step)"
            )
        if found & _ROWS:
            what.append(
                f"constraint rows (task.warp.constraint_rows: {capacity.rows} reserved for each environment, "
                f"{int(self._rows.max())} wanted in the last physics step)"
            )
        if found & _OTHER:
            what.append("MuJoCo Warp's own buffer for the depth of a contact")
        return (
            f"{self.last} environment(s) had too little room for {'; '.join(what)}: what did not fit was "
            "left out of the physics. More is counted in silence (simulator/overflows); "
            "`python -m grasp_training.simulators --capacity` measures what is needed"
        )
