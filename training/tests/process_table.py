"""What the process table says of processes that a test has started."""

from __future__ import annotations

import time
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that have not ended, oldest first."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (stat := _stat(int(folder.name))) and int(stat[1]) == pid:
            found.append((int(stat[19]), int(folder.name)))
    return [each for _, each in sorted(found) if is_alive(each)]


def descendants(pid: int) -> set[int]:
    """Return all that a process has started, and what these have."""
    own = children(pid)
    return set(own).union(*(descendants(each) for each in own))


def is_alive(pid: int) -> bool:
    """Say whether a process runs or is stopped; one that has ended and waits for its parent does not."""
    stat = _stat(pid)
    return bool(stat) and stat[0] not in ("Z", "X")


def command(pid: int) -> str:
    """Return the command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def ranks_of(launcher: int) -> list[int]:
    """Return the ranks that `grasp` has started, by rank: they fork one after the other from its server."""
    servers = [each for each in children(launcher) if "forkserver" in command(each)]
    return [rank for server in servers for rank in children(server)]


def await_end(processes: set[int], limit_s: float) -> set[int]:
    """Wait until processes have ended; return those that have not within the limit."""
    deadline = time.monotonic() + limit_s
    left = {pid for pid in processes if is_alive(pid)}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {pid for pid in left if is_alive(pid)}
    return left


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, …; none if it is not there."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
