"""`grasp compare`: learning curves of several runs in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from grasp_training.cli.arguments import PARSER_SETTINGS
from grasp_training.runs import RunError, draw_comparison, run_folder


@dataclass(frozen=True)
class Compare:
    """Draw the learning curves of several runs, over environment steps and over time.

    Runs whose names differ by the number at the end alone (`single-0`, `single-1`) are seeds of one line:
    their mean, in a band from the least to the greatest.
    """

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Names of the runs."""
    output: Path
    """PNG file to write."""
    metrics: tuple[str, ...] = ("episode/success", "train/mean_reward")
    """Figures to draw, as metrics.jsonl of the runs names them."""
    window: int = 10
    """Iterations that a value is the mean of."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp compare …` and return the exit status."""
    command = tyro.cli(Compare, prog="grasp compare", args=list(arguments), config=PARSER_SETTINGS)
    found = {name: run_folder(command.runs_folder, name).metrics.rows() for name in command.runs}
    if not found:
        raise RunError("No run is named: grasp compare RUN RUN … --output FILE.png")
    for name, rows in found.items():
        if not rows:
            raise RunError(f"Run '{name}' in {command.runs_folder} has no figures")
    known = {key for rows in found.values() for row in rows for key in row}
    for metric in command.metrics:
        if metric not in known:
            raise RunError(f"No run has figures of '{metric}'; they have {', '.join(sorted(known))}")
    if command.window < 1:
        raise ValueError(f"--window is {command.window}; expected at least 1")
    command.output.parent.mkdir(parents=True, exist_ok=True)
    draw_comparison(found, command.metrics, command.output, command.window)
    print(f"{len(found)} runs: {command.output}")
    return 0
