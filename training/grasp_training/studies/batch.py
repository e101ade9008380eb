"""Data parallelism's number of environments against disaggregation's, at equal devices and equal steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from grasp_training.learning import TeacherConfig
from grasp_training.learning.config import Preset, check_positive
from grasp_training.learning.session import MakeEnv
from grasp_training.planning import compare, measure, placements_of
from grasp_training.planning.report import Measure, measured_sizes
from grasp_training.presets import task_preset, teacher_preset
from grasp_training.runs import (
    ConfigurationError,
    RunFolder,
    find_success,
    from_mapping,
    run_folder,
    to_mapping,
)
from grasp_training.studies.folder import Result, StudyFolder
from grasp_training.studies.training import (
    UNSET,
    budget,
    check_names_free,
    check_template,
    complete,
    seeded,
)
from grasp_training.tasks import TaskConfig, make_env

KIND = "batch"
SIDES = ("data-parallel", "disaggregated")
"""What is compared: the environments that each holds."""
_EPISODES_A_RISE = 4
"""episodes of each environment between two rises of the level, on the side that has more of them"""
_GPU_STEPS: dict[Preset, int] = {"h100": 75_000_000, "node4": 150_000_000}
"""Three times what ten rises of the level take with the preset's environments, each rise four episodes of
150 steps: 10 x 4 x 150 x 4096 = 25 million on one GPU, 10 x 4 x 150 x 8400 = 50 million on four. A plan that
finds room for more environments needs more: the study then says so."""
_LAST_SHARE = 0.05
"""share of a run's iterations, at its end, that its success is the mean of"""


@dataclass(frozen=True)
class BatchConfig:
    """What is trained: of each seed a teacher at each number of environments, for equal environment steps."""

    preset: Preset = "cpu"
    """Sizes for a purpose, which are the defaults of all others."""
    seeds: int = 5
    """Seeds 0 to N - 1; a resumed study may have more."""
    environment_steps: int = 20_000_000
    """Control steps of each run over all its environments, to within one iteration."""
    devices: int = 4
    """Devices that both sides have."""
    memory_gb: float = 80.0
    """Memory of each, GB (1e9 bytes)."""
    num_envs: tuple[int, int] | None = None
    """Environments of data parallelism and of disaggregation; without, the plan's: what fits the devices."""
    scale: float = 1.0
    """Factor on both numbers, for machines that cannot hold them."""
    teacher: TeacherConfig = field(
        default_factory=lambda: dataclasses.replace(teacher_preset("cpu", UNSET), observe="depth")
    )
    """Learning; the study sets num_envs and iterations."""
    task: TaskConfig = field(default_factory=TaskConfig)
    """Task."""


def batch_preset(preset: Preset) -> BatchConfig:
    """Return a study's configuration for a purpose.

    Raises:
        ValueError: there is no such preset.
    """
    teacher = dataclasses.replace(teacher_preset(preset, UNSET), observe="depth")
    config = BatchConfig(preset=preset, teacher=teacher, task=task_preset(preset))
    if preset in _GPU_STEPS:
        return dataclasses.replace(config, environment_steps=_GPU_STEPS[preset])
    if preset == "smoke":
        return dataclasses.replace(config, seeds=1, environment_steps=500, num_envs=(8, 16))
    return config


def load_batch(folder: StudyFolder) -> BatchConfig:
    """Return the configuration that a study in a folder has.

    Raises:
        RunError: there is no study, or one of another kind.
    """
    return from_mapping(BatchConfig, folder.load_config(KIND), f"{folder.settings_path}: config")


