"""The trainings of a study: ordinary runs, begun, continued or found complete."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grasp_training.learning import StudentConfig, TeacherConfig, train_student, train_teacher
from grasp_training.learning.config import RunConfig
from grasp_training.learning.placed import train_placed
from grasp_training.learning.session import MakeEnv
from grasp_training.planning import resolve_placement
from grasp_training.runs import ConfigurationError, RunError, RunFolder, run_folder
from grasp_training.runs.metrics import Row

UNSET = ""
"""Name of a run, and of a teacher, in settings that the study has yet to fill in."""
_FILLED_IN = {"run": UNSET, "seed": 0, "teacher": UNSET, "teacher_iteration": None}


def check_template(name: str, config: RunConfig) -> None:
    """Check that a configuration leaves open what the study fills in for each run.

    Raises:
        ConfigurationError: it does not, with the flag's name.
    """
    for field, value in _FILLED_IN.items():
        found = getattr(config, field, value)
        if found != value:
            flag = f"--{name}.{field}".replace("_", "-")
            raise ConfigurationError(f"{flag} is {found!r}; a study sets it itself for each of its runs")


def check_names_free(names: Sequence[str], runs: Path) -> None:
    """Check that no run stands where a new study's are to be.

    Raises:
        RunError: one does, or its name is not a plain file name.
    """
    for name in names:
        folder = run_folder(runs, name)
        if folder.exists():
            raise RunError(
                f"Run '{name}' exists in {folder.path}, and a new study would need the name: give the study "
                "a folder of another name, or continue the study that made the run with --resume"
            )


def completed_iterations(folder: RunFolder) -> int:
    """Return how many iterations a run has a checkpoint of; 0 where it was not begun."""
    return max(folder.checkpoints().iterations(), default=0)


def complete(config: TeacherConfig | StudentConfig, task: Any, make_env: MakeEnv, runs: Path) -> RunFolder:
    """Train what is missing of a run: all, the rest, or nothing.

    Args:
        config: with the run's name, seed and, of a student, teacher.
        task: its task.
        make_env: makes environments.
        runs: folder that holds the runs' folders.
    """
    folder = run_folder(runs, config.run)
    if completed_iterations(folder) < config.iterations:
        config = resolve_placement(config, task, make_env)
        train = train_student if isinstance(config, StudentConfig) else train_teacher
        train_placed(train, config, task, make_env, runs, resume=folder.exists())
    return folder


def budget(folder: RunFolder) -> dict[str, Any]:
    """Return what a run has cost: iterations, environment steps, seconds; and the level it has reached."""
    iterations = completed_iterations(folder)
    rows = [row for row in folder.metrics.rows() if row["iteration"] <= iterations]
    last: Row = rows[-1] if rows else {}
    return {
        "run": folder.name,
        "iterations": iterations,
        "environment_steps": int(last.get("environment_steps", 0)),
        "wall_time_s": round(float(last.get("wall_time_s", 0.0)), 1),
        "level": last.get("curriculum/level"),
    }


def seeded(config: Any, run: str, seed: int, **more: Any) -> Any:
    """Return a configuration with what the study fills in."""
    return dataclasses.replace(config, run=run, seed=seed, **more)
