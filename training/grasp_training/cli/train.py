"""`grasp train teacher`: a PPO teacher."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from grasp_training.cli.arguments import PARSER_SETTINGS, Preliminary, defaults, report_changes
from grasp_training.learning import TeacherConfig, teacher_preset, train_teacher
from grasp_training.learning.placed import train_placed
from grasp_training.learning.plan import measure, most_environments, placements_of
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
    plan: bool = False
    """Train nothing: measure the memory of small runs, and print how many environments would fit."""
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
    training, task = defaults(early, "teacher", teacher_preset, TaskConfig)
    command = tyro.cli(
        TrainTeacher,
        prog="grasp train teacher",
        args=list(arguments),
        default=TrainTeacher(training=training, task=task),
        config=PARSER_SETTINGS,
    )
    if command.plan:
        return _plan(command)
    report_changes(early, "teacher", command.training, command.task)
    train_placed(train_teacher, command.training, command.task, make_env, command.runs_folder, command.resume)
    return 0


def _plan(command: TrainTeacher) -> int:
    parts = measure(command.training, command.task, make_env)
    console, costs = Console(), Table(title="Memory, measured on the CPU", title_justify="left")
    for column in ("part", "fixed, MB", "an environment, kB"):
        costs.add_column(column, justify="left" if column == "part" else "right")
    for item in dataclasses.fields(parts):
        line = getattr(parts, item.name)
        costs.add_row(item.name, f"{line.fixed / 1e6:.1f}", f"{line.each / 1e3:.2f}")
    console.print(costs)
    memory = 1e9 * command.plan_memory_gb
    title = f"Environments that fit on {command.plan_devices} devices of {command.plan_memory_gb:g} GB"
    table = Table("placement", "environments", title=title, title_justify="left")
    fitting = {
        str(placement): most_environments(parts, placement, memory)
        for placement in placements_of(command.plan_devices)
    }
    for text, count in fitting.items():
        table.add_row(text, str(count))
    console.print(table)
    if command.plan_json:
        document = {"bytes": dataclasses.asdict(parts), "environments": fitting, "memory": memory}
        command.plan_json.write_text(json.dumps(document, indent=2))
    return 0
