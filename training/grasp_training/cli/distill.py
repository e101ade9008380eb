"""`grasp distill`: a teacher into a stereo student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from grasp_description.cameras import STEREO_RIG
from grasp_training.cli.arguments import PARSER_SETTINGS, Preliminary, defaults, report_changes, saved_task
from grasp_training.learning import StudentConfig, train_student
from grasp_training.learning.placed import train_placed
from grasp_training.planning import resolve_placement
from grasp_training.presets import student_preset
from grasp_training.runs import ConfigurationError
from grasp_training.tasks import ImageConfig, TaskConfig, make_env


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
    preset = student_preset(early.preset, early.run or tyro.MISSING)
    training, task = defaults(early, "student", preset, TaskConfig())
    if early.teacher and not early.resume:
        task = saved_task(early, "teacher", early.teacher, TaskConfig)
    command = tyro.cli(
        Distill,
        prog="grasp distill",
        args=list(arguments),
        default=Distill(training=training, task=task),
        config=PARSER_SETTINGS,
    )
    _check_images(early, command.task)
    training = resolve_placement(command.training, command.task, make_env)
    report_changes(early, "student", training, command.task)
    train_placed(train_student, training, command.task, make_env, command.runs_folder, command.resume)
    return 0


def _check_images(early: Preliminary, task: TaskConfig) -> None:
    """Check the size of images, before hours of learning.

    Raises:
        ConfigurationError: a policy file for such images would be refused by the robot, or the teacher sees
            others.
    """
    robot = ImageConfig(STEREO_RIG.width, STEREO_RIG.height)
    if task.image != robot:
        raise ConfigurationError(
            f"task.image is {task.image} px; the robot's cameras give {robot} (STEREO_RIG of "
            "grasp_description.cameras), and would refuse the student's policy file"
        )
    if not early.teacher or early.resume:
        return
    seen = saved_task(early, "teacher", early.teacher, TaskConfig).depth_image
    if task.depth_image != seen:
        raise ConfigurationError(
            f"task.depth_image is {task.depth_image} px; teacher '{early.teacher}' sees depth of {seen} px"
        )
