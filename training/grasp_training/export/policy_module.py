"""The whole policy as one module: student and action decoder, with the policy file's inputs and outputs."""

from __future__ import annotations

import torch
from torch import nn

from grasp_training.learning.student import StereoStudent


class ExportedPolicy(nn.Module):
    """From images, joints and memory to joint targets: the policy file's graph."""

    INPUTS = ("left", "right", "joint_position", "joint_velocity", "previous_target", "memory_in")
    OUTPUTS = ("joint_target", "object_position", "memory_out")

    def __init__(self, student: StereoStudent, decoder: nn.Module) -> None:
        """Wrap a student and the decoder (action, joint position, previous target) -> joint target."""
        super().__init__()
        self.student = student.eval()
        self.decoder = decoder.eval()

    def forward(
        self,
        left: torch.Tensor,
        right: torch.Tensor,
        joint_position: torch.Tensor,
        joint_velocity: torch.Tensor,
        previous_target: torch.Tensor,
        memory_in: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Make one step.

        Args:
            left: uint8 (1, H, W, 3), rectified RGB.
            right: the same of the right eye.
            joint_position: (1, 23), rad, canonical order.
            joint_velocity: (1, 23), rad/s.
            previous_target: (1, 23), rad, the last step's joint target; at an episode's start the
                measured position.
            memory_in: (1, M); zeros start an episode.

        Returns:
            joint_target (1, 23) in rad; object_position (1, 3) in m, arm's base frame; memory_out (1, M).
        """
        proprioception = torch.cat([joint_position, joint_velocity, previous_target], dim=1)
        output = self.student.step(torch.stack([left, right], dim=1), proprioception, memory_in)
        target = self.decoder(output.action, joint_position, previous_target)
        return target, self.student.position_m(output.position), output.memory

    def example_inputs(self) -> tuple[torch.Tensor, ...]:
        """Return inputs of the right shapes: black images, zero joints, empty memory."""
        encoder = self.student.encoder
        image = torch.zeros(1, encoder.height, encoder.width, 3, dtype=torch.uint8)
        joints = [torch.zeros(1, self.student.joint_count) for _ in range(3)]
        return image, image.clone(), *joints, torch.zeros(1, self.student.memory_size)
