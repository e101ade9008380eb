"""PPO teachers: an actor on state, an asymmetric critic, through rsl_rl's runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from grasp_training.disaggregation import SingleWiring, Wiring
from grasp_training.learning.config import TeacherConfig
from grasp_training.learning.rsl_rl_settings import teacher_settings
from grasp_training.learning.runner import CheckpointedRunner, OverlappedRunner
from grasp_training.learning.session import MakeEnv, TrainingSession
from grasp_training.runs import CheckpointStore, RunFolder


def train_teacher(
    config: TeacherConfig,
    task: Any,
    make_env: MakeEnv,
    runs_folder: Path,
    resume: bool = False,
    wiring: Wiring | None = None,
) -> RunFolder:
    """Train a teacher, or continue one, and return its run's folder.

    Args:
        config: the resolved configuration; it is saved beside the run.
        task: the task's configuration, handed to `make_env`.
        make_env: makes the environments.
        runs_folder: folder that holds the runs' folders.
        resume: continue the run of this name from its last whole checkpoint.
        wiring: where the environments are; in this process by default.

    Raises:
        RunError: the run exists already, or does not exist, or is finished.
        CheckpointError: no checkpoint of the run is whole.
    """
    wiring = wiring or SingleWiring(config.device)
    session = TrainingSession(
        runs_folder, "teacher", config, task, config.ppo.steps_per_rollout, resume, wiring=wiring
    )
    env = session.make_env(make_env, config.observation_groups(), keep_rollouts=True)
    settings = teacher_settings(config, wiring.learner)

    def make_runner(store: CheckpointStore) -> CheckpointedRunner:
        arguments = (env, settings, store, config.checkpoint, config.device, wiring)
        if config.mode == "overlapped":
            return OverlappedRunner(*arguments, total_iterations=config.iterations)
        return CheckpointedRunner(*arguments)

    session.run(make_runner, config.stagger_episodes)
    return session.folder
