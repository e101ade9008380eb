"""Overlapped learning: half is simulated while half is acted on, and all while the last is learnt."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from learning_samples import small_student, small_teacher
from ranks_in_threads import train_in_threads
from rsl_rl.algorithms import PPO
from torch.distributed import HashStore
from toy_environment import ToyEnv, ToyTask, make_toy_env

from grasp_training.disaggregation.links import LocalLink
from grasp_training.disaggregation.placement import Placement
from grasp_training.disaggregation.remote_env import RemoteVecEnv
from grasp_training.disaggregation.worker import Setup, SimulationWorker
from grasp_training.learning import NetworkConfig, PpoConfig, TeacherConfig, train_student, train_teacher
from grasp_training.learning.overlapped import Collector, correct_staleness
from grasp_training.learning.received_storage import ReceivingPPO
from grasp_training.learning.rsl_rl_settings import teacher_settings
from grasp_training.runs import ConfigurationError, RunFolder

GROUPS = ("proprioception", "privileged")
TASK = ToyTask(episode_steps=7)


def overlapped(run: str, placement: str = "single", iterations: int = 4) -> TeacherConfig:
    config = small_teacher(run, iterations, num_envs=8)
    return dataclasses.replace(config, placement=placement, mode="overlapped", env_blocks=4)


class RecordingLink(LocalLink):
    """Tells what is asked of it."""

    events: list[str]

    def send(self, actions: torch.Tensor, results: torch.Tensor) -> None:
        self.events.append(f"send {self.route.group}")
        super().send(actions, results)

    def wait(self) -> None:
        self.events.append(f"wait {self.route.group}")
        super().wait()


def collector_of(config: TeacherConfig) -> tuple[Collector, PPO, list[str]]:
    placement, setup = Placement.parse("single"), Setup(8, 4, GROUPS, "training", 0, turns=2, rollout_steps=8)
    names = HashStore()
    worker = SimulationWorker(0, placement, setup, make_toy_env, TASK, names)
    links, events = [RecordingLink(worker, route) for route in worker.routes], []
    for link in links:
        link.events = events
    env = RemoteVecEnv(TASK, setup, worker.description, links, names)
    settings = teacher_settings(config) | {"multi_gpu": None}
    algorithm = ReceivingPPO.construct_algorithm(env.get_observations(), env, settings, "cpu")
    algorithm.train_mode()
    return Collector(algorithm, env, seed=0), algorithm, events


def test_one_group_is_simulated_while_the_other_is_acted_on() -> None:
    collector, algorithm, events = collector_of(overlapped("r"))
    collector.take_parameters(0)
    collector.start()
    collector.finish()
    steps = algorithm.storage.num_transitions_per_env
    turn = ["wait 0", "send 0", "wait 1", "send 1"]
    assert events == ["send 0", "send 1", *turn * (steps - 1), "wait 0", "wait 1"]


def test_what_is_stored_is_what_the_behaviour_policy_did_and_said() -> None:
    collector, algorithm, _ = collector_of(overlapped("r"))
    collector.take_parameters(7)
    collector.start()
    rollout = collector.finish()
    assert rollout.versions.tolist() == [7] * 8
    storage = rollout.storage
    assert storage is not algorithm.storage
    with torch.no_grad():
        for step in range(8):
            algorithm.actor(storage.observations[step], stochastic_output=True)
            said = algorithm.actor.get_output_log_prob(storage.actions[step])
            torch.testing.assert_close(said, storage.actions_log_prob[step, :, 0])
            torch.testing.assert_close(algorithm.critic(storage.observations[step]), storage.values[step])
    assert storage.dones[6].all(), "episodes of seven steps end with the seventh"
    assert (storage.observations["proprioception"][7] == 0).all(), "and begin anew"
    assert storage.observations["proprioception"][1:7].abs().sum() > 0
    assert float(storage.advantages.mean()) == pytest.approx(0.0, abs=1e-5)


def test_what_an_older_policy_collected_is_weighted_and_compared_with_the_policy_at_hand() -> None:
    collector, algorithm, _ = collector_of(overlapped("r"))
    collector.take_parameters(0)
    collector.start()
    storage = collector.finish().storage
    advantages, said = storage.advantages.clone(), storage.actions_log_prob.clone()
    figures = correct_staleness(algorithm, storage)
    torch.testing.assert_close(storage.advantages, advantages)
    assert figures["policy/behaviour_kl"] == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        algorithm.actor.mlp[-1].bias += 0.3
    figures = correct_staleness(algorithm, storage)
    assert figures["policy/behaviour_kl"] > 0.01
    step = 3
    with torch.no_grad():
        algorithm.actor(storage.observations[step], stochastic_output=True)
        at_hand = algorithm.actor.get_output_log_prob(storage.actions[step])[:, None]
        mean = algorithm.actor.output_distribution_params[0]
    torch.testing.assert_close(storage.actions_log_prob[step], at_hand)
    torch.testing.assert_close(storage.distribution_params[0][step], mean)  # type: ignore[index]
    weight = (at_hand - said[step]).exp()
    assert weight.std() > 0.01
    torch.testing.assert_close(storage.advantages[step], advantages[step] * weight.clamp(max=2.0))


def test_parameters_learnt_meanwhile_are_taken_on_only_between_rollouts() -> None:
    collector, algorithm, _ = collector_of(overlapped("r"))
    collector.take_parameters(0)
    collector.start()
    with torch.no_grad():
        for parameter in algorithm.actor.mlp.parameters():
            parameter.zero_()
    first = collector.finish()
    collector.take_parameters(1)
    collector.start()
    second = collector.finish()
    means = [rollout.storage.distribution_params[0] for rollout in (first, second)]  # type: ignore[index]
    assert means[0].abs().sum() > 0
    assert means[1].abs().sum() == 0


@pytest.mark.parametrize("placement", ["1:1", "2:1"])
def test_overlapped_runs_too_do_not_depend_on_the_placement(tmp_path: Path, placement: str) -> None:
    here = train_teacher(overlapped("here"), TASK, make_toy_env, tmp_path)
    there = train_in_threads(overlapped("there", placement), TASK, make_toy_env, tmp_path)
    first, second = (folder.checkpoints().load_latest().content for folder in (here, there))
    for network in ("actor_state_dict", "critic_state_dict"):
        for name, value in first[network].items():
            assert torch.equal(value, second[network][name]), name
    assert first["environment"] == second["environment"]
    assert_staleness(here)


def assert_staleness(folder: RunFolder) -> None:
    rows = folder.metrics.rows()
    assert [row["policy/version_lag"] for row in rows] == [0.0, 1.0, 1.0, 1.0]
    assert rows[0]["policy/behaviour_kl"] == pytest.approx(0.0, abs=1e-6)
    assert all(row["policy/behaviour_kl"] > 1e-6 for row in rows[1:]), "the policy has moved on"


def test_collecting_goes_on_while_learning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update that waits for the next rollout's last step would wait for ever if it came after it."""
    stepped, steps = threading.Condition(), [0]
    update = PPO.update

    def count(env: ToyEnv, actions: torch.Tensor) -> Any:
        with stepped:
            steps[0] += 1
            stepped.notify_all()
        return ToyEnv.step(env, actions)

    def wait_and_update(algorithm: PPO) -> dict[str, float]:
        updates.append(None)
        if len(updates) < 3:
            with stepped:
                assert stepped.wait_for(lambda: steps[0] >= 4 * 8 * (len(updates) + 1), timeout=60.0)
        return update(algorithm)

    updates: list[None] = []
    monkeypatch.setattr(PPO, "update", wait_and_update)
    counting = type("CountingEnv", (ToyEnv,), {"step": count})
    train_teacher(overlapped("meanwhile", iterations=3), TASK, counting, tmp_path)
    assert len(updates) == 3


