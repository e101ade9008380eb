"""Measures how much room contacts and constraints want in MuJoCo Warp, and chooses what to reserve."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from grasp_training.benchmarks.motions import grasp_and_lift, rummage
from grasp_training.simulators import WarpConfig
from grasp_training.simulators.mujoco_warp import MujocoWarpSimulator
from grasp_training.tasks import CurriculumConfig, TaskConfig, make_env

QUANTILE, MARGIN = 0.9999, 1.5
"""What is reserved is this quantile of what was wanted, times this margin."""
_PLENTY = {"contacts": 400.0, "contacts_of_one": 400, "constraint_rows": 1200}
_TOLD_EVERY_STEPS = 10
_SHOWN = (0.5, 0.9, 0.99, QUANTILE)


@dataclass(frozen=True)
class MeasuredDemand:
    """A distribution over environments and control steps."""

    num_envs: int
    steps: int
    contacts: dict[str, float]
    """by quantile: contacts, or pairs that are near, of one environment"""
    rows: dict[str, float]
    """by quantile: rows of constraints of one environment"""
    contacts_mean: float
    """the greatest mean over environments in any step"""
    overflows: int
    """environments and steps in which even the room of the measurement did not suffice"""

    def chosen(self, config: WarpConfig) -> WarpConfig:
        """Return the configuration with the capacities that follow."""
        return replace(
            config,
            contacts=float(math.ceil(MARGIN * self.contacts_mean)),
            contacts_of_one=math.ceil(MARGIN * self.contacts[str(QUANTILE)]),
            constraint_rows=math.ceil(MARGIN * self.rows[str(QUANTILE)]),
        )

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self) | {"quantile": QUANTILE, "margin": MARGIN}, indent=2)


def _tell(text: str) -> None:
    """Print at once, into a file too: a first run compiles for minutes, and must not look as if it hung."""
    print(text, flush=True)


def measure_demand(
    task: TaskConfig, num_envs: int, steps: int, report: Callable[[str], Any] = _tell
) -> MeasuredDemand:
    """Step the task under motions with many contacts: half of the hands grasp and lift, the others rummage.

    Args:
        task: its device and scene are measured, at full randomization.
        num_envs: environments; at least 2.
        steps: control steps of a motion.
        report: is told how it goes on.

    Raises:
        ConfigurationError: the device is not there.
    """
    task = replace(
        task,
        simulator="mujoco_warp",
        warp=replace(task.warp, **_PLENTY),
        curriculum=CurriculumConfig(start_level=1.0, step=0.0),
    )
    report(f"{num_envs} environments on {task.warp.device}; kernels never run before are compiled first …")
    env = make_env(task, num_envs, ("proprioception", "privileged"), "training", 0)
    simulator = env.simulator
    assert isinstance(simulator, MujocoWarpSimulator)
    generator, half = torch.Generator().manual_seed(0), num_envs // 2
    contacts, rows = [], []
    for step in range(steps):
        progress = step / steps
        actions = grasp_and_lift(simulator.state, progress)
        actions[half:] = rummage(progress, num_envs - half, generator).to(env.device)
        env.step(actions)
        wanted = simulator.demand()
        contacts.append(wanted.contacts.cpu().double())
        rows.append(wanted.rows.cpu().double())
        if step % _TOLD_EVERY_STEPS == _TOLD_EVERY_STEPS - 1:
            report(f"{step + 1} of {steps} control steps")
    return MeasuredDemand(
        num_envs,
        steps,
        _quantiles(torch.cat(contacts)),
        _quantiles(torch.cat(rows)),
        float(torch.stack(contacts).mean(1).max()),
        simulator.overflows.total,
    )


def _quantiles(values: torch.Tensor) -> dict[str, float]:
    return {str(share): float(torch.quantile(values, share)) for share in _SHOWN}
