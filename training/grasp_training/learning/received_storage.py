"""rsl_rl's storage over observations that lie where they were received."""

from __future__ import annotations

from typing import Any

from rsl_rl.algorithms import PPO
from rsl_rl.env import VecEnv
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from grasp_training.disaggregation import RemoteVecEnv


class ReceivedStorage(RolloutStorage):
    """Keeps actions, values and the like; observations are those that the environments keep of a rollout."""

    def __init__(self, env: RemoteVecEnv, rollout: int, device: str) -> None:
        """Allocate, but for the observations.

        Args:
            env: environments that keep rollouts.
            rollout: which of them.
            device: where all is learnt; it has to be where the environments' records arrive.
        """
        nothing = TensorDict({}, batch_size=[env.num_envs])
        super().__init__("rl", env.num_envs, env.rollout_steps, nothing, [env.num_actions], device)
        self._nothing = nothing
        self._stored_nothing = self.observations
        self.observations = env.kept_observations(rollout)

    def add_transition(self, transition: RolloutStorage.Transition) -> None:
        """Add a transition; see `RolloutStorage`. Its observations are there already."""
        received, self.observations = self.observations, self._stored_nothing
        transition.observations = self._nothing
        try:
            super().add_transition(transition)
        finally:
            self.observations = received


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
        algorithm.storage = ReceivedStorage(env, 0, device)
        return algorithm
