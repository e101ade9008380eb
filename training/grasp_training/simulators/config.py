"""Which simulator runs, and where."""

from dataclasses import dataclass
from typing import Literal, get_args

SimulatorName = Literal["mujoco", "mujoco_warp"]
SIMULATORS: tuple[str, ...] = get_args(SimulatorName)


@dataclass(frozen=True)
class WarpConfig:
    """Settings of the simulator `mujoco_warp`. The capacities are those of memory that is reserved.

    The defaults of the capacities are guesses on the ample side: 8 environments whose hands come down on
    objects and close overflowed nothing in 60 control steps. `python -m grasp_training.simulators --capacity`
    measures, and says what to choose (README).
    """

    device: str = "cuda"
    """`cuda`: this process's CUDA device (in a rank, that of its local number); `cuda:N`; or `cpu`, for
    tests, with a handful of environments"""
    contacts: float = 40.0
    """contacts, or pairs of geoms that are near, reserved for each environment; all share them"""
    contacts_of_one: int = 120
    """as many more for the batch: what a single environment may need"""
    constraint_rows: int = 280
    """rows of constraints reserved for each environment: four a contact of arm or table, six one of the hand,
    and one a joint at its limit"""
