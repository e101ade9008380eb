"""Memory that a plan predicts, beside what the ranks of a real run take: VmHWM, the greatest resident memory.

Pages that simulators write into their learner's memory are counted as the learner's, not theirs.

python -m grasp_training.benchmarks.memory --observe depth --num-envs 64 160
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console
from rich.table import Table
from rsl_rl.env import VecEnv

from grasp_training.disaggregation import Placement
from grasp_training.learning import CheckpointConfig, PpoConfig, TeacherConfig, train_teacher
from grasp_training.learning.config import Mode, Observe
from grasp_training.learning.placed import train_placed
from grasp_training.learning.session import MakeEnv
from grasp_training.planning import EnvironmentCosts, measure, rank_bytes, resident_bytes
from grasp_training.planning.report import measured_sizes
from grasp_training.presets import teacher_preset
from grasp_training.tasks import ImageConfig, TaskConfig, make_env

_POLL_S = 0.1


@dataclass(frozen=True)
class WatchedTask:
    """A task whose simulators say which processes they are."""

    task: Any
    """The task."""
    folder: str
    """Where they say it."""


def _leave_pid(folder: Path) -> None:
    path = folder / f"{os.environ['RANK']}.pid"
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").replace(path)


def make_watched_env(
    config: WatchedTask, num_envs: int, groups: tuple[str, ...], objects: str, seed: int
) -> VecEnv:
    """Make environments of the grasp task, and say which process this is."""
    _leave_pid(Path(config.folder))
    return make_env(config.task, num_envs, groups, objects, seed)


def train_watched(config: TeacherConfig, task: WatchedTask, *arguments: Any) -> None:
    """Train a teacher, and say which process this is."""
    _leave_pid(Path(task.folder))
    train_teacher(config, task, *arguments)


def found_bytes(config: TeacherConfig, task: Any, make: MakeEnv = make_watched_env) -> dict[str, float]:
    """Run a training under its placement on this machine; return the greatest memory of each rank, by role.

    Memory that ranks share counts for the learner, which has made it.

    Raises:
        RankError: a rank failed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, over = Path(name), threading.Event()
        found: dict[int, tuple[float, float]] = {}
        watcher = threading.Thread(target=_watch, args=(folder, found, over))
        watcher.start()
        try:
            train_placed(train_watched, config, WatchedTask(task, name), make, folder / "runs")
        finally:
            over.set()
            watcher.join()
    own = {}
    for role in Placement.parse(config.placement).roles():
        peak, shared = found[role.rank]
        own[role.name] = peak if role.learner is not None else peak - shared
    return own


def _watch(folder: Path, found: dict[int, tuple[float, float]], over: threading.Event) -> None:
    """Note each rank's greatest memory, and what it shares, which never shrinks."""
    while not over.wait(_POLL_S):
        for path in folder.glob("*.pid"):
            try:
                process = int(path.read_text())
                found[int(path.stem)] = resident_bytes("VmHWM", process), resident_bytes("RssShmem", process)
            except OSError:  # the rank has ended
                continue


@dataclass(frozen=True)
class Memory:
    """Compare planned with found memory of a real run on this machine."""

    observe: Observe = "state"
    """What the actor sees."""
    image: tuple[int, int] = (64, 48)
    """Width and height of images, pixels."""
    num_envs: tuple[int, ...] = (64, 160)
    """Environments of the runs."""
    placement: str = "1:1"
    """Who simulates and who learns."""
    modes: tuple[Mode, ...] = ("synchronous",)
    """Modes to run."""
    iterations: int = 7
    """Updates of each run; its curves are drawn after the fifth, which loads libraries."""
    threads: int = 1
    """Threads of torch, physics and rendering."""


def compare_memory(command: Memory) -> Table:
    """Plan, run, and return a table of both."""
    config = dataclasses.replace(
        teacher_preset("cpu", "memory"),
        observe=command.observe,
        threads=command.threads,
        iterations=command.iterations,
        placement=command.placement,
        checkpoint=CheckpointConfig(interval_iterations=1),
        ppo=PpoConfig(epochs=1),  # each takes the same memory
    )
    task = TaskConfig(threads=command.threads, depth_image=ImageConfig(*command.image))
    sizes = measured_sizes(task, command.observe == "depth")
    print(f"Measuring parts with {sizes[0]} and {sizes[1]} environments", flush=True)
    costs = measure(config, task, make_env, sizes, command.modes)
    table = Table(title=f"Resident memory (VmHWM), MB; measured at {sizes[0]} and {sizes[1]} environments",
                  title_justify="left")  # fmt: skip
    for column in ("mode", "environments", "rank", "planned", "found", "planned / found"):
        table.add_column(column, justify="left" if column in ("mode", "rank") else "right")
    for mode in command.modes:
        for count in command.num_envs:
            run = dataclasses.replace(config, mode=mode, num_envs=count)
            print(f"Running {command.placement}, {mode}, with {count} environments", flush=True)
            _add_rows(table, run, costs[mode], found_bytes(run, task))
    return table


def _add_rows(table: Table, config: TeacherConfig, costs: EnvironmentCosts, found: dict[str, float]) -> None:
    planned = rank_bytes(costs.memory, Placement.parse(config.placement), config.num_envs)
    for role, value in planned.items():
        cells = (f"{value / 1e6:.0f}", f"{found[role] / 1e6:.0f}", f"{value / found[role]:.2f}")
        table.add_row(config.mode, str(config.num_envs), role, *cells)
        print(role, *cells, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and return the exit status."""
    command = tyro.cli(Memory, prog="python -m grasp_training.benchmarks.memory", args=arguments)
    Console().print(compare_memory(command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
