"""Several learners, each with a share of the environments, learn what one learner with all of them does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from learning_samples import small_student
from ranks_in_processes import LIMITS, one_whole_batch, placed_teacher
from toy_environment import ToyTask, make_lesson_env, make_toy_env

from grasp_training.learning import train_student, train_teacher
from grasp_training.learning.placed import train_placed
from grasp_training.runs import run_folder

TASK = ToyTask(episode_steps=5)


@pytest.mark.parametrize("placement", ["data-parallel:2", "1:2"])
def test_two_learners_on_half_the_environments_each_equal_one_on_all(tmp_path: Path, placement: str) -> None:
    train_teacher(one_whole_batch("one", "single"), TASK, make_toy_env, tmp_path)
    train_placed(train_teacher, one_whole_batch("two", placement), TASK, make_toy_env, tmp_path)
    one, two = (run_folder(tmp_path, run).checkpoints().load_latest().content for run in ("one", "two"))
    for network in ("actor_state_dict", "critic_state_dict"):
        for name, value in one[network].items():
            torch.testing.assert_close(two[network][name], value, atol=1e-5, rtol=0.0, msg=name)
    start = torch.full((11,), 0.7).log()
    assert (one["actor_state_dict"]["distribution.log_std_param"] - start).abs().max() > 1e-4, "it has learnt"
    assert two["environment"] == one["environment"], "outcomes of both learners move the level"
    assert two["environment_steps"] == one["environment_steps"] == 12 * 8


def test_learners_go_on_together_from_a_checkpoint(tmp_path: Path) -> None:
    for iterations in (2, 4):
        config = placed_teacher("on", "data-parallel:2", iterations)
        train_placed(train_teacher, config, TASK, make_toy_env, tmp_path, resume=iterations > 2)
    folder = run_folder(tmp_path, "on")
    assert [row["iteration"] for row in folder.metrics.rows()] == [1, 2, 3, 4]
    content = folder.checkpoints().load_latest().content
    assert content["environment_steps"] == 4 * 12 * 8
    assert content["actor_state_dict"]["obs_normalizer.count"] == 4 * 12 * 8


def test_learners_distil_together_with_lessons_in_seeing(tmp_path: Path) -> None:
    train_teacher(one_whole_batch("teacher", "single"), TASK, make_toy_env, tmp_path)
    config = dataclasses.replace(
        small_student("student", "teacher"), num_envs=12, placement="data-parallel:2", limits=LIMITS
    )
    train_placed(train_student, config, TASK, make_lesson_env, tmp_path)
    content = run_folder(tmp_path, "student").checkpoints().load_latest().content
    steps = 3 * 12 * config.distillation.steps_per_rollout
    assert content["environment_steps"] == steps
    assert content["student_state_dict"]["normalizer.count"] == steps, "what either learner saw counts"
