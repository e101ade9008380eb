"""From 11 action numbers to 23 joint targets: one module, used by the task in training and inside the
exported policy."""

from typing import Any

import numpy as np
import torch
from torch import nn

from grasp_description.robot import (
    ARM_JOINTS,
    HAND_CLOSED,
    HAND_OPEN,
    HOME_POSITION,
    joint_limits,
)
from grasp_description.workcell import CONTROL_RATE_HZ
from grasp_training.tasks.kinematics import ArmKinematics

NUM_ACTIONS = 11
TRANSLATION_STEP_M = 0.025
"""m a step along each axis, at action 1"""
ROTATION_STEP_RAD = 0.08
"""rad a step about each axis, at action 1"""
DAMPING = 2e-3
"""damping of the least squares (added to J Jᵀ, whose entries are m² and 1)"""
POSTURE_PULL = 0.02
"""share of the way to the home posture that the arm goes each step within the Jacobian's null space"""
MAX_LEAD_RAD = 0.1
"""rad, largest distance of an arm target from the measured position"""
HAND_SMOOTHING = 0.3
"""share of the way to the commanded hand posture that the hand's target goes each step"""
SPEED_SHARE = 0.8
"""share of a joint's speed limit that targets use"""
_ARM = len(ARM_JOINTS)


class ActionDecoder(nn.Module):
    """Decodes actions into joint targets.

    Actions, each clipped to [-1, 1]: translation (3) and rotation (3) increments of the grasp point in the
    base frame, turned into arm joint increments by damped least squares; curl of index, middle and ring
    finger, opposition and curl of the thumb (-1 open, 1 closed).
    """

    scale: torch.Tensor
    home: torch.Tensor
    step_limit: torch.Tensor
    lower: torch.Tensor
    upper: torch.Tensor
    open: torch.Tensor
    closed: torch.Tensor
    synergy: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        limits = joint_limits()

        def constant(name: str, values: Any) -> None:
            self.register_buffer(
                name, torch.as_tensor(np.array(values), dtype=torch.float32), persistent=False
            )

        self.kinematics = ArmKinematics()
        constant("scale", [TRANSLATION_STEP_M] * 3 + [ROTATION_STEP_RAD] * 3)
        constant("home", HOME_POSITION[:_ARM])
        constant("step_limit", SPEED_SHARE * limits.velocity / CONTROL_RATE_HZ)
        # A small margin keeps targets inside the limits after rounding to float32.
        constant("lower", limits.lower + 1e-3)
        constant("upper", limits.upper - 1e-3)
        constant("open", HAND_OPEN)
        constant("closed", HAND_CLOSED)
        synergy = torch.zeros(5, 16)
        for finger in range(3):
            synergy[finger, 4 * finger : 4 * finger + 4] = 1.0
        synergy[3, 12] = 1.0
        synergy[4, 13:] = 1.0
        constant("synergy", synergy.numpy())

    def forward(
        self, action: torch.Tensor, joint_position: torch.Tensor, previous_target: torch.Tensor
    ) -> torch.Tensor:
        """Joint target (B, 23) in rad from action (B, 11), measured joint position (B, 23) and previous
        target (B, 23)."""
        action = torch.clamp(action, -1.0, 1.0)
        arm = self._arm_target(action[:, :6], joint_position[:, :_ARM], previous_target[:, :_ARM])
        posture = self.open + (self.closed - self.open) * ((0.5 * (action[:, 6:] + 1.0)) @ self.synergy)
        hand = previous_target[:, _ARM:] + HAND_SMOOTHING * (posture - previous_target[:, _ARM:])
        target = torch.cat([arm, hand], dim=1)
        step = torch.clamp(target - previous_target, -self.step_limit, self.step_limit)
        return torch.clamp(previous_target + step, self.lower, self.upper)

    def _arm_target(
        self, action: torch.Tensor, measured: torch.Tensor, previous: torch.Tensor
    ) -> torch.Tensor:
        _, _, jacobian = self.kinematics(previous)
        transposed = jacobian.transpose(1, 2)
        gram = jacobian @ transposed + DAMPING * torch.eye(6, device=action.device)
        pull = POSTURE_PULL * (self.home - previous)
        twist = action * self.scale - (jacobian @ pull[..., None])[..., 0]
        step = pull + (transposed @ solve_spd(gram, twist)[..., None])[..., 0]
        # One factor for all joints keeps the direction of the motion where a joint's speed limit binds.
        excess = torch.amax(torch.abs(step) / self.step_limit[:_ARM], dim=1, keepdim=True)
        target = previous + step / torch.clamp(excess, min=1.0)
        return torch.clamp(target, measured - MAX_LEAD_RAD, measured + MAX_LEAD_RAD)


def solve_spd(matrix: torch.Tensor, rhs: torch.Tensor) -> torch.Tensor:
    """Solve A x = b for symmetric positive definite A (B, n, n), b (B, n), by an unrolled Cholesky
    factorization.

    Unrolled because ONNX has no operator for it; n is small.
    """
    n = matrix.shape[-1]
    factor: list[list[torch.Tensor]] = []
    for i in range(n):
        row: list[torch.Tensor] = []
        for j in range(i):
            total = matrix[:, i, j]
            for k in range(j):
                total = total - row[k] * factor[j][k]
            row.append(total / factor[j][j])
        diagonal = matrix[:, i, i]
        for value in row:
            diagonal = diagonal - value * value
        row.append(torch.sqrt(diagonal))
        factor.append(row)
    forward: list[torch.Tensor] = []
    for i in range(n):
        total = rhs[:, i]
        for k in range(i):
            total = total - factor[i][k] * forward[k]
        forward.append(total / factor[i][i])
    solution: list[torch.Tensor] = [rhs[:, 0]] * n
    for i in reversed(range(n)):
        total = forward[i]
        for k in range(i + 1, n):
            total = total - factor[k][i] * solution[k]
        solution[i] = total / factor[i][i]
    return torch.stack(solution, dim=1)
