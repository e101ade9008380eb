"""What the comparison of state and depth teachers found: tables in Markdown, a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grasp_training.evaluation import Rate
from grasp_training.learning.config import Observe
from grasp_training.studies.folder import Result
from grasp_training.studies.measures import sums_of
from grasp_training.studies.observability import KINDS
from grasp_training.studies.predictability import ACTION_GROUPS, Predictability, joined
from grasp_training.studies.statistics import Estimate, bootstrap, bootstrap_difference

_WHO_ACTS = ("student acts", "teacher acts")
_COLOURS = {"state": "#b06a1c", "depth": "#4a6fa5"}
_SHARES = (-0.03, 1.03)
"""range of an axis of shares: lines at 0 and 1 are seen"""
_VISION = {
    "until_lift": "until the lift, or the end",
    "until_lift_of_lifted": "until the lift, where there is one",
    "before_lift": "in the half second before the lift",
}

_SUCCESS_WORDS = """\
Success on held-out objects, share (95 % interval). Steps are control steps over all environments."""
_EXPLANATION_WORDS = """\
What a student knows of its teacher's action: the share of its variance (R²), and the mean absolute error \
(an action is between −1 and 1). All seeds; intervals over episodes."""
_VISION_WORDS = """\
Share of the object's pixels that the robot leaves visible while the teacher acts. All seeds; intervals over \
episodes."""


@dataclass(frozen=True)
class Findings:
    """Results of a study's complete stages, by kind of teacher, of as many seeds as have them."""

    results: dict[str, Result]
    """by stage"""
    seeds: int
    """how many the study has"""

    def of(self, kind: Observe, what: str) -> dict[int, Result]:
        """Results of one sort of stage, by seed."""
        named = {seed: f"{kind}-{what}-{seed}" for seed in range(self.seeds)}
        return {seed: self.results[name] for seed, name in named.items() if name in self.results}

    def outcomes(self, kind: Observe, role: str) -> dict[int, np.ndarray]:
        """Outcomes (episodes,), 0 or 1, of teachers or students, by seed."""
        return {
            seed: np.array(found["success"], float) for seed, found in self.of(kind, f"{role}-score").items()
        }

    def rate(self, kind: Observe, role: str) -> Rate:
        """Success pooled over seeds; the interval takes every episode for a draw of its own."""
        return Rate.of(bool(value) for values in self.outcomes(kind, role).values() for value in values)

    def gap(self, role: str) -> Estimate | None:
        """Depth's success minus state's, seeds and episodes resampled; None before both have some."""
        state, depth = (list(self.outcomes(kind, role).values()) for kind in KINDS)
        return bootstrap_difference(state, depth) if state and depth else None

    def predictability(self, kind: Observe, who_acts: str) -> Predictability | None:
        """How much of the teachers' actions students know, over all seeds; None before there is any."""
        found = [sums_of(result, who_acts) for result in self.of(kind, "explanation").values()]
        return Predictability.of(joined(found)) if found else None

    def watched(self, kind: Observe) -> list[Result]:
        """Visibility of each watched episode of the teachers, over all seeds."""
        return [
            episode
            for found in self.of(kind, "teacher-score").values()
            for episode in found.get("visibility", {}).get("episodes", [])
        ]

    def visibility(self, kind: Observe) -> dict[str, Estimate]:
        """Means over episodes of the visible share, by what part of them."""
        episodes = self.watched(kind)
        lifted = [episode for episode in episodes if episode["lifted"]]
        return {
            "until_lift": _mean([episode["until_lift"] for episode in episodes]),
            "until_lift_of_lifted": _mean([episode["until_lift"] for episode in lifted]),
            "before_lift": _mean([episode["before_lift"] for episode in lifted]),
        }

    def to_dict(self) -> Result:
        """The pooled figures, of plain JSON types."""
        document: Result = {}
        for kind in KINDS:
            found: Result = {
                f"{role}_success": vars(self.rate(kind, role)) for role in ("teacher", "student")
            }
            for who in _WHO_ACTS:
                known = self.predictability(kind, who)
                if known:
                    found[who] = {
                        "explained": {name: value.to_dict() for name, value in known.explained.items()},
                        "error": {name: value.to_dict() for name, value in known.error.items()},
                    }
            found["visible"] = {name: value.to_dict() for name, value in self.visibility(kind).items()}
            document[kind] = found
        for role in ("teacher", "student"):
            gap = self.gap(role)
            document[f"{role}_gap"] = gap.to_dict() if gap else None
        return document


