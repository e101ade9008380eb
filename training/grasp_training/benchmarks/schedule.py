"""A schedule simulator: who works when under a placement and mode, worked out from what each part costs.

It follows the order of events of `disaggregation` and `learning.overlapped`, so it tells the wall time of
placements that a machine cannot hold; the bench sets it beside real runs at those that it can.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from grasp_training.disaggregation import Placement
from grasp_training.learning.config import Mode

WARM_UP = 2
"""Updates before the steady state: in overlapped runs the first rollout is collected while nobody learns."""


@dataclass(frozen=True)
class Costs:
    """What the whole batch of environments costs on one device; devices share it equally."""

    simulate_s: float
    """s, a control step, rendering included"""
    infer_s: float
    """s, the learner's part in a step: choosing actions and storing what came of them"""
    transfer_s: float
    """s, for the messages of a step to cross, if they do"""
    learn_s: float
    """s, an update on a rollout"""
    steps: int
    """control steps of a rollout"""
    average_s: float = 0.0
    """s, averaging the gradients of an update, if there are several learners; not shared"""
    network_s: float = 0.0
    """s that the messages of a step take more if they cross between nodes"""


@dataclass(frozen=True)
class Span:
    """Something that took time."""

    who: str
    """rank, by role"""
    what: str
    """`simulate`, `infer`, `transfer`, `learn` or `average`"""
    start_s: float
    """s since the first began"""
    end_s: float
    """s since the first began"""


@dataclass
class _Lane:
    """A device, or a part of one, that does one thing at a time."""

    who: str
    spans: list[Span]
    free_s: float = 0.0

    def work(self, what: str, ready_s: float, cost_s: float) -> float:
        """Do something as soon as it and the lane are ready; return when it is done."""
        start = max(ready_s, self.free_s)
        self.free_s = start + cost_s
        if cost_s > 0:
            self.spans.append(Span(self.who, what, start, self.free_s))
        return self.free_s


@dataclass
class _Source:
    """A simulator as one learner sees it."""

    lane: _Lane
    crossing_s: float


@dataclass
class _Team:
    """A learner and its simulators, which they may share with others where simulators are fewer."""

    acting: _Lane
    learning: _Lane
    sources: list[_Source]
    ready_s: list[float] = field(default_factory=list)
    """when the observations of each group are there"""

    def step(self, group: int, infer_s: float, simulate_s: float) -> None:
        """Act on one group of environments and simulate it."""
        acted = self.acting.work("infer", self.ready_s[group], infer_s)
        arrivals = []
        for source in self.sources:
            done = source.lane.work("simulate", acted, simulate_s)
            arrivals.append(done + source.crossing_s)
            if source.crossing_s:
                self.acting.spans.append(Span(self.acting.who, "transfer", done, arrivals[-1]))
        self.ready_s[group] = max(arrivals)


class _Cluster:
    """All teams of a placement. They wait for each other with every update, as gradients are averaged."""

    def __init__(self, placement: Placement, costs: Costs, groups: int, devices_per_node: int) -> None:
        self.spans: list[Span] = []
        self._placement, self._costs, self._groups = placement, costs, groups
        lanes = {role.rank: _Lane(role.name, self.spans) for role in placement.roles()}
        self._teams: list[_Team] = []
        for learner in range(placement.learners):
            rank = placement.rank_of_learner(learner)
            routes = [route for route in placement.routes(placement.parts()) if route.learner == learner]
            sources = []
            for route in routes:
                other = placement.rank_of_simulator(route.simulator)
                far = devices_per_node and rank // devices_per_node != other // devices_per_node
                crossing = costs.transfer_s + (costs.network_s if far else 0.0) if other != rank else 0.0
                sources.append(_Source(lanes[other], crossing / placement.learners / groups))
            self._teams.append(_Team(lanes[rank], _Lane(lanes[rank].who, self.spans), sources))

    def rollout(self, starts_s: Sequence[float]) -> list[float]:
        """Collect a rollout in every team, from its start; return when each has it."""
        costs, learners = self._costs, self._placement.learners
        for team, start in zip(self._teams, starts_s, strict=True):
            team.ready_s = [start] * self._groups
        infer = costs.infer_s / learners / self._groups
        simulate = costs.simulate_s / max(self._placement.simulators, learners) / self._groups
        for _ in range(costs.steps):
            for group in range(self._groups):
                for team in self._teams:
                    team.step(group, infer, simulate)
        return [max(team.ready_s) for team in self._teams]

    def learn(self, ready_s: Sequence[float]) -> float:
        """Learn from a rollout, all teams together; return when it is done."""
        start, learners = max(ready_s), self._placement.learners
        for team in self._teams:
            learnt = team.learning.work("learn", start, self._costs.learn_s / learners)
            if learners > 1:
                learnt = team.learning.work("average", learnt, self._costs.average_s)
        return learnt

    def run(self, mode: Mode, iterations: int) -> None:
        """Collect and learn, in turn or overlapped."""
        learnt, collected = 0.0, [0.0] * len(self._teams)
        if mode == "overlapped":
            collected = self.rollout(collected)
        for iteration in range(iterations):
            if mode == "synchronous":
                learnt = self.learn(self.rollout([learnt] * len(self._teams)))
                continue
            exchanges = [max(time, learnt) for time in collected]
            if iteration + 1 < iterations:
                collected = self.rollout(exchanges)
            learnt = self.learn(exchanges)


def schedule(
    placement: Placement, mode: Mode, costs: Costs, iterations: int, devices_per_node: int = 0
) -> list[Span]:
    """Return who does what when, in order of their beginning.

    Args:
        placement: who simulates and who learns.
        mode: synchronous or overlapped.
        costs: of the whole batch on one device.
        iterations: updates to make.
        devices_per_node: ranks on a node, in order; all are on one if it is 0.
    """
    cluster = _Cluster(placement, costs, 2 if mode == "overlapped" else 1, devices_per_node)
    cluster.run(mode, iterations)
    return sorted(cluster.spans, key=lambda span: span.start_s)


def iteration_s(spans: Sequence[Span]) -> float:
    """Return the seconds from update to update in the steady state: their median.

    The first `WARM_UP` updates are left out, and the last: nothing is collected while it is made.

    Raises:
        ValueError: there are fewer than four updates.
    """
    who = next((span.who for span in spans if span.what == "learn"), "")
    ends = [span.end_s for span in spans if span.what == "learn" and span.who == who]
    if len(ends) < WARM_UP + 2:
        raise ValueError(
            f"{len(ends)} updates were made; at least {WARM_UP + 2} are needed to tell a steady state"
        )
    steady = ends[WARM_UP - 1 : -1]
    return statistics.median(after - before for before, after in itertools.pairwise(steady))


def total_s(spans: Sequence[Span]) -> float:
    """Return the seconds from the first control step to the end of the last update."""
    return max(span.end_s for span in spans) - min(span.start_s for span in spans)


def bound_s(placement: Placement, costs: Costs) -> float:
    """Return the least seconds an iteration can take: simulating or learning, whichever takes longer.

    Where every rank does both, in turn, it is their sum.
    """
    simulate = costs.steps * costs.simulate_s / placement.simulators
    learn = costs.learn_s / placement.learners
    return max(simulate, learn) if placement.separate else simulate + learn
