"""What the comparison of batches found: a table beside the paper's, and learning curves.

Paper: Singh et al., End-to-end RL Improves Dexterous Grasping Policies, arXiv 2509.16434.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grasp_training.evaluation import Rate
from grasp_training.runs import RunFolder, draw_comparison
from grasp_training.studies.batch import SIDES, BatchConfig, lacking_rises, min_episodes
from grasp_training.studies.folder import Result

PAPER = {
    "160×120": {"data-parallel": (4096, "20 %", "0.37"), "disaggregated": (8400, "100 %", "0.42")},
    "320×240": {"data-parallel": (1024, "0 %", "0.00"), "disaggregated": (2100, "20 %", "0.35")},
}
"""By size of depth images and side: environments on four GPUs, share of seeds that reached full
randomization, success."""
_CURVES = ("episode/success", "curriculum/level")


def markdown(results: dict[str, Result], config: BatchConfig) -> str:
    """Return the tables of a study, from results of as many stages as are complete."""
    observed = config.teacher.observe
    shown = f"{observed} {config.task.depth_image}" if observed == "depth" else observed
    lines = [
        _words(results["plan"], config),
        "",
        *_head(),
        *(_row(results, config, shown, side) for side in SIDES),
    ]
    lines += ["", "The paper's, on four GPUs:", "", *_head()]
    for image, sides in PAPER.items():
        for side in SIDES:
            count, full, success = sides[side]
            lines.append(f"| depth {image} | {side} | {count} | {count} | {full} | – | {success} |")
    return "\n".join(lines) + "\n"


def _words(planned: Result, config: BatchConfig) -> str:
    scaled = f", times {config.scale:g} here" if config.scale != 1.0 else ""
    if config.num_envs is None:
        devices = f"{config.devices} devices of {config.memory_gb:g} GB"
        counts = f"what fits {devices} by the plan, in bytes of the CPU backends"
    else:
        counts = f"as given, for {config.devices} devices"
    return (
        f"Environments: {counts}{scaled}. Each run made {config.environment_steps / 1e6:g} million control "
        f"steps; {config.seeds} seeds. Success is that of the last twentieth of a run, on training objects "
        "at the level reached; mean (least to greatest) over seeds. The level rises on both sides after at "
        f"least {min_episodes(planned, config)} episodes. {lacking_rises(planned, config)}"
    ).strip()


def _head() -> list[str]:
    names = [
        "observed",
        "",
        "environments",
        "trained here",
        "seeds at full randomization",
        "level",
        "success",
    ]
    return [f"| {' | '.join(names)} |", f"| {' | '.join(['---'] * len(names))} |"]


def _row(results: dict[str, Result], config: BatchConfig, shown: str, side: str) -> str:
    found = [results[name] for seed in range(config.seeds) if (name := f"{side}-{seed}") in results]
    planned = results["plan"][side]
    placement = planned["placement"]
    title = side if placement == "given" else f"{side} ({placement})"
    full = Rate.of(result["full_after_steps"] is not None for result in found)
    cells = [
        shown,
        title,
        str(planned["environments"]),
        str(planned["trained"]),
        str(full),
        _spread([result["greatest_level"] for result in found]),
        _spread([result["success"] for result in found]),
    ]
    return f"| {' | '.join(cells)} |"


def _spread(values: Sequence[float | None]) -> str:
    known = np.array([value for value in values if value is not None])
    return f"{known.mean():.2f} ({known.min():.2f} to {known.max():.2f})" if len(known) else "–"


def draw(runs: Sequence[RunFolder], path: Path) -> None:
    """Draw success and level of the runs that have been begun, seeds as one line with a band."""
    rows = {run.name: run.metrics.rows() for run in runs if run.exists()}
    draw_comparison({name: found for name, found in rows.items() if found}, _CURVES, path)