def _mean(values: Sequence[float | None]) -> Estimate:
    known = np.array([value for value in values if value is not None])
    return bootstrap(len(known), lambda drawn: float(known[drawn].mean()))


def markdown(findings: Findings) -> str:
    """Return the tables of a study, from results of as many stages as are complete."""
    parts = [
        [_SUCCESS_WORDS, "", *_success_table(findings)],
        _gap_lines(findings),
        [_EXPLANATION_WORDS, "", *_explanation_table(findings)],
        [_VISION_WORDS, "", *_vision_table(findings)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _success_table(findings: Findings) -> list[str]:
    rows = []
    for kind in KINDS:
        for seed in sorted(findings.of(kind, "teacher")):
            rows.append(_seed_row(findings, kind, seed))
        pooled = [str(findings.rate(kind, role)) for role in ("teacher", "student")]
        rows.append([f"**{kind}**", "all", "", "", pooled[0], "", f"**{pooled[1]}**"])
    head = [
        "teacher",
        "seed",
        "its steps",
        "its level",
        "its success",
        "student's steps",
        "student's success",
    ]
    return _table(head, rows)


def _seed_row(findings: Findings, kind: Observe, seed: int) -> list[str]:
    teacher, student = (findings.of(kind, role).get(seed, {}) for role in ("teacher", "student"))
    scores = [findings.outcomes(kind, role).get(seed, np.zeros(0)) for role in ("teacher", "student")]
    own, taught = (str(Rate.of(bool(value) for value in values)) for values in scores)
    level = teacher.get("level")
    level_text = "–" if level is None else f"{level:.2f}"
    return [kind, str(seed), _millions(teacher), level_text, own, _millions(student), taught]


def _millions(found: Result) -> str:
    return f"{found['environment_steps'] / 1e6:.2f} M" if found else "–"


def _gap_lines(findings: Findings) -> list[str]:
    lines = []
    for role in ("teacher", "student"):
        gap = findings.gap(role)
        if gap:
            lines.append(
                f"- Depth minus state, {role}s: {gap.text(100, 1)} points (95 % interval; seeds are "
                "resampled, then episodes)."
            )
    return lines


def _explanation_table(findings: Findings) -> list[str]:
    rows = []
    for who in _WHO_ACTS:
        known = {kind: findings.predictability(kind, who) for kind in KINDS}
        for group in ACTION_GROUPS:
            cells = []
            for measure in ("explained", "error"):
                for kind in KINDS:
                    found = known[kind]
                    cells.append(getattr(found, measure)[group].text() if found else "–")
            rows.append([who, group, *cells])
    heads = [f"{measure}, {kind}" for measure in ("R²", "error") for kind in KINDS]
    return _table(["states", "action", *heads], rows)


def _vision_table(findings: Findings) -> list[str]:
    found = {kind: findings.visibility(kind) for kind in KINDS}
    rows = [[words, *(found[kind][name].text(100, 1) for kind in KINDS)] for name, words in _VISION.items()]
    counts = [
        f"{len(episodes)} ({sum(episode['lifted'] for episode in episodes)})"
        for episodes in (findings.watched(kind) for kind in KINDS)
    ]
    return _table(
        ["visible, %", *(f"{kind} teachers" for kind in KINDS)], [*rows, ["episodes (lifted)", *counts]]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def draw(findings: Findings, path: Path) -> None:
    """Draw success, explained shares and the visible share over time into a PNG file, whole or not at all."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    success, explained, visible = figure.subplots(1, 3)
    _draw_success(success, findings)
    _draw_explained(explained, findings)
    _draw_visible(visible, findings)
    temporary = path.with_name(path.stem + ".tmp.png")
    figure.savefig(temporary, dpi=110)
    temporary.replace(path)


def _draw_success(axis: Any, findings: Findings) -> None:
    roles = ("teacher", "student")
    for place, kind in enumerate(KINDS):
        for column, role in enumerate(roles):
            rate, middle = findings.rate(kind, role), column + 0.38 * (place - 0.5)
            if not rate.episodes:
                continue
            label = f"{kind} teacher" if column == 0 else None
            axis.bar(middle, rate.rate, 0.36, color=_COLOURS[kind], alpha=0.7, label=label)
            axis.plot([middle, middle], [rate.low, rate.high], color="black", linewidth=1.2)
            for seed, values in findings.outcomes(kind, role).items():
                axis.plot(middle - 0.1 + 0.06 * seed, values.mean(), "o", color="black", markersize=3)
    axis.set_xticks(range(len(roles)), ["teachers", "their students"])
    axis.set_ylim(*_SHARES)
    _finish(axis, "Success on held-out objects (dots: seeds)")


def _draw_explained(axis: Any, findings: Findings) -> None:
    for place, kind in enumerate(KINDS):
        known = findings.predictability(kind, "student acts")
        for column, group in enumerate(ACTION_GROUPS):
            found, middle = known.explained[group] if known else None, column + 0.38 * (place - 0.5)
            if found is None or not math.isfinite(found.value):
                continue
            label = f"{kind} teacher" if column == 0 else None
            axis.bar(middle, found.value, 0.36, color=_COLOURS[kind], alpha=0.7, label=label)
            axis.plot([middle, middle], [found.low, found.high], color="black", linewidth=1.2)
    axis.set_xticks(range(len(ACTION_GROUPS)), list(ACTION_GROUPS))
    axis.axhline(0, color="black", linewidth=0.6)
    _finish(axis, "Teacher's action: variance that the student explains")


def _draw_visible(axis: Any, findings: Findings) -> None:
    for kind in KINDS:
        times, (low, mean, high) = visible_over_time(findings, kind)
        if len(times):
            axis.plot(times, mean, color=_COLOURS[kind], label=f"{kind} teacher")
            axis.fill_between(times, low, high, color=_COLOURS[kind], alpha=0.2, linewidth=0)
    axis.set(xlabel="s", ylim=_SHARES)
    _finish(axis, "Object's pixels left visible by the robot")


def _finish(axis: Any, title: str) -> None:
    axis.set_title(title, fontsize=10)
    axis.grid(alpha=0.3)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=8)


def visible_over_time(findings: Findings, kind: Observe) -> tuple[np.ndarray, np.ndarray]:
    """Return times (t,) in s, and low end, mean and high end (3, t) of the visible share there (95 %).

    Over the episodes that go on at that time and show the object; times with fewer than two are left out.
    """
    episodes, period_s = findings.watched(kind), _period_s(findings, kind)
    longest = max((len(episode["shares"]) for episode in episodes), default=0)
    table = np.full((len(episodes), longest), np.nan)
    for row, episode in enumerate(episodes):
        shares = episode["shares"]
        table[row, : len(shares)] = [math.nan if share is None else share for share in shares]
    count = np.isfinite(table).sum(0)
    table, kept = table[:, count > 1], np.flatnonzero(count > 1)
    if not len(kept):
        return np.zeros(0), np.zeros((3, 0))
    mean = np.nanmean(table, axis=0)
    half = 1.96 * np.nanstd(table, axis=0, ddof=1) / np.sqrt(count[kept])
    return period_s * kept, np.stack([mean - half, mean, mean + half])


def _period_s(findings: Findings, kind: Observe) -> float:
    """Seconds between two shares of a watched episode; the same in all of a study."""
    for found in findings.of(kind, "teacher-score").values():
        if "visibility" in found:
            return float(found["visibility"]["period_s"])
    return 0.0
