"""Settings of the Isaac Gym backend."""

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class IsaacGymConfig:
    """Where Isaac Gym is and how it simulates."""

    python: str = ""
    """path of a Python 3.8 in which `import isaacgym` works (Preview 4); Isaac Gym runs in a process of it"""
    gpu: int | None = None
    """number of the GPU for physics and images, among those that the process sees; None: in a rank its local
    number, otherwise 0"""
    gpu_pipeline: bool = False
    """keep the state on the GPU between physics steps: faster with many environments, but Isaac Gym can then
    not change masses (randomization.mass must be 1 to 1)"""
    objects_per_env: int = 1
    """objects that each environment has from the start and resets choose from: Isaac Gym cannot add any
    later"""
    position_iterations: int = 8
    """PhysX's position iterations a physics step"""
    contact_offset_m: float = 0.002
    """m, distance from which PhysX makes contacts"""
    start_limit_s: float = 900.0
    """s, for Isaac Gym to make all environments"""
    reply_limit_s: float = 120.0
    """s, for Isaac Gym to answer a step, a reset or a request for images"""

    @property
    def own_gpu(self) -> int:
        """Number of this process's GPU; torchrun tells a rank its local number."""
        return int(os.environ.get("LOCAL_RANK", "0")) if self.gpu is None else self.gpu
