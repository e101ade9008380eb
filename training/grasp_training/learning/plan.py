"""How much memory an environment costs, by device and part, and how many environments fit: `--plan`.

Each part is measured at two sizes, each in a process of its own, and a line is drawn through the two.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.distributed import HashStore

from grasp_training.disaggregation import Description, Placement, RemoteVecEnv, Route, Setup, SingleWiring
from grasp_training.disaggregation.messages import RecordLayout
from grasp_training.disaggregation.worker import SimulationWorker
from grasp_training.learning.config import TeacherConfig
from grasp_training.learning.rsl_rl_settings import teacher_settings
from grasp_training.learning.run_logger import SilentLogger
from grasp_training.learning.runner import CheckpointedRunner
from grasp_training.learning.session import MakeEnv, use_threads
from grasp_training.runs import CheckpointStore

_IMAGES = ("stereo", "depth")
_STEPS = 3


@dataclass(frozen=True)
class Line:
    """Bytes as a function of the number of environments."""

    fixed: float
    """bytes without any"""
    each: float
    """bytes an environment"""

    @staticmethod
    def through(first: tuple[int, float], second: tuple[int, float]) -> Line:
        """Return the line through two (environments, bytes); a falling one counts as flat."""
        each = max(0.0, (second[1] - first[1]) / (second[0] - first[0]))
        return Line(max(0.0, first[1] - each * first[0]), each)

    def at(self, num_envs: float) -> float:
        """Return the bytes of so many environments."""
        return self.fixed + self.each * num_envs


@dataclass(frozen=True)
class Parts:
    """What takes memory. Bytes of a rank's own environments."""

    process: Line
    """libraries and code, whatever a rank does"""
    simulator: Line
    """physics and task; simulating ranks"""
    renderer: Line
    """images; simulating ranks"""
    buffer: Line
    """messages and stored experience; learning ranks"""
    activations: Line
    """networks, gradients, optimizer and what an update needs; learning ranks"""

    def simulating(self, num_envs: float) -> float:
        """Return the bytes that simulating takes, beside the process."""
        return self.simulator.at(num_envs) + self.renderer.at(num_envs)

    def learning(self, num_envs: float) -> float:
        """Return the bytes that learning takes, beside the process."""
        return self.buffer.at(num_envs) + self.activations.at(num_envs)


def rank_bytes(parts: Parts, placement: Placement, num_envs: int) -> dict[str, float]:
    """Return the bytes of each rank, by role, of a run with so many environments in all."""
    found = {}
    for role in placement.roles():
        total = parts.process.fixed
        if role.simulator is not None:
            total += parts.simulating(num_envs / placement.simulators)
        if role.learner is not None:
            total += parts.learning(num_envs / placement.learners)
        found[role.name] = total
    return found


def most_environments(parts: Parts, placement: Placement, memory: float) -> int:
    """Return how many environments fit, in all, where every rank has `memory` bytes; 0 if none do."""

    def fits(num_envs: int) -> bool:
        return max(rank_bytes(parts, placement, num_envs).values()) <= memory

    if not fits(1):
        return 0
    top = 1
    while fits(2 * top) and top < 2**40:
        top *= 2
    low, high = top, 2 * top
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def placements_of(devices: int) -> list[Placement]:
    """Return every placement that uses so many devices, data parallelism first."""
    texts = [f"data-parallel:{devices}" if devices > 1 else "single"]
    for learners in range(1, devices):
        simulators = devices - learners
        if max(simulators, learners) % min(simulators, learners) == 0:
            texts.append(f"{simulators}:{learners}")
    return [Placement.parse(text) for text in texts]


