"""The interface that every simulator backend offers to the task."""

from dataclasses import dataclass, fields
from typing import Protocol

import torch

from grasp_description.objects import ObjectSpec
from grasp_description.robot import FINGERTIP_LINKS, PALM_LINK

LINKS = (PALM_LINK, *FINGERTIP_LINKS)
"""Links whose poses a simulator reports, in this order."""


@dataclass(frozen=True)
class SimulatorState:
    """State of n simulations after the last reset or step; but for touch, current and not a substep behind.

    SI units, base frame, float32 on the simulator's device; quaternions w-x-y-z.
    """

    joint_position: torch.Tensor
    """(n, 23) rad, canonical order"""
    joint_velocity: torch.Tensor
    """(n, 23) rad/s"""
    link_position: torch.Tensor
    """(n, len(LINKS), 3) m"""
    link_rotation: torch.Tensor
    """(n, len(LINKS), 3, 3) link to base"""
    object_position: torch.Tensor
    """(n, 3) m, centre of mass"""
    object_quaternion: torch.Tensor
    """(n, 4)"""
    object_velocity: torch.Tensor
    """(n, 6) linear (m/s, base frame), then angular (rad/s, object frame)"""
    touch: torch.Tensor
    """(n, 4) N, normal force on the fingertips as FINGERTIP_LINKS, of the last physics step's start"""

    def finite(self) -> torch.Tensor:
        """Which simulations (n,) bool have no NaN and no infinity anywhere in their state."""
        values = [getattr(self, field.name) for field in fields(self)]
        return torch.isfinite(torch.cat([value.flatten(1) for value in values], dim=1)).all(dim=1)


@dataclass(frozen=True)
class ResetState:
    """Where k simulations start."""

    joint_position: torch.Tensor
    """(k, 23) rad"""
    object_index: torch.Tensor
    """(k,) int64, which object of the simulator's set"""
    object_position: torch.Tensor
    """(k, 3) m"""
    object_quaternion: torch.Tensor
    """(k, 4)"""
    mass_scale: torch.Tensor
    """(k,) factor on the object's mass and inertia"""
    friction: torch.Tensor
    """(k,) sliding friction of object, hand and table"""
    stiffness_scale: torch.Tensor
    """(k, 23) factor on the servos' position and derivative gains"""


@dataclass(frozen=True)
class Appearance:
    """What randomization of images sets for k simulations."""

    geom_rgba: torch.Tensor
    """(k, geoms of the scene, 4)"""
    camera_position: torch.Tensor
    """(k, 2, 3) m"""
    camera_rotation: torch.Tensor
    """(k, 2, 3, 3) camera (x right, y up, z backward) to base"""
    light_position: torch.Tensor
    """(k, 3) m"""
    light_direction: torch.Tensor
    """(k, 3) unit vector"""
    light_diffuse: torch.Tensor
    """(k, 3)"""


class Simulator(Protocol):
    """n simulations of one scene, each with its own object and physics parameters."""

    num_envs: int
    substeps: int
    """physics steps, and joint commands, a control step"""
    objects: tuple[ObjectSpec, ...]
    device: torch.device
    nominal_rgba: torch.Tensor
    """(geoms of the scene, 4)"""
    nominal_light: torch.Tensor
    """(3,) m, position of the light"""
    robot_geoms: torch.Tensor
    """(geoms of the scene,) bool, which belong to the robot"""

    @property
    def state(self) -> SimulatorState:
        """The current state."""
        ...

    def reset(self, env_ids: torch.Tensor, state: ResetState) -> None:
        """Put the simulations ``env_ids`` (k,), in ascending order, into ``state``, at rest."""
        ...

    def step(self, joint_command: torch.Tensor) -> None:
        """Advance every simulation one control step under position commands (n, substeps, 23) in rad."""
        ...

    def figures(self) -> dict[str, float]:
        """What is worth logging of the last step, by name, such as ``simulator/overflows``."""
        ...

    def randomize_appearance(self, env_ids: torch.Tensor, appearance: Appearance) -> None:
        """Set what the images of the simulations ``env_ids`` (k,) look like."""
        ...

    def render(
        self, object_pose: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Images of the current state: rgb uint8 (n, 2, H, W, 3), left and right; depth float32 (n, 1, H, W)
        in m, of the left camera. None for what the simulator was not made to give.

        Args:
            object_pose: positions (n, 3) in m and quaternions (n, 4) at which objects are drawn in colour,
                instead of where they are. Depth is of what there is.
        """
        ...
