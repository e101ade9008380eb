"""How records go between a learner and its simulators: within a process, or through a process group."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import torch

from grasp_training.disaggregation.cluster import Cluster
from grasp_training.disaggregation.messages import STOP
from grasp_training.disaggregation.placement import Role, Route
from grasp_training.disaggregation.worker import SimulationWorker


class Link(Protocol):
    """A learner's end of one route."""

    route: Route

    def first(self, results: torch.Tensor) -> None:
        """Have the observations before the first step written into records (rows, size)."""
        ...

    def send(self, actions: torch.Tensor, results: torch.Tensor) -> None:
        """Ask for a step.

        Args:
            actions: records (rows, size), contiguous; not to be changed before `wait` returned.
            results: records (rows, size), contiguous, that the answer is written into.
        """
        ...

    def wait(self) -> None:
        """Wait until the answer is written."""
        ...

    def close(self, actions: torch.Tensor) -> None:
        """Send actions whose step is `STOP`, which nobody answers."""
        ...


class LocalLink:
    """A route within a process: the simulator writes into the learner's records."""

    def __init__(self, worker: SimulationWorker, route: Route) -> None:
        self.route, self._worker = route, worker

    def first(self, results: torch.Tensor) -> None:
        """See `Link`."""
        self._worker.first(self.route, results)

    def send(self, actions: torch.Tensor, results: torch.Tensor) -> None:
        """Step; see `Link`."""
        self._worker.step(self.route, actions, results)

    def wait(self) -> None:
        """Return: `send` has done it all."""

    def close(self, actions: torch.Tensor) -> None:
        """Do nothing: there is nobody to tell."""


class Channel:
    """One rank's end of a route to another: sends and receives records, each with a time limit."""

    def __init__(self, cluster: Cluster, peer: Role, route: Route) -> None:
        """Prepare to exchange records.

        Args:
            cluster: this rank's membership.
            peer: the other end.
            route: whose records; its group tells messages between the same ranks apart.
        """
        self.peer = peer
        self._cluster, self._tag = cluster, route.group
        self._last, self._last_s = "none", time.monotonic()

    def send(self, records: torch.Tensor) -> Any:
        """Begin to send records (rows, size), contiguous."""
        return self._begin(lambda group: group.send([records], self.peer.rank, self._tag))

    def receive(self, records: torch.Tensor) -> Any:
        """Begin to receive into records (rows, size), contiguous."""
        return self._begin(lambda group: group.recv([records], self.peer.rank, self._tag))

    def wait(self, work: Any, limit_s: float, received: str = "") -> None:
        """Wait for a transfer.

        Args:
            work: what `send` or `receive` returned.
            limit_s: seconds to wait at most.
            received: what has come when it ends, for messages.

        Raises:
            RankError: it failed, or did not end within the limit.
        """
        begun = time.monotonic()
        try:
            work.wait(timedelta(seconds=limit_s))
        except RuntimeError as error:
            waited = time.monotonic() - begun
            reason = "closed its connection"
            if waited >= limit_s:
                silent = self._cluster.pulse.is_silent(self.peer.rank)
                reason = f"has {'stopped' if silent else 'been slow'}: no answer for {waited:.0f} s"
            self._fail(reason, error)
        if received:
            self._last, self._last_s = received, time.monotonic()

    def _begin(self, transfer: Any) -> Any:
        try:
            return transfer(self._cluster.transport)
        except RuntimeError as error:
            self._fail("closed its connection", error)

    def _fail(self, reason: str, error: RuntimeError) -> None:
        ago = time.monotonic() - self._last_s
        detail = str(error).splitlines()[0].partition(". This is typically")[0]
        self._cluster.fail(
            f"{self.peer} {reason}; last message from it: {self._last}, {ago:.0f} s ago; "
            f"{self._cluster.pulse.describe(self.peer.rank)} ({detail})"
        )


class ChannelLink:
    """What links to a simulator in another rank have in common: a channel, and waiting for a step on it."""

    def __init__(self, cluster: Cluster, route: Route) -> None:
        self.route, self._limits, self._pulse = route, cluster.limits, cluster.pulse
        peer = cluster.roles[cluster.placement.rank_of_simulator(route.simulator)]
        self._channel = Channel(cluster, peer, route)
        self._sending: Any = None
        self._receiving: Any = None
        self._steps = 0

    def wait(self) -> None:
        """See `Link`."""
        self._pulse.doing(f"waiting for {self._channel.peer} in step {self._steps}")
        self._channel.wait(self._sending, self._limits.step_s)
        self._channel.wait(self._receiving, self._limits.step_s, f"results of step {self._steps}")
        self._pulse.doing(f"learning, after step {self._steps}")


class GroupLink(ChannelLink):
    """A route to a simulator in another rank, whose records are messages."""

    def first(self, results: torch.Tensor) -> None:
        """See `Link`."""
        self._channel.wait(self._channel.receive(results), self._limits.start_s, "the first observations")

    def send(self, actions: torch.Tensor, results: torch.Tensor) -> None:
        """See `Link`."""
        self._steps += 1
        self._receiving = self._channel.receive(results)
        self._sending = self._channel.send(actions)

    def close(self, actions: torch.Tensor) -> None:
        """See `Link`."""
        self._channel.wait(self._channel.send(actions), self._limits.step_s)


class Port(Protocol):
    """A simulator's end of one route."""

    route: Route

    def answer(self) -> bool:
        """Wait for actions, step and answer; return whether there is more to come."""
        ...


class GroupPort:
    """A simulator's end of a route to a learner in another rank."""

    def __init__(self, cluster: Cluster, worker: SimulationWorker, route: Route) -> None:
        self.route, self._cluster, self._worker = route, cluster, worker
        peer = cluster.roles[cluster.placement.rank_of_learner(route.learner)]
        self._channel = Channel(cluster, peer, route)
        rows = worker.rows(route)
        self._actions = worker.actions.new(rows)
        self._results = worker.results.new(rows)
        self._step = worker.actions.views(self._actions)["step"]
        self._steps = 0
        worker.first(route, self._results)
        self._sending = self._channel.send(self._results)
        self._receiving = self._channel.receive(self._actions)

    def answer(self) -> bool:
        """See `Port`."""
        limits, pulse = self._cluster.limits, self._cluster.pulse
        pulse.doing(f"waiting for the actions of step {self._steps + 1}")
        self._channel.wait(self._receiving, limits.update_s, f"actions of step {self._steps + 1}")
        self._channel.wait(self._sending, limits.step_s)
        if int(self._step[0]) == STOP:
            return False
        self._steps += 1
        pulse.doing(f"simulating step {self._steps}")
        self._worker.step(self.route, self._actions, self._results)
        self._sending = self._channel.send(self._results)
        self._receiving = self._channel.receive(self._actions)
        return True


def serve(ports: Sequence[Port]) -> None:
    """Simulate for the learners, route by route in turn, until they say that the run is over.

    Raises:
        RankError: a learner is dead, stopped or too slow.
    """
    serving = sorted(ports, key=lambda port: port.route.group)
    while serving:
        serving = [port for port in serving if port.answer()]
