"""`--plan`: what environments cost and how many fit, at several sizes of images, as tables and JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from grasp_training.disaggregation.messages import DEPTH
from grasp_training.learning.config import Mode, TeacherConfig
from grasp_training.learning.session import MakeEnv
from grasp_training.planning.choice import Choice, best, compare, placements_of
from grasp_training.planning.costs import EnvironmentCosts, Memory, part_names
from grasp_training.planning.measuring import MODES, measure
from grasp_training.tasks import ImageConfig, TaskConfig

IMAGES = (ImageConfig(64, 48), ImageConfig(160, 120), ImageConfig(320, 240))
"""Sizes of images that are planned, besides the task's own."""

_STATE_SIZES = (256, 768)
_IMAGE_BYTES = 200e3
"""pixels of the images in the smaller measurement: enough that an environment's bytes stand out from what
varies between processes"""

_ROLES = {
    "process": "every rank",
    "simulator": "simulator",
    "renderer": "simulator",
    "messages": "simulator that does not learn",
    "buffer": "learner",
    "activations": "learner",
}

Measure = Callable[..., dict[Mode, EnvironmentCosts]]


def measured_sizes(task: Any, observes_images: bool) -> tuple[int, int]:
    """Return the numbers of environments at which a task's costs are measured."""
    if not observes_images:
        return _STATE_SIZES
    first = max(8, 2 * math.ceil(_IMAGE_BYTES / (task.depth_image.width * task.depth_image.height) / 2))
    return first, 3 * first


@dataclass(frozen=True)
class Plan:
    """What to expect of some devices."""

    devices: int
    """how many"""
    memory: float
    """bytes of each"""
    num_envs: int
    """environments that the best placement has to hold"""
    costs: Mapping[str, dict[Mode, EnvironmentCosts]]
    """by what is observed, such as `depth 64×48`, and mode"""

    def choices(self, observed: str, mode: Mode) -> list[Choice]:
        """Return every placement of the devices in a mode."""
        return compare({mode: self.costs[observed][mode]}, placements_of(self.devices), self.memory)

    def to_mapping(self) -> dict[str, Any]:
        """Return it as plain JSON types: bytes, seconds, environments."""
        found = {}
        for observed, by_mode in self.costs.items():
            found[observed] = {
                mode: {
                    "memory": dataclasses.asdict(costs.memory),
                    "seconds": dataclasses.asdict(costs.seconds),
                    "placements": [self._choice(choice, observed) for choice in self.choices(observed, mode)],
                }
                for mode, costs in by_mode.items()
            }
        return {
            "devices": self.devices,
            "memory": self.memory,
            "num_envs": self.num_envs,
            "measured_on": "processors of one machine",
            "observed": found,
        }

    def best(self, observed: str, mode: Mode) -> Choice:
        """Return the fastest placement that holds `num_envs`, or the one that holds most."""
        return best(self.choices(observed, mode), self.num_envs)

    def _choice(self, choice: Choice, observed: str) -> dict[str, Any]:
        return {
            "placement": str(choice.placement),
            "environments": choice.environments,
            "full_first": choice.fullest,
            "steps_per_s": choice.steps_per_s,
            "best": choice == self.best(observed, choice.mode),
        }


def make_plan(
    config: TeacherConfig,
    task: TaskConfig,
    make_env: MakeEnv,
    devices: int,
    memory: float,
    measure: Measure = measure,
    report: Callable[[str], None] | None = None,
    modes: Sequence[Mode] = MODES,
) -> Plan:
    """Measure, at all sizes of images where the teacher observes any.

    Args:
        config: the teacher.
        task: its task.
        make_env: makes environments; a function of a module.
        devices: how many to plan for.
        memory: bytes of each.
        measure: measures costs (`planning.measuring`).
        report: is told what is measured next.
        modes: to plan.
    """
    tasks: dict[str, TaskConfig] = {config.observe: task}
    images = DEPTH in config.observation_groups()
    if images:
        sizes = dict.fromkeys((*IMAGES, task.depth_image))
        tasks = {f"{config.observe} {image}": dataclasses.replace(task, depth_image=image) for image in sizes}
    costs = {}
    for observed, own in tasks.items():
        counts = measured_sizes(own, images)
        if report:
            report(f"Measuring {observed} with {counts[0]} and {counts[1]} environments")
        costs[observed] = measure(config, own, make_env, counts, modes)
    return Plan(devices, memory, config.num_envs, costs)


def show(plan: Plan) -> Group:
    """Return the plan's tables."""
    parts: list[Any] = []
    for observed in plan.costs:
        parts += [_costs_table(plan, observed), _placements_table(plan, observed), Text()]
    parts.append(
        Text(
            "Bytes and seconds are those of the CPU backends (MuJoCo and torch on this machine's "
            "processors), whatever --device and --task.simulator say; on other devices they differ, and so "
            "do steps/s. What crosses between ranks counts as no time; grasp bench disaggregation measures "
            "it."
        )
    )
    return Group(*parts)


def _costs_table(plan: Plan, observed: str) -> Table:
    table = Table(title=f"{observed}: what environments cost", title_justify="left")
    for column in ("part", "device", "mode", "fixed, MB", "an environment, kB"):
        table.add_column(column, justify="right" if "B" in column else "left")
    by_mode = plan.costs[observed]
    for name in part_names():
        lines = {mode: getattr(costs.memory, name) for mode, costs in by_mode.items()}
        alike = len(set(lines.values())) == 1 or name == "process"
        for mode, line in list(lines.items())[: 1 if alike else None]:
            cells = (f"{line.fixed / 1e6:.1f}", f"{line.each / 1e3:.2f}")
            table.add_row(name, _ROLES[name], "both" if alike else mode, *cells)
    seconds = next(iter(by_mode.values())).seconds
    simulate, infer, learn = (1e6 * value for value in (seconds.simulate, seconds.infer, seconds.learn))
    table.caption = (
        f"Microseconds of an environment: simulate {simulate:.0f} a step, infer {infer:.0f} a step, "
        f"learn {learn:.0f} an update of {seconds.steps} steps"
    )
    table.caption_justify = "left"
    return table


def _placements_table(plan: Plan, observed: str) -> Table:
    title = f"{observed}: on {plan.devices} devices of {plan.memory / 1e9:g} GB"
    table = Table(title=title, title_justify="left")
    for column in (
        "placement",
        "mode",
        "environments",
        "beside data parallelism",
        "full first",
        "steps/s",
        "",
    ):
        table.add_column(
            column, justify="left" if column in ("placement", "mode", "full first", "") else "right"
        )
    for mode in plan.costs[observed]:
        choices, chosen = plan.choices(observed, mode), plan.best(observed, mode)
        for choice in choices:
            ratio = choice.environments / max(1, choices[0].environments)
            table.add_row(
                str(choice.placement),
                mode,
                str(choice.environments),
                f"{ratio:.2f}",
                choice.fullest if choice.environments else "does not fit",
                f"{choice.steps_per_s:.0f}",
                "best" if choice == chosen else "",
            )
    chosen_for = f"best: the fastest of those that hold {plan.num_envs} environments (--num-envs)"
    table.caption, table.caption_justify = chosen_for, "left"
    return table


def print_plan(plan: Plan) -> None:
    """Print the plan's tables."""
    Console().print(show(plan))


def dominant(memory: Memory, role_parts: tuple[str, ...]) -> str:
    """Return the part that takes most bytes an environment."""
    return max(role_parts, key=lambda name: getattr(memory, name).each)
