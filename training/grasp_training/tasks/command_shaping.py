"""What the command node makes of joint targets, in a form that is cheap for a batch: limits on velocity and
acceleration.

The node itself also limits jerk (``grasp_control``); at 120 Hz the difference is below a physics step's
motion.
"""

import torch

from grasp_description.robot import joint_limits
from grasp_description.workcell import PHYSICS_RATE_HZ


class CommandShaper:
    """Follows joint targets within velocity and acceleration limits, one command a physics step."""

    def __init__(self, num_envs: int, substeps: int, device: torch.device):
        limits = joint_limits()
        self._dt = 1.0 / PHYSICS_RATE_HZ
        self._velocity = torch.tensor(limits.velocity, dtype=torch.float32, device=device)
        self._step = torch.tensor(limits.acceleration, dtype=torch.float32, device=device) * self._dt
        self._substeps = substeps
        self.position = torch.zeros(num_envs, len(limits.lower), device=device)
        self.velocity = torch.zeros_like(self.position)

    def reset(self, env_ids: torch.Tensor, joint_position: torch.Tensor) -> None:
        """Stand still at joint_position (k, 23) in the environments env_ids (k,)."""
        self.position[env_ids] = joint_position
        self.velocity[env_ids] = 0.0

    def __call__(self, target: torch.Tensor) -> torch.Tensor:
        """Commands (n, substeps, 23) on the way to target (n, 23), rad."""
        commands = []
        step, dt = self._step, self._dt
        for _ in range(self._substeps):
            error = target - self.position
            distance = error.abs()
            # Largest speed, in multiples of a step, from which whole steps of deceleration still end at the
            # target.
            speed = 0.5 * step * (torch.sqrt(1.0 + 8.0 * distance / (step * dt)) - 1.0)
            wanted = torch.sign(error) * torch.minimum(torch.minimum(speed, self._velocity), distance / dt)
            self.velocity = self.velocity + torch.clamp(wanted - self.velocity, -step, step)
            self.position = self.position + self.velocity * dt
            commands.append(self.position)
        return torch.stack(commands, dim=1)
