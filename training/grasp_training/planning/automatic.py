"""`--placement auto`: the plan's best placement for the devices at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from grasp_training.disaggregation import Placement
from grasp_training.disaggregation.launch import is_rank
from grasp_training.learning.config import RunConfig, TeacherConfig
from grasp_training.learning.session import MakeEnv
from grasp_training.planning.choice import best, compare, placements_of
from grasp_training.planning.measuring import measure
from grasp_training.planning.report import Measure, measured_sizes
from grasp_training.runs import ConfigurationError

AUTO = "auto"

Config = TypeVar("Config", bound=RunConfig)


def device_memories() -> list[float]:
    """Return the bytes of every CUDA device; none on a machine of processors alone."""
    count = torch.cuda.device_count()
    return [float(torch.cuda.get_device_properties(index).total_memory) for index in range(count)]


def resolve_placement(
    config: Config,
    task: Any,
    make_env: MakeEnv,
    memories: Sequence[float] | None = None,
    measure: Measure = measure,
    report: Callable[[str], None] = print,
) -> Config:
    """Return a configuration whose placement is named: `auto` becomes the best for the devices at hand.

    Nothing is measured where there is but one device.

    Args:
        config: of a run; unchanged unless its placement is `auto`.
        task: its task.
        make_env: makes environments; a function of a module.
        memories: bytes of each device; those at hand by default.
        measure: measures costs (`planning.measuring`).
        report: is told what was chosen.

    Raises:
        ConfigurationError: torchrun started this process, or a student is to be learnt on several devices, or
            no placement shares the environments equally.
    """
    if config.placement != AUTO:
        return config
    if is_rank():
        raise ConfigurationError(
            "placement is 'auto' under torchrun, which has started its ranks already; expected a placement's "
            "name, such as '3:1' (grasp train teacher --plan says which)"
        )
    memories = device_memories() if memories is None else memories
    if len(memories) < 2:
        report("Placement: single, since there is one device")
        return dataclasses.replace(config, placement="single")
    if not isinstance(config, TeacherConfig):
        raise ConfigurationError(
            f"placement is 'auto' on {len(memories)} devices, which is planned for teachers only; expected a "
            "placement's name, such as '3:1'"
        )
    possible = [placement for placement in placements_of(len(memories)) if _shares(config, placement)]
    if not possible:
        raise ConfigurationError(
            f"num_envs is {config.num_envs} and env_blocks {config.env_blocks}, which no placement of "
            f"{len(memories)} devices can share equally"
        )
    report(f"Measuring what environments cost, to place them on {len(memories)} devices")
    images = config.observe == "depth"
    costs = measure(config, task, make_env, measured_sizes(task, images), (config.mode,))
    chosen = best(compare(costs, possible, min(memories)), config.num_envs)
    report(
        f"Placement: {chosen.placement}; {chosen.environments} environments would fit, and "
        f"{chosen.steps_per_s:.0f} steps/s are to be expected of this machine's processors (bytes are those "
        "of the CPU backends)"
    )
    return dataclasses.replace(config, placement=str(chosen.placement))


def _shares(config: RunConfig, placement: Placement) -> bool:
    """Say whether a run's environments and blocks can be shared as a placement asks for."""
    try:
        dataclasses.replace(config, placement=str(placement)).blocks()
    except ConfigurationError:
        return False
    return True
