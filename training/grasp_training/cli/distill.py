"""`grasp distill`: a teacher into a stereo student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from grasp_training.cli.arguments import PARSER_SETTINGS, Preliminary, defaults, report_changes, saved_task
from grasp_training.learning import StudentConfig, student_preset, train_student
from grasp_training.learning.placed import train_placed
from grasp_training.tasks import TaskConfig, make_env


@dataclass(frozen=True)
class Distill:
    """Distil a teacher into a recurrent student that sees two images: the student acts, the teacher labels.

    The task's defaults are the teacher's, its curriculum goes on where the teacher's ended.
    """

    training: Annotated[StudentConfig, tyro.conf.arg(name="")]
    """Learning."""
    task: TaskConfig
    """The task."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""
    resume: bool = False
    """Continue the run of this name from its last whole checkpoint, with its own settings as defaults."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp distill …` and return the exit status."""
    early = Preliminary.read(arguments)
    training, task = defaults(early, "student", student_preset, TaskConfig)
    if early.teacher and not early.resume:
        task = saved_task(early, "teacher", early.teacher, TaskConfig)
    command = tyro.cli(
        Distill,
        prog="grasp distill",
        args=list(arguments),
        default=Distill(training=training, task=task),
        config=PARSER_SETTINGS,
    )
    report_changes(early, "student", command.training, command.task)
    train_placed(train_student, command.training, command.task, make_env, command.runs_folder, command.resume)
    return 0
