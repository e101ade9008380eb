"""A picture of who worked when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from grasp_training.benchmarks.schedule import Span

COLOURS = {"simulate": "#4878a8", "infer": "#e0a030", "transfer": "#888888", "learn": "#b04848"}


def draw_timelines(timelines: Mapping[str, Sequence[Span]], path: Path, until_s: float) -> None:
    """Draw one panel a timeline, one row a rank; what overlaps on a rank shows through.

    Args:
        timelines: title to spans.
        path: PNG file to write.
        until_s: where the pictures end, s.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    ranks = {title: sorted({span.who for span in spans}) for title, spans in timelines.items()}
    heights = [max(1, len(who)) for who in ranks.values()]
    figure = Figure(figsize=(12, 1.2 + 0.5 * sum(heights) + 0.6 * len(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(timelines), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
    for axis, (title, spans) in zip(axes, timelines.items(), strict=True):
        for row, who in enumerate(ranks[title]):
            for what, colour in COLOURS.items():
                own = [span for span in spans if span.who == who and span.what == what]
                bars = [(span.start_s, span.end_s - span.start_s) for span in own]
                axis.broken_barh(bars, (row - 0.4, 0.8), color=colour, alpha=0.75, linewidth=0)
        axis.set(yticks=range(len(ranks[title])), yticklabels=ranks[title], xlim=(0, until_s))
        axis.set_title(title, loc="left", fontsize=9)
    axes[-1].set_xlabel("s")
    handles = [Patch(color=colour, label=what) for what, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=8)
    figure.savefig(path, dpi=110)
