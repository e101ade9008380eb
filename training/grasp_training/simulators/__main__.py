"""`python -m grasp_training.simulators`: the simulators compared by eye, and what one of them reserves."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from grasp_training.errors import GraspError
from grasp_training.simulators.config import WarpConfig


@dataclass(frozen=True)
class Arguments:
    """Draw the same scenes in both simulators, or measure what `mujoco_warp` should reserve."""

    picture: Path | None = None
    """picture to write: scenes as `mujoco` and `mujoco_warp` draw them"""
    capacity: bool = False
    """measure how much room contacts and constraints want"""
    json: Path | None = None
    """also write what `--capacity` measured here"""
    device: str = "cuda"
    """device of `mujoco_warp`: cuda, cuda:N or cpu (slow)"""
    num_envs: int = 512
    """environments of `--capacity`"""
    steps: int = 120
    """control steps of `--capacity`"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run with the arguments given, or the process's own, and return the exit status."""
    command = tyro.cli(Arguments, prog="python -m grasp_training.simulators", args=arguments)
    if command.picture is None and not command.capacity:
        print("Nothing to do: expected --picture FILE or --capacity", file=sys.stderr)
        return 2
    try:
        if command.picture is not None:
            _draw(command, command.picture)
        if command.capacity:
            _measure(command)
    except (GraspError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _draw(command: Arguments, path: Path) -> None:
    from grasp_training.benchmarks.side_by_side import (
        COLOUR_TOLERANCE,
        DEPTH_TOLERANCE_M,
        draw_side_by_side,
    )

    agreement = draw_side_by_side(path, warp=WarpConfig(device=command.device))
    print(
        f"{path}: depth within {1000 * DEPTH_TOLERANCE_M:g} mm on {100 * agreement.depth:.2f} % of pixels, "
        f"colour within {COLOUR_TOLERANCE} of 256 on {100 * agreement.colour:.2f} %"
    )


def _measure(command: Arguments) -> None:
    from grasp_training.benchmarks.capacity import MARGIN, QUANTILE, measure_demand
    from grasp_training.tasks import TaskConfig

    task = replace(TaskConfig(), warp=WarpConfig(device=command.device))
    measured = measure_demand(task, command.num_envs, command.steps)
    chosen = measured.chosen(WarpConfig())
    print(measured.to_json())
    print(
        f"Quantile {QUANTILE} with a margin of {MARGIN}: --task.warp.contacts {chosen.contacts:g} "
        f"--task.warp.contacts-of-one {chosen.contacts_of_one} "
        f"--task.warp.constraint-rows {chosen.constraint_rows}"
    )
    if command.json is not None:
        command.json.write_text(measured.to_json() + "\n")


if __name__ == "__main__":
    sys.exit(main())
