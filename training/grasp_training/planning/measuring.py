"""Measures what environments cost, on small runs of the real parts, each in a process of its own.

A line is drawn through what two numbers of environments take. The learner is the real one, with all that a
run has; its environments are a stand-in that answers at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from rsl_rl.storage import RolloutStorage
from torch.distributed import HashStore

from grasp_training.disaggregation import Description, RemoteVecEnv, Route, Setup, SingleWiring
from grasp_training.disaggregation.messages import DEPTH, RecordLayout
from grasp_training.disaggregation.worker import SimulationWorker
from grasp_training.learning.config import STEREO, Mode, TeacherConfig
from grasp_training.learning.placed import train_placed
from grasp_training.learning.session import MakeEnv, use_threads
from grasp_training.learning.teacher import train_teacher
from grasp_training.planning.costs import EnvironmentCosts, Line, Memory, Seconds
from grasp_training.tasks import TaskConfig

MODES: tuple[Mode, ...] = ("synchronous", "overlapped")
_IMAGES = (STEREO, DEPTH)
_WARM_UP_STEPS, _TIMED_STEPS = 2, 4
_FEW, _ITERATIONS = 2, 2

Point = tuple[int, float]


@dataclasses.dataclass(frozen=True)
class _Taken:
    """What a process took."""

    process: float
    """bytes before anything was done"""
    peak: float
    """bytes at most, beyond these"""
    buffer: float = 0.0
    """bytes of these that hold experience and records"""
    step_s: float = 0.0
    """s, a control step of all environments"""
    learn_s: float = 0.0
    """s, an update"""


def measure(
    config: TeacherConfig,
    task: Any,
    make_env: MakeEnv,
    sizes: tuple[int, int],
    modes: Sequence[Mode] = MODES,
) -> dict[Mode, EnvironmentCosts]:
    """Measure what environments cost this machine's processors and the memory of its host.

    Whatever device and simulator the teacher and its task name, the CPU's are measured: `device` is taken for
    cpu and the grasp task's `simulator` for mujoco.

    Args:
        config: the teacher to plan.
        task: its task.
        make_env: makes environments; a function of a module.
        sizes: two numbers of environments, the second greater; the cost of time is that of the second.
        modes: to measure.
    """
    config = dataclasses.replace(config, device="cpu")
    if isinstance(task, TaskConfig):
        task = dataclasses.replace(task, simulator="mujoco")
    groups = config.observation_groups()
    state = tuple(group for group in groups if group not in _IMAGES)
    description, action_size = in_process(_describe, config, task, make_env, groups)
    plain = [in_process(_simulate, config, task, make_env, state, size) for size in sizes]
    seen = plain
    if groups != state:
        seen = [in_process(_simulate, config, task, make_env, groups, size) for size in sizes]
    simulator = _line(sizes, [taken.peak for taken in plain])
    images = _line(sizes, [seen[i].peak - plain[i].peak for i in range(2)])
    learnt: dict[Mode, list[_Taken]] = {}
    for mode in dict.fromkeys(("synchronous", *modes)):
        updates = [taken.learn_s for taken in learnt.get("synchronous", [_Taken(0, 0)] * 2)]
        learnt[mode] = [
            in_process(_learn, config, task, description, mode, size, update_s / config.ppo.epochs)
            for size, update_s in zip(sizes, updates, strict=True)
        ]
    record = description.results(_setup(config, groups, sizes[1])).size + action_size
    # Times of learning are taken where nothing else goes on at the same time.
    alone = learnt["synchronous"][1]
    seconds = Seconds(
        seen[1].step_s / sizes[1],
        alone.step_s / sizes[1],
        alone.learn_s / sizes[1],
        config.ppo.steps_per_rollout,
    )
    return {
        mode: EnvironmentCosts(
            Memory(
                process=Line(statistics.fmean(taken.process for taken in (*plain, *learnt[mode])), 0.0),
                simulator=simulator,
                renderer=images,
                messages=Line(0.0, record),
                buffer=_line(sizes, [taken.buffer for taken in learnt[mode]]),
                activations=_line(sizes, [taken.peak - taken.buffer for taken in learnt[mode]], bent=True),
            ),
            seconds,
        )
        for mode in modes
    }


def _line(sizes: tuple[int, int], values: list[float], bent: bool = False) -> Line:
    return Line.through((sizes[0], values[0]), (sizes[1], values[1]), bent)


def resident_bytes(field: str = "VmRSS", process: int | str = "self") -> float:
    """Return a process's resident memory in bytes; `VmHWM` is the greatest so far."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024.0 * int(line.split()[1])
    raise OSError(f"/proc/{process}/status has no {field}")


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process, whose memory nothing else has touched."""
    context = multiprocessing.get_context("forkserver")
    # Libraries are loaded once, not with every measurement; the same as ranks have from theirs.
    context.set_forkserver_preload([__name__, train_placed.__module__])
    with context.Pool(1) as pool:
        return pool.apply(function, arguments)


def _setup(config: TeacherConfig, groups: tuple[str, ...], num_envs: int) -> Setup:
    return Setup(num_envs, 1, groups, config.objects, config.seed, depth=config.depth_type)


def _worker(
    config: TeacherConfig, task: Any, make_env: MakeEnv, groups: tuple[str, ...], num_envs: int
) -> SimulationWorker:
    use_threads(config.threads)
    setup = _setup(config, groups, num_envs)
    return SimulationWorker(0, SingleWiring.placement, setup, make_env, task, HashStore())


def _describe(
    config: TeacherConfig, task: Any, make_env: MakeEnv, groups: tuple[str, ...]
) -> tuple[Description, int]:
    """Return what environments give, and the bytes of an action's record.

    Kernels that were never compiled on this machine are compiled here, not in what is measured.
    """
    worker = _worker(config, task, make_env, groups, 1)
    return worker.description, worker.actions.size


def _simulate(
    config: TeacherConfig, task: Any, make_env: MakeEnv, groups: tuple[str, ...], num_envs: int
) -> _Taken:
    """Make environments and step them; records are not counted."""
    before = resident_bytes()
    worker = _worker(config, task, make_env, groups, num_envs)
    actions, results = worker.actions.new(num_envs), worker.results.new(num_envs)
    (route,) = worker.routes
    times = []
    for _ in range(_WARM_UP_STEPS + _TIMED_STEPS):
        begun = time.perf_counter()
        worker.step(route, actions, results)
        times.append(time.perf_counter() - begun)
    records = actions.nbytes + results.nbytes
    step_s = statistics.median(times[_WARM_UP_STEPS:])
    return _Taken(before, resident_bytes("VmHWM") - before - records, step_s=step_s)


class _Nobody:
    """A link that answers after a pause: observations and rewards of zero, no figures."""

    def __init__(self, route: Route, layout: RecordLayout, pause_s: float) -> None:
        self.route, self._layout, self._pause_s = route, layout, pause_s
        self._count = 0

    def first(self, results: torch.Tensor) -> None:
        results.zero_()

    def send(self, actions: torch.Tensor, results: torch.Tensor) -> None:
        """Answer; zeros are written anew, since memory that is never written is not resident."""
        self._count += 1
        results.zero_()
        views = self._layout.views(results)
        views["step"].fill_(self._count)
        views["figures"].fill_(torch.nan)  # a number would be the value of a figure whose name nobody tells

    def wait(self) -> None:
        """Wait as long as simulating takes."""
        time.sleep(self._pause_s)

    def close(self, actions: torch.Tensor) -> None:
        """Do nothing."""


class _NoNames:
    """A store for names of figures: there are none, and to wait for one would be to wait for ever."""

    def set(self, key: str, value: str) -> None:
        raise AssertionError(f"the stand-in's environments tell {key}={value}")

    def get(self, key: str) -> bytes:
        raise AssertionError(f"the learner asks for {key}; the stand-in's environments log nothing")


class _StandInWiring(SingleWiring):
    """A learner whose environments are nobody's."""

    def __init__(self, description: Description, rollout_s: float, steps: int) -> None:
        self._description, self._rollout_s, self._steps = description, rollout_s, steps
        self.buffer = 0.0
        """Bytes of experience and records, once the run is over."""

    def connect(self, make_env: Any, task: Any, setup: Setup) -> RemoteVecEnv:
        """See `Wiring`."""
        layout, routes = self._description.results(setup), self.placement.routes(setup.blocks, setup.turns)
        pause_s = self._rollout_s / self._steps / len(routes)
        links = [_Nobody(route, layout, pause_s) for route in routes]
        self._env = RemoteVecEnv(task, setup, self._description, links, _NoNames())
        return self._env

    def close(self) -> None:
        """Count, as long as all is still there; the runner shows its storages to nobody."""
        storages = [found for found in gc.get_objects() if isinstance(found, RolloutStorage)]
        self.buffer = float(_tensor_bytes([self._env, *storages]))


