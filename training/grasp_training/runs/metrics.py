"""The figures of a run, one JSON line an iteration, and the learning curves drawn from them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, float]

_SUCCESS_NAMES = ("student_success", "success_rate", "success")


class MetricsLog:
    """An append-only table of scalars by iteration.

    A run that was killed has rows after its last checkpoint: `truncate` drops them before the run goes on.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Row) -> None:
        """Add one row; it must hold `iteration`. Numbers that are not finite are left out."""
        finite = {key: value for key, value in row.items() if math.isfinite(value)}
        with self.path.open("a") as stream:
            stream.write(json.dumps(finite) + "\n")

    def rows(self) -> list[Row]:
        """Return all rows, oldest first. A last line cut short by a kill is left out."""
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
        return rows

    def truncate(self, iterations: int) -> None:
        """Keep the rows of the first `iterations` iterations only."""
        kept = [row for row in self.rows() if row["iteration"] <= iterations]
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))
        temporary.replace(self.path)


def find_success(row: dict[str, Any]) -> float | None:
    """Return the success rate in a row of metrics, whichever prefix the task gave it; None where it has none.

    A student's own comes first: while the teacher still acts at times, the other is that of both together.
    """
    found = {name.rsplit("/", 1)[-1]: value for name, value in row.items() if _is_success(name)}
    return next((float(found[name]) for name in _SUCCESS_NAMES if name in found), None)


def _is_success(name: str) -> bool:
    """Say whether a figure is a success rate; a reward term may be called success too."""
    return name.rsplit("/", 1)[-1] in _SUCCESS_NAMES and not name.startswith("reward")


def draw_curves(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw success, reward, losses and reward terms over environment steps into a PNG file.

    Args:
        rows: the metrics of a run; with fewer than two rows nothing is drawn.
        path: file to write, whole or not at all.
        title: name of the run.
    """
    if len(rows) < 2:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    names = list(dict.fromkeys(name for row in rows for name in row))
    panels = {
        "success rate": [name for name in names if _is_success(name)],
        "mean episode reward": ["train/mean_reward"],
        "reward terms": [name for name in names if name.startswith(("reward/", "rewards/"))],
        "losses": [name for name in names if name.startswith("loss/")],
        "action noise": ["policy/action_std", "policy/teacher_share"],
        "learning rate": ["policy/learning_rate"],
    }
    for axis, (label, columns) in zip(figure.subplots(2, 3).flat, panels.items(), strict=True):
        for name in columns:
            _draw_line(axis, rows, name)
        axis.set(title=label, xlabel="environment steps (millions)")
        if label == "learning rate":
            axis.set_yscale("log")
        if len(columns) > 1:
            axis.legend(fontsize=6)
        axis.grid(alpha=0.3)
    temporary = path.with_name(path.stem + ".tmp.png")
    figure.savefig(temporary, dpi=100)
    temporary.replace(path)


def _draw_line(axis: Any, rows: Sequence[Row], name: str) -> None:
    points = [(row["environment_steps"] / 1e6, row[name]) for row in rows if name in row]
    if points:
        axis.plot(*zip(*points, strict=True), linewidth=1, label=name)
