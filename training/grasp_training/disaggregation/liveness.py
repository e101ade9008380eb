"""Signs of life: every rank gives one each second and watches for those of the others.

A process that is killed closes its connections, which its peers notice at once. One that is stopped (SIGSTOP,
a suspended machine, a hung kernel) keeps them open: only its silence tells, and tells it from one that is
merely slow, whose thread here goes on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch.distributed import Store

from grasp_training.disaggregation.placement import Role
from grasp_training.disaggregation.processes import ProcessId
from grasp_training.disaggregation.reports import leave_sign_of_life

BEAT_S = 1.0
"""Seconds between two signs of life."""
_FINISHED = "finished"


@dataclass(frozen=True)
class Limits:
    """Time limits on waits."""

    join_s: float = 60.0
    """s, for the processes of all ranks to come up, from when the first has."""
    start_s: float = 300.0
    """s, for all ranks to make their environments."""
    step_s: float = 120.0
    """s, for a simulator's answer to actions."""
    update_s: float = 900.0
    """s, for a learner's next actions: it may be optimizing."""
    silence_s: float = 20.0
    """s, without a sign of life after which a rank counts as stopped; a rank that gets no processor time for
    so long counts as stopped too."""


@dataclass
class _Heard:
    beat: str = ""
    at_s: float = 0.0


class Pulse:
    """Gives and hears signs of life, in a thread of its own."""

    def __init__(
        self,
        store: Store,
        role: Role,
        others: Sequence[Role],
        limits: Limits,
        on_silence: Callable[[str], None],
        agent: ProcessId,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            store: shared by all ranks; used from this object's thread only, since a client that waits for a
                key holds up every other call on it.
            role: of this rank.
            others: the ranks to watch.
            limits: how long a silence may be.
            on_silence: is called once, in the thread, with a message that names the rank.
            agent: the process that watches over this one.
        """
        self._store, self._role, self._others, self._limits = store, role, list(others), limits
        self._on_silence, self._agent = on_silence, agent
        self._process = dataclasses.asdict(ProcessId.of(os.getpid()))
        self._heard = {other.rank: _Heard() for other in others}
        self._doing, self._count = "starting", 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pulse of {role}", daemon=True)

    def start(self) -> None:
        """Begin to give signs of life and to watch."""
        now = time.monotonic()
        for heard in self._heard.values():
            heard.at_s = now
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Give a last sign, which says that silence will be in order."""
        self._end.set()
        self._thread.join()
        self._doing = _FINISHED
        self._beat()

    def abandon(self) -> None:
        """Give no more signs: this rank has failed."""
        self._end.set()

    def doing(self, what: str) -> None:
        """Say what this rank does from now on, for the others' messages."""
        self._doing = what

    def describe(self, rank: int) -> str:
        """Say when a rank last gave a sign of life, and what it was doing then."""
        heard = self._heard[rank]
        ago = time.monotonic() - heard.at_s
        doing = json.loads(heard.beat)["doing"] if heard.beat else "nothing yet"
        return f"its last sign of life, {ago:.0f} s ago, said: {doing}"

    def lost_agent(self) -> str | None:
        """Say so if the agent that watches over this rank has died: nobody would end it from now on."""
        if not self._agent.has_ended():
            return None
        return f"torchrun's agent (process {self._agent.pid}), which started {self._role}, has died"

    def end_stopped(self) -> None:
        """Kill silent ranks that are stopped, on this machine: the agent's SIGTERM does not reach them."""
        for other in self._others:
            if self.is_silent(other.rank) and (beat := self._heard[other.rank].beat):
                ProcessId(**json.loads(beat)["process"]).end_if_stopped()

    def is_silent(self, rank: int) -> bool:
        """Say whether a rank has been silent for longer than the limit."""
        heard = self._heard[rank]
        return _FINISHED not in heard.beat and time.monotonic() - heard.at_s > self._limits.silence_s

    def find_silent(self) -> Role | None:
        """Return the rank that is silent, waiting until one would be found to be so."""
        deadline = time.monotonic() + self._limits.silence_s + 2 * BEAT_S
        while time.monotonic() < deadline:
            for other in self._others:
                if self.is_silent(other.rank):
                    return other
            time.sleep(BEAT_S / 4)
        return None

    def _run(self) -> None:
        while not self._end.wait(BEAT_S):
            before = time.monotonic()
            try:
                self._beat()
                self._listen()
            except RuntimeError as error:
                gone = f"the store that all ranks share is gone, with torchrun's agent that held it ({error})"
                self._on_silence(self.lost_agent() or gone)
                return
            if lost := self.lost_agent():
                self._on_silence(lost)
                return
            if time.monotonic() - before > self._limits.silence_s / 2:
                continue  # it was this rank that stood still: what it heard before says nothing
            for other in self._others:
                if self.is_silent(other.rank):
                    self._on_silence(f"{other} has stopped: {self.describe(other.rank)}")
                    return

    def _beat(self) -> None:
        self._count += 1
        leave_sign_of_life(self._doing)
        beat = {"count": self._count, "doing": self._doing, "process": self._process}
        self._store.set(_key(self._role.rank), json.dumps(beat))

    def _listen(self) -> None:
        known = [other for other in self._others if self._store.check([_key(other.rank)])]
        now = time.monotonic()
        for other in known:
            beat = self._store.get(_key(other.rank)).decode()
            heard = self._heard[other.rank]
            if beat != heard.beat:
                heard.beat, heard.at_s = beat, now


def _key(rank: int) -> str:
    return f"pulse/{rank}"
