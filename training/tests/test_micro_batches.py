"""Encoders that take images in micro-batches: the same features and gradients, with less memory."""

from __future__ import annotations

import pytest
import torch
from learning_samples import new_student, student_observations
from torch import nn

from grasp_training.learning.depth_network import DepthEncoder
from grasp_training.learning.micro_batches import in_micro_batches


def gradients(module: nn.Module, output: torch.Tensor) -> dict[str, torch.Tensor]:
    module.zero_grad()
    (output * torch.linspace(-1, 1, output.numel()).view(output.shape)).sum().backward()
    return {name: value.grad.clone() for name, value in module.named_parameters() if value.grad is not None}


def depth_encoder(micro_batch: int) -> DepthEncoder:
    torch.manual_seed(0)
    convolutions = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2), nn.ELU(), nn.Conv2d(4, 8, 3, 2), nn.ELU(), nn.Flatten()
    )
    return DepthEncoder(convolutions, range_m=2.0, micro_batch=micro_batch)


@pytest.mark.parametrize("micro_batch", [1, 3, 10, 11])
def test_a_depth_encoders_gradients_are_those_of_the_whole_batch(micro_batch: int) -> None:
    depth = torch.rand(10, 1, 24, 32).half()
    whole, parts = depth_encoder(0), depth_encoder(micro_batch)
    torch.testing.assert_close(parts(depth), whole(depth))
    expected, found = gradients(whole, whole(depth)), gradients(parts, parts(depth))
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-3)


def test_a_students_gradients_are_those_of_the_whole_batch() -> None:
    student, obs = new_student(), student_observations(6)
    student.mixed_precision = False  # bfloat16 would round more than micro-batches do
    found = []
    for micro_batch in (0, 4):
        student.micro_batch = micro_batch
        features, position = student.encode(obs["stereo"], obs["proprioception"])
        found.append(gradients(student.encoder, torch.cat([features, position], dim=1)))
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, atol=1e-4, rtol=1e-3)


def kept_bytes(encoder: DepthEncoder, depth: torch.Tensor) -> int:
    """Return the bytes of all that is kept for the gradients."""
    kept = 0

    def pack(value: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += value.nbytes
        return value

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        encoder(depth)
    return kept


def test_of_micro_batches_the_images_alone_are_kept() -> None:
    depth = torch.rand(64, 1, 24, 32).half()
    assert kept_bytes(depth_encoder(8), depth) == depth.nbytes
    assert kept_bytes(depth_encoder(0), depth) > 5 * depth.nbytes


def test_nothing_is_computed_twice_where_no_gradients_are_wanted() -> None:
    calls = []

    def encode(images: torch.Tensor) -> torch.Tensor:
        calls.append(len(images))
        return images.flatten(1)

    images = torch.rand(7, 2, 2)
    with torch.no_grad():
        assert torch.equal(in_micro_batches(encode, 3, images), images.flatten(1))
    assert calls == [3, 3, 1]
