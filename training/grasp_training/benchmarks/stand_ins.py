"""Stand-ins that take their time without using the processor, so that few cores do not hide what overlaps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from grasp_training.benchmarks.schedule import Costs, Span
from grasp_training.learning.received_storage import ReceivingPPO

SPANS: list[Span] = []
"""What the stand-ins of this process did; times in s since the epoch."""

_ACTIONS, _STATE = 11, 16


@dataclass(frozen=True)
class StandInTask:
    """What stand-ins cost."""

    costs: Costs
    """Of all environments on one device."""
    num_envs: int
    """All environments, of which each block costs its share."""
    image_size: tuple[int, int] | None = None
    """Height and width of depth images to send; none are if none."""


class StandInEnv(VecEnv):
    """Environments that sleep."""

    cfg: StandInTask

    def __init__(self, config: StandInTask, num_envs: int, *_: Any) -> None:
        self.cfg = config
        self.num_envs, self.num_actions, self.device = num_envs, _ACTIONS, "cpu"
        self.max_episode_length = 10**6
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long)
        groups = {name: torch.zeros(num_envs, _STATE) for name in ("proprioception", "privileged")}
        if config.image_size:
            groups["depth"] = torch.rand(num_envs, 1, *config.image_size)
        self._observations = TensorDict(groups, batch_size=[num_envs])

    def get_observations(self) -> TensorDict:
        """Return always the same."""
        return self._observations

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Sleep for this block's share of a step."""
        sleep("simulate", self.cfg.costs.simulate_s * self.num_envs / self.cfg.num_envs)
        nothing = torch.zeros(self.num_envs)
        return self._observations, nothing, nothing.bool(), {}


def make_stand_in(
    config: StandInTask, num_envs: int, groups: tuple[str, ...], objects: str, seed: int
) -> StandInEnv:
    """Make environments that sleep, with the signature of `grasp_training.tasks.make_env`."""
    return StandInEnv(config, num_envs, groups, objects, seed)


class StandInPPO(ReceivingPPO):
    """A learner that sleeps; its networks act, but are small."""

    infer_s = 0.0
    """s, of a step of all of this learner's environments"""
    learn_s = 0.0
    """s, of an update"""

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Act, and sleep for this group's share."""
        sleep("infer", self.infer_s * obs.batch_size[0] / self.environments)
        return super().act(obs)

    environments = 1
    """environments of this learner"""

    def update(self) -> dict[str, float]:
        """Sleep instead of learning."""
        sleep("learn", self.learn_s)
        self.storage.clear()
        return {}


def sleep(what: str, seconds: float) -> None:
    """Sleep and write down when."""
    if seconds <= 0:
        return
    start = time.time()
    time.sleep(seconds)
    SPANS.append(Span("", what, start, time.time()))
