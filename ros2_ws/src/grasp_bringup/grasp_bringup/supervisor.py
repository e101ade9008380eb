"""Runs several processes as one: forwards what they print, and ends all when one ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from grasp_bringup.tether import die_with_parent

_POLL_S = 0.05


@dataclass(frozen=True)
class Program:
    """One process to run."""

    name: str
    command: list[str]
    ends_run: bool = False
    """whether its end is the end of the run; the end of any other is a failure"""
    onlooker: bool = False
    """whether it only looks on: its end is told, and nothing else"""


@dataclass(frozen=True)
class Patience:
    """How long to wait for what, all in wall time."""

    last_words_s: float = 25.0
    """s, after a process has died, for the one that ends the run to notice by itself and say why"""
    interrupt_s: float = 10.0
    """s after SIGINT until SIGTERM"""
    terminate_s: float = 3.0
    """s after SIGTERM until SIGKILL"""


@dataclass
class Ending:
    """How a run ended."""

    status: int | None = None
    """exit status of the process that ends the run (negative: killed by that signal); None: never started"""
    died: dict[str, int] = field(default_factory=dict)
    """other processes that ended by themselves, in order, with their exit status"""
    interrupted: bool = False
    """whether the run was interrupted from outside"""


def describe_status(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


class Supervisor:
    """Starts the programs, waits for the end, stops what is left.

    Args:
        programs: what to run; exactly one of them ends the run
        environment: environment of every process
        patience: limits of waits
        say: takes each line to show; defaults to printing
    """

    def __init__(
        self,
        programs: list[Program],
        environment: Mapping[str, str],
        patience: Patience = Patience(),
        say: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        self._programs = programs
        self._environment = dict(environment)
        self._patience = patience
        self._say = say
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._readers: list[threading.Thread] = []
        self._interrupted = threading.Event()

    def interrupt(self, again_kills: bool = True) -> None:
        """Ask the run to end in order; safe in a signal handler.

        Args:
            again_kills: whether this, if the run was asked before, kills whatever is left. A person's second
                Ctrl-C does; a terminal that closes may send SIGHUP twice at once, and a robot may be moving.
        """
        if self._interrupted.is_set() and again_kills:
            self._signal_all(signal.SIGKILL)
        self._interrupted.set()

    def run(self) -> Ending:
        """Run all to the end; nothing is left running, whatever happens."""
        ending = Ending()
        try:
            for program in self._programs:
                self._start(program)
            for program in self._programs:
                self._listen(program.name)
            self._watch(ending)
        finally:
            self._stop(ending)
        return ending

    def _start(self, program: Program) -> None:
        # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which ends all in order.
        process = subprocess.Popen(
            program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
            # Even a killed supervisor leaves no node behind. Safe: no thread runs yet (see _listen).
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        self._processes[program.name] = process

    def _listen(self, name: str) -> None:
        # Threads begin once all processes are forked: a fork beside threads may inherit a held lock.
        reader = threading.Thread(target=self._forward, args=(name, self._processes[name]), daemon=True)
        reader.start()
        self._readers.append(reader)

    def _forward(self, name: str, process: subprocess.Popen[bytes]) -> None:
        width = max(len(program.name) for program in self._programs)
        assert process.stdout is not None
        for line in process.stdout:
            self._tell(f"{name:<{width}} | {line.decode(errors='replace').rstrip()}")

    def _tell(self, line: str) -> None:
        # Where our own output has nobody, or no room, left to take it, the nodes' still has to be read: a
        # node that cannot write would stand still in mid-motion.
        with suppress(OSError, ValueError):
            self._say(line)

    def _watch(self, ending: Ending) -> None:
        """Wait until the run is over, one way or another."""
        last = next(program.name for program in self._programs if program.ends_run)
        onlookers = {program.name for program in self._programs if program.onlooker}
        gone: set[str] = set()
        deadline = float("inf")
        while not self._interrupted.is_set() and time.monotonic() < deadline:
            for name, process in self._processes.items():
                status = process.poll()
                if status is None or name in gone:
                    continue
                if name == last:
                    return
                gone.add(name)
                if name in onlookers:
                    self._tell(f"{name} {describe_status(status)}: the run goes on")
                    continue
                ending.died[name] = status
                self._tell(f"{name} {describe_status(status)}: ending the run")
                deadline = min(deadline, time.monotonic() + self._patience.last_words_s)
            self._interrupted.wait(_POLL_S)

    def _stop(self, ending: Ending) -> None:
        """End what still runs: first the process that ends the run, that it may conclude, then the others."""
        ending.interrupted = self._interrupted.is_set()
        last = next(program.name for program in self._programs if program.ends_run)
        for group in ([last], [name for name in self._processes if name != last]):
            self._end([self._processes[name] for name in group if name in self._processes])
        if last in self._processes:
            ending.status = self._processes[last].returncode
        for reader in self._readers:
            reader.join(timeout=1.0)

    def _end(self, processes: list[subprocess.Popen[bytes]]) -> None:
        steps = (
            (signal.SIGINT, self._patience.interrupt_s),
            (signal.SIGTERM, self._patience.terminate_s),
            (signal.SIGKILL, None),
        )
        for number, limit_s in steps:
            running = [process for process in processes if process.poll() is None]
            for process in running:
                _signal_session(process, number)
            deadline = None if limit_s is None else time.monotonic() + limit_s
            for process in running:
                _wait(process, deadline)
        for process in processes:
            # What a process left behind in its session ends with it.
            _signal_session(process, signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                _signal_session(process, number)


def _wait(process: subprocess.Popen[bytes], deadline: float | None) -> None:
    try:
        process.wait(None if deadline is None else max(deadline - time.monotonic(), 0.0))
    except subprocess.TimeoutExpired:
        return


def _signal_session(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # The session's group bears the process's own id, which stays taken as long as the group has a member.
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def child_environment(defaults: Mapping[str, str], names: list[str]) -> dict[str, str]:
    """The environment for programs of these names: this process's, with ``defaults`` where it is silent."""
    environment = {**defaults, **os.environ, "PYTHONUNBUFFERED": "1"}
    # The prefix names the node already, and tables have to fit beside it.
    environment.setdefault("RCUTILS_CONSOLE_OUTPUT_FORMAT", "[{severity}] {message}")
    columns = int(os.environ.get("COLUMNS", "0") or 0) or _terminal_columns()
    environment["COLUMNS"] = str(max(columns - max(map(len, names)) - 3, 60))
    if sys.stdout.isatty():
        environment.setdefault("RCUTILS_COLORIZED_OUTPUT", "1")
        environment.setdefault("FORCE_COLOR", "1")
    return environment


def _terminal_columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return 120
