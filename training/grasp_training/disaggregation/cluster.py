"""One rank's membership in a run: the store, the process groups, signs of life, and how failures are told."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from types import TracebackType
from typing import NoReturn

import torch
from torch import distributed
from torch.distributed import PrefixStore, ProcessGroup, ProcessGroupGloo, Store

from grasp_training.disaggregation.attempt import new_attempt
from grasp_training.disaggregation.liveness import Limits, Pulse
from grasp_training.disaggregation.placement import Placement, Role
from grasp_training.disaggregation.processes import watched_agent
from grasp_training.disaggregation.reports import WholeErrorHandler
from grasp_training.errors import GraspError

_FAILURE = "failure"
FAILED_STATUS = 75
"""Exit status of a rank that another one's failure has ended."""


class RankError(GraspError, RuntimeError):
    """A rank is dead, stopped or too slow: the message names it and its last message."""

    told = False
    """Whether it is on the terminal already."""


class Cluster:
    """What a rank knows of the others; a context manager.

    The transport between simulators and learners is a process group of its own, over all ranks. The default
    group of `torch.distributed` holds the learners alone, and is there only if there are several: rsl_rl
    averages gradients and observation statistics over the default group.
    """

    def __init__(
        self,
        placement: Placement,
        rank: int,
        store: Store,
        limits: Limits,
        device: str = "cpu",
        job: Store | None = None,
    ) -> None:
        """Join; returns when all ranks have.

        Args:
            placement: roles of the ranks.
            rank: of this process.
            store: shared by all ranks.
            limits: on waits.
            device: of this rank, if it learns. Learners on CUDA devices average gradients through NCCL,
                others through Gloo; records always cross by the CPU's memory.
            job: a store that outlives restarts of the ranks.

        Raises:
            RankError: a rank did not come up within the limit.
        """
        self.placement, self.limits, self.device = placement, limits, device
        self.roles = placement.roles()
        self.role: Role = self.roles[rank]
        self.store, self._job = store, job or store
        store.set_timeout(timedelta(seconds=limits.start_s))
        others = [role for role in self.roles if role.rank != rank]
        life = PrefixStore("life", _own_client(store))
        self.pulse = Pulse(life, self.role, others, limits, self._end_process, watched_agent())
        self.pulse.start()
        try:
            self.transport = _make_group(PrefixStore("transport", store), rank, len(self.roles), limits)
            if self.role.learner is not None and placement.learners > 1:
                self._join_learners(self.role.learner)
        except (RuntimeError, distributed.DistError) as error:
            self.fail(f"{self.role} could not join the other ranks: {error}")

    @staticmethod
    def from_environment(placement: Placement, limits: Limits, device: str = "cpu") -> Cluster:
        """Join with the rank and the store that torchrun gives, and the agent that `watch_agent` was given.

        Raises:
            RankError: torchrun started another number of ranks than the placement has.
        """
        world = int(os.environ["WORLD_SIZE"])
        if world != placement.world_size:
            raise RankError(
                f"torchrun started {world} ranks (WORLD_SIZE); placement {placement} has "
                f"{placement.world_size}"
            )
        timeout = timedelta(seconds=limits.join_s)
        store, rank, _ = next(iter(distributed.rendezvous("env://", timeout=timeout)))
        try:
            attempt = new_attempt(store, rank, world, limits.join_s)
        except RuntimeError as error:
            raise RankError(f"{error}, says {placement.roles()[rank]}") from error
        return Cluster(placement, rank, attempt, limits, device, store)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.pulse.stop()
            return
        try:
            self._tell(error)
        finally:
            self.pulse.end_stopped()

    def _tell(self, error: BaseException) -> None:
        """Tell the others what has ended this rank, unless they know.

        Raises:
            RankError: it was another rank.
        """
        if isinstance(error, RankError):
            self.pulse.abandon()
            return
        # rsl_rl's own exchange between learners does not say who is missing; the silence does.
        silent = self.pulse.find_silent() if _is_transport(error) else None
        self.pulse.abandon()
        if silent:
            self.fail(f"{silent} is gone: {self.pulse.describe(silent.rank)}")
        self._publish(f"{self.role} failed: {error or type(error).__name__}")

    def keep(self, key: str) -> None:
        """Note something for the ranks that may be started anew in place of these."""
        self._job.set(f"kept/{key}", "1")

    def was_kept(self, key: str) -> bool:
        """Say whether ranks of this job have noted it, these or any before them."""
        return self._job.check([f"kept/{key}"])

    def publish(self, key: str, value: str) -> None:
        """Tell all ranks a value."""
        self.store.set(key, value)

    def await_value(self, key: str, source: Role) -> str:
        """Return a value that a rank tells, waiting for it.

        Raises:
            RankError: it did not within the limit.
        """
        self.pulse.doing(f"waiting for '{key}' of {source}")
        try:
            return self.store.get(key).decode()
        except distributed.DistError as error:
            self.fail(f"{source} did not tell '{key}' within {self.limits.start_s:.0f} s: {error}")

    def fail(self, message: str) -> NoReturn:
        """Raise the failure that came first, of whichever rank told it.

        It is told at once: curves are still drawn on the way out, and the agent may end this rank before.

        Raises:
            RankError: always.
        """
        error = RankError(self._publish(self.pulse.lost_agent() or message))
        self._report(error)
        raise error

    def _publish(self, message: str) -> str:
        try:
            return self.store.compare_set(_FAILURE, "", message).decode()
        except RuntimeError:  # the store is gone with the process that held it
            return message

    def _report(self, error: RankError) -> None:
        """Tell the agent and the terminal."""
        WholeErrorHandler().record_exception(error)
        print(f"{self.role}: {error}", file=sys.stderr, flush=True)
        error.told = True

    def _end_process(self, message: str) -> None:
        """End this process from the thread that watches: the main thread may wait in a system call."""
        self._report(RankError(self._publish(message)))
        self.pulse.end_stopped()
        os._exit(FAILED_STATUS)

    def _join_learners(self, learner: int) -> None:
        on_cuda = self.device.startswith("cuda")
        if on_cuda:
            torch.cuda.set_device(self.device)
        distributed.init_process_group(
            "nccl" if on_cuda else "gloo",
            store=PrefixStore("learners", self.store),
            rank=learner,
            world_size=self.placement.learners,
            timeout=timedelta(seconds=self.limits.update_s),
        )
        # Outcomes of episodes are added up on the CPU, every step: a group that needs no device.
        self._outcomes = distributed.new_group(backend="gloo")

    def sum_outcomes(self, episodes: int, successes: int) -> tuple[int, int]:
        """Add episodes and successes over all learners."""
        if self.placement.learners == 1:
            return episodes, successes
        both = torch.tensor([episodes, successes])
        distributed.all_reduce(both, group=self._outcomes)
        return int(both[0]), int(both[1])


def _is_transport(error: BaseException) -> bool:
    """Say whether an exchange between ranks failed, rather than this rank."""
    if isinstance(error, GraspError) or not isinstance(error, RuntimeError):
        return False
    words = ("gloo", "Connection", "NCCL")
    return isinstance(error, distributed.DistError) or any(word in str(error) for word in words)


def _own_client(store: Store) -> Store:
    """Return another connection to a store: one that waits for a key holds up all calls on it."""
    return store.clone()  # type: ignore[attr-defined]


def _make_group(store: Store, rank: int, size: int, limits: Limits) -> ProcessGroup:
    """Return a process group beside the default one.

    The class is made directly: `torch.distributed.new_group` only divides the default group, and that one
    must not hold the simulators. Not NCCL: transfers between two of its ranks take place in the order they
    were begun in, and one that waits for its other end holds up all that follow.
    """
    return ProcessGroupGloo(store, rank, size, timedelta(seconds=limits.start_s))  # type: ignore[return-value]
