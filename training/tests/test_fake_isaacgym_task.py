"""The grasp task with a recording fake of Isaac Gym as its simulator."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from fake_isaacgym_python import make_fake_python

from grasp_description.objects import object_set
from grasp_training.disaggregation import Setup
from grasp_training.runs import ConfigurationError
from grasp_training.simulators.isaacgym import IsaacGymConfig, IsaacGymError, IsaacGymSimulator
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
    simulator = env.simulator
    assert isinstance(simulator, IsaacGymSimulator)
    held = simulator.held_objects.tolist()
    assert all(chosen in held[index] for index, chosen in seen), "each has its own objects"
    assert len(seen) > 4, "and takes one or the other"
    assert python.calls("simulate"), "all of it came from the fake"


def test_blocks_of_few_environments_begin_at_different_objects_and_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One environment in each of four blocks, as their seeds have it: not four times the same object."""
    settings = IsaacGymConfig(str(make_fake_python(tmp_path).path), objects_per_env=2)
    task, setup = TaskConfig(simulator="isaacgym", isaacgym=settings), Setup(4, 4, (), "training", seed=0)
    held = []
    for block in range(4):
        env = make_env(task, 1, ("proprioception",), "training", setup.block_seed(block))
        assert isinstance(env.simulator, IsaacGymSimulator)
        held += env.simulator.held_objects.flatten().tolist()
        env.simulator.close()
    assert len(set(held)) > 4
    count = len(object_set("training"))
    assert (
        f"1 environments of Isaac Gym with 2 objects each have 2 of the set's {count} objects" in caplog.text
    )


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
