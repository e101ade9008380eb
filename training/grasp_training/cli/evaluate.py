"""`grasp evaluate`: success of a policy file, or of a teacher's run, in the task."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from grasp_training.cli.arguments import PARSER_SETTINGS
from grasp_training.evaluation import Episode, Evaluation, EvaluationConfig, Subject, evaluate, open_subject


@dataclass(frozen=True)
class Evaluate:
    """Run a policy file through onnxruntime in the task, and print how often it grasps.

    Every object of the set is used as often as any other, to within one; episodes have full randomization.
    With a teacher's run in place of the file, its mean actions are scored in the same episodes.
    """

    policy: tyro.conf.Positional[Path]
    """Policy file, such as models/NAME.onnx, or a teacher's run, such as runs/NAME."""
    objects: Literal["held-out", "training"] = "held-out"
    """Object set to grasp from."""
    episodes: int = 200
    """Episodes that are counted."""
    seed: int = 0
    """Seed of the episodes."""
    num_envs: int = 64
    """Environments simulated side by side, at most; a policy file's score does not depend on it."""
    level: float = 1.0
    """Level of randomization, 0 (nominal) to 1 (full)."""
    threads: int = 0
    """Threads on the CPU; 0 uses every core that this process may use."""
    video: Path | None = None
    """Also write a video of some episodes: a .mp4 file."""
    report: Path | None = None
    """Also write a report with plots and pictures: a .html file."""
    json: Path | None = None
    """Also write figures and episodes: a .json file."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp evaluate …` and return the exit status."""
    command = tyro.cli(Evaluate, prog="grasp evaluate", args=list(arguments), config=PARSER_SETTINGS)
    for path, ending in ((command.video, ".mp4"), (command.report, ".html"), (command.json, ".json")):
        _prepare(path, ending)
    threads = command.threads or len(os.sched_getaffinity(0))
    config = EvaluationConfig(
        command.objects, command.episodes, command.seed, command.num_envs, command.level, threads
    )
    subject = open_subject(command.policy)
    console = Console()
    evaluation = _evaluate(subject, config, console)
    console.print(_table(evaluation))
    _write(command, evaluation, threads, console)
    return 0


def _prepare(path: Path | None, ending: str) -> None:
    """Find out before the episodes, not after them, that a file cannot be written."""
    if path is None:
        return
    if path.suffix != ending:
        raise ValueError(f"The output {path} ends in '{path.suffix}'; expected '{ending}'")
    if path.is_dir():
        raise ValueError(f"The output {path} is a folder; expected a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"The folder of the output {path} cannot be made: {error}") from error
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"The folder of the output {path} cannot be written to")


def _evaluate(subject: Subject, config: EvaluationConfig, console: Console) -> Evaluation:
    name, score = TextColumn("{task.description}"), TextColumn("{task.fields[score]}")
    columns = (name, BarColumn(), MofNCompleteColumn(), score, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{subject.name}, {config.objects} objects", total=config.episodes, score="")
        successes = done = 0

        def report(episode: Episode) -> None:
            nonlocal successes, done
            successes, done = successes + episode.success, done + 1
            progress.update(task, advance=1, score=f"success {100 * successes / done:.0f} %")

        return evaluate(subject, config, report)


def _table(evaluation: Evaluation) -> Table:
    title = f"{evaluation.subject} on {evaluation.settings['objects']} objects"
    table = Table(title=title, title_justify="left")
    for column in ("", "share (95 % interval)", "episodes"):
        table.add_column(column, justify="left" if column != "episodes" else "right")
    for row in evaluation.summary.rows():
        table.add_row(*row)
    return table


def _write(command: Evaluate, evaluation: Evaluation, threads: int, console: Console) -> None:
    if command.json:
        from grasp_training.evaluation.report import write_json

        write_json(command.json, evaluation)
        console.print(f"Figures: {command.json}")
    if command.report:
        from grasp_training.evaluation.report import write_report

        write_report(command.report, evaluation, threads)
        console.print(f"Report: {command.report}")
    if command.video:
        from grasp_training.evaluation.pictures import write_video
        from grasp_training.tasks import TaskConfig

        write_video(command.video, evaluation.episodes, TaskConfig().control_rate_hz, threads)
        console.print(f"Video: {command.video}")
