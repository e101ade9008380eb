"""Overlapped learning: experience is collected while the experience before it is learnt from.

A copy of the networks, the behaviour policy, collects in a thread. When both collecting and learning are
done, it takes on the parameters learnt so far, and the two exchange storages. So the policy that learns is at
most one version ahead of the one that acted, which `correct_staleness` corrects for.

While one group of environments is simulated, the other's observations travel and are acted on.
"""

from __future__ import annotations

import contextlib
import copy
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.storage import RolloutStorage
from rsl_rl.utils import check_nan
from tensordict import TensorDict
from torch import distributed

from grasp_training.disaggregation import RemoteVecEnv
from grasp_training.disaggregation.remote_env import Result, Summary
from grasp_training.learning.received_storage import ReceivedStorage

_MAX_WEIGHT = 2.0
"""Greatest weight of an advantage in `correct_staleness`."""

_PER_STEP = ("rewards", "actions", "dones", "values", "actions_log_prob", "returns", "advantages")


@dataclass
class Rollout:
    """Experience, with the version of the policy that acted in every step."""

    storage: ReceivedStorage
    """Observations, actions, log-probabilities under the behaviour policy, …"""
    versions: torch.Tensor
    """(steps,) updates that the behaviour policy had had"""
    steps: list[Summary]
    """Rewards, dones and extras of every step."""
    last: TensorDict
    """Observations (num_envs, …) after the last step."""


class Collector:
    """Collects rollouts with a copy of the networks."""

    def __init__(self, algorithm: PPO, env: RemoteVecEnv, seed: int) -> None:
        """Prepare to collect.

        Args:
            algorithm: learns; its storage becomes one of the two that are exchanged.
            env: the environments.
            seed: of exploration: a generator of its own, since the learning thread draws from torch's at the
                same time.
        """
        self._algorithm, self._env = algorithm, env
        self._behaviour: PPO = copy.copy(algorithm)
        self._behaviour.actor = copy.deepcopy(algorithm.actor)
        self._behaviour.critic = copy.deepcopy(algorithm.critic)
        self._behaviour.transition = RolloutStorage.Transition()
        self._exploration = torch.Generator(device=algorithm.device).manual_seed(seed)
        # Results arrive in the first rollout first.
        assert isinstance(algorithm.storage, ReceivedStorage)
        self._spare, algorithm.storage = algorithm.storage, _second_storage(algorithm.storage, env)
        self._memories: list[torch.Tensor | None] = [None] * len(env.group_rows)
        self.version = 0
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._steps: list[Summary] = []

    def take_parameters(self, version: int) -> None:
        """Act with the parameters learnt so far from now on."""
        for own, learnt in (
            (self._behaviour.actor, self._algorithm.actor),
            (self._behaviour.critic, self._algorithm.critic),
        ):
            own.load_state_dict(learnt.state_dict())
        # The exploration noise of `JointGaussian` comes from this thread's own generator.
        self._behaviour.actor.distribution.generator = self._exploration  # type: ignore[union-attr]
        self.version = version

    def start(self) -> None:
        """Begin to collect a rollout in a thread."""
        self._error = None
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._thread.start()

    def finish(self) -> Rollout:
        """Wait for the rollout that `start` began, and return it, without returns; its storage is yours.

        Raises:
            Exception: whatever ended the collecting.
        """
        assert self._thread is not None
        self._thread.join()
        self._thread = None
        if self._error is not None:
            raise self._error
        storage, learnt = self._spare, self._algorithm.storage
        assert isinstance(learnt, ReceivedStorage)
        self._spare = learnt
        versions = torch.full((storage.num_transitions_per_env,), self.version)
        last = self._env.get_observations().to(self._algorithm.device)
        return Rollout(storage, versions, self._steps, last)

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                self._collect()
        except BaseException as error:  # noqa: BLE001 - the learning thread raises it
            self._error = error

    def _collect(self) -> None:
        env, storage = self._env, self._spare
        halves = [self._half(storage, rows) for rows in env.group_rows]
        seen = [env.get_observations()[rows] for rows in env.group_rows]
        self._steps = []
        steps = storage.num_transitions_per_env
        for group, half in enumerate(halves):
            self._act(half, group, seen[group])
        for step in range(steps):
            results: list[Result] = []
            for group, half in enumerate(halves):
                results.append(self._take(half, group))
                if step + 1 < steps:
                    self._act(half, group, results[-1].observations)
            self._steps.append(env.summary(results))

    def _act(self, half: PPO, group: int, observations: TensorDict) -> None:
        with self._memory_of(group):
            actions = half.act(observations.to(self._algorithm.device))
        self._env.send(group, actions.to(self._env.device))

    def _take(self, half: PPO, group: int) -> Result:
        result = self._env.receive(group)
        check_nan(result.observations, result.rewards, result.dones)
        device = self._algorithm.device
        with self._memory_of(group):
            half.process_env_step(
                result.observations.to(device),
                result.rewards.to(device),
                result.dones.to(device),
                {"time_outs": result.time_outs},
            )
        return result

    @contextlib.contextmanager
    def _memory_of(self, group: int) -> Iterator[None]:
        """Let the actor remember what it has seen of one group, if it remembers anything."""
        actor = self._behaviour.actor
        if actor.is_recurrent:
            actor.reset(hidden_state=self._memories[group])
        yield
        self._memories[group] = actor.get_hidden_state()  # type: ignore[assignment]

    def _half(self, storage: ReceivedStorage, rows: slice) -> PPO:
        """Return the behaviour policy with storage for one group: views of the whole one's rows."""
        half = copy.copy(self._behaviour)
        half.transition = RolloutStorage.Transition()
        part = copy.copy(storage)
        part.num_envs, part.step = rows.stop - rows.start, 0
        part.observations = storage.observations[:, rows]
        for name in _PER_STEP:
            setattr(part, name, getattr(storage, name)[:, rows])
        part.distribution_params = tuple(values[:, rows] for values in storage.distribution_params or ())
        part.memory = None if storage.memory is None else storage.memory[rows]
        half.storage = part
        return half


