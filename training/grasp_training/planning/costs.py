"""What an environment costs: bytes by part and by role of the device, seconds by kind of work."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from grasp_training.disaggregation import Placement
from grasp_training.disaggregation.placement import Role


@dataclass(frozen=True)
class Line:
    """Bytes as a function of the number of environments."""

    fixed: float
    """bytes without any"""
    each: float
    """bytes an environment"""
    least: float = 0.0
    """bytes that few environments take, too: what does not depend on their number may take more than they"""

    @staticmethod
    def through(first: tuple[int, float], second: tuple[int, float], bent: bool = False) -> Line:
        """Return the line through two (environments, bytes); a falling one counts as flat.

        `bent`: fewer environments than the first are taken to need as much.
        """
        each = max(0.0, (second[1] - first[1]) / (second[0] - first[0]))
        return Line(max(0.0, first[1] - each * first[0]), each, first[1] if bent else 0.0)

    def at(self, num_envs: float) -> float:
        """Return the bytes of so many environments."""
        return max(self.least, self.fixed + self.each * num_envs)


@dataclass(frozen=True)
class Memory:
    """What takes memory. Bytes of a rank's own environments."""

    process: Line
    """libraries and code, whatever a rank does"""
    simulator: Line
    """physics and task; simulating ranks"""
    renderer: Line
    """images; simulating ranks"""
    messages: Line
    """records that are sent and received; simulating ranks that do not learn"""
    buffer: Line
    """stored experience, and records that are received; learning ranks"""
    activations: Line
    """networks, gradients, optimizer, logs and what an update needs; learning ranks"""

    def parts(self, role: Role) -> tuple[str, ...]:
        """Return the names of the parts that a role has."""
        simulates, learns = role.simulator is not None, role.learner is not None
        names = ["process"]
        names += ["simulator", "renderer"] if simulates else []
        names += ["messages"] if simulates and not learns else []
        names += ["buffer", "activations"] if learns else []
        return tuple(names)


@dataclass(frozen=True)
class Seconds:
    """What takes time, on one device."""

    simulate: float
    """s, a control step of an environment, rendering and packing included"""
    infer: float
    """s, choosing an environment's action for a step and storing the step"""
    learn: float
    """s, an environment's share of an update"""
    steps: int
    """control steps of a rollout"""


@dataclass(frozen=True)
class EnvironmentCosts:
    """What environments cost in one mode."""

    memory: Memory
    """bytes"""
    seconds: Seconds
    """seconds"""


def rank_parts(memory: Memory, placement: Placement, num_envs: int) -> dict[str, dict[str, float]]:
    """Return the bytes of each rank, by role and part, of a run with so many environments in all."""
    found = {}
    for role in placement.roles():
        simulated, learnt = (
            math.ceil(num_envs / count) for count in (placement.simulators, placement.learners)
        )
        own = {"simulator": simulated, "renderer": simulated, "messages": simulated}
        lines = {name: getattr(memory, name) for name in memory.parts(role)}
        found[role.name] = {name: line.at(own.get(name, learnt)) for name, line in lines.items()}
    return found


def rank_bytes(memory: Memory, placement: Placement, num_envs: int) -> dict[str, float]:
    """Return the bytes of each rank, by role, of a run with so many environments in all."""
    return {role: sum(parts.values()) for role, parts in rank_parts(memory, placement, num_envs).items()}


def most_environments(memory: Memory, placement: Placement, limit: float) -> int:
    """Return how many environments fit, in all, where every rank has `limit` bytes.

    A multiple of the number of learners, who have as many each; 0 if none fit.
    """

    def fits(each: int) -> bool:
        return max(rank_bytes(memory, placement, each * placement.learners).values()) <= limit

    if not fits(1):
        return 0
    top = 1
    while fits(2 * top) and top < 2**40:
        top *= 2
    low, high = top, 2 * top
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low * placement.learners


def part_names() -> tuple[str, ...]:
    """Return the names of all parts."""
    return tuple(item.name for item in dataclasses.fields(Memory))
