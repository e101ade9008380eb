"""Two images to one feature vector: shared convolutions, left-right correlation, keypoints.

Sized for two CPU cores: about half a millisecond a frame (both images, forward and backward, bfloat16).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

_STRIDE = 4
"""Pixels of the image a cell of the eyes' feature maps."""


@dataclass(frozen=True)
class StereoEncoderConfig:
    """Sizes of the stereo encoder."""

    channels: tuple[int, int, int] = (16, 24, 24)
    """Channels of the three convolutions that both eyes share (strides 2, 2, 1)."""
    max_disparity_px: int = 32
    """Greatest shift between left and right image at which features are compared, pixels."""
    fusion_channels: tuple[int, int] = (48, 48)
    """Channels of the convolutions over left features, right features and correlations."""
    keypoints: int = 32
    """Image points located in each eye, by the same weights: their shift is a disparity."""
    map_features: int = 128
    """Width of what is read off the fused map, places kept."""


_BYTE_MEAN, _BYTE_DEVIATION = 127.5, 64.0
"""What images are normalized with: about the mean and the deviation of their bytes."""


class ImageConvolution(nn.Conv2d):
    """A convolution of bytes that normalizes them.

    Weights and bias are scaled instead of the image: in bfloat16, which holds every byte exactly, that saves
    three passes over the images, half of the encoder's time.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (torch's name)
        """Return features of an image (B, 3, H, W) with values 0 … 255, of any floating-point type."""
        weight = self.weight * (1.0 / _BYTE_DEVIATION)
        bias = self.bias - _BYTE_MEAN * weight.sum(dim=(1, 2, 3))  # type: ignore[operator]
        return self._conv_forward(input, weight, bias)


class EyeNetwork(nn.Sequential):
    """What one eye sees: image (B, 3, H, W), 0 … 255, to features (B, C, ceil(H/4), ceil(W/4))."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        """Build three convolutions with the channels given."""
        first, second, third = channels
        super().__init__(
            ImageConvolution(3, first, 5, stride=2, padding=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(inplace=True),
        )


class Keypoints(nn.Module):
    """Spatial soft-argmax: where in the image each learned pattern is.

    Finn et al., "Deep Spatial Autoencoders for Visuomotor Learning" (arXiv 1509.06113).
    """

    grid: torch.Tensor

    def __init__(self, channels: int, count: int, height: int, width: int) -> None:
        """Locate `count` patterns on maps of `channels` channels and `height` x `width` cells."""
        super().__init__()
        self.heat = nn.Conv2d(channels, count, 1)
        rows, columns = torch.meshgrid(
            torch.linspace(-1.0, 1.0, height), torch.linspace(-1.0, 1.0, width), indexing="ij"
        )
        self.register_buffer(
            "grid", torch.stack([columns.flatten(), rows.flatten()], dim=1), persistent=False
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return places (B, count, 2), x and y from -1 to 1, of features (B, C, height, width)."""
        heat = self.heat(features).float().flatten(2)
        return torch.softmax(heat, dim=2) @ self.grid


class StereoEncoder(nn.Module):
    """Encodes a pair of images.

    Both eyes go through the same weights. Read off are: keypoints of the left eye and their disparities; and,
    from a map of left features, right features and their correlation along the row at 0 … max_disparity_px,
    features that keep their place (flattened, not pooled).
    """

    band: torch.Tensor
    inside: torch.Tensor

    def __init__(self, height: int, width: int, config: StereoEncoderConfig) -> None:
        """Build the encoder for images of `height` x `width` pixels.

        Raises:
            ValueError: the images are too small for the strides.
        """
        super().__init__()
        if min(height, width) < 2 * _STRIDE:
            raise ValueError(
                f"Stereo images are {height}x{width} pixels; at least {2 * _STRIDE} each way are needed"
            )
        self.height, self.width = height, width
        rows, columns = _halved(height, 2), _halved(width, 2)
        self.disparities = min(config.max_disparity_px // _STRIDE, columns - 1) + 1
        band, inside = _band(columns, self.disparities)
        self.register_buffer("band", band, persistent=False)
        self.register_buffer("inside", inside, persistent=False)
        features = config.channels[-1]
        self.eye = EyeNetwork(config.channels)
        self.keypoints = Keypoints(features, config.keypoints, rows, columns)
        first, second = config.fusion_channels
        self.fusion = nn.Sequential(
            nn.Conv2d(2 * features + self.disparities, first, 3, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(first, second, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(second, 16, 1),
            nn.ReLU(inplace=True),
        )
        self.apply(_initialize)
        cells = _halved(rows, 1) * _halved(columns, 1)
        self.map_features = nn.Sequential(nn.Linear(16 * cells, config.map_features), nn.ReLU(inplace=True))
        self.output_size = 4 * config.keypoints + config.map_features
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return features (B, output_size) of uint8 images left and right (B, H, W, 3)."""
        batch = left.shape[0]
        both = torch.cat([left, right]).permute(0, 3, 1, 2)
        precision = torch.bfloat16 if torch.is_autocast_enabled(left.device.type) else torch.float32
        features = self.eye(both.to(precision))
        points = self.keypoints(features)
        left_features, right_features = features[:batch], features[batch:]
        fused = self.fusion(
            torch.cat([left_features, right_features, self.correlate(left_features, right_features)], dim=1)
        )
        on_map = self.map_features(fused.flatten(1)).float()
        return torch.cat(
            [points[:batch].flatten(1), (points[:batch] - points[batch:]).flatten(1), on_map], dim=1
        )

    def correlate(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """Return the agreement (B, disparities, h, w) of left with right features, by disparity in cells.

        What the left eye sees at column x, the right eye, further right, sees at x - disparity.
        """
        # One product a row compares all columns with all; the band of disparities is then picked out.
        # Shifting and multiplying one disparity at a time took three times as long, backwards most of all.
        rows_of_left, rows_of_right = left.permute(0, 2, 3, 1), right.permute(0, 2, 1, 3)
        scale = 1.0 / left.shape[1]
        all_pairs = (rows_of_left * scale) @ rows_of_right
        band = all_pairs.flatten(2)[..., self.band] * self.inside
        return band.unflatten(2, (left.shape[3], self.disparities)).permute(0, 3, 1, 2)


def _initialize(module: nn.Module) -> None:
    """Keep the variance through the layers (He et al., arXiv 1502.01852).

    torch's own initialization lets it fall by a factor of a hundred here; the object's position is then
    learnt half as fast.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _band(columns: int, disparities: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, by column and disparity, the index among all pairs of columns, and whether that pair exists."""
    left = torch.arange(columns)[:, None]
    right = left - torch.arange(disparities)[None]
    return (left * columns + right.clamp(min=0)).flatten(), (right >= 0).flatten().float()


def _halved(size: int, times: int) -> int:
    """Return the size after `times` convolutions of stride 2 that pad by half their kernel."""
    for _ in range(times):
        size = (size + 1) // 2
    return size
