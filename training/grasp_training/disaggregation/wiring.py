"""How a training gets its environments: all in this process, or from other ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rsl_rl.env import VecEnv
from torch.distributed import HashStore

from grasp_training.disaggregation.cluster import Cluster
from grasp_training.disaggregation.links import GroupLink, GroupPort, Link, LocalLink, Port, serve
from grasp_training.disaggregation.placement import Placement, Role, Route
from grasp_training.disaggregation.remote_env import RemoteVecEnv
from grasp_training.disaggregation.shared_links import SharedLink, SharedPort
from grasp_training.disaggregation.shared_memory import MappedMemory, SharedMemory, can_share
from grasp_training.disaggregation.worker import Description, MakeBlock, Setup, SimulationWorker


class Wiring(Protocol):
    """One learner's place among the ranks."""

    placement: Placement
    learner: int
    """Number of this learner; 0 writes the run's folder."""

    def agree(self, key: str, value: str | None) -> str:
        """Return the value that learner 0 gives, which alone passes one."""
        ...

    def connect(self, make_env: MakeBlock, task: Any, setup: Setup) -> VecEnv:
        """Return this learner's environments."""
        ...

    def close(self) -> None:
        """End what `connect` began, in good order."""
        ...


class SingleWiring:
    """Everything in this process: the reference that other wirings equal.

    Args:
        device: where records arrive, and are learnt from.
    """

    placement = Placement.parse("single")
    learner = 0

    def __init__(self, device: str = "cpu") -> None:
        self._device = device

    def agree(self, key: str, value: str | None) -> str:
        """Return the value; see `Wiring`."""
        assert value is not None
        return value

    def connect(self, make_env: MakeBlock, task: Any, setup: Setup) -> VecEnv:
        """Make the environments; see `Wiring`."""
        names = HashStore()
        worker = SimulationWorker(0, self.placement, setup, make_env, task, names)
        links = [LocalLink(worker, route) for route in worker.routes]
        return RemoteVecEnv(task, setup, worker.description, links, names, self._device)

    def close(self) -> None:
        """Do nothing."""


class ClusterWiring:
    """A learner among other ranks; it may simulate too."""

    def __init__(self, cluster: Cluster) -> None:
        assert cluster.role.learner is not None
        self.placement, self.learner = cluster.placement, cluster.role.learner
        self._cluster = cluster
        self._env: RemoteVecEnv | None = None

    def agree(self, key: str, value: str | None) -> str:
        """See `Wiring`.

        Raises:
            RankError: learner 0 did not tell within the limit.
        """
        if value is None:
            return self._cluster.await_value(f"agreed/{key}", self._cluster.roles[0])
        self._cluster.publish(f"agreed/{key}", value)
        return value

    def connect(self, make_env: MakeBlock, task: Any, setup: Setup) -> VecEnv:
        """Have the environments made, or make them; see `Wiring`.

        Raises:
            RankError: a simulator did not make its environments within the limit.
        """
        cluster = self._cluster
        setup = Setup.from_json(self.agree(_SETUP, setup.to_json() if self.learner == 0 else None))
        routes = [route for route in self.placement.routes(setup.blocks, setup.turns)
                  if route.learner == self.learner]  # fmt: skip
        allocate = None
        if cluster.role.simulator is None:
            memory = SharedMemory(cluster.role.rank, cluster.publish) if _may_share(setup) else None
            description = self._described(routes)
            links: Sequence[Link] = [self._link(route, memory) for route in routes]
            if memory:
                allocate = memory.new
        else:
            worker = SimulationWorker(
                cluster.role.simulator, self.placement, setup, make_env, task, cluster.store
            )
            links = [LocalLink(worker, route) for route in routes]
            description = worker.description
        # What other ranks simulate comes by the CPU's memory; its own, a learner has on its device.
        staged = cluster.role.simulator is None and cluster.device != "cpu"
        self._env = RemoteVecEnv(
            task,
            setup,
            description,
            links,
            cluster.store,
            cluster.device,
            cluster.sum_outcomes,
            allocate,
            staged,
        )
        return self._env

    def close(self) -> None:
        """Tell the simulators that the run is over."""
        if self._env:
            self._env.close()

    def _link(self, route: Route, memory: SharedMemory | None) -> Link:
        """Return a link through shared memory, if the simulator reaches it."""
        cluster, role = self._cluster, self._role_of(route.simulator)
        if memory and cluster.await_value(_reach(route.simulator, self.learner), role) == _YES:
            return SharedLink(cluster, route, memory)
        return GroupLink(cluster, route)

    def _role_of(self, simulator: int) -> Role:
        return self._cluster.roles[self.placement.rank_of_simulator(simulator)]

    def _described(self, routes: list[Route]) -> Description:
        """Return what the simulators say of their environments: all the same."""
        cluster, found = self._cluster, {}
        for route in routes:
            role = self._role_of(route.simulator)
            found[role] = Description.from_json(cluster.await_value(_description(route.simulator), role))
        (first, description), *others = found.items()
        for role, other in others:
            if other != description:
                cluster.fail(f"{role} simulates {other}; {first} simulates {description}")
        return description


def simulate(cluster: Cluster, make_env: MakeBlock, task: Any) -> None:
    """Be a simulator: make environments as learner 0 says, and step them until the run is over.

    Raises:
        RankError: a learner is dead, stopped or too slow.
    """
    assert cluster.role.simulator is not None
    setup = Setup.from_json(cluster.await_value(f"agreed/{_SETUP}", cluster.roles[0]))
    cluster.pulse.doing("making environments")
    simulator = cluster.role.simulator
    worker = SimulationWorker(simulator, cluster.placement, setup, make_env, task, cluster.store)
    cluster.publish(_description(simulator), worker.description.to_json())
    learners = {route.learner for route in worker.routes}
    memories = {learner: _reached_memory(cluster, setup, learner) for learner in sorted(learners)}
    serve([_port(cluster, worker, route, memories[route.learner]) for route in worker.routes])


def _reached_memory(cluster: Cluster, setup: Setup, learner: int) -> MappedMemory | None:
    """Return the memory that a learner shares, if it does and this rank reaches it; the learner is told."""
    if not _may_share(setup):
        return None
    assert cluster.role.simulator is not None
    owner = cluster.roles[cluster.placement.rank_of_learner(learner)]
    memory = MappedMemory(owner.rank, lambda key: cluster.await_value(key, owner))
    reached = memory.reachable()
    cluster.publish(_reach(cluster.role.simulator, learner), _YES if reached else _NO)
    return memory if reached else None


def _port(cluster: Cluster, worker: SimulationWorker, route: Route, memory: MappedMemory | None) -> Port:
    if memory:
        return SharedPort(cluster, worker, route, memory)
    return GroupPort(cluster, worker, route)


def _may_share(setup: Setup) -> bool:
    """Say whether ranks are to look for memory that they share; the same in all ranks."""
    return setup.transport == "auto" and can_share()


_SETUP = "setup"
_YES, _NO = "yes", "no"


def _description(simulator: int) -> str:
    return f"description/{simulator}"


def _reach(simulator: int, learner: int) -> str:
    return f"reach/{simulator}/{learner}"