def _tensor_bytes(owners: Iterable[object]) -> int:
    """Return the bytes of all tensors that objects have, each memory counted once."""
    memory: dict[int, int] = {}
    waiting: list[Any] = [value for owner in owners for value in vars(owner).values()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            memory[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif hasattr(value, "values") and hasattr(value, "keys"):
            waiting += list(value.values())
    return sum(memory.values())


def _learn(
    config: TeacherConfig, task: Any, description: Description, mode: Mode, num_envs: int, rollout_s: float
) -> _Taken:
    """Train on nothing, with all that a run has.

    Environments take `rollout_s` for a rollout: overlapped, acting takes memory at the same time as learning
    only if it goes on for as long.
    """
    before = resident_bytes()
    short = dataclasses.replace(
        config,
        run="plan",
        mode=mode,
        placement="single",
        env_blocks=0,
        ppo=dataclasses.replace(config.ppo, epochs=1),  # each takes the same time and memory
    )
    # A run loads libraries when it first draws its curves; from then on, updates take theirs beyond that.
    _train_on_nothing(dataclasses.replace(short, num_envs=_FEW, iterations=1), task, description, 0.0)
    gc.collect()
    long = dataclasses.replace(short, num_envs=num_envs, iterations=_ITERATIONS)
    buffer, rows = _train_on_nothing(long, task, description, rollout_s)
    collect_s, learn_s = (
        statistics.median(row[f"performance/{name}_s"] for row in rows[1:]) for name in ("collect", "learn")
    )
    peak = resident_bytes("VmHWM") - before
    steps, epochs = config.ppo.steps_per_rollout, config.ppo.epochs
    return _Taken(before, peak, buffer, collect_s / steps, learn_s * epochs)


def _train_on_nothing(
    config: TeacherConfig, task: Any, description: Description, rollout_s: float
) -> tuple[float, list[dict[str, float]]]:
    """Return the bytes of experience and records, and the figures of every update."""
    wiring = _StandInWiring(description, rollout_s, config.ppo.steps_per_rollout)
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            run = train_teacher(config, task, _no_env, Path(folder), wiring=wiring)
        return wiring.buffer, run.metrics.rows()


def _no_env(*_: Any, **__: Any) -> Any:
    raise AssertionError("a stand-in makes no environments")
