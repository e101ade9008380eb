"""Plans: what environments cost, how many fit under each placement, and which placement is best."""

from grasp_training.planning.automatic import resolve_placement
from grasp_training.planning.choice import Choice, best, compare, placements_of, steps_per_s
from grasp_training.planning.costs import (
    EnvironmentCosts,
    Line,
    Memory,
    Seconds,
    most_environments,
    rank_bytes,
    rank_parts,
)
from grasp_training.planning.measuring import in_process, measure, resident_bytes
from grasp_training.planning.report import Plan, make_plan, print_plan

__all__ = [
    "Choice",
    "EnvironmentCosts",
    "Line",
    "Memory",
    "Plan",
    "Seconds",
    "best",
    "compare",
    "in_process",
    "make_plan",
    "measure",
    "most_environments",
    "placements_of",
    "print_plan",
    "rank_bytes",
    "rank_parts",
    "resident_bytes",
    "resolve_placement",
    "steps_per_s",
]
