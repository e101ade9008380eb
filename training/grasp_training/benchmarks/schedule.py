"""A schedule simulator: who works when under a placement and mode, worked out from what each part costs.

It follows the order of events of `disaggregation` and `learning.overlapped`, so it tells the wall time of
placements that a machine cannot hold; the bench sets it beside real runs at those that it can.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from grasp_training.disaggregation import Placement
from grasp_training.learning.config import Mode


@dataclass(frozen=True)
class Costs:
    """What the whole batch of environments costs on one device; devices share it equally."""

    simulate_s: float
    """s, a control step, rendering included"""
    infer_s: float
    """s, choosing actions for a step"""
    transfer_s: float
    """s, for the messages of a step to cross, if they do"""
    learn_s: float
    """s, an update on a rollout"""
    steps: int
    """control steps of a rollout"""


@dataclass(frozen=True)
class Span:
    """Something that took time."""

    who: str
    """rank, by role"""
    what: str
    """`simulate`, `infer`, `transfer` or `learn`"""
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
class _Team:
    """A learner and its simulators; all teams are alike, and wait for each other with every update."""

    placement: Placement
    costs: Costs
    groups: int
    spans: list[Span] = field(default_factory=list)

    def __post_init__(self) -> None:
        roles = self.placement.roles()
        serving = max(1, self.placement.simulators // self.placement.learners)
        self.acting, self.learning = (_Lane(roles[0].name, self.spans) for _ in range(2))
        names = [role.name for role in roles if role.simulator is not None][:serving]
        self.simulating = [_Lane(name, self.spans) for name in names]
        if not self.placement.separate:
            self.simulating = [self.acting]

    def step(self, ready_s: float) -> float:
        """Act on one group of environments and simulate it; return when its observations are there."""
        costs, placement = self.costs, self.placement
        acted = self.acting.work("infer", ready_s, costs.infer_s / placement.learners / self.groups)
        share = costs.simulate_s / placement.simulators / self.groups
        done = max(lane.work("simulate", acted, share) for lane in self.simulating)
        if not placement.separate:
            return done
        crossing = costs.transfer_s / placement.learners / self.groups
        self.spans.append(Span(self.acting.who, "transfer", done, done + crossing))
        return done + crossing

    def rollout(self, start_s: float) -> float:
        """Collect a rollout; return when it is there."""
        ready = [start_s] * self.groups
        for _ in range(self.costs.steps):
            ready = [self.step(time) for time in ready]
        return max(ready)

    def learn(self, ready_s: float) -> float:
        """Learn from a rollout; return when it is done."""
        return self.learning.work("learn", ready_s, self.costs.learn_s / self.placement.learners)


def schedule(placement: Placement, mode: Mode, costs: Costs, iterations: int) -> list[Span]:
    """Return who does what when, for the first learner and its simulators.

    Args:
        placement: who simulates and who learns.
        mode: synchronous or overlapped.
        costs: of the whole batch on one device.
        iterations: updates to make.
    """
    overlapped = mode == "overlapped"
    team = _Team(placement, costs, groups=2 if overlapped else 1)
    learnt = collected = 0.0
    if overlapped:
        collected = team.rollout(0.0)
    for iteration in range(iterations):
        if not overlapped:
            learnt = team.learn(team.rollout(learnt))
            continue
        exchange = max(collected, learnt)
        if iteration + 1 < iterations:
            collected = team.rollout(exchange)
        learnt = team.learn(exchange)
    return sorted(team.spans, key=lambda span: span.start_s)


def iteration_s(spans: list[Span]) -> float:
    """Return the seconds from update to update, once the first two are done with.

    Raises:
        ValueError: there are fewer than four updates.
    """
    first = spans[0].who if spans else ""
    ends = [span.end_s for span in spans if span.what == "learn" and span.who == _learner(spans, first)]
    if len(ends) < 4:
        raise ValueError(f"{len(ends)} updates were made; at least 4 are needed to tell a steady state")
    return (ends[-2] - ends[1]) / (len(ends) - 3)


def _learner(spans: list[Span], otherwise: str) -> str:
    return next((span.who for span in spans if span.what == "learn"), otherwise)


def bound_s(placement: Placement, costs: Costs) -> float:
    """Return the least seconds an iteration can take: simulating or learning, whichever takes longer."""
    simulate = costs.steps * costs.simulate_s / placement.simulators
    learn = costs.learn_s / placement.learners
    return max(simulate, learn) if placement.separate else simulate + learn
