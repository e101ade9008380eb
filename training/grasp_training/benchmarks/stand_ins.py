"""Stand-ins that take their time without using the processor, so that few cores do not hide what overlaps."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict
from torch import distributed

from grasp_training.benchmarks.recording import SPANS, recorded
from grasp_training.benchmarks.schedule import Costs, Span
from grasp_training.learning.received_storage import ReceivingPPO

_ACTIONS, _STATE = 11, 16
_SIMULATED = "simulated_at"


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
        groups[_SIMULATED] = torch.zeros(num_envs, 1, dtype=torch.float64)
        if config.image_size:
            groups["depth"] = torch.rand(num_envs, 1, *config.image_size)
        self._observations = TensorDict(groups, batch_size=[num_envs])

    def get_observations(self) -> TensorDict:
        """Return always the same, but for the time at which they were made."""
        return self._observations

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Sleep for this block's share of a step."""
        sleep("simulate", self.cfg.costs.simulate_s * self.num_envs / self.cfg.num_envs)
        self._observations[_SIMULATED].fill_(time.time())
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
    """s, of a step of one group of this learner's environments"""
    transfer_s = 0.0
    """s, from when a group of them was simulated to when that is known here"""
    learn_s = 0.0
    """s, of an update"""
    average_s = 0.0
    """s, of averaging gradients"""

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Wait until the observations would have come, sleep for this group, and act."""
        if (arrival := self._await(obs)) is not None:
            SPANS.append(Span("", "transfer", arrival - self.transfer_s, arrival))
        sleep("infer", self.infer_s)
        return super().act(obs)

    def compute_returns(self, obs: TensorDict) -> None:
        """Wait until the last observations would have come, and compute returns."""
        self._await(obs)
        super().compute_returns(obs)

    def update(self) -> dict[str, float]:
        """Sleep instead of learning, at the same time as the other learners, as gradients are averaged."""
        if self.is_multi_gpu:
            distributed.all_reduce(torch.zeros(1))
        sleep("learn", self.learn_s)
        if self.is_multi_gpu:
            sleep("average", self.average_s)
        self.storage.clear()
        return {}

    def _await(self, obs: TensorDict) -> float | None:
        """Return the time at which the observations came, if they had to come from anywhere."""
        simulated = float(obs[_SIMULATED].max())
        if not self.transfer_s or not simulated:
            return None
        arrival = simulated + self.transfer_s
        time.sleep(max(0.0, arrival - time.time()))
        return arrival


def sleep(what: str, seconds: float) -> None:
    """Sleep and write down when."""
    if seconds > 0:
        with recorded(what):
            time.sleep(seconds)
