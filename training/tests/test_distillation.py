"""Distillation: the student learns what the teacher does, remembers, forgets at episode ends, and resumes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from learning_samples import new_student, small_student, small_teacher
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import nn
from toy_environment import ToyEnv, ToyTask, make_toy_env

from grasp_training.learning import DistillationConfig, train_student, train_teacher
from grasp_training.learning.distillation import StereoDistillation
from grasp_training.runs import ConfigurationError, RunError

GROUPS = ("stereo", "proprioception", "privileged", "object_position")
SETTINGS = DistillationConfig(
    sight_iterations=0,
    sight_share=0.0,
    steps_per_rollout=10,
    gradient_steps=8,
    sequences_per_step=16,
    replay_rollouts=4,
    burn_in_steps=2,
    teacher_share=1.0,
    teacher_steps=8,
    mixing_iterations=5,
    learning_rate=3e-3,
    final_learning_rate=1e-3,
    position_weight=0.3,
)


class PerfectTeacher(nn.Module):
    """Goes straight to the place; says more than the clipped action can."""

    def forward(self, obs: TensorDict) -> torch.Tensor:
        actions = torch.zeros(obs.batch_size[0], 11)
        actions[:, :2] = 3.0 * obs["privileged"][:, 2:4]
        return actions

    def reset(self, dones: torch.Tensor) -> None:
        """Forget nothing: there is no memory."""


def make_algorithm(env: ToyEnv, settings: DistillationConfig = SETTINGS) -> StereoDistillation:
    storage = RolloutStorage(
        "distillation", env.num_envs, settings.steps_per_rollout, env.get_observations(), [11]
    )
    algorithm = StereoDistillation(new_student(), PerfectTeacher(), storage, settings, total_iterations=30)
    algorithm.train_mode()
    return algorithm


def roll_out(algorithm: StereoDistillation, env: ToyEnv) -> None:
    obs = env.get_observations()
    with torch.inference_mode():
        for _ in range(algorithm.settings.steps_per_rollout):
            actions = algorithm.act(obs)
            obs, rewards, dones, extras = env.step(actions)
            algorithm.process_env_step(obs, rewards, dones, extras)


def toy_env(num_envs: int) -> ToyEnv:
    return make_toy_env(ToyTask(), num_envs, GROUPS, "training", seed=0)


def test_a_student_learns_from_images_what_the_teacher_does() -> None:
    torch.manual_seed(0)
    env = toy_env(32)
    algorithm = make_algorithm(env, dataclasses.replace(SETTINGS, teacher_share=0.0))
    figures = []
    for _ in range(25):
        roll_out(algorithm, env)
        figures.append(algorithm.update())
    first = sum(row["behaviour"] for row in figures[:3]) / 3
    last = sum(row["behaviour"] for row in figures[-3:]) / 3
    assert last < 0.4 * first, f"the behaviour loss went from {first:.4f} to {last:.4f}"
    error = figures[-1]["policy/position_error_m"]
    assert error < 0.4, f"the place, known to within 0.65 by guessing, is found to within {error:.2f}"


def test_the_teacher_begins_episodes_less_and_less_and_never_in_the_unmixed_environments() -> None:
    algorithm = make_algorithm(toy_env(400))
    shares = []
    for _ in range(7):
        shares.append(algorithm.teacher_share)
        takeover = algorithm._draw_takeover()
        assert not takeover[:50].any(), "an eighth of the environments is the student's alone"
        assert (takeover[50:] > 0).float().mean() == pytest.approx(shares[-1], abs=0.1)
        assert takeover.max() <= SETTINGS.teacher_steps
        algorithm.num_updates += 1
    assert shares == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0])


def test_the_student_takes_over_in_mid_episode_and_is_taught_from_there() -> None:
    env = toy_env(4)
    algorithm = make_algorithm(env)
    algorithm._takeover = torch.tensor([0.0, 3.0, 6.0, 50.0])
    roll_out(algorithm, env)
    storage = algorithm.storage
    by_teacher = (storage.actions == storage.privileged_actions).all(dim=2)
    assert by_teacher.sum(dim=0).tolist() == [0, 3, 6, 10]
    assert storage.observations["student_acts"].sum(dim=0).tolist() == [10, 5, 2, 0]


def test_the_student_first_learns_to_see_and_nothing_else() -> None:
    env = toy_env(32)
    algorithm = make_algorithm(env, dataclasses.replace(SETTINGS, sight_iterations=2, sight_share=0.25))
    given: list[torch.Tensor] = []
    algorithm.use_lessons(given.append)
    before = {name: value.clone() for name, value in algorithm.student.state_dict().items()}
    for _ in range(2):
        roll_out(algorithm, env)
        assert torch.equal(algorithm.storage.actions, algorithm.storage.privileged_actions)
        assert not algorithm.storage.observations["student_acts"].any()
        figures = algorithm.update()
        assert figures["behaviour"] == 0.0
        assert figures["position"] > 0.0
    after = algorithm.student.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"encoder", "sight_head", "normalizer", "position_normalizer"}
    assert [int(which.sum()) for which in given] == [32, 32, 8]


def test_after_that_the_student_acts_but_where_lessons_go_on() -> None:
    env = toy_env(32)
    algorithm = make_algorithm(
        env, dataclasses.replace(SETTINGS, sight_iterations=1, sight_share=0.25, teacher_share=0.0)
    )
    lessons = torch.zeros(32, dtype=torch.bool)
    algorithm.use_lessons(lessons.copy_)
    for _ in range(4):
        roll_out(algorithm, env)
        figures = algorithm.update()
    assert figures["behaviour"] > 0.0
    own = algorithm._replay[-2].observations["student_acts"]
    assert not own[:, lessons].any()
    assert own[:, ~lessons].all()


def test_gradients_of_several_learners_are_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    env = toy_env(16)
    algorithm = make_algorithm(env)
    roll_out(algorithm, env)
    behaviour, position = algorithm._losses(next(algorithm._batches()))
    (behaviour + position).backward()
    parameters = [value for value in algorithm.student.parameters() if value.grad is not None]
    before = [value.grad.clone() for value in parameters if value.grad is not None]
    assert any(not gradient.is_contiguous() for gradient in before), "channels come last in convolutions"
    # Another learner has found gradients twice as large.
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda tensor, op: tensor.mul_(3.0))
    algorithm.gpu_world_size = 2
    algorithm.reduce_parameters()
    for value, gradient in zip(parameters, before, strict=True):
        torch.testing.assert_close(value.grad, 1.5 * gradient)


def test_the_losses_that_are_told_are_the_means_over_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    env = toy_env(16)
    algorithm = make_algorithm(env)
    roll_out(algorithm, env)
    told = iter(range(SETTINGS.gradient_steps))

    def losses(_: Any) -> tuple[torch.Tensor, torch.Tensor]:
        nothing = 0.0 * next(algorithm.student.parameters()).sum()
        return nothing + 2.0 * next(told), nothing + 1.0

    monkeypatch.setattr(algorithm, "_losses", losses)
    figures = algorithm.update()
    assert (figures["behaviour"], figures["position"]) == (7.0, 1.0)
    assert next(told, None) is None, "every batch counts"


def test_labels_are_the_clipped_actions_of_the_teacher() -> None:
    env = toy_env(8)
    algorithm = make_algorithm(env)
    roll_out(algorithm, env)
    labels = algorithm.storage.privileged_actions
    assert labels.abs().max() <= 1.0
    assert (labels[..., :2].abs() == 1.0).any(), "the teacher asked for more than an action can be"


def test_images_are_stored_once_as_bytes() -> None:
    env = toy_env(8)
    algorithm = make_algorithm(env)
    roll_out(algorithm, env)
    images = algorithm.storage.observations["stereo"]
    assert images.dtype == torch.uint8
    assert images.shape == (10, 8, 2, 16, 24, 3)


def test_the_stored_memory_is_the_one_acted_with_and_empty_after_an_episode() -> None:
    env = toy_env(4)
    env.episode_length_buf[:] = torch.tensor([14, 15, 16, 3])
    algorithm = make_algorithm(env)
    roll_out(algorithm, env)
    memory = algorithm.storage.saved_hidden_state_a[0][:, 0]
    dones = algorithm.storage.dones[..., 0]
    assert dones.sum() == 3
    for step, environment in dones.nonzero().tolist():
        assert (memory[step + 1, environment] == 0).all()
    assert (memory[1:, 3] != 0).any(dim=1).all()


def test_old_rollouts_are_replayed_up_to_their_number() -> None:
    env = toy_env(4)
    algorithm = make_algorithm(env)
    storages = set()
    for _ in range(8):
        storages.add(id(algorithm.storage))
        roll_out(algorithm, env)
        algorithm.update()
    assert len(storages) == SETTINGS.replay_rollouts


def test_the_learning_rate_falls_along_a_half_cosine() -> None:
    algorithm = make_algorithm(toy_env(4))
    rates = []
    for updates in (0, 15, 30, 40):
        algorithm.num_updates = updates
        algorithm._set_learning_rate()
        rates.append(algorithm.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([3e-3, 2e-3, 1e-3, 1e-3])


def test_a_run_of_distillation_is_made_and_resumed_without_the_teachers_folder(tmp_path: Path) -> None:
    train_teacher(small_teacher("teacher"), ToyTask(), make_toy_env, tmp_path)
    folder = train_student(small_student("student", "teacher"), ToyTask(), make_toy_env, tmp_path)
    before = folder.checkpoints().load_latest().content
    assert before["num_updates"] == 3
    assert before["observations"]["stereo"] == [2, 16, 24, 3]
    level = before["environment"]["curriculum"]["level"]
    assert level > 0.0, "the curriculum goes on where the teacher's ended"
    (tmp_path / "teacher").rename(tmp_path / "elsewhere")
    config = small_student("student", "teacher", iterations=4)
    train_student(config, ToyTask(), make_toy_env, tmp_path, resume=True)
    after = folder.checkpoints().load_latest().content
    assert after["num_updates"] == 4
    teacher = "teacher_state_dict"
    assert all(torch.equal(before[teacher][name], after[teacher][name]) for name in before[teacher])
    rows = folder.metrics.rows()
    assert [row["iteration"] for row in rows] == [1, 2, 3, 4]
    assert {"loss/behaviour", "loss/position", "policy/teacher_share"} <= set(rows[-1])


def test_what_cannot_teach_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No teacher is named"):
        train_student(small_student("s", ""), ToyTask(), make_toy_env, tmp_path)
    with pytest.raises(RunError, match="no run 'nobody'"):
        train_student(small_student("s", "nobody"), ToyTask(), make_toy_env, tmp_path)
    train_teacher(small_teacher("teacher", iterations=1), ToyTask(), make_toy_env, tmp_path)
    train_student(small_student("s", "teacher", iterations=1), ToyTask(), make_toy_env, tmp_path)
    with pytest.raises(RunError, match=r"'s'.* is a student; a teacher is needed"):
        train_student(small_student("t", "s"), ToyTask(), make_toy_env, tmp_path)
    config = small_student("t", "teacher")
    settings = dataclasses.replace(config.distillation, burn_in_steps=6)
    with pytest.raises(ConfigurationError, match=r"burn_in_steps is 6; fewer than"):
        train_student(dataclasses.replace(config, distillation=settings), ToyTask(), make_toy_env, tmp_path)
    settings = dataclasses.replace(config.distillation, fresh_share=1.5)
    with pytest.raises(ConfigurationError, match=r"fresh_share is 1\.5; a share is between 0 and 1"):
        train_student(dataclasses.replace(config, distillation=settings), ToyTask(), make_toy_env, tmp_path)
