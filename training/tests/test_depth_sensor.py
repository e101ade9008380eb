"""What a depth camera makes of true depth."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from grasp_training.tasks import CurriculumConfig, TaskConfig, make_env
from grasp_training.tasks.depth_sensor import DepthSensor, DepthSensorConfig

ROWS, COLUMNS = 24, 32
NONE = DepthSensorConfig(noise_per_m=0.0, scale=0.0, offset_m=0.0, holes=0.0, edges=0.0, late=0.0)


def scene(count: int = 1) -> torch.Tensor:
    """A wall at 1.2 m with a box before it at 0.8 m, and nothing in a corner."""
    depth = torch.full((count, 1, ROWS, COLUMNS), 1.2)
    depth[..., 8:16, 10:20] = 0.8
    depth[..., :3, :3] = 0.0
    return depth


def measured(config: DepthSensorConfig, count: int = 200, level: float = 1.0, steps: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    sensor = DepthSensor(count, config)
    sensor.reset(torch.arange(count), level, torch.rand(count, 5, generator=generator))
    images = []
    for step in range(steps):
        draws = torch.rand(count, DepthSensor.step_draws(ROWS, COLUMNS), generator=generator)
        images.append(sensor.measure(scene(count) + 0.01 * step, level, draws))
    return torch.stack(images)


def test_without_errors_depth_is_true_to_a_step_and_within_range() -> None:
    for found in (measured(NONE), measured(DepthSensorConfig(), level=0.0)):
        torch.testing.assert_close(found[0, 0], scene()[0], atol=5.1e-4, rtol=0.0)
    near = measured(replace(NONE, near_m=1.0, far_m=1.1))[0, 0]
    assert (near == 0.0).all()
    assert (measured(replace(NONE, far_m=1.0))[0, 0, 0, 8:16, 10:20] > 0.0).all()


def test_noise_grows_with_the_square_of_the_distance() -> None:
    found = measured(replace(NONE, noise_per_m=0.01, step_m=1e-6))[0, :, 0]
    wall, box = found[:, 18:, :].std(), found[:, 8:16, 10:20].std()
    assert float(wall) == pytest.approx(0.01 * 1.2**2, rel=0.1)
    assert float(box) == pytest.approx(0.01 * 0.8**2, rel=0.1)
    neighbours = torch.corrcoef(torch.stack([found[:, 20, 4:8].flatten(), found[:, 20, 5:9].flatten()]))
    assert neighbours[0, 1] > 0.5, "noise hangs together"


def test_scale_and_offset_are_an_episodes() -> None:
    found = measured(replace(NONE, scale=0.02, offset_m=0.01, step_m=1e-6), steps=2)
    error = found[0, :, 0, 20, 20] - 1.2
    assert error.abs().max() <= 0.02 * 1.2 + 0.01
    assert error.std() > 0.005
    again = found[1, :, 0, 20, 20] - 1.21
    torch.testing.assert_close(error, again, atol=3e-4, rtol=0.0)


def test_holes_cover_up_to_their_share_in_patches() -> None:
    found = measured(replace(NONE, holes=0.2))[0, :, 0, 4:]
    missing = (found == 0.0).float().mean(dim=(1, 2))
    assert 0.07 < float(missing.mean()) < 0.13
    assert missing.max() < 0.35
    gone = found == 0.0
    together = (gone[:, :, 1:] & gone[:, :, :-1]).sum() / gone[:, :, :-1].sum()
    assert together > 0.6


def test_edges_and_only_edges_are_torn() -> None:
    found = measured(replace(NONE, edges=1.0))[0, :, 0]
    wrong = (found - scene()[0, 0]).abs() > 1e-3
    columns = wrong[:, 8:16].any(dim=0).any(dim=0)
    assert set(torch.nonzero(columns).flatten().tolist()) == {10, 20}
    assert found[:, 10, 10].unique().tolist() == pytest.approx([0.0, 0.8, 1.2])


def test_a_late_frame_is_the_one_before_but_never_another_episodes() -> None:
    sensor = DepthSensor(2, replace(NONE, late=1.0))
    sensor.reset(torch.arange(2), 1.0, torch.ones(2, 5))
    draws = torch.zeros(2, DepthSensor.step_draws(ROWS, COLUMNS))
    first = sensor.measure(scene(2), 1.0, draws)
    second = sensor.measure(scene(2) + 0.1, 1.0, draws)
    assert torch.equal(second, first)
    sensor.reset(torch.tensor([1]), 1.0, torch.ones(1, 5))
    third = sensor.measure(scene(2) + 0.2, 1.0, draws)
    assert torch.equal(third[0], first[0])
    torch.testing.assert_close(third[1], scene()[0] + 0.2 * (scene()[0] > 0), atol=1e-3, rtol=0.0)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_the_task_gives_measured_depth(level: float) -> None:
    task = TaskConfig(threads=1, curriculum=CurriculumConfig(start_level=level))
    env = make_env(task, 2, ("proprioception", "depth"), "training", seed=0)
    for _ in range(3):
        depth = env.step(torch.zeros(2, 11))[0]["depth"]
    assert depth.shape[:2] == (2, 1)
    assert depth.dtype == torch.float32
    seen = depth[depth > 0]
    assert 0.28 <= float(seen.min()) < float(seen.max()) <= 3.0
    torch.testing.assert_close(seen, (seen * 1000).round() / 1000)
