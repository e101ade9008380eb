"""`grasp bench disaggregation`: what a placement's parts cost, side by side, overlapped or not."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from grasp_training.benchmarks.disaggregation import Outcome, Trial, measured_costs, run_trial, transfer_s
from grasp_training.benchmarks.schedule import Costs, bound_s, iteration_s, schedule
from grasp_training.benchmarks.timeline import draw_timelines
from grasp_training.cli.arguments import PARSER_SETTINGS
from grasp_training.disaggregation import Placement
from grasp_training.runs import run_folder


@dataclass(frozen=True)
class BenchDisaggregation:
    """Measure data parallelism, synchronous and overlapped disaggregation against their bound.

    Real ranks run with stand-ins that sleep. A schedule simulator says the same of placements that this
    machine cannot hold.
    """

    output: Path
    """Folder for table (JSON) and timelines (PNG)."""
    simulate_ms: float = 10.0
    """A control step of all environments on one device, ms."""
    infer_ms: float = 1.0
    """Choosing actions for a step, ms."""
    learn_ms: float = 160.0
    """An update, ms."""
    steps: int = 16
    """Control steps of a rollout."""
    from_run: str | None = None
    """Take costs from the figures of this run instead (one process; inference counts as simulation)."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""
    placements: tuple[str, ...] = ("data-parallel:2", "1:1")
    """Placements to run here."""
    scheduled: tuple[str, ...] = ("3:1", "6:2", "data-parallel:8")
    """Placements to work out only."""
    num_envs: int = 64
    """Environments of the stand-ins."""
    iterations: int = 10
    """Updates of each trial."""
    transfer_envs: int = 512
    """Environments of the measurement of transfer; 0 leaves it out."""
    image: tuple[int, int] = (120, 160)
    """Height and width of its depth images."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp bench …` and return the exit status."""
    if not arguments or arguments[0] != "disaggregation":
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print("usage: grasp bench disaggregation --output FOLDER …", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    command = tyro.cli(
        BenchDisaggregation,
        prog="grasp bench disaggregation",
        args=list(arguments[1:]),
        config=PARSER_SETTINGS,
    )
    command.output.mkdir(parents=True, exist_ok=True)
    costs = _costs(command)
    outcomes = [
        run_trial(trial, command.output / f"{trial.placement.replace(':', '-')}-{trial.mode}")
        for trial in _trials(command, costs)
    ]
    console = Console()
    console.print(_table(command, costs, outcomes))
    document = {"costs": dataclasses.asdict(costs), "measured": [_row(outcome) for outcome in outcomes]}
    if command.transfer_envs:
        seconds = transfer_s(command.transfer_envs, command.image, command.output / "transfer")
        document["transfer"] = {"num_envs": command.transfer_envs, "image": command.image, "step_s": seconds}
        size = f"{command.image[1]}×{command.image[0]}"
        console.print(f"{command.transfer_envs} depth images {size} cross in {1e3 * seconds:.2f} ms a step")
    (command.output / "figures.json").write_text(json.dumps(document, indent=2))
    pictures = {f"{o.trial.placement} {o.trial.mode}": o.spans for o in outcomes}
    until = 5 * max(outcome.measured_s for outcome in outcomes)
    draw_timelines(pictures, command.output / "timeline.png", until)
    console.print(f"Figures and timelines: {command.output}")
    return 0


def _costs(command: BenchDisaggregation) -> Costs:
    if command.from_run:
        return measured_costs(run_folder(command.runs_folder, command.from_run).metrics, command.steps)
    return Costs(
        command.simulate_ms / 1e3, command.infer_ms / 1e3, 0.0, command.learn_ms / 1e3, command.steps
    )


def _trials(command: BenchDisaggregation, costs: Costs) -> list[Trial]:
    trials = []
    for text in command.placements:
        trials.append(Trial(text, "synchronous", costs, command.num_envs, None, command.iterations))
        if Placement.parse(text).separate:
            trials.append(dataclasses.replace(trials[-1], mode="overlapped"))
    return trials


def _row(outcome: Outcome) -> dict[str, float | str]:
    return {
        "placement": outcome.trial.placement,
        "mode": outcome.trial.mode,
        "measured_s": outcome.measured_s,
        "scheduled_s": outcome.scheduled_s,
        "bound_s": outcome.bound_s,
    }


def _table(command: BenchDisaggregation, costs: Costs, outcomes: list[Outcome]) -> Table:
    table = Table(title="Milliseconds an iteration", title_justify="left")
    for column in ("placement", "mode", "measured", "scheduled", "bound", "measured / bound"):
        table.add_column(column, justify="left" if column in ("placement", "mode") else "right")
    for outcome in outcomes:
        trial, bound = outcome.trial, outcome.bound_s
        cells = [f"{1e3 * value:.1f}" for value in (outcome.measured_s, outcome.scheduled_s, bound)]
        table.add_row(trial.placement, trial.mode, *cells, f"{outcome.measured_s / bound:.2f}")
    for text in command.scheduled:
        placement = Placement.parse(text)
        for mode in ("synchronous", "overlapped") if placement.separate else ("synchronous",):
            seconds = iteration_s(schedule(placement, mode, costs, command.iterations))
            bound = bound_s(placement, costs)
            table.add_row(text, mode, "", f"{1e3 * seconds:.1f}", f"{1e3 * bound:.1f}", "")
    return table
