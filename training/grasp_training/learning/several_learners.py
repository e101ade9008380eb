"""What several learners have to do together, beyond the gradients and observation statistics that rsl_rl
averages."""

from __future__ import annotations

from typing import Any

import torch
from rsl_rl.modules.distribution import GaussianDistribution
from tensordict import TensorDict
from torch import distributed

from grasp_training.learning.received_storage import ReceivingPPO


class JointPPO(ReceivingPPO):
    """PPO whose learners normalize advantages over the experience of all of them, as one learner would."""

    def compute_returns(self, obs: TensorDict) -> None:
        """Compute returns and advantages; see `rsl_rl.algorithms.PPO`."""
        per_minibatch = self.normalize_advantage_per_mini_batch
        self.normalize_advantage_per_mini_batch = True  # rsl_rl would normalize over this learner's share
        super().compute_returns(obs)
        self.normalize_advantage_per_mini_batch = per_minibatch
        if not per_minibatch:
            self.storage.advantages = self._normalized(self.storage.advantages)

    def _normalized(self, advantages: torch.Tensor) -> torch.Tensor:
        count = advantages.numel() * self.gpu_world_size
        total = advantages.sum()
        distributed.all_reduce(total)
        centred = advantages - total / count
        squares = centred.square().sum()
        distributed.all_reduce(squares)
        return centred / ((squares / (count - 1)).sqrt() + 1e-8)


class JointGaussian(GaussianDistribution):
    """Draws the noise of all learners' environments, and takes the rows of its own.

    Learners with equal generators then explore differently, and as one learner with all environments would.
    """

    def __init__(self, output_dim: int, learner: int, learners: int, **settings: Any) -> None:
        """Prepare to draw; see `rsl_rl.modules.distribution.GaussianDistribution`.

        Args:
            output_dim: number of actions.
            learner: number of this learner.
            learners: number of all.
            **settings: of `GaussianDistribution`.
        """
        super().__init__(output_dim, **settings)
        self._learner, self._learners = learner, learners
        self.generator: torch.Generator | None = None
        """Where the noise comes from; torch's global generator if none."""

    def sample(self) -> torch.Tensor:
        """Return actions (B, output_dim) for the means and deviations at hand."""
        mean, std = self.mean, self.std
        with torch.no_grad():
            shape = (self._learners * mean.shape[0], mean.shape[1])
            noise = torch.randn(shape, device=mean.device, generator=self.generator)
            return mean + std * noise[self._learner * mean.shape[0] :][: mean.shape[0]]
