"""Overlapped learning: experience is collected while the experience before it is learnt from.

A copy of the networks, the behaviour policy, collects in a thread. When both collecting and learning are
done, it takes on the parameters learnt so far, and the two exchange storages. So the policy that learns is at
most one version ahead of the one that acted, which `correct_staleness` corrects for. Advantages use the
values of the behaviour's critic.

While one group of environments is simulated, the other's observations travel and are acted on.
"""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.storage import RolloutStorage
from rsl_rl.utils import check_nan
from tensordict import TensorDict

from grasp_training.disaggregation import RemoteVecEnv
from grasp_training.disaggregation.remote_env import Result, Summary
from grasp_training.learning.received_storage import ReceivedStorage

_MAX_WEIGHT = 2.0
"""Greatest weight of an advantage in `correct_staleness`."""

_PER_STEP = ("rewards", "actions", "dones", "values", "actions_log_prob", "returns", "advantages")


@dataclass
class Rollout:
    """Experience, with the version of the policy that acted in every step."""

    storage: RolloutStorage
    """Observations, actions, log-probabilities under the behaviour policy, …"""
    versions: torch.Tensor
    """(steps,) updates that the behaviour policy had had"""


class Collector:
    """Collects rollouts with a copy of the networks."""

    def __init__(self, algorithm: PPO, env: RemoteVecEnv, seed: int) -> None:
        """Prepare to collect.

        Args:
            algorithm: learns; its storage becomes one of the two that are exchanged.
            env: the environments.
            seed: of exploration: a generator of its own, since the learning thread draws from torch's at the
                same time.

        Raises:
            ValueError: the policy is recurrent: its memory would have to be divided by group.
        """
        if algorithm.actor.is_recurrent or algorithm.critic.is_recurrent:
            raise ValueError("Overlapped learning got a recurrent policy; it knows feed-forward ones only")
        self._algorithm, self._env = algorithm, env
        self._behaviour: PPO = copy.copy(algorithm)
        self._behaviour.actor = copy.deepcopy(algorithm.actor)
        self._behaviour.critic = copy.deepcopy(algorithm.critic)
        self._behaviour.transition = RolloutStorage.Transition()
        self._exploration = torch.Generator(device=algorithm.device).manual_seed(seed)
        # Results arrive in the first rollout first.
        self._spare, algorithm.storage = algorithm.storage, _second_storage(algorithm.storage, env)
        self.version = 0
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.steps: list[Summary] = []
        """Rewards, dones and extras of every step of the last rollout, for the logs."""

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
        """Wait for the rollout that `start` began and return it, with returns; the storage is the caller's.

        Raises:
            Exception: whatever ended the collecting.
        """
        assert self._thread is not None
        self._thread.join()
        self._thread = None
        if self._error is not None:
            raise self._error
        storage, self._spare = self._spare, self._algorithm.storage
        self._behaviour.storage = storage
        with torch.inference_mode():
            self._behaviour.compute_returns(self._env.get_observations().to(self._algorithm.device))
        return Rollout(storage, torch.full((storage.num_transitions_per_env,), self.version))

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
        self.steps = []
        steps = storage.num_transitions_per_env
        for group, half in enumerate(halves):
            self._act(half, group, seen[group])
        for step in range(steps):
            results: list[Result] = []
            for group, half in enumerate(halves):
                results.append(self._take(half, group))
                if step + 1 < steps:
                    self._act(half, group, results[-1].observations)
            self.steps.append(env.summary(results))

    def _act(self, half: PPO, group: int, observations: TensorDict) -> None:
        actions = half.act(observations.to(self._algorithm.device))
        self._env.send(group, actions.to(self._env.device))

    def _take(self, half: PPO, group: int) -> Result:
        result = self._env.receive(group)
        check_nan(result.observations, result.rewards, result.dones)
        device = self._algorithm.device
        half.process_env_step(
            result.observations.to(device),
            result.rewards.to(device),
            result.dones.to(device),
            {"time_outs": result.time_outs},
        )
        return result

    def _half(self, storage: RolloutStorage, rows: slice) -> PPO:
        """Return the behaviour policy with storage for one group: views of the whole one's rows."""
        half = copy.copy(self._behaviour)
        half.transition = RolloutStorage.Transition()
        part = copy.copy(storage)
        part.num_envs, part.step = rows.stop - rows.start, 0
        part.observations = storage.observations[:, rows]
        for name in _PER_STEP:
            setattr(part, name, getattr(storage, name)[:, rows])
        part.distribution_params = tuple(values[:, rows] for values in storage.distribution_params or ())
        half.storage = part
        return half


def _second_storage(storage: RolloutStorage, env: RemoteVecEnv) -> ReceivedStorage:
    """Return a storage of the other rollout; both get room for means and deviations of the actions."""
    new = ReceivedStorage(env, 1, storage.device)
    for each in (storage, new):
        each.distribution_params = tuple(torch.zeros_like(each.actions) for _ in range(2))
    return new


@torch.inference_mode()
def correct_staleness(algorithm: PPO, storage: RolloutStorage) -> dict[str, float]:
    """Let a rollout that an older policy collected be learnt from as if the policy at hand had collected it.

    The decoupled objective of Hilton, Cobbe and Schulman (2022, arXiv:2110.00641): advantages are weighted by
    the probability of each action under the policy at hand over that under the one that acted, truncated;
    ratios and divergences are taken against the policy at hand.

    Args:
        algorithm: learns.
        storage: the rollout; its advantages, log-probabilities and distributions are replaced.

    Returns:
        Figures for the log: mean divergence of the policy at hand from the one that acted, share of weights
        that were truncated.
    """
    actor: Any = algorithm.actor
    divergence, truncated = 0.0, 0.0
    random_state = torch.get_rng_state()
    for step in range(storage.num_transitions_per_env):
        acted = tuple(values[step] for values in storage.distribution_params or ())
        actor(storage.observations[step], stochastic_output=True)
        at_hand = actor.output_distribution_params
        divergence += float(actor.get_kl_divergence(acted, at_hand).mean())
        said = actor.get_output_log_prob(storage.actions[step])[:, None]
        weight = (said - storage.actions_log_prob[step]).exp()
        truncated += float((weight > _MAX_WEIGHT).float().mean())
        storage.advantages[step] *= weight.clamp(max=_MAX_WEIGHT)
        storage.actions_log_prob[step] = said
        for kept, value in zip(acted, at_hand, strict=True):
            kept.copy_(value)
    torch.set_rng_state(random_state)
    steps = storage.num_transitions_per_env
    return {"policy/behaviour_kl": divergence / steps, "policy/truncated_weights": truncated / steps}
