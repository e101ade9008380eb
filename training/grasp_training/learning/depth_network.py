"""An actor that sees depth images: rsl_rl's convolutional model on depth as it was sent."""

from __future__ import annotations

from typing import Any

import torch
from rsl_rl.models import CNNModel
from tensordict import TensorDict

from grasp_training.disaggregation.messages import read_depth


class DepthModel(CNNModel):
    """Turns float16 metres or uint16 millimetres into shares of a range before it convolves them."""

    def __init__(self, *arguments: Any, range_m: float, **settings: Any) -> None:
        """Build the model; see `rsl_rl.models.CNNModel`.

        Args:
            *arguments: of `CNNModel`.
            range_m: depth in m that becomes 1; what is farther is no different.
            **settings: of `CNNModel`.
        """
        super().__init__(*arguments, **settings)
        self.range_m = range_m

    def get_latent(self, obs: TensorDict, masks: torch.Tensor | None = None, hidden_state: Any = None) -> Any:
        """Return features (B, F) of the observations (B, …)."""
        obs = obs.copy()
        for group in self.obs_groups_2d:
            obs.set(group, (read_depth(obs[group]) / self.range_m).clamp(0.0, 1.0))
        return super().get_latent(obs, masks, hidden_state)
