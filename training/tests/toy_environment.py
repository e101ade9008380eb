"""A small stand-in for the grasp task, with its observation groups: a point in the plane is to reach a place.

The first two of 11 actions move the point. The place is in "privileged" and, as a bright square, in "stereo".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from grasp_training.tasks.config import CurriculumConfig
from grasp_training.tasks.curriculum import Curriculum

NUM_ACTIONS = 11


@dataclass(frozen=True)
class ToyTask:
    """Settings of the toy task."""

    episode_steps: int = 20
    """Control steps of an episode."""
    step_size: float = 0.2
    """Way of the point for an action of 1."""
    image_size: tuple[int, int] = (16, 24)
    """Height and width of the images, pixels."""


class ToyEnv(VecEnv):
    """Points that are to reach a place."""

    def __init__(
        self, config: ToyTask, num_envs: int, groups: tuple[str, ...], objects: str, seed: int
    ) -> None:
        self.cfg, self.num_envs, self.num_actions, self.device = config, num_envs, NUM_ACTIONS, "cpu"
        self.groups, self.objects, self.seed = groups, objects, seed
        self.max_episode_length = config.episode_steps
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long)
        # It rises whenever episodes end, and places are the farther away the higher it is.
        self.curriculum = Curriculum(CurriculumConfig(step=0.01, threshold=0.0, min_episodes=1))
        self._generator = torch.Generator().manual_seed(seed)
        self._position = torch.zeros(num_envs, 2)
        self._place = torch.zeros(num_envs, 2)
        self._reset(torch.arange(num_envs))

    def _reset(self, ids: torch.Tensor) -> None:
        self._position[ids] = 0.0
        places = torch.rand(len(ids), 2, generator=self._generator) * 1.6 - 0.8
        self._place[ids] = places * (1.0 + 0.1 * self.curriculum.level)
        self.episode_length_buf[ids] = 0

    def _drawn(self) -> torch.Tensor:
        """The place (n, 2) that images show, and that the label is of."""
        return self._place

    def get_observations(self) -> TensorDict:
        proprioception = torch.zeros(self.num_envs, 69)
        proprioception[:, :2] = self._position
        drawn = self._drawn()
        made = {
            "proprioception": proprioception,
            "privileged": torch.cat([self._place, self._place - self._position], dim=1),
            "object_position": torch.cat([drawn, torch.zeros(self.num_envs, 1)], dim=1),
        }
        if "stereo" in self.groups:
            made["stereo"] = self._images(drawn)
        return TensorDict({name: made[name] for name in self.groups}, batch_size=[self.num_envs])

    def _images(self, drawn: torch.Tensor) -> torch.Tensor:
        height, width = self.cfg.image_size
        rows = ((drawn[:, 1] + 1) / 2 * (height - 3)).long()
        columns = ((drawn[:, 0] + 1) / 2 * (width - 5)).long()
        images = torch.full((self.num_envs, 2, height, width, 3), 40, dtype=torch.uint8)
        index = torch.arange(self.num_envs)
        for row in range(3):
            for column in range(3):
                images[index, 0, rows + row, columns + column + 2] = 250
                images[index, 1, rows + row, columns + column] = 250
        return images

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        self._position += self.cfg.step_size * actions[:, :2].clamp(-1, 1)
        distance = (self._position - self._place).norm(dim=1)
        rewards = torch.exp(-4 * distance)
        self.episode_length_buf += 1
        dones = self.episode_length_buf >= self.max_episode_length
        log = {"reward/reach": rewards.mean()}
        success = distance < 0.2
        if dones.any():
            log["episode/success_rate"] = success[dones].float().mean()
        self.curriculum.update(int(dones.sum()), float(success[dones].sum()))
        self._reset(dones.nonzero().flatten())
        extras = {"time_outs": dones.float(), "success": success, "log": log}
        return self.get_observations(), rewards, dones.long(), extras


def make_toy_env(config: ToyTask, num_envs: int, groups: tuple[str, ...], objects: str, seed: int) -> ToyEnv:
    """Make toy environments with the signature of `grasp_training.tasks.make_env`."""
    return ToyEnv(config, num_envs, groups, objects, seed)


class LessonToyEnv(ToyEnv):
    """Toy environments that give lessons in seeing: there the place is drawn opposite to where it is."""

    def __init__(self, config: ToyTask, num_envs: int, *arguments: Any) -> None:
        super().__init__(config, num_envs, *arguments)
        self.lessons = torch.zeros(num_envs, dtype=torch.bool)

    def draw_elsewhere(self, which: torch.Tensor) -> None:
        self.lessons = which

    def _drawn(self) -> torch.Tensor:
        return torch.where(self.lessons[:, None], -self._place, self._place)


def make_lesson_env(
    config: ToyTask, num_envs: int, groups: tuple[str, ...], objects: str, seed: int
) -> LessonToyEnv:
    """Make toy environments that give lessons."""
    return LessonToyEnv(config, num_envs, groups, objects, seed)
