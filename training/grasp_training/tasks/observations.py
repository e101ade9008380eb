"""Observation groups of the grasp task, by name."""

from dataclasses import dataclass

import torch

from grasp_description.objects import FEATURE_SIZE
from grasp_description.workcell import GOAL_POSITION
from grasp_training.simulators.base import SimulatorState

PROPRIOCEPTION, PRIVILEGED, STEREO, DEPTH, OBJECT_POSITION = (
    "proprioception",
    "privileged",
    "stereo",
    "depth",
    "object_position",
)
GROUPS = (PROPRIOCEPTION, PRIVILEGED, STEREO, DEPTH, OBJECT_POSITION)
"""Groups that the task can give: see ``GraspEnv``."""
PROPRIOCEPTION_SIZE = 69
PRIVILEGED_SIZE = 52 + FEATURE_SIZE
_TOUCH_SCALE_N = 5.0


def check_groups(groups: tuple[str, ...]) -> None:
    """Raise ValueError, listing the available names, if a group is unknown."""
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise ValueError(f"Unknown observation group(s) {unknown}; available: {', '.join(GROUPS)}")


@dataclass(frozen=True)
class PrivilegedExtras:
    """What only the simulator knows beside its state; n environments."""

    object_features: torch.Tensor
    """(n, FEATURE_SIZE) shape of the object (``grasp_description.objects.shape_features``)"""
    tip_gap: torch.Tensor
    """(n, 4) m, fingertips to the object's surface"""
    parameters: torch.Tensor
    """(n, 2) mass in kg, friction"""


def privileged(
    state: SimulatorState,
    object_position: torch.Tensor,
    object_rotation: torch.Tensor,
    extras: PrivilegedExtras,
) -> torch.Tensor:
    """The privileged group (n, PRIVILEGED_SIZE): object pose and velocity, hand pose relative to it, touch,
    shape, physics.

    Args:
        object_position: (n, 3) m as observed (noise on).
        object_rotation: (n, 3, 3) object to base.
    """
    palm, palm_rotation = state.link_position[:, 0], state.link_rotation[:, 0]
    tips = state.link_position[:, 1:]
    goal = torch.as_tensor(GOAL_POSITION, dtype=torch.float32, device=object_position.device)
    in_palm = torch.einsum("nij,ni->nj", palm_rotation, object_position - palm)
    return torch.cat(
        [
            object_position,
            object_rotation[:, :, :2].flatten(1),
            state.object_velocity[:, :3],
            0.1 * state.object_velocity[:, 3:],
            goal - object_position,
            in_palm,
            palm,
            palm_rotation[:, :, :2].flatten(1),
            (tips - object_position[:, None]).flatten(1),
            extras.tip_gap,
            (state.touch / _TOUCH_SCALE_N).clamp(max=2.0),
            extras.object_features,
            extras.parameters,
        ],
        dim=1,
    )
