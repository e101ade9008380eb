"""`grasp bench disaggregation`: what a placement's parts cost, side by side, overlapped or not.

`grasp bench simulate` is in `bench_simulate`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from grasp_training.benchmarks.costs import BLOCKS, costs_of_run, costs_of_spans, real_trial
from grasp_training.benchmarks.report import (
    LEGEND,
    Row,
    cost_line,
    figures_of,
    modes_of,
    real_table,
    scheduled_row,
    table_of,
    transport_table,
)
from grasp_training.benchmarks.schedule import WARM_UP, Costs, Span, iteration_s, total_s
from grasp_training.benchmarks.timeline import draw_timelines
from grasp_training.benchmarks.transport import measure_transport
from grasp_training.benchmarks.trials import run_trial, stand_in_trial
from grasp_training.cli import bench_simulate
from grasp_training.cli.arguments import PARSER_SETTINGS
from grasp_training.learning.config import Mode
from grasp_training.runs import ConfigurationError, run_folder

_USAGE = """usage: grasp bench disaggregation --output FOLDER …
       grasp bench simulate --simulator … --num-envs … --image …"""
_WIDTH = 100
_STEP_S = 0.02
_SHOWN_ITERATIONS = 4
_REAL: tuple[tuple[str, Mode], ...] = (
    ("single", "synchronous"),
    ("1:1", "synchronous"),
    ("1:1", "overlapped"),
)


@dataclass(frozen=True)
class BenchDisaggregation:
    """Measure data parallelism, synchronous and overlapped disaggregation against their bound.

    Real ranks run on this machine, with stand-ins that sleep as long as the parts of a training take, so that
    its cores do not limit them. A schedule simulator says the same, and says it of placements that this
    machine cannot hold. Without costs (`--simulate-ms`, `--learn-ms`, …) or a run to take them from, they are
    measured first, on a small run of the real task in one process.
    """

    output: Path
    """Folder for figures (JSON) and timelines (PNG)."""
    simulate_ms: float | None = None
    """A control step of all environments on one device, ms."""
    learn_ms: float | None = None
    """An update of one learner on all of them, ms."""
    infer_ms: float = 0.0
    """The learner's part in a step (choosing actions, storing), ms; with `--simulate-ms`."""
    transfer_ms: float = 0.0
    """For a step's messages to cross from simulators to learner, ms; with `--simulate-ms`."""
    average_ms: float = 0.0
    """Averaging the gradients of an update among several learners, ms."""
    network_ms: float = 0.0
    """What a step's messages take longer between nodes, ms."""
    steps: int = 16
    """Control steps of a rollout, of synthetic costs and of `--from-run`."""
    from_run: str | None = None
    """Take costs from the figures of this run (one process; inference counts as simulation)."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""
    placements: tuple[str, ...] = ("data-parallel:2", "1:1", "2:1", "3:1")
    """Placements to run here."""
    scheduled: tuple[str, ...] = ("data-parallel:8", "7:1", "6:2", "12:4")
    """Placements to work out only."""
    devices_per_node: int = 8
    """Devices of a node, for the placements that are worked out."""
    iterations: int = 8
    """Updates of each trial; at least 4."""
    transfer_envs: int = 512
    """Environments of the measurement of transport; 0 leaves it out."""
    image: tuple[int, int] = (120, 160)
    """Height and width of its depth images, pixels."""
    real: bool = False
    """Instead of all this, train the real task in one process, 1:1 and 1:1 overlapped, each in turn."""
    real_envs: int = 0
    """Environments of the real task; 0 takes 512 with `--real`, and 128 to measure costs."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp bench …` and return the exit status."""
    if arguments and arguments[0] == "simulate":
        return bench_simulate.run(arguments[1:])
    if not arguments or arguments[0] != "disaggregation":
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print(_USAGE, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    command = tyro.cli(
        BenchDisaggregation,
        prog="grasp bench disaggregation",
        args=list(arguments[1:]),
        config=PARSER_SETTINGS,
    )
    _check(command)
    command.output.mkdir(parents=True, exist_ok=True)
    console = Console()
    console.width = max(console.width, _WIDTH)
    document = _real(command, console) if command.real else _stand_ins(command, console)
    (command.output / "figures.json").write_text(json.dumps(document, indent=2) + "\n")
    console.print(f"Figures and timelines: {command.output}")
    return 0


def _check(command: BenchDisaggregation) -> None:
    """Refuse flags that say too little or contradict each other.

    Raises:
        ConfigurationError: they do.
    """
    synthetic = (command.simulate_ms, command.learn_ms)
    if (None in synthetic) != (synthetic == (None, None)):
        raise ConfigurationError(
            f"--simulate-ms is {synthetic[0]} and --learn-ms is {synthetic[1]}; expected both, or neither"
        )
    given = [name for name in ("infer_ms", "transfer_ms") if getattr(command, name)]
    if given and command.simulate_ms is None:
        raise ConfigurationError(f"{', '.join(given)}: synthetic costs need --simulate-ms and --learn-ms too")
    if command.from_run and command.simulate_ms is not None:
        raise ConfigurationError("--from-run and --simulate-ms both give costs; expected one of them")
    if command.iterations < 4:
        raise ConfigurationError(f"--iterations is {command.iterations}; expected at least 4")


def _stand_ins(command: BenchDisaggregation, console: Console) -> dict[str, Any]:
    costs, source = _costs(command, console)
    console.print(cost_line(costs, source))
    here = []
    for text in command.placements:
        for mode in modes_of(text):
            trial = stand_in_trial(text, mode, costs, command.iterations)
            spans = run_trial(trial, _trial_folder(command, text, mode))
            here.append(scheduled_row(text, mode, costs, command.iterations, spans))
    there = [
        scheduled_row(text, mode, costs, command.iterations, devices_per_node=command.devices_per_node)
        for text in command.scheduled
        for mode in modes_of(text)
    ]
    rows = here + there
    console.print(table_of(rows, costs))
    console.print(LEGEND, soft_wrap=True, highlight=False)
    document: dict[str, Any] = {"costs": dataclasses.asdict(costs), "source": source}
    document["rows"] = [figures_of(row, rows, costs) for row in rows]
    _draw(here, command.output / "timeline.png")
    _draw(there, command.output / "timeline-scheduled.png")
    if command.transfer_envs:
        folder = command.output / "transport"
        cost = measure_transport(command.transfer_envs, command.image, folder, _STEP_S)
        document["transport"] = {"num_envs": command.transfer_envs, "image": command.image}
        document["transport"] |= dataclasses.asdict(cost)
        height, width = command.image
        console.print(transport_table(cost, _STEP_S))
        console.print(f"({command.transfer_envs} environments, depth of {width}×{height} as float16)")
    return document


def _costs(command: BenchDisaggregation, console: Console) -> tuple[Costs, str]:
    average, network = command.average_ms / 1e3, command.network_ms / 1e3
    if command.simulate_ms is not None and command.learn_ms is not None:
        parts = command.simulate_ms, command.infer_ms, command.transfer_ms, command.learn_ms
        simulate, infer, transfer, learn = (part / 1e3 for part in parts)
        return Costs(simulate, infer, transfer, learn, command.steps, average, network), "synthetic"
    if command.from_run:
        metrics = run_folder(command.runs_folder, command.from_run).metrics
        costs, source = costs_of_run(metrics, command.steps), f"run '{command.from_run}'"
    else:
        num_envs = command.real_envs or 128
        console.print(f"Measuring costs: the state teacher with {num_envs} environments in one process …")
        trial = real_trial("single", "synchronous", num_envs, 6)
        spans = run_trial(trial, command.output / "costs")
        costs = costs_of_spans(spans, trial.config.ppo.steps_per_rollout)
        crossing = measure_transport(num_envs, None, command.output / "costs", _STEP_S)
        transfer = max(0.0, crossing.shared_s - crossing.single_s)
        costs = dataclasses.replace(costs, transfer_s=transfer)
        source = f"measured on this machine, {num_envs} environments, one process"
    return dataclasses.replace(costs, average_s=average, network_s=network), source


def _draw(rows: Sequence[Row], path: Path) -> None:
    """Draw the first iterations of some rows."""
    if rows:
        until = _SHOWN_ITERATIONS * max(iteration_s(row.shown()) for row in rows)
        draw_timelines({row.title: row.shown() for row in rows}, path, until)


def _real(command: BenchDisaggregation, console: Console) -> dict[str, Any]:
    num_envs = command.real_envs or 512
    timelines: dict[str, list[Span]] = {}
    speeds: dict[str, float] = {}
    whole: dict[str, float] = {}
    for text, mode in _REAL:
        title = f"{text} {mode}"
        trial = real_trial(text, mode, num_envs, command.iterations)
        timelines[title] = spans = run_trial(trial, _trial_folder(command, text, mode))
        steps = num_envs * trial.config.ppo.steps_per_rollout
        speeds[title] = steps / iteration_s(spans)
        whole[title] = steps * command.iterations / total_s(spans)
    console.print(real_table(speeds))
    console.print(
        f"{num_envs} environments in {BLOCKS} blocks, the same seeds; median from update to update, without "
        f"the first {WARM_UP} and the last"
    )
    until = _SHOWN_ITERATIONS * max(iteration_s(spans) for spans in timelines.values())
    draw_timelines(timelines, command.output / "timeline-real.png", until)
    return {"num_envs": num_envs, "steps_a_second": speeds, "steps_a_second_whole": whole}


def _trial_folder(command: BenchDisaggregation, text: str, mode: Mode) -> Path:
    return command.output / "ranks" / f"{text.replace(':', '-')}-{mode}"
