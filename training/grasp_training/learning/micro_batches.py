"""Encoding many images with the memory of a few."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint


def in_micro_batches(encode: Callable[..., torch.Tensor], size: int, *images: torch.Tensor) -> torch.Tensor:
    """Return `encode(*images)`, some images at a time.

    Where gradients are wanted, what lies between images and features is computed a second time when they are,
    instead of being kept: the gradients are those of the whole batch.

    Args:
        encode: from images (B, …) to features (B, F), each image for itself.
        size: images at a time; 0 takes all.
        *images: (B, …) each.
    """
    if not size or len(images[0]) <= size:
        return encode(*images)
    parts = zip(*(batch.split(size) for batch in images), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([encode(*part) for part in parts])
    return torch.cat([
        checkpoint(encode, *part, use_reentrant=False, preserve_rng_state=False)  # type: ignore[misc]
        for part in parts
    ])  # fmt: skip
