"""`grasp bench simulate`: what a simulator costs, by number of environments and size of images."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from rich.console import Console

from grasp_training.benchmarks.simulation import (
    Observed,
    SimulationCost,
    simulation_cost,
    simulation_table,
    with_image,
)
from grasp_training.cli.arguments import PARSER_SETTINGS
from grasp_training.runs import ConfigurationError
from grasp_training.simulators import SimulatorName
from grasp_training.tasks import TaskConfig

_WIDTH = 120
_NO_IMAGES = "none"


@dataclass(frozen=True)
class BenchSimulate:
    """Measure physics alone, images alone, and the whole step with task and resets.

    Every case runs in processes of its own. Bytes are what one more environment takes: of the process on the
    CPU, of the whole device on CUDA, where nothing else should run.
    """

    simulator: tuple[SimulatorName, ...] = ("mujoco",)
    """Simulators to measure."""
    num_envs: tuple[int, ...] = (256,)
    """Numbers of environments; each at least 2."""
    image: tuple[str, ...] = (_NO_IMAGES, "64x48")
    """Sizes of images, pixels: WIDTHxHEIGHT, or `none`."""
    observe: Observed = "depth"
    """What the images are: `depth` of the left camera, or `stereo`, colour of both."""
    device: str = "cuda"
    """Device of `mujoco_warp`: cuda, cuda:N, or cpu."""
    threads: int = 2
    """Threads of `mujoco`."""
    steps: int = 20
    """Control steps that are timed, for each figure."""
    json: Path | None = None
    """Also write the figures here."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp bench simulate …` and return the exit status."""
    command = tyro.cli(
        BenchSimulate, prog="grasp bench simulate", args=list(arguments), config=PARSER_SETTINGS
    )
    _check(command)
    console = Console()
    console.width = max(console.width, _WIDTH)
    costs = list(_costs(command, console))
    console.print(simulation_table(costs))
    if command.json is not None:
        command.json.write_text(json.dumps([cost.to_mapping() for cost in costs], indent=2) + "\n")
    return 0


def _check(command: BenchSimulate) -> None:
    """Refuse numbers out of their range, before anything runs.

    Raises:
        ConfigurationError: there are some.
    """
    if min(command.num_envs) < 2:
        raise ConfigurationError(f"--num-envs is {min(command.num_envs)}; expected at least 2")
    for name in ("steps", "threads"):
        if getattr(command, name) < 1:
            raise ConfigurationError(f"--{name} is {getattr(command, name)}; expected at least 1")
    for image in command.image:
        _task(TaskConfig(), image).image.rig()  # raises


def _task(task: TaskConfig, image: str) -> TaskConfig:
    if image == _NO_IMAGES:
        return task
    size = re.fullmatch(r"(\d+)[x×](\d+)", image)
    if size is None:
        raise ConfigurationError(f"--image is '{image}'; expected WIDTHxHEIGHT, such as 64x48, or none")
    return with_image(task, int(size[1]), int(size[2]))


def _costs(command: BenchSimulate, console: Console) -> Sequence[SimulationCost]:
    costs = []
    for simulator in command.simulator:
        task = TaskConfig(simulator=simulator, threads=command.threads)
        task = replace(task, warp=replace(task.warp, device=command.device))
        for image in command.image:
            observed = None if image == _NO_IMAGES else command.observe
            for num_envs in command.num_envs:
                console.print(f"{simulator}, {num_envs} environments, images: {image} …")
                costs.append(simulation_cost(_task(task, image), num_envs, observed, command.steps))
    return costs
