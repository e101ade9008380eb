"""Distils a teacher's run into a student's run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grasp_training.disaggregation import SingleWiring, Wiring
from grasp_training.learning.config import TeacherConfig
from grasp_training.learning.rsl_rl_settings import student_settings
from grasp_training.learning.runner import (
    CheckpointedDistillationRunner,
    CheckpointedRunner,
    restore_environment,
)
from grasp_training.learning.session import MakeEnv, TrainingSession
from grasp_training.learning.student_config import StudentConfig, check_distillation, check_mode
from grasp_training.runs import (
    Checkpoint,
    CheckpointStore,
    RunError,
    RunFolder,
    from_mapping,
    run_folder,
    to_mapping,
)


@dataclass(frozen=True)
class TeacherRecord:
    """What a student's run keeps of its teacher, so that it can go on without the teacher's folder."""

    config: TeacherConfig
    """The teacher's configuration."""
    iteration: int
    """Iterations that the teacher had learnt."""
    environment_steps: int
    """Control steps that were simulated for it, over all environments."""
    wall_time_s: float
    """Seconds that it learnt for."""


def find_teacher(runs_folder: Path, config: StudentConfig) -> tuple[TeacherRecord, Checkpoint]:
    """Read the teacher that a student's configuration names.

    Raises:
        RunError: no teacher is named, or there is no such run, or it is not a teacher's.
        CheckpointError: the checkpoint asked for is not there or not whole.
    """
    if not config.teacher:
        raise RunError("No teacher is named: --teacher RUN")
    folder = run_folder(runs_folder, config.teacher)
    saved = folder.load_config("teacher")
    teacher = from_mapping(TeacherConfig, saved["training"], f"{folder.config_path}: training")
    store = folder.checkpoints()
    checkpoint = (
        store.load_latest() if config.teacher_iteration is None else store.load(config.teacher_iteration)
    )
    rows = [row for row in folder.metrics.rows() if row["iteration"] <= checkpoint.iteration]
    last = rows[-1] if rows else {}
    steps, seconds = int(last.get("environment_steps", 0)), float(last.get("wall_time_s", 0.0))
    return TeacherRecord(teacher, checkpoint.iteration, steps, seconds), checkpoint


def read_teacher_record(folder: RunFolder) -> TeacherRecord:
    """Return what a student's run keeps of its teacher.

    Raises:
        RunError: the run is not a student's.
    """
    return from_mapping(
        TeacherRecord, folder.load_config("student")["teacher"], f"{folder.config_path}: teacher"
    )


def train_student(
    config: StudentConfig,
    task: Any,
    make_env: MakeEnv,
    runs_folder: Path,
    resume: bool = False,
    wiring: Wiring | None = None,
) -> RunFolder:
    """Distil a teacher into a student, or continue to, and return the student's run folder.

    Args:
        config: the resolved configuration; it is saved beside the run.
        task: the task's configuration, handed to `make_env`.
        make_env: makes the environments.
        runs_folder: folder that holds the runs' folders, the teacher's among them.
        resume: continue the run from its last whole checkpoint; the teacher comes from there too.
        wiring: where the environments are; in this process by default.

    Raises:
        RunError: the run exists already, or does not exist, or is finished; or there is no such teacher.
        ConfigurationError: a setting is out of its range.
        CheckpointError: no checkpoint of the run, or of the teacher, is whole.
    """
    wiring = wiring or SingleWiring(config.device)
    check_distillation(config.distillation)
    check_mode(config)
    if resume:
        record, taught = read_teacher_record(run_folder(runs_folder, config.run)), None
    else:
        record, taught = find_teacher(runs_folder, config)
    steps = config.distillation.steps_per_rollout
    more = {"teacher": to_mapping(record)}
    session = TrainingSession(runs_folder, "student", config, task, steps, resume, more, wiring)
    if session.checkpoint is None and taught is None:  # killed before its first checkpoint
        _, taught = find_teacher(runs_folder, config)
    groups = config.observation_groups(record.config.actor_groups())
    env = session.make_env(make_env, groups, begin_with=taught)

    def make_runner(store: CheckpointStore) -> CheckpointedRunner:
        settings = student_settings(config, record.config)
        runner = CheckpointedDistillationRunner(
            env, settings, store, config.checkpoint, config.device, wiring
        )
        if taught is not None:
            runner.alg.load(taught.content, None, True)
            restore_environment(env, taught)  # the curriculum goes on where the teacher's ended
        return runner

    session.run(make_runner, stagger_episodes=True)
    return session.folder
