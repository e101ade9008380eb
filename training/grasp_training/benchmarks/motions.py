"""Scripted motions that bring about what physics is measured and compared by: standing, touching, lifting."""

import torch

from grasp_training.simulators import SimulatorState
from grasp_training.tasks.actions import NUM_ACTIONS, TRANSLATION_STEP_M
from grasp_training.tasks.kinematics import GRASP_POINT

_APPROACH, _CLOSE = 0.4, 0.65
"""shares of a motion after which the hand closes, and after which it rises"""
_ABOVE_M = 0.02
"""m, how far above the object's centre the hand closes: fingertips must not meet the table"""
_HAND = slice(6, NUM_ACTIONS)


def grasp_and_lift(state: SimulatorState, progress: float) -> torch.Tensor:
    """Actions (n, 11) of a hand that goes to the object, closes, and rises.

    Args:
        state: of the simulations now.
        progress: share of the motion that is behind, 0 to 1.
    """
    count, device = len(state.object_position), state.object_position.device
    actions = torch.zeros(count, NUM_ACTIONS, device=device)
    actions[:, _HAND] = 1.0 if progress >= _APPROACH else -1.0
    actions[:, 9] = 1.0  # the thumb opposes the fingers from the beginning
    if progress >= _CLOSE:
        actions[:, 2] = 1.0
        return actions
    point = torch.tensor(GRASP_POINT, device=device)
    palm, rotation = state.link_position[:, 0], state.link_rotation[:, 0]
    target = state.object_position.clone()
    target[:, 2] += _ABOVE_M
    actions[:, :3] = ((target - palm - rotation @ point) / TRANSLATION_STEP_M).clamp(-1.0, 1.0)
    return actions


def rummage(progress: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """Random actions (n, 11) that tend down and close the hand, as an untrained policy's that gropes."""
    actions = torch.randn(count, NUM_ACTIONS, generator=generator)
    actions[:, 2] -= 0.8
    actions[:, _HAND] += 4.0 * progress - 1.0
    return actions
