"""Learning curves of several runs in one picture, those that differ by seed as one line with a band."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grasp_training.runs.metrics import Row

_SEED = re.compile(r"-\d+$")
_POINTS = 400


def group_by_seed(names: Sequence[str]) -> dict[str, list[str]]:
    """Return runs by name without the number at its end: `single-0` and `single-1` are of `single`."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_SEED.sub("", name), []).append(name)
    return groups


def smoothed(rows: Sequence[Row], metric: str, over: str, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a metric over another, each value the mean of a window of iterations that ends there.

    Args:
        rows: a run's metrics.
        metric: what is drawn; rows without it are left out.
        over: `environment_steps` or `wall_time_s`.
        window: iterations.

    Returns:
        Two arrays (iterations with the metric,).
    """
    found = [(row[over], row[metric]) for row in rows if metric in row]
    if not found:
        return np.zeros(0), np.zeros(0)
    places, values = np.array(found, dtype=float).T
    sums = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - window)
    return places, (sums[last] - sums[first]) / (last - first)


def band(curves: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return places (p,) where all curves have values, and the least, mean and greatest there (3, p)."""
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return np.zeros(0), np.zeros((3, 0))
    start, end = max(places[0] for places, _ in curves), min(places[-1] for places, _ in curves)
    places = np.linspace(start, max(start, end), _POINTS)
    values = np.stack([np.interp(places, *curve) for curve in curves])
    return places, np.stack([values.min(0), values.mean(0), values.max(0)])


def draw_comparison(
    runs: Mapping[str, Sequence[Row]], metrics: Sequence[str], path: Path, window: int = 10
) -> None:
    """Draw one row of panels a metric, over millions of environment steps and over minutes.

    Args:
        runs: name to metrics.
        metrics: what to draw, such as `episode/success`.
        path: PNG file to write.
        window: iterations that a value is the mean of.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axes_of = {"environment_steps": (1e6, "environment steps (millions)"), "wall_time_s": (60.0, "minutes")}
    figure = Figure(figsize=(11, 0.6 + 3.0 * len(metrics)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(metrics), len(axes_of), squeeze=False)
    for row, metric in zip(panels, metrics, strict=True):
        for axis, (over, (unit, label)) in zip(row, axes_of.items(), strict=True):
            for name, members in group_by_seed(list(runs)).items():
                curves = [smoothed(runs[member], metric, over, window) for member in members]
                _draw_band(axis, f"{name} ({len(members)})", band(curves), unit)
            axis.set(xlabel=label, ylabel=metric)
            axis.grid(alpha=0.3)
    panels[0][0].legend(title="mean and range (runs)", fontsize=8)
    figure.savefig(path, dpi=100)


def _draw_band(axis: Any, label: str, found: tuple[np.ndarray, np.ndarray], unit: float) -> None:
    places, (low, mean, high) = found
    (line,) = axis.plot(places / unit, mean, linewidth=1.3, label=label)
    axis.fill_between(places / unit, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
