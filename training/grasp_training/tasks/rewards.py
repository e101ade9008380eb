"""The grasp task's reward, term by term."""

from dataclasses import dataclass

import torch

from grasp_training.tasks.config import RewardConfig


@dataclass(frozen=True)
class GraspGeometry:
    """Distances that rewards need; n environments, metres."""

    grasp_point_distance: torch.Tensor
    """(n,) grasp point to the object's centre"""
    tip_distance: torch.Tensor
    """(n,) mean distance of the fingertips to the object's centre"""
    tip_gap: torch.Tensor
    """(n, 4) fingertips (index, middle, ring, thumb) to the object's surface, 0 inside"""
    surface_distance: torch.Tensor
    """(n,) grasp point to the object's surface, 0 inside"""
    tip_direction: torch.Tensor
    """(n, 4, 3) unit vectors from the object's centre to the fingertips"""
    height: torch.Tensor
    """(n,) object above where it rested"""
    goal_distance: torch.Tensor
    """(n,) object to goal"""
    at_goal: torch.Tensor
    """(n,) bool, within the goal's tolerance"""


def reward_terms(
    geometry: GraspGeometry, action: torch.Tensor, config: RewardConfig
) -> dict[str, torch.Tensor]:
    """Weighted terms (n,) whose sum is the reward.

    All but reach and the action cost are paid only while the hand is at the object: a thrown or kicked object
    earns nothing.
    """
    g = geometry
    distance = 0.6 * g.grasp_point_distance + 0.4 * g.tip_distance
    near = (g.surface_distance < config.near_m).float()
    closeness = torch.exp(-30.0 * g.tip_gap)
    # How opposite thumb and fingers stand about the object: 0 side by side, 1 face to face.
    facing = 0.5 * (1.0 - (g.tip_direction[:, 3:] * g.tip_direction[:, :3]).sum(-1).mean(-1))
    fingers = closeness[:, :3].mean(-1)
    lifted = (g.height > 0.01).float()
    terms = {
        "reach": config.reach * torch.exp(-8.0 * (distance - 0.03).clamp(min=0.0)),
        "opposition": config.opposition * near * closeness[:, 3] * (0.3 + 0.7 * fingers * facing),
        "lift": config.lift * near * (g.height / config.lift_height_m).clamp(0.0, 1.0),
        "goal": config.goal * near * lifted * torch.exp(-10.0 * g.goal_distance),
        "success": config.success * near * g.at_goal.float(),
    }
    terms = {name: config.scale * value for name, value in terms.items()}
    # The decoder clips actions, and far outside of the range exploration no longer changes anything: the cost
    # leads back.
    excess = (action.abs() - 1.0).clamp(min=0.0)
    terms["action"] = -config.action * action.clamp(-1.0, 1.0).square().sum(-1)
    terms["saturation"] = -config.saturation * excess.square().sum(-1)
    return terms
