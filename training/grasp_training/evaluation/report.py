"""The report of an evaluation: one HTML file that needs nothing else, and the same figures as JSON."""

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from grasp_description.objects import HELD_OUT_FAMILIES
from grasp_description.workcell import SPAWN_REGION
from grasp_training.evaluation.episodes import Episode
from grasp_training.evaluation.evaluate import Evaluation
from grasp_training.evaluation.pictures import Photographer, choose, strip

STRIPS = 5
_GOOD, _BAD = "#1e8c46", "#be3228"
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #23262d; }
body { max-width: 1180px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: .2em 1em .2em 0; text-align: left; white-space: pre; }
tr + tr td { border-top: 1px solid #e2e4e8; } img { max-width: 100%; display: block; margin: .6em 0; }
code { background: #f1f2f4; padding: .1em .3em; } .wrap td { white-space: normal; }
"""


def to_dict(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain JSON types: settings, figures, every episode."""
    return {
        "subject": evaluation.subject,
        "facts": evaluation.facts,
        "settings": evaluation.settings,
        "summary": evaluation.summary.to_dict(),
        "scores": evaluation.scores(),
        "episodes": [
            {
                "number": episode.number,
                "object": episode.object.name,
                "family": episode.object.family,
                "success": episode.success,
                "lifted_at_s": episode.lifted_at_s,
                "dropped": episode.dropped,
                "lost": episode.lost,
                "goal_distance_m": round(episode.goal_distance_m, 5),
                "length_s": episode.length_s,
                "start": [round(float(value), 5) for value in episode.trace.object_pose[0]],
            }
            for episode in evaluation.episodes
        ],
    }


def write_json(path: Path, evaluation: Evaluation) -> None:
    """Write the evaluation as JSON, whole or not at all."""
    _write(path, json.dumps(to_dict(evaluation), indent=1) + "\n")


def write_report(path: Path, evaluation: Evaluation, threads: int = 1) -> None:
    """Write the report: tables, plots, strips of frames of successes and failures. Whole or not at all."""
    photographer = Photographer(threads=threads)
    sections = [
        f"<h1>Evaluation of {html.escape(evaluation.subject)}</h1>",
        _pairs(evaluation.facts | {name: str(value) for name, value in evaluation.settings.items()}),
        "<h2>Figures</h2>",
        _table(("", "share (95 % interval)", "episodes"), evaluation.summary.rows()),
        _picture(_plots(evaluation)),
    ]
    for title, wanted in (("Failures", False), ("Successes", True)):
        chosen = [episode for episode in evaluation.episodes if episode.success == wanted]
        shown = choose(chosen, STRIPS)
        sections.append(f"<h2>{title}</h2><p>{len(shown)} of {len(chosen)}, one family after the other.</p>")
        sections += [_picture(strip(episode, photographer)) for episode in shown]
    sections += ["<h2>Objects that were never grasped</h2>", _never_grasped(evaluation.episodes)]
    body = "\n".join(sections)
    title = html.escape(f"Evaluation of {evaluation.subject}")
    _write(
        path,
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n",
    )


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cells(tag: str, values: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(value)}</{tag}>" for value in values) + "</tr>"

    return "<table>" + cells("th", head) + "".join(cells("td", row) for row in rows) + "</table>"


def _pairs(values: dict[str, str]) -> str:
    rows = (
        f"<tr><td>{html.escape(key)}</td><td><code>{html.escape(value)}</code></td></tr>"
        for key, value in values.items()
    )
    return f'<table class="wrap">{"".join(rows)}</table>'


def _picture(picture: Figure | Image.Image) -> str:
    buffer = io.BytesIO()
    if isinstance(picture, Figure):
        picture.savefig(buffer, format="png", dpi=110)
    else:
        picture.save(buffer, format="png", optimize=True)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _never_grasped(episodes: Sequence[Episode]) -> str:
    outcomes: dict[str, list[bool]] = {}
    for episode in episodes:
        outcomes.setdefault(episode.object.name, []).append(episode.success)
    never = [f"{name} ({len(found)})" for name, found in sorted(outcomes.items()) if not any(found)]
    names = html.escape(", ".join(never)) or "none"
    return f"<p>{len(never)} of {len(outcomes)} (episodes in brackets): {names}.</p>"


def _plots(evaluation: Evaluation) -> Figure:
    figure = Figure(figsize=(11, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    (families, places), (times, masses) = figure.subplots(2, 2)
    _plot_families(families, evaluation)
    episodes = evaluation.episodes
    start = np.array([episode.trace.object_pose[0][:2] for episode in episodes])
    _scatter(places, episodes, start[:, 1], start[:, 0])
    half, centre = np.asarray(SPAWN_REGION.half_size), np.asarray(SPAWN_REGION.centre)
    places.set(
        title="Where the object stood", xlabel="y (m), left of the arm", ylabel="x (m), before the arm"
    )
    places.set(xlim=(centre[1] + 1.15 * half[1], centre[1] - 1.15 * half[1]), aspect="equal")
    lifted = [episode.lifted_at_s for episode in episodes if episode.lifted_at_s is not None]
    times.hist(lifted, bins=np.linspace(0, max([5.0, *lifted]), 26), color="#4a6fa5")
    times.set(title="Time to lift", xlabel="s", ylabel="episodes")
    widths = np.array([100 * episode.object.narrow_width_m for episode in episodes])
    _scatter(masses, episodes, widths, np.array([1000 * episode.object.mass_kg for episode in episodes]))
    masses.set(title="Object", xlabel="narrow width (cm)", ylabel="mass (g), before randomization")
    masses.legend(fontsize=8)
    return figure


def _plot_families(axis: Any, evaluation: Evaluation) -> None:
    rates = {"all": evaluation.summary.success, **evaluation.summary.by_family}
    names = list(rates)[::-1]
    for row, name in enumerate(names):
        rate = rates[name]
        colour = "#23262d" if name == "all" else "#b06a1c" if name in HELD_OUT_FAMILIES else "#4a6fa5"
        axis.barh(row, rate.rate, color=colour, alpha=0.75)
        axis.plot([rate.low, rate.high], [row, row], color="black", linewidth=1.2)
    labels = [f"{name} (held out)" if name in HELD_OUT_FAMILIES else name for name in names]
    axis.set_yticks(range(len(names)), labels)
    axis.set(title="Success by family, 95 % intervals", xlim=(0, 1))
    axis.grid(axis="x", alpha=0.3)


def _scatter(axis: Any, episodes: Sequence[Episode], x: np.ndarray, y: np.ndarray) -> None:
    success = np.array([episode.success for episode in episodes])
    axis.scatter(x[success], y[success], s=16, color=_GOOD, label="success", alpha=0.7)
    axis.scatter(x[~success], y[~success], s=20, color=_BAD, marker="x", label="failure")
    axis.grid(alpha=0.3)
