"""The grasp task with a recording fake of Isaac Gym as its simulator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fake_isaacgym_python import make_fake_python

from grasp_description.objects import object_set
from grasp_training.runs import ConfigurationError
from grasp_training.simulators.isaacgym import IsaacGymConfig, IsaacGymError
from grasp_training.tasks import ImageConfig, RandomizationConfig, TaskConfig, make_env
from grasp_training.tasks.randomization import HeldObjectsSampler


def test_the_task_runs_episodes_with_a_fake_isaac_gym(tmp_path: Path) -> None:
    python = make_fake_python(tmp_path)
    task = TaskConfig(
        episode_length_s=0.2,
        depth_image=ImageConfig(8, 6),
        simulator="isaacgym",
        isaacgym=IsaacGymConfig(str(python.path), objects_per_env=2),
    )
    env = make_env(task, 4, ("proprioception", "privileged", "depth"), "training", seed=0)
    seen = set()
    for _ in range(20):
        observations, reward, _, _ = env.step(0.1 * torch.randn(4, env.num_actions))
        assert torch.isfinite(reward).all()
        assert all(torch.isfinite(group).all() for group in observations.values())
        seen |= {(index, int(chosen)) for index, chosen in enumerate(env.object_index)}
    assert observations["depth"].shape == (4, 1, 6, 8)
    assert {chosen // 2 == index for index, chosen in seen} == {True}, "each has its own objects"
    assert len(seen) > 4, "and takes one or the other"
    assert python.calls("simulate"), "all of it came from the fake"


def test_a_task_that_names_no_python_for_isaac_gym_says_how_to_get_it() -> None:
    with pytest.raises(IsaacGymError, match=r"developer\.nvidia\.com"):
        make_env(TaskConfig(simulator="isaacgym"), 1, ("proprioception",), "training", seed=0)


def test_masses_that_isaac_gym_could_not_change_are_refused_at_the_start() -> None:
    task = TaskConfig(simulator="isaacgym", isaacgym=IsaacGymConfig("none", gpu_pipeline=True))
    with pytest.raises(ConfigurationError, match=r"randomization\.mass is \(0\.7, 1\.4\)"):
        make_env(task, 1, ("proprioception",), "training", seed=0)


def test_episodes_are_drawn_from_the_objects_that_a_simulation_has() -> None:
    held = torch.tensor([[3, 4, 5], [0, 7, 2]])
    sampler = HeldObjectsSampler(object_set("training")[:8], RandomizationConfig(), 0, held)
    drawn = torch.stack([sampler.choose_objects(torch.tensor([1, 0, 1])) for _ in range(100)])
    assert [set(column.tolist()) for column in drawn.T] == [{0, 7, 2}, {3, 4, 5}, {0, 7, 2}]
