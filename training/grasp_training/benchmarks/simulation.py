"""What simulating costs: physics alone, images alone, the whole step with task and resets."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from rich.table import Table

from grasp_training.benchmarks.motions import rummage
from grasp_training.planning import in_process, resident_bytes
from grasp_training.tasks import GraspEnv, ImageConfig, TaskConfig, make_env
from grasp_training.tasks.observations import STEREO

Observed = Literal["depth", "stereo"]
_STATE = ("proprioception", "privileged")


@dataclass(frozen=True)
class SimulationCost:
    """What n environments took on one device."""

    simulator: str
    device: str
    num_envs: int
    images: str
    """such as ``depth 64×48``, or ``none``"""
    physics_s: float
    """s, a control step of physics alone"""
    render_s: float
    """s, images of all environments alone; 0 without"""
    step_s: float
    """s, a whole control step: decoding of actions, physics, rewards, resets, observations"""
    bytes_per_env: float
    """bytes that one more environment takes on the device"""

    @property
    def elsewhere(self) -> float:
        """Share of a whole step that neither physics nor images take."""
        return max(0.0, 1.0 - (self.physics_s + self.render_s) / self.step_s)

    def to_mapping(self) -> dict[str, Any]:
        """Return plain JSON types, rates too."""
        rates = {
            "physics_steps_per_s": self.num_envs / self.physics_s,
            "images_per_s": self.num_envs / self.render_s if self.render_s else None,
            "steps_per_s": self.num_envs / self.step_s,
            "elsewhere_share": self.elsewhere,
        }
        return asdict(self) | rates


@dataclass(frozen=True)
class _Taken:
    """Times of one process, and its memory."""

    device: str
    physics_s: float
    render_s: float
    step_s: float
    memory: float


def simulation_cost(task: TaskConfig, num_envs: int, observed: Observed | None, steps: int) -> SimulationCost:
    """Measure one case, in processes of its own: one with all environments, one with a quarter of them for
    the bytes.

    Args:
        task: names the simulator, its device, and the size of images.
        num_envs: environments; at least 2.
        observed: group of images to make; None for none.
        steps: control steps that are timed, for each of the three figures.

    Raises:
        ConfigurationError: the simulator's device is not there.
    """
    few = max(1, num_envs // 4)
    groups = (*_STATE, observed) if observed else _STATE
    # The first process also compiles what was never compiled on this machine.
    less = in_process(_measure, task, few, groups, 1)
    taken = in_process(_measure, task, num_envs, groups, steps)
    return SimulationCost(
        task.simulator,
        taken.device,
        num_envs,
        f"{observed} {task.image if observed == STEREO else task.depth_image}" if observed else "none",
        taken.physics_s,
        taken.render_s,
        taken.step_s,
        (taken.memory - less.memory) / (num_envs - few),
    )


def _measure(task: TaskConfig, num_envs: int, groups: tuple[str, ...], steps: int) -> _Taken:
    before = resident_bytes()
    env = make_env(task, num_envs, groups, "training", 0)
    simulator, device = env.simulator, torch.device(env.device)
    # Episodes end at different times, as they do in training.
    draws = torch.Generator().manual_seed(0)
    begun = torch.randint(env.max_episode_length, (num_envs,), generator=draws)
    env.episode_length_buf = begun.to(device)
    act = _Actions(env, draws)
    for _ in range(2):
        act()
    step_s = _median_s(act, steps, device)
    hold = simulator.state.joint_position[:, None].expand(-1, simulator.substeps, -1)
    physics_s = _median_s(lambda: simulator.step(hold), steps, device)
    images = len(groups) > len(_STATE)
    render_s = _median_s(simulator.render, steps, device) if images else 0.0
    return _Taken(str(device), physics_s, render_s, step_s, _memory(device, before))


class _Actions:
    """Steps the environments with hands that grope, as an untrained policy's."""

    def __init__(self, env: GraspEnv, draws: torch.Generator):
        self._env, self._draws = env, draws

    def __call__(self) -> None:
        actions = rummage(0.5, self._env.num_envs, self._draws)
        self._env.step(actions.to(self._env.device))


def _median_s(work: Callable[[], Any], times: int, device: torch.device) -> float:
    taken = []
    for _ in range(times):
        _await(device)
        begun = time.perf_counter()
        work()
        _await(device)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _await(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _memory(device: torch.device, before: float) -> float:
    """Bytes in use on the device: of the process beyond those before, or of the whole GPU."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return float(total - free)
    return resident_bytes("VmHWM") - before


def with_image(task: TaskConfig, width: int, height: int) -> TaskConfig:
    """Return the task with images of this size."""
    size = ImageConfig(width, height)
    return replace(task, image=size, depth_image=size)


def simulation_table(costs: list[SimulationCost]) -> Table:
    """Return the costs as a table."""
    table = Table(title="Simulating: control steps (and sets of images) of environments a second")
    for heading in ("simulator", "device", "environments", "images"):
        table.add_column(heading)
    for heading in ("physics/s", "images/s", "whole steps/s", "elsewhere", "kB an environment"):
        table.add_column(heading, justify="right")
    for cost in costs:
        images = f"{cost.num_envs / cost.render_s:,.0f}" if cost.render_s else "–"
        table.add_row(
            cost.simulator,
            cost.device,
            str(cost.num_envs),
            cost.images,
            f"{cost.num_envs / cost.physics_s:,.0f}",
            images,
            f"{cost.num_envs / cost.step_s:,.0f}",
            f"{100 * cost.elsewhere:.0f} %",
            f"{cost.bytes_per_env / 1e3:,.0f}",
        )
    return table
