"""`python -m grasp_training.benchmarks.peers`: steps a second of our trainings and of other systems'."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from grasp_training.benchmarks.peers.job import SPLITS, Job
from grasp_training.benchmarks.peers.report import GOAL, Row, figures_of, table_of, take_turns
from grasp_training.benchmarks.peers.systems import systems
from grasp_training.errors import GraspError
from grasp_training.learning.config import Observe
from grasp_training.runs import ConfigurationError

_WIDTH = 110


@dataclass(frozen=True)
class Arguments:
    """Train the grasp task with rsl_rl alone, with Sample Factory and with ours, in turns.

    Run it on a machine that does nothing else. Networks, rollouts, epochs and mini-batches are those of
    `grasp train teacher`'s preset `cpu`; `grasp_training.benchmarks.peers` says what else is set, and how to
    make an environment for Sample Factory.
    """

    output: Path
    """Folder for figures (peers.json) and for what the trainings write; must not be there yet."""
    observe: tuple[Observe, ...] = ("state",)
    """What the actors see: `state`, `depth` or both."""
    num_envs: int = 512
    """Environments."""
    iterations: int = 20
    """Updates of a training."""
    warm_up: int = 4
    """Updates of these that are not counted; nor is the last."""
    repetitions: int = 5
    """Trainings of each system."""
    seed: int = 0
    """Seed of networks, exploration and environments."""
    sample_factory_python: Path | None = None
    """Interpreter that has Sample Factory 2.1.1 and our packages; without, its rows say that."""
    sample_factory_workers: tuple[int, ...] = (1, 2)
    """Numbers of its rollout workers, a row each."""
    limit_s: float = 1800.0
    """s, after which a training counts as failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with the arguments given, or the process's own, and return the exit status."""
    command = tyro.cli(Arguments, prog="python -m grasp_training.benchmarks.peers", args=arguments)
    try:
        _compare(command)
    except (GraspError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check(command: Arguments) -> None:
    """Refuse what not every system can train, before anything runs.

    Raises:
        ConfigurationError: a number is out of its range, or environments cannot be shared evenly.
    """
    for name in ("warm_up", "repetitions"):
        if getattr(command, name) < 1:
            flag = name.replace("_", "-")
            raise ConfigurationError(f"--{flag} is {getattr(command, name)}; expected at least 1")
    if command.iterations < command.warm_up + 2:
        least = f"{command.warm_up + 2}, with --warm-up {command.warm_up}"
        raise ConfigurationError(f"--iterations is {command.iterations}; expected at least {least}")
    for workers in command.sample_factory_workers:
        if workers < 1 or command.num_envs < 1 or command.num_envs % (SPLITS * workers):
            shared = f"a multiple of {SPLITS} parts × {workers} rollout workers of Sample Factory"
            raise ConfigurationError(f"--num-envs is {command.num_envs}; expected {shared}")


def _compare(command: Arguments) -> None:
    _check(command)
    command.output.mkdir(parents=True)
    load, cores = os.getloadavg(), len(os.sched_getaffinity(0))
    console = Console()
    console.width = max(console.width, _WIDTH)
    compared = systems(command.sample_factory_python, command.sample_factory_workers, command.limit_s)
    rows: list[Row] = []
    for observe in command.observe:
        job = Job(observe, command.num_envs, command.iterations, command.seed)
        folder = command.output / "trainings"
        rows += take_turns(compared, job, command.repetitions, command.warm_up, folder, console.print)
    console.print(table_of(rows, "Training: control steps of all environments a second, learning included"))
    shown = ", ".join(f"{part:.2f}" for part in load)
    console.print(
        f"{command.num_envs} environments, {cores} cores; medians of {command.repetitions} trainings of "
        f"{command.iterations} updates, without the first {command.warm_up} and the last; load average at "
        f"the start (1, 5, 15 min): {shown}; goal: {GOAL} times the better peer",
        highlight=False,
    )
    document: dict[str, Any] = {
        "num_envs": command.num_envs,
        "iterations": command.iterations,
        "warm_up": command.warm_up,
        "repetitions": command.repetitions,
        "seed": command.seed,
        "cores": cores,
        "load_average_at_start": list(load),
        "goal": GOAL,
        "rows": [figures_of(row, rows) for row in rows],
    }
    path = command.output / "peers.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    console.print(f"Figures: {path}")


if __name__ == "__main__":
    sys.exit(main())
