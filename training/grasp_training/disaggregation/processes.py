"""Processes of a run as others see them: which one it is, and whether it is stopped or has ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 1.0
_LAST_WORDS_S = 5.0
"""Seconds that a rank has to tell others of its agent's death."""
_STATE, _STARTED = 0, 19
"""Fields of /proc/PID/stat after the name (proc(5) counts from 1, and these from its third)."""


@dataclass(frozen=True)
class ProcessId:
    """A process that is mistaken for no other: ids of processes are used again, and on every machine."""

    machine: str
    """Machine, since when it runs, and space of process ids."""
    pid: int
    """Number of the process there."""
    started: str
    """When it was started, in ticks of the machine."""

    @staticmethod
    def of(pid: int) -> ProcessId:
        """Return a process of this machine."""
        return ProcessId(_machine(), pid, _stat(pid, _STARTED))

    def has_ended(self) -> bool:
        """Say whether the process was on this machine and is no more."""
        if not self._could_be_here():
            return False
        return _stat(self.pid, _STARTED) != self.started or _stat(self.pid, _STATE) in ("Z", "X")

    def end_if_stopped(self) -> None:
        """Kill the process if it is on this machine and stopped: no other signal would reach it."""
        if self._could_be_here() and not self.has_ended() and _stat(self.pid, _STATE) in ("T", "t"):
            os.kill(self.pid, signal.SIGKILL)

    def _could_be_here(self) -> bool:
        return bool(self.machine) and self.machine == _machine()


_watched: list[ProcessId] = []


def watch_agent(agent: ProcessId, status: int) -> None:
    """End this rank, with this exit status, when the agent that started it has died."""
    _watched[:] = [agent]
    end_with(agent, status, "torchrun's agent")


def end_with(other: ProcessId, status: int, name: str) -> None:
    """End this process, with this exit status, some seconds after the one that started it has died.

    A thread watches, whatever the process waits for. The parent's number does not tell: ranks may be forked
    from a server, which lives for as long as they do.

    Args:
        other: the process that started this one.
        status: exit status.
        name: of the other, to say which one has died.
    """
    arguments = (other, status, name)
    threading.Thread(target=_end_with, args=arguments, name=f"watch of {name}", daemon=True).start()


def watched_agent() -> ProcessId:
    """Return the agent that this process watches; its parent, if none was named."""
    return _watched[0] if _watched else ProcessId.of(os.getppid())


def _end_with(other: ProcessId, status: int, name: str) -> None:
    while not other.has_ended():
        time.sleep(_POLL_S)
    time.sleep(_LAST_WORDS_S)
    said = f"{name} (process {other.pid}) has died, and with it process {os.getpid()}, which it started"
    print(said, file=sys.stderr, flush=True)
    os._exit(status)


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: nothing is known to be here
        return ""


def _stat(pid: int, field: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[field]
    except (OSError, IndexError):
        return ""