class BatchStudy:
    """Plans the numbers of environments, trains, and keeps each result as soon as it is known.

    Runs learn where this process is, or as `teacher.placement` says: learning does not depend on the
    placement (a synchronous one gives what one process gives), the number of environments alone is compared.
    """

    def __init__(
        self,
        folder: StudyFolder,
        config: BatchConfig,
        runs: Path,
        resume: bool = False,
        make_env: MakeEnv = make_env,
        measure: Measure = measure,
        report: Callable[[str], None] = print,
    ) -> None:
        """Check the settings and write them down.

        Args:
            folder: of the study.
            config: what is trained.
            runs: folder that holds the runs' folders.
            resume: go on with the study in the folder.
            make_env: makes environments; a function of a module.
            measure: measures costs (`planning.measuring`).
            report: is told which stage begins.

        Raises:
            ConfigurationError: a setting is out of its range, or not what the study began with.
            RunError: the study, or one of its runs, exists already; or there is none to resume.
        """
        check(config)
        self.folder, self.config = folder, config
        self._runs, self._make_env, self._measure, self._report = runs, make_env, measure, report
        if not resume:
            names = [self._run_name(side, seed) for side in SIDES for seed in range(config.seeds)]
            check_names_free(names, runs)
        folder.begin(KIND, to_mapping(config), resume)

    def run(self) -> dict[str, Result]:
        """Do every stage that is missing, seed by seed, and return the results of all by name."""
        planned = self.folder.ensure("plan", self._plan, self._report)
        if lack := lacking_rises(planned, self.config):
            self._report(lack)
        for seed in range(self.config.seeds):
            for side in SIDES:
                self.folder.ensure(
                    f"{side}-{seed}", lambda s=side, k=seed: self._train(planned, s, k), self._report
                )
        return self.folder.results()

    def _plan(self) -> Result:
        """Environments of both sides, that fit the devices and that are trained here; episodes of a rise."""
        config = self.config
        placements, counts = ["given", "given"], config.num_envs
        if counts is None:
            placements, counts = self._planned()
        step = config.teacher.ppo.minibatches
        sides = {
            side: {
                "placement": placement,
                "environments": count,
                "trained": max(step, round(config.scale * count / step) * step),
            }
            for side, placement, count in zip(SIDES, placements, counts, strict=True)
        }
        most = max(int(side["trained"]) for side in sides.values())
        least = max(config.task.curriculum.min_episodes, _EPISODES_A_RISE * most)
        return {**sides, "min_episodes": least}

    def _planned(self) -> tuple[list[str], tuple[int, int]]:
        config, teacher = self.config, self.config.teacher
        sizes = measured_sizes(config.task, teacher.observe == "depth")
        costs = self._measure(teacher, config.task, self._make_env, sizes, ("synchronous",))
        choices = compare(costs, placements_of(config.devices), 1e9 * config.memory_gb)
        parallel, *separate = choices
        roomiest = max(separate, key=lambda choice: choice.environments)
        chosen = (parallel, roomiest)
        for choice in chosen:
            if not choice.environments:
                raise ConfigurationError(
                    f"No environment fits {choice.placement} with --memory-gb {config.memory_gb:g} a device"
                )
        return [str(choice.placement) for choice in chosen], (parallel.environments, roomiest.environments)

    def _train(self, planned: Result, side: str, seed: int) -> Result:
        config, num_envs = self.config, int(planned[side]["trained"])
        iterations = iterations_for(config.environment_steps, num_envs, config.teacher)
        training = seeded(
            config.teacher, self._run_name(side, seed), seed, num_envs=num_envs, iterations=iterations
        )
        curriculum = dataclasses.replace(config.task.curriculum, min_episodes=min_episodes(planned, config))
        task = dataclasses.replace(config.task, curriculum=curriculum)
        folder = complete(training, task, self._make_env, self._runs)
        return budget(folder) | learnt(folder)

    def _run_name(self, side: str, seed: int) -> str:
        return f"{self.folder.name}-{side}-{seed}"

    def run_folders(self) -> list[RunFolder]:
        """Return the study's runs."""
        names = [self._run_name(side, seed) for side in SIDES for seed in range(self.config.seeds)]
        return [run_folder(self._runs, name) for name in names]


def min_episodes(planned: Result, config: BatchConfig) -> int:
    """Return the episodes between two rises of the level, the same for both sides.

    In plans of older studies they are the task's own.
    """
    return int(planned.get("min_episodes", config.task.curriculum.min_episodes))


def lacking_rises(planned: Result, config: BatchConfig) -> str:
    """Return a sentence where the steps allow fewer rises than full randomization needs; else nothing."""
    curriculum, least = config.task.curriculum, min_episodes(planned, config)
    if curriculum.step <= 0:
        return ""
    needed = math.ceil((1.0 - curriculum.start_level) / curriculum.step - 1e-9)
    rise_steps = least * config.task.episode_steps
    possible = config.environment_steps // rise_steps
    if possible >= needed:
        return ""
    return (
        f"Full randomization is out of reach unless episodes end early: it takes {needed} rises of the "
        f"level, each after {least} episodes of {config.task.episode_steps} steps, and "
        f"{config.environment_steps / 1e6:g} million steps allow {possible}; --environment-steps "
        f"{needed * rise_steps} is the least."
    )


def iterations_for(environment_steps: int, num_envs: int, teacher: TeacherConfig) -> int:
    """Return the iterations that make so many control steps over all environments, rounded, at least 1."""
    return max(1, round(environment_steps / (num_envs * teacher.ppo.steps_per_rollout)))


def learnt(folder: RunFolder) -> Result:
    """Return how far a run has come: success at its end (mean of the last twentieth of the iterations), the
    greatest level of randomization, and the steps after which it was full (null: it never was)."""
    rows = folder.metrics.rows()
    levels = [
        (row["environment_steps"], row["curriculum/level"]) for row in rows if "curriculum/level" in row
    ]
    last = max(1, round(_LAST_SHARE * len(rows)))
    successes = [success for row in rows if (success := find_success(row)) is not None][-last:]
    return {
        "success": sum(successes) / len(successes) if successes else None,
        "greatest_level": max((level for _, level in levels), default=None),
        "full_after_steps": next((int(steps) for steps, level in levels if level >= 1.0 - 1e-9), None),
    }


def check(config: BatchConfig) -> None:
    """Check a study's settings before hours of learning.

    Raises:
        ConfigurationError: a setting is out of its range, or is the study's own to set.
    """
    for name, least in (("seeds", 1), ("environment_steps", 1), ("devices", 2)):
        if getattr(config, name) < least:
            raise ConfigurationError(f"{name} is {getattr(config, name)}; expected at least {least}")
    for name in ("memory_gb", "scale"):
        if not getattr(config, name) > 0:
            raise ConfigurationError(f"{name} is {getattr(config, name)}; expected more than 0")
    if config.num_envs is not None and min(config.num_envs) < 1:
        raise ConfigurationError(f"num_envs is {config.num_envs}; expected two numbers of at least 1")
    check_template("teacher", config.teacher)
    check_positive(config.teacher, "teacher.")
