"""Placements side by side: how many environments fit, how fast they are, and which is best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grasp_training.benchmarks.schedule import Costs, bound_s, iteration_s, schedule
from grasp_training.disaggregation import Placement
from grasp_training.learning.config import Mode
from grasp_training.planning.costs import EnvironmentCosts, Seconds, most_environments, rank_bytes

_ITERATIONS = 6
"""updates that the schedule simulates to find its steady state"""


@dataclass(frozen=True)
class Choice:
    """A placement, and what to expect of it."""

    placement: Placement
    """who simulates and who learns"""
    mode: Mode
    """synchronous or overlapped"""
    environments: int
    """how many fit, in all"""
    fullest: str
    """role of the rank that is full first"""
    steps_per_s: float
    """control steps per second of all environments, with as many as fit"""


def placements_of(devices: int) -> list[Placement]:
    """Return every placement that uses so many devices, data parallelism first."""
    texts = [f"data-parallel:{devices}" if devices > 1 else "single"]
    for learners in range(1, devices):
        simulators = devices - learners
        if max(simulators, learners) % min(simulators, learners) == 0:
            texts.append(f"{simulators}:{learners}")
    return [Placement.parse(text) for text in texts]


def steps_per_s(placement: Placement, mode: Mode, seconds: Seconds) -> float:
    """Return the control steps per second to expect, by the schedule (`benchmarks.schedule`).

    Costs are proportional to the number of environments, so it does not matter. What crosses between ranks
    costs nothing here. A device that simulates and learns cannot do both at the same time, whatever the mode.
    """
    costs = Costs(seconds.simulate, seconds.infer, 0.0, seconds.learn, seconds.steps)
    scheduled = iteration_s(schedule(placement, mode, costs, _ITERATIONS))
    return seconds.steps / max(scheduled, bound_s(placement, costs))


def compare(
    costs: dict[Mode, EnvironmentCosts], placements: Sequence[Placement], memory: float
) -> list[Choice]:
    """Return what to expect of placements in the modes whose costs are known.

    Args:
        costs: by mode.
        placements: to compare.
        memory: bytes of each device.
    """
    choices = []
    for mode, cost in costs.items():
        for placement in placements:
            count = most_environments(cost.memory, placement, memory)
            found = rank_bytes(cost.memory, placement, max(count, 1))
            fullest = max(found, key=lambda role: found[role])
            speed = steps_per_s(placement, mode, cost.seconds) if count else 0.0
            choices.append(Choice(placement, mode, count, fullest, speed))
    return choices


def best(choices: Iterable[Choice], num_envs: int) -> Choice:
    """Return the fastest choice whose memory holds `num_envs`; if none does, the one that holds most."""
    choices = list(choices)
    holding = [choice for choice in choices if choice.environments >= num_envs]
    if holding:
        return max(holding, key=lambda choice: choice.steps_per_s)
    return max(choices, key=lambda choice: choice.environments)
