"""What the bench found, as tables and as plain figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from grasp_training.benchmarks.schedule import (
    WARM_UP,
    Costs,
    Span,
    bound_s,
    iteration_s,
    schedule,
    total_s,
)
from grasp_training.benchmarks.transport import TransportCost
from grasp_training.disaggregation import Placement
from grasp_training.learning.config import Mode

MODES: tuple[Mode, ...] = ("synchronous", "overlapped")
_COLUMNS = ("measured", "schedule", "bound", "/ bound", "gain", "whole", "schedule")
LEGEND = f"""\
measured, schedule: from update to update, without the first {WARM_UP} and the last (median)
bound: what simulating takes, or learning, whichever is longer; where every rank does both, their sum
gain: times faster than synchronous
whole: milliseconds from the first control step to the end of the last update, the first rollout included"""


@dataclass(frozen=True)
class Row:
    """One placement and mode: scheduled, and measured if this machine ran it."""

    placement: Placement
    """Who simulates and who learns."""
    mode: Mode
    """Whether collecting and learning overlap."""
    nodes: int
    """Nodes that the ranks are on."""
    scheduled: Sequence[Span]
    """What the schedule says."""
    measured: Sequence[Span] | None
    """What real ranks did."""

    @property
    def title(self) -> str:
        """Return placement and mode in words."""
        return f"{self.placement} {self.mode}{self.where}"

    @property
    def where(self) -> str:
        """Return the number of nodes in words, if there are several."""
        return f", {self.nodes} nodes" if self.nodes > 1 else ""

    def shown(self) -> Sequence[Span]:
        """Return what was measured, or else what the schedule says."""
        return self.scheduled if self.measured is None else self.measured


def scheduled_row(
    text: str,
    mode: Mode,
    costs: Costs,
    iterations: int,
    measured: Sequence[Span] | None = None,
    devices_per_node: int = 0,
) -> Row:
    """Work out a placement's schedule."""
    placement = Placement.parse(text)
    nodes = math.ceil(placement.world_size / devices_per_node) if devices_per_node else 1
    scheduled = schedule(placement, mode, costs, iterations, devices_per_node)
    return Row(placement, mode, nodes, scheduled, measured)


def modes_of(text: str) -> tuple[Mode, ...]:
    """Return the modes to compare: collecting and learning overlap where they are on different ranks."""
    return MODES if Placement.parse(text).separate else MODES[:1]


def cost_line(costs: Costs, source: str) -> str:
    """Return the costs in words."""
    values = {name.removesuffix("_s"): value for name, value in dataclasses.asdict(costs).items()}
    steps = values.pop("steps")
    parts = [f"{name} {1e3 * value:.2f}" for name, value in values.items() if value]
    return f"Costs, ms: {', '.join(parts)}; {steps} steps a rollout ({source})"


def table_of(rows: Sequence[Row], costs: Costs) -> Table:
    """Return the table of all placements and modes."""
    table = _table("Milliseconds an iteration", "placement", "mode", *_COLUMNS)
    for row in rows:
        figures = figures_of(row, rows, costs)
        table.add_row(
            f"{row.placement}{row.where}",
            row.mode,
            *(_milliseconds(figures[name]) for name in ("measured_s", "scheduled_s", "bound_s")),
            f"{figures['over_bound']:.2f}",
            f"{figures['gain']:.2f}" if row.mode == "overlapped" else "",
            *(_milliseconds(figures[name], 0) for name in ("whole_s", "whole_scheduled_s")),
        )
    return table


def figures_of(row: Row, rows: Sequence[Row], costs: Costs) -> dict[str, Any]:
    """Return a row's figures: of the real ranks where there were any, else of the schedule."""
    reference = next(other for other in rows if _is_synchronous_of(other, row))
    seconds, bound = iteration_s(row.shown()), bound_s(row.placement, costs)
    return {
        "placement": str(row.placement),
        "mode": row.mode,
        "nodes": row.nodes,
        "measured_s": None if row.measured is None else seconds,
        "scheduled_s": iteration_s(row.scheduled),
        "bound_s": bound,
        "over_bound": seconds / bound,
        "gain": iteration_s(reference.shown()) / seconds,
        "whole_s": None if row.measured is None else total_s(row.measured),
        "whole_scheduled_s": total_s(row.scheduled),
    }


def _is_synchronous_of(other: Row, row: Row) -> bool:
    return (other.placement, other.nodes, other.mode) == (row.placement, row.nodes, "synchronous")


def transport_table(cost: TransportCost, step_s: float) -> Table:
    """Return what crossing costs beyond one process."""
    title = f"A step of {1e3 * step_s:g} ms whose results are {cost.bytes / 1e6:.2f} MB"
    table = _table(title, "records cross", "", "step, ms", "beyond one process, ms", "of the step", "GB/s")
    table.add_row("not", "one process", _milliseconds(cost.single_s), "", "", "")
    ways = {"shared memory": cost.shared_s, "messages": cost.messages_s}
    for how, seconds in ways.items():
        more = seconds - cost.single_s
        speed = f"{cost.bytes / more / 1e9:.1f}" if more > 0 else ""
        cells = _milliseconds(seconds), f"{1e3 * more:.2f}", f"{more / step_s:.1%}", speed
        table.add_row(how, "two processes", *cells)
    copying = (
        _milliseconds(cost.copy_s),
        f"{cost.copy_s / step_s:.1%}",
        f"{cost.bytes / cost.copy_s / 1e9:.1f}",
    )
    table.add_row("one copy in memory", "one thread", "", *copying)
    return table


def real_table(steps_a_second: dict[str, float]) -> Table:
    """Return control steps a second of the real task, beside the first."""
    table = _table("The real task on this machine", "placement", "mode", "control steps/s", "× the first")
    first = next(iter(steps_a_second.values()))
    for title, speed in steps_a_second.items():
        table.add_row(*title.split(), f"{speed:.0f}", f"{speed / first:.2f}")
    return table


def _table(title: str, *columns: str) -> Table:
    """Return a table whose first two columns are words, and the others figures."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", no_wrap=index < 2)
    return table


def _milliseconds(seconds: float | None, digits: int = 1) -> str:
    return "" if seconds is None else f"{1e3 * seconds:.{digits}f}"
