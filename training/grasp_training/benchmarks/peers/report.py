"""The trainings in turns, and what they came to: a table, and plain figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from grasp_training.benchmarks.peers.job import Job, steps_per_s
from grasp_training.benchmarks.peers.systems import OURS, System

GOAL = 1.5
"""Times the better of the peers that ours is to be."""


@dataclass(frozen=True)
class Row:
    """What one system did."""

    system: str
    setting: str
    observe: str
    steps_per_s: tuple[float, ...]
    """Control steps of all environments a second, learning included, of each repetition; none if missing"""
    versions: dict[str, str]
    """Versions of the libraries that ran."""
    missing: str = ""
    """Why there are no figures."""

    @property
    def median(self) -> float:
        """Return the median over the repetitions, steps/s."""
        return statistics.median(self.steps_per_s)

    def over(self, peer: float | None) -> float | None:
        """Return how many times faster this is than the better of the peers, if both were measured."""
        return self.median / peer if peer and self.steps_per_s else None


def take_turns(
    systems: Sequence[System],
    job: Job,
    repetitions: int,
    warm_up: int,
    folder: Path,
    report: Callable[[str], Any] = print,
) -> list[Row]:
    """Let every system that is there train, one after another, several times.

    Args:
        systems: who trains.
        job: what they train.
        repetitions: how often.
        warm_up: updates of a training that are not counted.
        folder: for what they write.
        report: is told what goes on.

    Raises:
        PeerError: a training failed.
    """
    speeds: list[list[float]] = [[] for _ in systems]
    versions: list[dict[str, str]] = [{} for _ in systems]
    for repetition in range(repetitions):
        for number, system in enumerate(systems):
            if system.train is None:
                continue
            updates = system.train(job, folder / f"{job.observe}-{repetition}-{number}")
            speed = steps_per_s(updates, job.steps_per_update, warm_up)
            speeds[number].append(speed)
            versions[number] = updates.versions
            turn = f"{job.observe}, {repetition + 1} of {repetitions}"
            report(f"{turn}: {system.name}, {system.setting}: {speed:,.0f} steps/s")
    return [
        Row(system.name, system.setting, job.observe, tuple(found), version, system.missing)
        for system, found, version in zip(systems, speeds, versions, strict=True)
    ]


def better_peer(rows: Sequence[Row], observe: str) -> float | None:
    """Return the steps/s of the fastest row that is not ours; none if no peer was measured."""
    peers = [row.median for row in rows if row.system != OURS and row.observe == observe and row.steps_per_s]
    return max(peers, default=None)


def table_of(rows: Sequence[Row], title: str) -> Table:
    """Return the table of all systems."""
    table = Table(title=title)
    for heading in ("system", "setting", "sees"):
        table.add_column(heading)
    for heading in ("steps/s", "least to most", "/ better peer"):
        table.add_column(heading, justify="right")
    for row in rows:
        if not row.steps_per_s:
            table.add_row(row.system, row.setting, row.observe, row.missing, "", "")
            continue
        ratio = row.over(better_peer(rows, row.observe))
        spread = f"{min(row.steps_per_s):,.0f} to {max(row.steps_per_s):,.0f}"
        shown = "–" if ratio is None else f"{ratio:.2f}"
        table.add_row(row.system, row.setting, row.observe, f"{row.median:,.0f}", spread, shown)
    return table


def figures_of(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    """Return a row's figures, plain JSON types."""
    return {
        "system": row.system,
        "setting": row.setting,
        "observe": row.observe,
        "median_steps_per_s": row.median if row.steps_per_s else None,
        "steps_per_s": list(row.steps_per_s),
        "over_better_peer": row.over(better_peer(rows, row.observe)),
        "missing": row.missing,
        "versions": row.versions,
    }
