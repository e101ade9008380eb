"""Isaac Gym Preview 4 as a simulator; it runs in a process of its own interpreter (``isaacgym_worker``)."""

from grasp_training.simulators.isaacgym.config import IsaacGymConfig
from grasp_training.simulators.isaacgym.process import IsaacGymError
from grasp_training.simulators.isaacgym.simulator import IsaacGymSimulator

__all__ = ["IsaacGymConfig", "IsaacGymError", "IsaacGymSimulator"]