def test_a_teacher_learns_the_toy_task_overlapped(tmp_path: Path) -> None:
    config = dataclasses.replace(
        overlapped("learns", iterations=20),
        num_envs=32,
        ppo=PpoConfig(steps_per_rollout=20, epochs=4, minibatches=4, initial_learning_rate=3e-3),
        actor=NetworkConfig(hidden_sizes=(64, 64)),
        critic=NetworkConfig(hidden_sizes=(64, 64)),
    )
    rows = train_teacher(config, ToyTask(), make_toy_env, tmp_path).metrics.rows()
    first, last = rows[1]["train/mean_reward"], rows[-1]["train/mean_reward"]
    assert last > first + 2.0, f"mean reward went from {first:.2f} to {last:.2f}"


def test_a_broken_environment_ends_an_overlapped_run(tmp_path: Path) -> None:
    class BrokenEnv(ToyEnv):
        def step(self, actions: torch.Tensor) -> Any:
            raise ValueError("the simulator fell over")

    with pytest.raises(ValueError, match="the simulator fell over"):
        train_teacher(overlapped("broken"), TASK, BrokenEnv, tmp_path)


def test_recurrent_students_are_not_distilled_overlapped(tmp_path: Path) -> None:
    config = dataclasses.replace(small_student("s", "teacher"), mode="overlapped")
    with pytest.raises(ConfigurationError, match="mode is overlapped; distillation knows synchronous only"):
        train_student(config, TASK, make_toy_env, tmp_path)
