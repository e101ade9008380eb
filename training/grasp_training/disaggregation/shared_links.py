"""Records that ranks of one machine exchange through shared memory; small messages say where and when.

The simulator writes into the learner's own records. What crosses the process group is one message of five
numbers for a step and one for its answer, so that waits, their limits and what is said of a rank that died,
stopped or is slow are those of `links`.
"""

from __future__ import annotations

import torch

from grasp_training.disaggregation.cluster import Cluster
from grasp_training.disaggregation.links import Channel, ChannelLink
from grasp_training.disaggregation.messages import STOP
from grasp_training.disaggregation.placement import Route
from grasp_training.disaggregation.shared_memory import MappedMemory, Place, SharedMemory
from grasp_training.disaggregation.worker import SimulationWorker

_FIRST = 0
"""In place of a step: write the observations before the first."""


def _message(numbers: int) -> torch.Tensor:
    return torch.zeros(1, numbers, dtype=torch.int64)


class SharedLink(ChannelLink):
    """A route to a simulator in another process of this machine. Records have to lie in the memory given."""

    def __init__(self, cluster: Cluster, route: Route, memory: SharedMemory) -> None:
        super().__init__(cluster, route)
        self._memory = memory
        self._request, self._answer = _message(5), _message(1)

    def first(self, results: torch.Tensor) -> None:
        """See `Link`."""
        self._ask(_FIRST, results, results)
        self._channel.wait(self._sending, self._limits.start_s)
        self._channel.wait(self._receiving, self._limits.start_s, "the first observations")

    def send(self, actions: torch.Tensor, results: torch.Tensor) -> None:
        """See `Link`."""
        self._steps += 1
        self._ask(self._steps, actions, results)

    def close(self, actions: torch.Tensor) -> None:
        """See `Link`."""
        self._request[0, 0] = STOP
        self._channel.wait(self._channel.send(self._request), self._limits.step_s)

    def _ask(self, step: int, actions: torch.Tensor, results: torch.Tensor) -> None:
        told, wanted = self._memory.place(actions), self._memory.place(results)
        self._request[0] = torch.tensor((step, told.region, told.offset, wanted.region, wanted.offset))
        self._receiving = self._channel.receive(self._answer)
        self._sending = self._channel.send(self._request)


class SharedPort:
    """A simulator's end of such a route."""

    def __init__(
        self, cluster: Cluster, worker: SimulationWorker, route: Route, memory: MappedMemory
    ) -> None:
        self.route, self._cluster, self._worker, self._memory = route, cluster, worker, memory
        peer = cluster.roles[cluster.placement.rank_of_learner(route.learner)]
        self._channel = Channel(cluster, peer, route)
        rows = worker.rows(route)
        self._actions_shape = rows, worker.actions.size
        self._results_shape = rows, worker.results.size
        self._request, self._answer = _message(5), _message(1)
        self._steps = 0
        self._sending = None
        self._receiving = self._channel.receive(self._request)

    def answer(self) -> bool:
        """See `Port`."""
        limits, pulse = self._cluster.limits, self._cluster.pulse
        next_step = f"actions of step {self._steps + 1}"
        pulse.doing(f"waiting for the {next_step}")
        self._channel.wait(self._receiving, limits.update_s, next_step)
        if self._sending:
            self._channel.wait(self._sending, limits.step_s)
        step, *places = self._request[0].tolist()
        if step == STOP:
            return False
        self._receiving = self._channel.receive(self._request)
        results = self._memory.records(Place(*places[2:]), self._results_shape)
        if step == _FIRST:
            self._worker.first(self.route, results)
        else:
            self._steps = step
            pulse.doing(f"simulating step {step}")
            actions = self._memory.records(Place(*places[:2]), self._actions_shape)
            self._worker.step(self.route, actions, results)
        self._answer[0, 0] = step
        self._sending = self._channel.send(self._answer)
        return True
