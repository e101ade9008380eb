"""Where episodes start and what varies between them, scaled by the curriculum's level."""

import math
from typing import Any

import numpy as np
import torch

from grasp_description.cameras import STEREO_RIG
from grasp_description.objects import ObjectSpec, pack
from grasp_description.robot import ARM_JOINTS, HOME_POSITION, joint_limits
from grasp_description.workcell import SPAWN_CLEARANCE_M, SPAWN_REGION
from grasp_training.rotations import rotation_from_vector
from grasp_training.simulators.base import Appearance, ResetState
from grasp_training.tasks.config import RandomizationConfig

_ARM = len(ARM_JOINTS)
_BEYOND_SPAWN_M = 0.04
_RISE_M = 0.25
_TILT_RAD = 0.8


class EpisodeSampler:
    """Draws resets and appearances from one seeded generator.

    Args:
        objects: the objects to choose from, uniformly.
        config: ranges at level 1.
        seed: of the generator; its state is part of a checkpoint.
        device: where the numbers are drawn, and are; another kind of device draws other ones.
    """

    def __init__(
        self,
        objects: tuple[ObjectSpec, ...],
        config: RandomizationConfig,
        seed: int,
        device: torch.device | str = "cpu",
    ):
        self.config, self.device = config, torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self._rest_height = self._tensor(pack(objects).rest_height)
        limits = joint_limits()
        self._home = self._tensor(HOME_POSITION)
        self._lower, self._upper = self._tensor(limits.lower), self._tensor(limits.upper)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(np.array(values), dtype=torch.float32, device=self.device)

    def _rand(self, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1)."""
        return torch.rand(*shape, generator=self.generator, device=self.device)

    def _uniform(self, *shape: int) -> torch.Tensor:
        """Uniform numbers in [-1, 1)."""
        return 2.0 * self._rand(*shape) - 1.0

    def _within(self, bounds: tuple[float, float], level: float, *shape: int) -> torch.Tensor:
        """Uniform numbers in bounds, drawn in towards 1 as the level falls to 0."""
        low, high = (1.0 + level * (bound - 1.0) for bound in bounds)
        return low + (high - low) * self._rand(*shape)

    def choose_objects(self, env_ids: torch.Tensor) -> torch.Tensor:
        """Indices (k,) of objects for the environments env_ids (k,) that begin an episode."""
        return torch.randint(
            len(self._rest_height), (len(env_ids),), generator=self.generator, device=self.device
        )

    def choose(self, probability: torch.Tensor) -> torch.Tensor:
        """Indices (k,) of those environments that a coin chose, given each one's probability (n,).

        Draws nothing where nothing can be chosen.
        """
        if not probability.any():
            return torch.zeros(0, dtype=torch.long, device=self.device)
        return torch.nonzero(self._rand(len(probability)) < probability).flatten()

    def pose_anywhere(self, object_index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions (k, 3) and quaternions (k, 4) of the objects object_index (k,) for lessons in seeing.

        About half of them stand upright on the table, the others are tilted above it; a little beyond the
        spawn region too.
        """
        count = len(object_index)
        half = self._tensor(SPAWN_REGION.half_size) + _BEYOND_SPAWN_M
        in_air = self._rand(count) < 0.5
        rise = _RISE_M * self._rand(count) * in_air
        position = torch.empty(count, 3, device=self.device)
        position[:, :2] = self._tensor(SPAWN_REGION.centre) + half * self._uniform(count, 2)
        position[:, 2] = self._rest_height[object_index] + rise
        half_yaw, direction = math.pi * 0.5 * self._uniform(count), math.pi * self._uniform(count)
        half_tilt = 0.5 * _TILT_RAD * self._uniform(count) * in_air
        # A turn about the vertical after a tilt about a horizontal axis.
        quaternion = torch.stack(
            [
                torch.cos(half_yaw) * torch.cos(half_tilt),
                torch.cos(direction + half_yaw) * torch.sin(half_tilt),
                torch.sin(direction + half_yaw) * torch.sin(half_tilt),
                torch.sin(half_yaw) * torch.cos(half_tilt),
            ],
            dim=1,
        )
        return position, quaternion

    def reset_state(self, object_index: torch.Tensor, level: float) -> ResetState:
        """Starts for the objects of object_index (k,)."""
        config, count = self.config, len(object_index)
        joint_position = self._home.expand(count, -1).clone()
        joint_position[:, :_ARM] += level * config.start_position_rad * self._uniform(count, _ARM)
        low, high = config.spawn_scale
        half = self._tensor(SPAWN_REGION.half_size) * (low + level * (high - low))
        position = torch.empty(count, 3, device=self.device)
        position[:, :2] = self._tensor(SPAWN_REGION.centre) + half * self._uniform(count, 2)
        position[:, 2] = self._rest_height[object_index] + SPAWN_CLEARANCE_M
        half_yaw = 0.5 * math.pi * self._uniform(count)
        quaternion = torch.zeros(count, 4, device=self.device)
        quaternion[:, 0], quaternion[:, 3] = torch.cos(half_yaw), torch.sin(half_yaw)
        return ResetState(
            joint_position=torch.clamp(joint_position, self._lower, self._upper),
            object_index=object_index,
            object_position=position,
            object_quaternion=quaternion,
            mass_scale=self._within(config.mass, level, count),
            friction=self._within(config.friction, level, count),
            stiffness_scale=self._within(config.stiffness, level, count, len(self._home)),
        )

    def uniform(self, env_ids: torch.Tensor, count: int) -> torch.Tensor:
        """Numbers (k, count) in [0, 1) for the environments env_ids (k,)."""
        return self._rand(len(env_ids), count)

    def noise(self, tensor: torch.Tensor, deviation: float) -> torch.Tensor:
        """The tensor with Gaussian noise of the given standard deviation."""
        return tensor + deviation * torch.randn(tensor.shape, generator=self.generator, device=self.device)

    def appearance(
        self, count: int, geom_rgba: torch.Tensor, robot: torch.Tensor, light: torch.Tensor
    ) -> Appearance:
        """Colours, lights and camera poses for ``count`` environments, always over their whole range.

        Args:
            geom_rgba: (g, 4) nominal colours of the scene's geoms.
            robot: (g,) bool, geoms of the robot: they keep their hue, the table and the objects get any
            colour.
            light: (3,) nominal light position in m.
        """
        config, rig = self.config, STEREO_RIG
        geoms = len(geom_rgba)
        rgba = geom_rgba.expand(count, geoms, 4).clone()
        free = self._rand(count, geoms, 3)
        near = (rgba[..., :3] * (1.0 + 0.3 * self._uniform(count, 1, 3))).clamp(0.0, 1.0)
        rgba[..., :3] = torch.where(robot[None, :, None], near, 0.05 + 0.9 * free)
        position = self._tensor(rig.positions()).expand(count, 2, 3)
        rotation = self._tensor(rig.rotation())
        # The pair moves as one body, as on a shared mount; each camera then is a little off on its own.
        shift = (
            config.camera_position_m * (self._uniform(count, 1, 3) + 0.1 * self._uniform(count, 2, 3)) / 1.1
        )
        turn = (
            config.camera_rotation_rad * (self._uniform(count, 1, 3) + 0.1 * self._uniform(count, 2, 3)) / 1.1
        )
        light_position = light + 0.4 * self._uniform(count, 3)
        direction = self._tensor([*SPAWN_REGION.centre, 0.0]) - light_position
        return Appearance(
            geom_rgba=rgba,
            camera_position=position + shift,
            camera_rotation=rotation_from_vector(turn) @ rotation,
            light_position=light_position,
            light_direction=direction / torch.linalg.norm(direction, dim=-1, keepdim=True),
            light_diffuse=(0.7 + 0.3 * self._uniform(count, 1)) * (1.0 + 0.1 * self._uniform(count, 3)),
        )


class HeldObjectsSampler(EpisodeSampler):
    """Draws episodes of simulations that each have a part of the objects only.

    Args:
        objects: the whole set.
        config: ranges at level 1.
        seed: of the generator.
        held: (n, m) which objects each simulation has.
    """

    def __init__(
        self, objects: tuple[ObjectSpec, ...], config: RandomizationConfig, seed: int, held: torch.Tensor
    ):
        super().__init__(objects, config, seed)
        self._held = held

    def choose_objects(self, env_ids: torch.Tensor) -> torch.Tensor:
        """See ``EpisodeSampler``."""
        held = self._held[env_ids]
        chosen = torch.randint(held.shape[1], (len(held), 1), generator=self.generator)
        return held.gather(1, chosen)[:, 0]
