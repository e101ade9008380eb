"""Writes a plan's figures into a page, between two marks, beside the figures of the paper.

    python -m grasp_training.benchmarks.plan_page training/grasp_training/disaggregation/README.md

Paper: Singh et al., End-to-end RL Improves Dexterous Grasping Policies, arXiv 2509.16434.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from grasp_training.learning.config import Mode
from grasp_training.learning.depth_network import DepthNetworkConfig
from grasp_training.planning import Choice, Plan, make_plan, rank_parts
from grasp_training.planning.costs import part_names
from grasp_training.planning.measuring import MODES
from grasp_training.presets import teacher_preset
from grasp_training.tasks import TaskConfig, make_env

BEGIN, END = "<!-- plan: begin -->", "<!-- plan: end -->"
PAPER = {"depth 160×120": (4096, 8400), "depth 320×240": (1024, 2100)}
"""Environments of four GPUs in the paper: data parallel, and 3:1."""
_MICRO_BATCH = 32
_ROLE_COLUMNS = {"process": "all", "simulator": "simulator", "renderer": "simulator", "messages": "simulator"}


@dataclass(frozen=True)
class PlanPage:
    """Plan a teacher from depth, and write the tables into a page."""

    page: Annotated[Path, tyro.conf.Positional]
    """Markdown with the two marks."""
    devices: int = 4
    """Devices to plan for."""
    memory_gb: float = 80.0
    """Memory of each, GB (1e9 bytes)."""
    threads: int = 1
    """Threads of torch, physics and rendering in what is measured."""
    modes: tuple[Mode, ...] = MODES
    """Modes to plan."""
    json: Path | None = None
    """Also write the plan here."""


def markdown(plan: Plan) -> str:
    """Return the plan's tables in Markdown."""
    return f"{_costs_table(plan)}\n\n{_placements_table(plan)}\n"


def _costs_table(plan: Plan) -> str:
    heads = [f"{observed.removeprefix('depth ')}: fixed, MB; each, kB" for observed in plan.costs]
    rows = []
    for name in part_names():
        lines: dict[Mode, list[str]] = {mode: [] for mode in next(iter(plan.costs.values()))}
        for by_mode in plan.costs.values():
            for mode, costs in by_mode.items():
                line = getattr(costs.memory, name)
                lines[mode].append(f"{line.fixed / 1e6:.0f}; {line.each / 1e3:.1f}")
        role = _ROLE_COLUMNS.get(name, "learner")
        if role == "learner":
            rows += [[f"{name}, {mode}", role, *cells] for mode, cells in lines.items()]
        else:
            rows.append([name, role, *next(iter(lines.values()))])
    return _table(["part", "rank", *heads], rows)


def _placements_table(plan: Plan) -> str:
    rows = []
    for observed, paper in PAPER.items():
        for mode in plan.costs[observed]:
            rows += [_row(plan, observed, mode, choice, paper) for choice in _shown(plan, observed, mode)]
    heads = ["images", "mode", "placement", "environments", "× data parallel", "the paper's", "full first"]
    return _table([*heads, "of it, most is", "steps/s"], rows)


def _shown(plan: Plan, observed: str, mode: Mode) -> list[Choice]:
    """Return data parallelism, one learner, and whichever placement holds most."""
    choices = plan.choices(observed, mode)
    most = max(choices, key=lambda choice: choice.environments)
    named = [choice for choice in choices if choice is choices[0] or choice.placement.learners == 1]
    return list(dict.fromkeys([*named, most]))


def _row(plan: Plan, observed: str, mode: Mode, choice: Choice, paper: tuple[int, int]) -> list[str]:
    choices = plan.choices(observed, mode)
    most = max(other.environments for other in choices)
    text = str(choice.placement)
    parts = rank_parts(plan.costs[observed][mode].memory, choice.placement, choice.environments)
    part, size = max(parts[choice.fullest].items(), key=lambda item: item[1])
    theirs = {str(choices[0].placement): paper[0], "3:1": paper[1]}.get(text)
    return [
        observed.removeprefix("depth "),
        mode,
        f"{text} (most)" if choice.environments == most else text,
        f"{choice.environments:,}".replace(",", " "),
        f"{choice.environments / max(1, choices[0].environments):.2f}",
        str(theirs or ""),
        choice.fullest,
        f"{part}, {size / sum(parts[choice.fullest].values()):.0%}",
        f"{choice.steps_per_s:.0f}",
    ]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def replace_between_marks(page: str, text: str) -> str:
    """Return a page with other text between the marks.

    Raises:
        ValueError: the page does not have both marks once.
    """
    for mark in (BEGIN, END):
        if page.count(mark) != 1:
            raise ValueError(f"The page has '{mark}' {page.count(mark)} times; once is expected")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan, write the page and return the exit status."""
    command = tyro.cli(PlanPage, prog="python -m grasp_training.benchmarks.plan_page", args=arguments)
    replace_between_marks(command.page.read_text(), "")  # what cannot be written is not measured
    # Not a preset's encoder for small images; in micro-batches that even the few environments measured fill.
    config = dataclasses.replace(
        teacher_preset("cpu", "plan"),
        observe="depth",
        depth=DepthNetworkConfig(micro_batch=_MICRO_BATCH),
        threads=command.threads,
    )
    task = TaskConfig(threads=command.threads)
    memory = 1e9 * command.memory_gb
    plan = make_plan(config, task, make_env, command.devices, memory, report=print, modes=command.modes)
    if command.json:
        command.json.write_text(json.dumps(plan.to_mapping(), indent=2))
    command.page.write_text(replace_between_marks(command.page.read_text(), markdown(plan)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
