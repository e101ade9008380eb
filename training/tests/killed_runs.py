"""Small runs of which one process is killed at a moment drawn from a seed, and what is true afterwards."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ranks_in_processes
from process_table import await_end, descendants, ranks_of
from ranks_in_processes import PATIENCE_S, placed_teacher
from rsl_rl.algorithms import PPO
from toy_environment import ToyTask, make_toy_env

from grasp_training.disaggregation.placement import Placement
from grasp_training.learning import train_teacher
from grasp_training.learning.placed import train_placed
from grasp_training.runs import CheckpointStore, run_folder

PLACEMENTS = ("1:1", "2:1", "1:2", "data-parallel:2")
PHASES = {"start": 0.8, "rollout": 0.03, "update": 0.02, "checkpoint": 0.04}
"""What learner 0 may be doing, and for how long in these small runs, about: s."""
SLOW_DISK_S = 0.01
"""s, that each write to the disk takes longer: a checkpoint is to be hit while it is written."""
MODES = ("synchronous", "overlapped")
AGENT = -1
"""In place of a rank: the process that started the ranks."""
TASK = ToyTask(episode_steps=7)
ITERATIONS = 15
"""Of a run that is to complete; kills come before the sixth is done."""


@dataclass(frozen=True)
class Moment:
    """Who is killed, and when."""

    number: int
    placement: str
    mode: str
    victim: int
    """Rank, or `AGENT`."""
    phase: str
    """What learner 0 does when the time comes."""
    iteration: int
    """Iterations that have to be completed before; 0 while it starts."""
    delay_s: float
    """s, after the phase has begun; at the start, after the victim has."""
    restarts: int
    """Restarts allowed."""

    def __str__(self) -> str:
        who = "agent" if self.victim == AGENT else f"rank{self.victim}"
        return f"{self.number}-{self.placement}-{self.mode}-{who}-{self.phase}-restarts{self.restarts}"


@dataclass
class Killed:
    """What came of it."""

    seconds: float = 0.0
    """From the kill to the end of the last process, or to a new start's completion."""
    phase: str = ""
    """What learner 0 was doing when the kill came."""
    said: str = ""
    """Message of a run that failed."""
    left: set[int] = field(default_factory=set)
    """Processes that outlived the run."""


def moment(number: int) -> Moment:
    """Return one of any number of moments; neighbours differ in phase."""
    draw = random.Random(f"moment {number}")
    placement = draw.choice(PLACEMENTS)
    phase = list(PHASES)[number % len(PHASES)]
    victim = AGENT if draw.random() < 0.15 else draw.randrange(Placement.parse(placement).world_size)
    return Moment(
        number,
        placement,
        draw.choice(MODES),
        victim,
        phase,
        0 if phase == "start" else draw.randint(1, 5),
        draw.uniform(0.0, PHASES[phase]),
        0 if victim == AGENT or draw.random() < 0.6 else 1,
    )


def train_and_tell_phase(config: Any, task: Any, make_env: Any, folder: Path, *more: Any) -> None:
    """Train a teacher, and keep what learner 0 does in a file."""
    if os.environ["RANK"] == "0":
        _tell(folder, "start")
        _wrap(PPO, "update", folder, "update")
        _wrap(CheckpointStore, "save", folder, "checkpoint")
        os.fsync = _slow_fsync
    train_teacher(config, task, make_env, folder, *more)


def _slow_fsync(file: int, fsync: Callable[[int], None] = os.fsync) -> None:
    time.sleep(SLOW_DISK_S)
    fsync(file)


def _wrap(owner: type, name: str, folder: Path, phase: str) -> None:
    method = getattr(owner, name)

    def telling(self: Any, *arguments: Any) -> Any:
        _tell(folder, phase)
        result = method(self, *arguments)
        _tell(folder, "rollout")
        return result

    setattr(owner, name, telling)


def _tell(folder: Path, phase: str) -> None:
    (folder / "phase.tmp").write_text(phase)
    (folder / "phase.tmp").replace(folder / "phase")


def _read_phase(folder: Path) -> str:
    path = folder / "phase"
    return path.read_text() if path.exists() else "start"


def train(moment: Moment, folder: Path, iterations: int, restarts: int = 0) -> None:
    """Begin the run, or go on with it if there is one."""
    config = placed_teacher("run", moment.placement, iterations, mode=moment.mode, max_restarts=restarts)
    resume = run_folder(folder, "run").exists()
    train_placed(train_and_tell_phase, config, TASK, make_toy_env, folder, resume)


def kill_and_await(moment: Moment, folder: Path) -> Killed:
    """Run until the moment has come, kill, and wait for the end of all."""
    return _kill_agent(moment, folder) if moment.victim == AGENT else _kill_rank(moment, folder)


def _kill_rank(moment: Moment, folder: Path) -> Killed:
    killed, times, started = Killed(), [], set()

    def kill() -> None:
        if pid := _await_moment(moment, folder, os.getpid()):
            started.update(ranks_of(os.getpid()))
            killed.phase = _read_phase(folder)
            times.append(time.monotonic())
            os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        train(moment, folder, ITERATIONS if moment.restarts else 10**6, moment.restarts)
    except RuntimeError as error:
        killed.said = str(error)
    ended = time.monotonic()
    thread.join()
    killed.seconds = ended - times[0]
    killed.left = await_end(started | set(ranks_of(os.getpid())), PATIENCE_S)
    return killed


def _kill_agent(moment: Moment, folder: Path) -> Killed:
    program = f"killed_runs.run_by_itself({moment.number}, Path({str(folder)!r}))"
    with ranks_in_processes.start_program("killed_runs", program, folder) as process:
        assert _await_moment(moment, folder, process.pid), (folder / "output").read_text()
        killed = Killed(phase=_read_phase(folder))
        started = descendants(process.pid)
        begun = time.monotonic()
        process.kill()
        process.wait()
        killed.left = await_end(started, PATIENCE_S)
        killed.seconds = time.monotonic() - begun
    killed.said = (folder / "output").read_text()
    return killed


def run_by_itself(number: int, folder: Path) -> None:
    """Train for long, in a process of its own."""
    train(moment(number), folder, 10**6)


def _await_moment(moment: Moment, folder: Path, launcher: int) -> int | None:
    """Wait for the moment and return the process to kill; none if it does not come."""
    needed = Placement.parse(moment.placement).world_size
    if moment.phase == "start":
        needed = max(moment.victim, 0) + 1
    deadline = time.monotonic() + PATIENCE_S
    store = run_folder(folder, "run").checkpoints()
    while len(ranks := ranks_of(launcher)) < needed and time.monotonic() < deadline:
        time.sleep(0.02)
    while time.monotonic() < deadline:
        done = max(store.iterations(), default=0)
        if moment.phase == "start" or (done >= moment.iteration and _read_phase(folder) == moment.phase):
            time.sleep(moment.delay_s)
            return launcher if moment.victim == AGENT else ranks[moment.victim]
        time.sleep(0.002)
    return None


def check_folder(moment: Moment, folder: Path) -> None:
    """Check that every checkpoint is whole and that the run goes on from the newest to its end."""
    run = run_folder(folder, "run")
    store = run.checkpoints()
    newest = max(store.iterations(), default=0)
    for iteration in store.iterations():
        assert store.load(iteration).iteration == iteration
    assert newest >= (ITERATIONS if moment.restarts else moment.iteration)
    train(moment, folder, newest + 1)
    assert run.checkpoints().load_latest().iteration == newest + 1
    assert [row["iteration"] for row in run.metrics.rows()] == list(range(1, newest + 2))