def _second_storage(storage: ReceivedStorage, env: RemoteVecEnv) -> ReceivedStorage:
    """Return a storage of the other rollout; both get room for means and deviations of the actions."""
    memory_size = 0 if storage.memory is None else storage.memory.shape[1]
    new = ReceivedStorage(env, 1, storage.device, memory_size)
    for each in (storage, new):
        each.distribution_params = tuple(torch.zeros_like(each.actions) for _ in range(2))
    return new


@torch.inference_mode()
def correct_staleness(algorithm: PPO, rollout: Rollout) -> dict[str, float]:
    """Let a rollout that an older policy collected be learnt from as if the policy at hand had collected it.

    Returns and advantages are estimated with the critic at hand. Then the decoupled objective of Hilton,
    Cobbe and Schulman (2022, arXiv:2110.00641): advantages are weighted by the probability of each action
    under the policy at hand over that under the one that acted, truncated; ratios and divergences are taken
    against the policy at hand. Weighted advantages have mean zero over the experience of all learners, as
    advantages of the policy's own have: a mean above zero would make every action more likely, and
    exploration fade.

    Args:
        algorithm: learns.
        rollout: the experience; values, rewards (in which rsl_rl keeps the values of episodes that ran out of
            time), returns, advantages, log-probabilities and distributions of its storage are replaced.

    Returns:
        Figures for the log: mean divergence of the policy at hand from the one that acted, share of weights
        that were truncated.
    """
    storage = rollout.storage
    algorithm.storage = storage
    weights = torch.empty_like(storage.actions_log_prob)
    divergence, random_state = 0.0, torch.get_rng_state()
    # As many environments at a time as a mini-batch holds, for the sake of activations.
    for rows in _parts(storage.num_envs, algorithm.num_mini_batches):
        _value_anew(algorithm, rollout, rows)
        divergence += float(_compare_anew(algorithm, storage, rows, weights[:, rows]).sum())
    torch.set_rng_state(random_state)
    truncated = float((weights > _MAX_WEIGHT).float().mean())
    weights.clamp_(max=_MAX_WEIGHT)
    algorithm.compute_returns(rollout.last)
    advantages = storage.advantages
    storage.advantages = weights * (advantages - _joint_mean(algorithm, advantages, weights))
    return {"policy/behaviour_kl": divergence / weights.numel(), "policy/truncated_weights": truncated}


def _parts(count: int, parts: int) -> Iterator[slice]:
    """Yield slices of about equal size that make up 0 … count."""
    size = math.ceil(count / parts)
    return (slice(first, first + size) for first in range(0, count, size))


def _value_anew(algorithm: PPO, rollout: Rollout, rows: slice) -> None:
    """Replace values of some environments, in the rewards of episodes that ran out of time too."""
    storage = rollout.storage
    values = algorithm.critic(storage.observations[:, rows])
    time_outs = torch.stack([extras["time_outs"][rows] for _, _, extras in rollout.steps])
    gained = algorithm.gamma * (values - storage.values[:, rows])
    storage.rewards[:, rows] += gained * time_outs[..., None].to(values.device)
    storage.values[:, rows] = values


def _compare_anew(
    algorithm: PPO, storage: ReceivedStorage, rows: slice, weights: torch.Tensor
) -> torch.Tensor:
    """Take the policy at hand for the one that acted; fill weights (T, n, 1), return divergences (T, n)."""
    actor: Any = algorithm.actor
    acted = tuple(values[:, rows] for values in storage.distribution_params or ())
    actor(storage.observations[:, rows], hidden_state=storage.hidden_state(rows), stochastic_output=True)
    at_hand = actor.output_distribution_params
    divergence = actor.get_kl_divergence(acted, at_hand)
    said = actor.get_output_log_prob(storage.actions[:, rows])[..., None]
    weights.copy_((said - storage.actions_log_prob[:, rows]).exp())
    storage.actions_log_prob[:, rows] = said
    for kept, value in zip(acted, at_hand, strict=True):
        kept.copy_(value)
    return divergence


def _joint_mean(algorithm: PPO, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted mean over all learners."""
    sums = torch.stack([(weights * values).sum(), weights.sum()])
    if algorithm.is_multi_gpu:
        distributed.all_reduce(sums)
    return sums[0] / sums[1]
