"""A depth image to one feature vector: convolutions, and points in space that they locate."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from grasp_training.disaggregation.messages import read_depth
from grasp_training.learning.stereo_encoder import Keypoints, halved, keep_variance

_STRIDE = 4
"""Pixels of the image a cell of the feature map."""


@dataclass(frozen=True)
class DepthEncoderConfig:
    """Sizes of the depth encoder."""

    range_m: float = 2.0
    """Depth beyond which all is equally far, m."""
    middle_m: float = 1.0
    """Depth that becomes 0, m: about where the robot works, seen from the workcell's camera."""
    deviation_m: float = 0.3
    """Difference in depth that becomes 1, m."""
    channels: tuple[int, int, int] = (16, 24, 24)
    """Channels of the three convolutions (strides 2, 2, 1)."""
    keypoints: int = 32
    """Points located in the image, with the depth that is measured there."""
    map_channels: tuple[int, int] = (32, 16)
    """Channels of the two convolutions (the first of stride 2) from which places are read off."""
    map_features: int = 128
    """Width of what is read off the map, places kept."""


class DepthEncoder(nn.Module):
    """Encodes depth images as they were sent: float16 metres or uint16 millimetres, 0 where none is measured.

    Read off are: keypoints in the image with their depth; and features that keep their place (flattened, not
    pooled).
    """

    def __init__(self, height: int, width: int, config: DepthEncoderConfig) -> None:
        """Build the encoder for images of `height` x `width` pixels.

        Raises:
            ValueError: the images are too small for the strides.
        """
        super().__init__()
        if min(height, width) < 2 * _STRIDE:
            raise ValueError(
                f"Depth images are {height}x{width} pixels; at least {2 * _STRIDE} each way are needed"
            )
        first, second, third = config.channels
        self.config = config
        self.eye = nn.Sequential(
            nn.Conv2d(2, first, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        rows, columns = halved(height, 2), halved(width, 2)
        self.keypoints = Keypoints(third, config.keypoints, rows, columns)
        wide, narrow = config.map_channels
        self.map = nn.Sequential(
            nn.Conv2d(third, wide, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, narrow, 1),
            nn.ReLU(inplace=True),
        )
        self.apply(keep_variance)
        cells = halved(rows, 1) * halved(columns, 1)
        self.map_features = nn.Sequential(
            nn.Linear(narrow * cells, config.map_features), nn.ReLU(inplace=True)
        )
        self.output_size = 3 * config.keypoints + config.map_features
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, depth: torch.Tensor) -> torch.Tensor:
        """Return features (B, output_size) of depth images (B, 1, H, W) as they were sent."""
        image = self._image(depth)
        precision = torch.bfloat16 if torch.is_autocast_enabled(depth.device.type) else torch.float32
        features = self.eye(image.to(precision, memory_format=torch.channels_last))
        weights = self.keypoints.weights(features)
        points = torch.cat([weights @ self.keypoints.grid, weights @ self._depth_by_cell(image)], dim=2)
        on_map = self.map_features(self.map(features).flatten(1)).float()
        return torch.cat([points.flatten(1), on_map], dim=1)

    def _image(self, depth: torch.Tensor) -> torch.Tensor:
        """Return normalized depth, 0 where nothing was measured, and whether anything was, (B, 2, H, W)."""
        measured, config = read_depth(depth), self.config
        known = (measured > 0.0).to(measured.dtype)
        value = (measured.clamp(max=config.range_m) - config.middle_m) / config.deviation_m
        return torch.cat([value * known, known], dim=1)

    def _depth_by_cell(self, image: torch.Tensor) -> torch.Tensor:
        """Return the mean of what was measured in each cell (B, cells, 1); 0 where nothing was."""
        value, known = nn.functional.avg_pool2d(image, _STRIDE, ceil_mode=True).split(1, dim=1)
        return (value / known.clamp(min=1.0 / _STRIDE**2)).flatten(1)[..., None]
