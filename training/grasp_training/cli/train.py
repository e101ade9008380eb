"""`grasp train teacher`: a PPO teacher."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from grasp_training.cli.arguments import PARSER_SETTINGS, Preliminary, defaults, report_changes
from grasp_training.learning import TeacherConfig, teacher_preset, train_teacher
from grasp_training.learning.placed import train_placed
from grasp_training.tasks import TaskConfig, make_env


@dataclass(frozen=True)
class TrainTeacher:
    """Train a teacher with PPO.

    The run is a folder: config.yaml, checkpoints, TensorBoard events, curves.png.
    """

    training: Annotated[TeacherConfig, tyro.conf.arg(name="")]
    """Learning."""
    task: TaskConfig
    """The task."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""
    resume: bool = False
    """Continue the run of this name from its last whole checkpoint, with its own settings as defaults."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp train …` and return the exit status."""
    if not arguments or arguments[0] != "teacher":
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print("usage: grasp train teacher --run NAME … (grasp train teacher --help shows all flags)",
              file=sys.stdout if asked else sys.stderr)  # fmt: skip
        return 0 if asked else 2
    arguments = arguments[1:]
    early = Preliminary.read(arguments)
    training, task = defaults(early, "teacher", teacher_preset, TaskConfig)
    command = tyro.cli(
        TrainTeacher,
        prog="grasp train teacher",
        args=list(arguments),
        default=TrainTeacher(training=training, task=task),
        config=PARSER_SETTINGS,
    )
    report_changes(early, "teacher", command.training, command.task)
    train_placed(train_teacher, command.training, command.task, make_env, command.runs_folder, command.resume)
    return 0
