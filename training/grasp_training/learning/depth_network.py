"""An actor that sees depth images: rsl_rl's convolutional model on depth as it was sent."""

from __future__ import annotations

from typing import Any

import torch
from rsl_rl.models import CNNModel
from torch import nn

from grasp_training.disaggregation.messages import read_depth
from grasp_training.learning.micro_batches import in_micro_batches


class DepthEncoder(nn.Module):
    """Turns float16 metres or uint16 millimetres into shares of a range, and convolves them."""

    def __init__(self, convolutions: nn.Module, range_m: float, micro_batch: int) -> None:
        super().__init__()
        self.convolutions, self.range_m, self.micro_batch = convolutions, range_m, micro_batch

    def forward(self, depth: torch.Tensor) -> torch.Tensor:
        """Return features (B, F) of depth images (B, C, H, W) as they were sent."""
        return in_micro_batches(self._encode, self.micro_batch, depth)

    def _encode(self, depth: torch.Tensor) -> torch.Tensor:
        return self.convolutions((read_depth(depth) / self.range_m).clamp(0.0, 1.0))


class DepthModel(CNNModel):
    """rsl_rl's convolutional model with `DepthEncoder` in front of every group of images."""

    def __init__(self, *arguments: Any, range_m: float, micro_batch: int = 0, **settings: Any) -> None:
        """Build the model; see `rsl_rl.models.CNNModel`.

        Args:
            *arguments: of `CNNModel`.
            range_m: depth in m that becomes 1; what is farther is no different.
            micro_batch: images convolved at a time; 0 takes all.
            **settings: of `CNNModel`.
        """
        super().__init__(*arguments, **settings)
        encoders = {name: DepthEncoder(cnn, range_m, micro_batch) for name, cnn in self.cnns.items()}
        self.cnns = nn.ModuleDict(encoders)