def measure(config: TeacherConfig, task: Any, make_env: MakeEnv, sizes: tuple[int, int] = (16, 48)) -> Parts:
    """Measure every part on small runs of the real task, in processes of their own.

    Args:
        config: the teacher to plan.
        task: its task.
        make_env: makes environments; a function of a module.
        sizes: two numbers of environments.
    """
    groups = config.observation_groups()
    state = tuple(group for group in groups if group not in _IMAGES)
    points: dict[str, list[tuple[int, float]]] = {}
    process = 0.0
    description = _in_process(_describe, config, task, make_env, groups)
    for size in sizes:
        process, plain, _ = _in_process(_simulator_bytes, config, task, make_env, state, size)
        images = plain
        if groups != state:
            images = _in_process(_simulator_bytes, config, task, make_env, groups, size)[1]
        _, buffer, activations = _in_process(_learner_bytes, config, task, description, groups, size)
        values = {"simulator": plain, "renderer": images - plain}
        values |= {"buffer": buffer, "activations": activations}
        for name, value in values.items():
            points.setdefault(name, []).append((size, value))
    lines = {name: Line.through(*pair) for name, pair in points.items()}
    return Parts(process=Line(process, 0.0), **lines)


def resident_bytes(field: str = "VmRSS") -> float:
    """Return this process's resident memory in bytes; `VmHWM` is the greatest so far."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024.0 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {field}")


def _in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a fresh process, whose memory nothing else has touched."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # libraries are loaded once, not with every measurement
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


def _describe(config: TeacherConfig, task: Any, make_env: MakeEnv, groups: tuple[str, ...]) -> Description:
    return _worker(config, task, make_env, groups, 1).description


def _simulator_bytes(
    config: TeacherConfig, task: Any, make_env: MakeEnv, groups: tuple[str, ...], num_envs: int
) -> tuple[float, float, float]:
    """Return the bytes of the process, of the environments after some steps, and 0."""
    before = resident_bytes()
    worker = _worker(config, task, make_env, groups, num_envs)
    actions, results = worker.actions.new(num_envs), worker.results.new(num_envs)
    for _ in range(_STEPS):
        worker.step(worker.routes[0], actions, results)
    return before, resident_bytes("VmHWM") - before, 0.0


class _Nobody:
    """A link that answers at once: observations and rewards of zero, no figures."""

    def __init__(self, route: Route, layout: RecordLayout) -> None:
        self.route, self._layout = route, layout
        self._count = 0

    def first(self, results: torch.Tensor) -> None:
        results.zero_()

    def send(self, actions: torch.Tensor, results: torch.Tensor) -> None:
        self._count += 1
        views = self._layout.views(results)
        views["step"].fill_(self._count)
        views["figures"].fill_(torch.nan)

    def wait(self) -> None:
        """Return."""

    def close(self, actions: torch.Tensor) -> None:
        """Do nothing."""


def _learner_bytes(
    config: TeacherConfig, task: Any, description: Description, groups: tuple[str, ...], num_envs: int
) -> tuple[float, float, float]:
    """Return the bytes of the process, of messages and storage, and of all else that an iteration takes."""
    use_threads(config.threads)
    before = resident_bytes()
    steps = config.ppo.steps_per_rollout
    setup = dataclasses.replace(_setup(config, groups, num_envs), rollout_steps=steps)
    layout = description.results(setup)
    (route,) = SingleWiring.placement.routes(1)
    link = _Nobody(route, layout)
    env = RemoteVecEnv(task, setup, description, [link], HashStore())
    single = dataclasses.replace(config, placement="single", mode="synchronous")
    runner = CheckpointedRunner(
        env, teacher_settings(single), CheckpointStore(Path()), config.checkpoint, "cpu", SingleWiring()
    )
    runner.use_logger(SilentLogger())
    runner.learn(1)
    storage = runner.alg.storage
    stored = [value for value in vars(storage).values() if isinstance(value, torch.Tensor)]
    stored += list(storage.distribution_params or ())
    buffer = float(sum(value.nbytes for value in stored) + (steps + 1) * num_envs * layout.size)
    return before, buffer, resident_bytes("VmHWM") - before - buffer
