"""Who worked when: spans that the parts of a training write down as they work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from grasp_training.benchmarks.schedule import Span
from grasp_training.learning.received_storage import ReceivingPPO
from grasp_training.tasks import TaskConfig, make_env

SPANS: list[Span] = []
"""What this process did; times in s since the epoch, which all ranks of a machine share."""


@contextmanager
def recorded(what: str) -> Iterator[None]:
    """Write down when what is inside began and ended."""
    start = time.time()
    yield
    SPANS.append(Span("", what, start, time.time()))


@dataclass(frozen=True)
class RecordedTask:
    """The real task, whose environments write down when they work."""

    task: TaskConfig
    """The task."""


def make_recorded(
    config: RecordedTask, num_envs: int, groups: tuple[str, ...], objects: Any, seed: int
) -> VecEnv:
    """Make environments of the real task, with the signature of `grasp_training.tasks.make_env`."""
    env = make_env(config.task, num_envs, groups, objects, seed)
    step = env.step

    def recorded_step(actions: torch.Tensor) -> Any:
        with recorded("simulate"):
            return step(actions)

    env.step = recorded_step
    return env


class RecordedPPO(ReceivingPPO):
    """A learner that writes down when it works."""

    def act(self, obs: TensorDict) -> torch.Tensor:
        """See `rsl_rl.algorithms.PPO`."""
        with recorded("infer"):
            return super().act(obs)

    def update(self) -> dict[str, float]:
        """See `rsl_rl.algorithms.PPO`."""
        with recorded("learn"):
            return super().update()
