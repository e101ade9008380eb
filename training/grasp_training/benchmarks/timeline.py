"""A picture of who worked when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from grasp_training.benchmarks.schedule import Span

_LOOK = {
    "simulate": ("#4878a8", -0.4, 0.8),
    "learn": ("#b04848", -0.4, 0.5),
    "average": ("#703070", -0.4, 0.5),
    "infer": ("#e0a030", 0.12, 0.28),
    "transfer": ("#888888", 0.3, 0.1),
}
"""What -> colour, and where in a row: a learner infers and learns at the same time."""


_MANY = 30
"""Rows from which on they are drawn thin."""


def draw_timelines(timelines: Mapping[str, Sequence[Span]], path: Path, until_s: float) -> None:
    """Draw one panel a timeline, one row a rank, learners and their simulators in order.

    Args:
        timelines: title to spans.
        path: PNG file to write.
        until_s: where the pictures end, s.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    ranks = {title: _ranks(spans) for title, spans in timelines.items()}
    heights = [max(1, len(who)) for who in ranks.values()]
    each = 0.32 if sum(heights) < _MANY else 0.16
    figure = Figure(figsize=(12, 1.0 + each * sum(heights) + 0.5 * len(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(timelines), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, (title, spans) in zip(axes, timelines.items(), strict=True):
        for row, who in enumerate(ranks[title]):
            for what, (colour, offset, height) in _LOOK.items():
                own = [span for span in spans if span.who == who and span.what == what]
                bars = [(span.start_s, span.end_s - span.start_s) for span in own if span.start_s < until_s]
                axis.broken_barh(bars, (row + offset, height), color=colour, linewidth=0, snap=False)
        axis.set(yticks=range(len(ranks[title])), yticklabels=ranks[title], xlim=(0, until_s))
        axis.set_ylim(len(ranks[title]) - 0.4, -0.6)
        axis.set_title(title, loc="left", fontsize=9)
        axis.tick_params(axis="y", labelsize=8 if each > 0.2 else 6, length=0)
    axes[-1].set_xlabel("s")
    shown = {span.what for spans in timelines.values() for span in spans}
    handles = [Patch(color=look[0], label=what) for what, look in _LOOK.items() if what in shown]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8)
    figure.savefig(path, dpi=100)


def _ranks(spans: Sequence[Span]) -> list[str]:
    """Return who works, learners first."""
    return sorted({span.who for span in spans}, key=lambda who: (who.split()[0], int(who.split()[-1])))
