"""`grasp train teacher`: a PPO teacher."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from grasp_training.cli.arguments import PARSER_SETTINGS, Preliminary, defaults, report_changes
from grasp_training.learning import TeacherConfig, train_teacher
from grasp_training.learning.placed import train_placed
from grasp_training.planning import make_plan, print_plan, resolve_placement
from grasp_training.presets import Images, task_preset, teacher_preset
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
    images: Images | None = None
    """Size of depth images, px, with an encoder for them and as many environments as a preset for GPUs thinks
    fit; without, 48x36 on cores and 160x120 on GPUs. For the beginning of a run."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""
    resume: bool = False
    """Continue the run of this name from its last whole checkpoint, with its own settings as defaults."""
    plan: bool = False
    """Train nothing: measure what environments cost in small runs, and print how many would fit and how fast
    they would be, under every placement and, where depth is observed, at 64×48, 160×120 and 320×240."""
    plan_devices: int = 4
    """Devices to plan for."""
    plan_memory_gb: float = 80.0
    """Memory of each, GB (1e9 bytes)."""
    plan_json: Path | None = None
    """Also write the plan here."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp train …` and return the exit status."""
    if not arguments or arguments[0] != "teacher":
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print("usage: grasp train teacher --run NAME … (grasp train teacher --help shows all flags)",
              file=sys.stdout if asked else sys.stderr)  # fmt: skip
        return 0 if asked else 2
    arguments = arguments[1:]
    early = Preliminary.read(arguments)
    preset = teacher_preset(early.preset, early.run or tyro.MISSING, early.images)
    training, task = defaults(early, "teacher", preset, task_preset(early.preset, early.images))
    command = tyro.cli(
        TrainTeacher,
        prog="grasp train teacher",
        args=list(arguments),
        default=TrainTeacher(training=training, task=task),
        config=PARSER_SETTINGS,
    )
    if command.plan:
        return _plan(command)
    training = resolve_placement(command.training, command.task, make_env)
    report_changes(early, "teacher", training, command.task)
    train_placed(train_teacher, training, command.task, make_env, command.runs_folder, command.resume)
    return 0


def _plan(command: TrainTeacher) -> int:
    plan = make_plan(
        command.training,
        command.task,
        make_env,
        command.plan_devices,
        1e9 * command.plan_memory_gb,
        report=lambda text: print(text, file=sys.stderr),
    )
    print_plan(plan)
    if command.plan_json:
        command.plan_json.write_text(json.dumps(plan.to_mapping(), indent=2))
    return 0
