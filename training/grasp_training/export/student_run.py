"""Reads a student's run back from its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict

from grasp_training.learning import StereoStudent, StudentConfig, TeacherRecord, read_teacher_record
from grasp_training.learning.config import OBJECT_POSITION
from grasp_training.learning.student_config import STUDENT_GROUPS
from grasp_training.runs import Checkpoint, RunError, RunFolder, from_mapping
from grasp_training.runs.metrics import Row


@dataclass(frozen=True)
class StudentRun:
    """What export needs of a run."""

    folder: RunFolder
    """Where it lies."""
    config: StudentConfig
    """Its configuration."""
    document: dict[str, Any]
    """The whole of its config.yaml."""
    teacher: TeacherRecord
    """Its teacher."""
    checkpoint: Checkpoint
    """The checkpoint that is exported."""
    student: StereoStudent
    """The network, in evaluation mode."""
    figures: Row
    """The figures logged with the checkpoint's iteration."""


def load_student_run(folder: RunFolder, iteration: int | None = None) -> StudentRun:
    """Read a student's run.

    Args:
        folder: the run's folder.
        iteration: which checkpoint; None is the last whole one.

    Raises:
        RunError: there is no such run, or it is a teacher's.
        CheckpointError: the checkpoint is not there, or not whole.
    """
    document = folder.load_config()
    if document.get("kind") != "student":
        raise RunError(
            f"Run '{folder.name}' is a {document.get('kind')}, which acts on state that no robot has; a "
            f"policy file needs a student: grasp distill --teacher {folder.name} --run NAME"
        )
    config = from_mapping(StudentConfig, document["training"], f"{folder.config_path}: training")
    store = folder.checkpoints()
    checkpoint = store.load_latest() if iteration is None else store.load(iteration)
    rows = [row for row in folder.metrics.rows() if row["iteration"] == checkpoint.iteration]
    return StudentRun(
        folder=folder,
        config=config,
        document=document,
        teacher=read_teacher_record(folder),
        checkpoint=checkpoint,
        student=_student(config, checkpoint),
        figures=rows[-1] if rows else {},
    )


def _student(config: StudentConfig, checkpoint: Checkpoint) -> StereoStudent:
    shapes = checkpoint.content["observations"]
    images, *others = STUDENT_GROUPS
    shown = {images: torch.zeros(1, *shapes[images], dtype=torch.uint8)}
    shown |= {name: torch.zeros(1, *shapes[name]) for name in others}
    student = StereoStudent(
        TensorDict(shown, batch_size=[1]),
        {"student": list(STUDENT_GROUPS)},
        "student",
        checkpoint.content["num_actions"],
        config.network,
        OBJECT_POSITION,
    )
    student.load_state_dict(checkpoint.content["student_state_dict"])
    return student.eval()
