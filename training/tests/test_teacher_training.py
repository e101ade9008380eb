"""PPO teachers: they learn, are saved, survive being killed, and go on."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from learning_samples import small_teacher
from toy_environment import ToyEnv, ToyTask, make_toy_env

from grasp_training.learning import NetworkConfig, PpoConfig, train_teacher
from grasp_training.runs import RunError, find_success, run_folder

TRAIN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from learning_samples import small_teacher
from toy_environment import ToyTask, make_toy_env
from grasp_training.learning import train_teacher
train_teacher(small_teacher("killed", iterations=100000), ToyTask(), make_toy_env, Path({runs!r}))
"""


def test_a_teacher_learns_the_toy_task(tmp_path: Path) -> None:
    config = dataclasses.replace(
        small_teacher("learns", iterations=20, num_envs=32),
        ppo=PpoConfig(steps_per_rollout=20, epochs=4, minibatches=4, initial_learning_rate=3e-3),
        actor=NetworkConfig(hidden_sizes=(64, 64)),
        critic=NetworkConfig(hidden_sizes=(64, 64)),
    )
    rows = train_teacher(config, ToyTask(), make_toy_env, tmp_path).metrics.rows()
    first, last = rows[1]["train/mean_reward"], rows[-1]["train/mean_reward"]
    assert last > first + 2.0, f"mean reward went from {first:.2f} to {last:.2f}"


def test_a_run_is_a_folder_with_configuration_checkpoints_figures_and_curves(tmp_path: Path) -> None:
    folder = train_teacher(small_teacher("whole"), ToyTask(step_size=0.3), make_toy_env, tmp_path)
    names = {path.name.split(".")[0] for path in folder.path.iterdir()}
    assert names == {"config", "checkpoints", "metrics", "events", "curves"}
    document = folder.load_config("teacher")
    assert document["task"]["step_size"] == 0.3
    assert document["training"]["ppo"]["steps_per_rollout"] == 8
    row = folder.metrics.rows()[-1]
    assert row["environment_steps"] == 3 * 16 * 8
    assert {"reward/reach", "loss/value", "policy/learning_rate", "performance/steps_per_s"} <= set(row)


def test_a_resumed_run_goes_on_with_weights_figures_and_curriculum(tmp_path: Path) -> None:
    folder = train_teacher(small_teacher("on", iterations=4), ToyTask(), make_toy_env, tmp_path)
    before = folder.checkpoints().load_latest().content
    made: list[ToyEnv] = []

    def make_env(config: ToyTask, num_envs: int, groups: tuple[str, ...], objects: str, seed: int) -> ToyEnv:
        made.append(ToyEnv(config, num_envs, groups, objects, seed))
        return made[-1]

    longer = small_teacher("on", iterations=5)
    train_teacher(longer, ToyTask(), make_env, tmp_path, resume=True)
    after = folder.checkpoints().load_latest().content
    assert [row["iteration"] for row in folder.metrics.rows()] == [1, 2, 3, 4, 5]
    assert after["iteration"] == 5
    assert after["environment_steps"] == 5 * 16 * 8
    normalizer = "obs_normalizer.count"
    steps = after["actor_state_dict"][normalizer] - before["actor_state_dict"][normalizer]
    assert steps == 16 * 8, "observation statistics go on from where they were"
    assert made[0].curriculum.level >= before["environment"]["curriculum"]["level"] > 0.0
    assert made[0].seed != longer.seed, "the same first episodes are not shown again"


def test_a_truncated_last_checkpoint_costs_one_interval_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_teacher(small_teacher("cut", iterations=4), ToyTask(), make_toy_env, tmp_path)
    newest = folder.checkpoints().path(4)
    newest.write_bytes(newest.read_bytes()[:2000])
    train_teacher(small_teacher("cut", iterations=5), ToyTask(), make_toy_env, tmp_path, resume=True)
    shown = capsys.readouterr().out
    assert "iteration_00000004.pt is damaged" in shown
    assert "Resuming 'cut' after 3 iterations" in shown
    assert [row["iteration"] for row in folder.metrics.rows()] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_killed_run_resumes_from_its_last_checkpoint(tmp_path: Path) -> None:
    script = TRAIN.format(tests=str(Path(__file__).parent), runs=str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL)
    store = run_folder(tmp_path, "killed").checkpoints()
    try:
        deadline = time.monotonic() + 120.0
        while len(store.iterations()) < 3 and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    saved = store.load_latest().iteration
    seen = max(row["iteration"] for row in run_folder(tmp_path, "killed").metrics.rows())
    assert seen - saved <= 1, "at most the work since the last checkpoint is lost"
    config = small_teacher("killed", iterations=int(saved) + 2)
    folder = train_teacher(config, ToyTask(), make_toy_env, tmp_path, resume=True)
    assert [row["iteration"] for row in folder.metrics.rows()] == list(range(1, saved + 3))


def test_a_run_is_neither_overwritten_nor_invented(tmp_path: Path) -> None:
    train_teacher(small_teacher("one"), ToyTask(), make_toy_env, tmp_path)
    with pytest.raises(RunError, match="continue it with --resume"):
        train_teacher(small_teacher("one"), ToyTask(), make_toy_env, tmp_path)
    with pytest.raises(RunError, match="leaves nothing to do"):
        train_teacher(small_teacher("one"), ToyTask(), make_toy_env, tmp_path, resume=True)
    with pytest.raises(RunError, match="no run 'two'"):
        train_teacher(small_teacher("two"), ToyTask(), make_toy_env, tmp_path, resume=True)
    with pytest.raises(RunError, match="is no name for a run"):
        train_teacher(small_teacher("../two"), ToyTask(), make_toy_env, tmp_path)


def test_a_run_that_has_no_whole_checkpoint_is_not_started_over(tmp_path: Path) -> None:
    folder = train_teacher(small_teacher("lost"), ToyTask(), make_toy_env, tmp_path)
    for path in (folder.path / "checkpoints").glob("*.pt"):
        path.write_bytes(b"")
    with pytest.raises(RuntimeError, match="none of the 3 there is whole"):
        train_teacher(small_teacher("lost", 9), ToyTask(), make_toy_env, tmp_path, resume=True)


def test_equal_seeds_give_equal_weights(tmp_path: Path) -> None:
    weights = []
    for name in ("a", "b"):
        folder = train_teacher(small_teacher(name, 2), ToyTask(), make_toy_env, tmp_path)
        weights.append(folder.checkpoints().load_latest().content["actor_state_dict"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_reward_term_called_success_is_not_taken_for_the_success_rate() -> None:
    assert find_success({"reward/success": 9.0}) is None
    assert find_success({"reward/success": 9.0, "episode/success": 0.5}) == 0.5
    assert find_success({"episode/success": 0.5, "episode/student_success": 0.25}) == 0.25
