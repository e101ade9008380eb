"""rsl_rl's storage over observations that lie where they were received, and PPO on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.env import VecEnv
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from grasp_training.disaggregation import RemoteVecEnv
from grasp_training.learning.depth_network import DepthModel
from grasp_training.learning.memory import Sequences


class ReceivedStorage(RolloutStorage):
    """Keeps actions, values and the like; observations are those that the environments keep of a rollout.

    Of recurrent state it keeps what a rollout starts from: mini-batches are whole rollouts of some
    environments.
    """

    def __init__(self, env: RemoteVecEnv, rollout: int, device: str, memory_size: int = 0) -> None:
        """Allocate, but for the observations.

        Args:
            env: environments that keep rollouts.
            rollout: which of them.
            device: where all is learnt; it has to be where the environments' records arrive.
            memory_size: numbers of recurrent state an environment; 0 where the actor has none.
        """
        nothing = TensorDict({}, batch_size=[env.num_envs])
        super().__init__("rl", env.num_envs, env.rollout_steps, nothing, [env.num_actions], device)
        self._nothing = nothing
        self._stored_nothing = self.observations
        self.observations = env.kept_observations(rollout)
        self.memory = torch.zeros(env.num_envs, memory_size, device=device) if memory_size else None
        """(num_envs, memory_size) before the first step."""

    def add_transition(self, transition: RolloutStorage.Transition) -> None:
        """Add a transition; see `RolloutStorage`. Its observations are there already."""
        received, self.observations = self.observations, self._stored_nothing
        transition.observations = self._nothing
        if self.memory is not None and self.step == 0:
            before = transition.hidden_states[0]
            self.memory.copy_(torch.zeros_like(self.memory) if before is None else before[0])
        transition.hidden_states = (None, None)
        try:
            super().add_transition(transition)
        finally:
            self.observations = received

    def hidden_state(self, rows: slice | torch.Tensor) -> Sequences | None:
        """Return what an actor with memory needs beside the observations of some environments."""
        return None if self.memory is None else Sequences(self.memory[rows], self.dones[:, rows, 0])

    def recurrent_mini_batch_generator(
        self, num_mini_batches: int, num_epochs: int = 8
    ) -> Iterator[RolloutStorage.Batch]:  # type: ignore[override]
        """Yield whole rollouts (T, B, …) of environments drawn at random, every one once an epoch.

        rsl_rl's own generator pads sequences, images and all, to one length.
        """
        size = self.num_envs // num_mini_batches
        for _ in range(num_epochs):
            order = torch.randperm(self.num_envs, device=self.device)
            for rows in order[: size * num_mini_batches].split(size):
                yield RolloutStorage.Batch(
                    observations=self.observations[:, rows],  # type: ignore[arg-type]
                    actions=self.actions[:, rows],
                    values=self.values[:, rows],
                    advantages=self.advantages[:, rows],
                    returns=self.returns[:, rows],
                    old_actions_log_prob=self.actions_log_prob[:, rows],
                    old_distribution_params=tuple(p[:, rows] for p in self.distribution_params or ()),
                    hidden_states=(self.hidden_state(rows), None),  # type: ignore[arg-type]
                )


class PositionLesson:
    """Adds an actor's auxiliary loss to PPO's, in the place of rsl_rl's symmetry loss.

    That is the only place where rsl_rl takes one more loss of the actor.
    """

    use_mirror_loss = True

    def __init__(self, weight: float) -> None:
        self.mirror_loss_coeff = weight

    def augment_batch(self, batch: RolloutStorage.Batch, original_batch_size: int) -> None:
        """Leave the batch as it is."""

    def compute_loss(
        self, actor: DepthModel, batch: RolloutStorage.Batch, original_batch_size: int
    ) -> torch.Tensor:
        """Return the loss of the estimates that the actor has just made for this batch."""
        return actor.position_loss(batch.observations)  # type: ignore[arg-type]


class ReceivingPPO(PPO):
    """PPO that learns from observations where they were received."""

    @staticmethod
    def construct_algorithm(obs: TensorDict, env: VecEnv, cfg: dict[str, Any], device: str) -> PPO:
        """Construct the algorithm; see `rsl_rl.algorithms.PPO`.

        Raises:
            ValueError: the environments keep rollouts of another length, or on another device.
        """
        if not isinstance(env, RemoteVecEnv) or env.rollout_steps != cfg["num_steps_per_env"]:
            steps = getattr(env, "rollout_steps", None)
            raise ValueError(
                f"{type(env).__name__} keeps rollouts of {steps} steps; num_steps_per_env is "
                f"{cfg['num_steps_per_env']}"
            )
        if str(env.device) != str(device):
            raise ValueError(f"Records arrive on {env.device}; learning on {device} expects them there")
        # rsl_rl's own storage would hold all observations once more: it is made for one step, then replaced.
        one_step = {**cfg, "num_steps_per_env": 1}
        algorithm = PPO.construct_algorithm(obs, env, one_step, device)
        cfg["obs_groups"] = one_step["obs_groups"]
        actor = algorithm.actor
        algorithm.storage = ReceivedStorage(env, 0, device, getattr(actor, "memory_size", 0))
        if isinstance(actor, DepthModel) and actor.position_weight:
            algorithm.symmetry = PositionLesson(actor.position_weight)  # type: ignore[assignment]
        return algorithm

    def update(self) -> dict[str, float]:
        """Learn from the rollout; see `rsl_rl.algorithms.PPO`."""
        figures = super().update()
        if isinstance(self.symmetry, PositionLesson):
            figures["position"] = figures.pop("symmetry")
        return figures
