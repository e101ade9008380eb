"""Which episodes are counted: every object as often as any other, whatever the batch and the policy."""

from dataclasses import fields
from typing import TypeVar

import numpy as np
import torch

from grasp_description.objects import ObjectSpec
from grasp_training.simulators.base import Appearance, ResetState
from grasp_training.tasks import EpisodeSampler, RandomizationConfig

Rows = TypeVar("Rows", ResetState, Appearance)


class EpisodeSchedule(EpisodeSampler):
    """Draws numbered episodes: environment i runs i, i + n, i + 2n, … of them, n the number of environments.

    The numbers are fixed beforehand, so an environment whose episodes end early adds none to the count.
    Everything random in an episode comes from a generator seeded by (seed, number): start, physics, looks and
    noise do not depend on the number of environments, nor on what the policy did before.

    Args:
        objects: the set; episode k has object k, from a start that the seed chooses, round and round.
        config: ranges of randomization.
        seed: of all episodes.
        num_envs: number of environments.
        episodes: how many episodes count.

    Raises:
        ValueError: less than one episode or environment.
    """

    def __init__(
        self,
        objects: tuple[ObjectSpec, ...],
        config: RandomizationConfig,
        seed: int,
        num_envs: int,
        episodes: int,
    ):
        for name, value in (("episodes", episodes), ("num_envs", num_envs)):
            if value < 1:
                raise ValueError(f"{name} is {value}; expected at least 1")
        super().__init__(objects, config, seed)
        self.episodes = episodes
        self.number = np.full(num_envs, -1)
        """(n,) the episode that each environment is in; ``episodes`` or more where it does not count"""
        self._seed, self._num_envs, self._object_count = seed, num_envs, len(objects)
        self._first = int(np.random.default_rng([seed, len(objects)]).integers(len(objects)))
        self._plain = EpisodeSampler(objects, config, seed)
        self._generators = [torch.Generator() for _ in range(num_envs)]
        self._starting: list[int] = []

    def object_of(self, number: int) -> int:
        """Index of the object in the set of an episode."""
        return (self._first + number) % self._object_count

    @property
    def counted(self) -> np.ndarray:
        """(n,) bool, the environments whose present episode counts."""
        return self.number < self.episodes

    def choose_objects(self, env_ids: torch.Tensor) -> torch.Tensor:
        """See ``EpisodeSampler``; begins the next episode of these environments."""
        self._starting = env_ids.tolist()
        for env in self._starting:
            number = self.number[env]
            self.number[env] = env if number < 0 else number + self._num_envs
            state = np.random.SeedSequence([self._seed, int(self.number[env])]).generate_state(1, np.uint64)
            self._generators[env].manual_seed(int(state[0] >> np.uint64(1)))
        return torch.tensor([self.object_of(int(self.number[env])) for env in self._starting])

    def reset_state(self, object_index: torch.Tensor, level: float) -> ResetState:
        """See ``EpisodeSampler``."""
        return _joined(
            [
                self._using(env).reset_state(object_index[row : row + 1], level)
                for row, env in enumerate(self._starting)
            ]
        )

    def appearance(
        self, count: int, geom_rgba: torch.Tensor, robot: torch.Tensor, light: torch.Tensor
    ) -> Appearance:
        """See ``EpisodeSampler``; count is of the environments that the last choice of objects was for."""
        assert count == len(self._starting)
        return _joined([self._using(env).appearance(1, geom_rgba, robot, light) for env in self._starting])

    def uniform(self, env_ids: torch.Tensor, count: int) -> torch.Tensor:
        """See ``EpisodeSampler``."""
        return torch.stack([torch.rand(count, generator=self._generators[env]) for env in env_ids.tolist()])

    def noise(self, tensor: torch.Tensor, deviation: float) -> torch.Tensor:
        """See ``EpisodeSampler``; the rows are the environments."""
        return torch.stack([self._using(env).noise(row, deviation) for env, row in enumerate(tensor)])

    def _using(self, env: int) -> EpisodeSampler:
        """A sampler that draws from the environment's generator."""
        self._plain.generator = self._generators[env]
        return self._plain


def _joined(parts: list[Rows]) -> Rows:
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})
