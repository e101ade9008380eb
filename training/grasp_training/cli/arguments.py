"""What the training commands share: flags from typed configurations, defaults from a preset or a run."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import tyro

from grasp_training.learning.config import Preset, RunConfig
from grasp_training.presets import Images
from grasp_training.runs import ConfigurationError, RunKind, differences, from_mapping, run_folder, to_mapping

Config = TypeVar("Config", bound=RunConfig)

PARSER_SETTINGS = (tyro.conf.FlagCreatePairsOff,)


@dataclasses.dataclass(frozen=True)
class Preliminary:
    """The flags that decide which defaults the others have."""

    preset: Preset
    run: str | None
    teacher: str | None
    resume: bool
    runs_folder: Path
    images: Images | None = None

    @staticmethod
    def read(arguments: Sequence[str]) -> Preliminary:
        """Find these flags among all others; wrong values are left to the full parser to complain about."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--preset")
        parser.add_argument("--images")
        parser.add_argument("--run")
        parser.add_argument("--teacher")
        parser.add_argument("--resume", action="store_true")
        parser.add_argument("--runs-folder", type=Path, default=Path("runs"))
        found, _ = parser.parse_known_args(list(arguments))
        preset, images = known_preset(found.preset), known_images(found.images)
        return Preliminary(preset, found.run, found.teacher, found.resume, found.runs_folder, images)


def known_preset(given: str | None) -> Preset:
    """Return the preset, `cpu` without one or for one that is unknown: the full parser complains of that."""
    return next((name for name in get_args(Preset) if name == given), "cpu")


def known_images(given: str | None) -> Images | None:
    """Return the size of images, none for one that is unknown."""
    return next((size for size in get_args(Images) if size == given), None)


def defaults(early: Preliminary, kind: RunKind, preset: Config, task: Any) -> tuple[Config, Any]:
    """Return the default configuration and task: the preset's, or with `--resume` those that the run has.

    Raises:
        ConfigurationError: `--images` is given for a run that has its images.
        RunError: `--resume` names a run that is not there or of another kind.
    """
    if not (early.resume and early.run):
        return preset, task
    folder = run_folder(early.runs_folder, early.run)
    saved = folder.load_config(kind)
    resumed = from_mapping(type(preset), saved["training"], f"{folder.config_path}: training")
    task = saved_task(early, kind, early.run, type(task))
    if early.images:
        raise ConfigurationError(
            f"--images is {early.images}, but run '{early.run}' has its encoder and depth images of "
            f"{task.depth_image} px ({folder.config_path})"
        )
    return resumed, task


def saved_task(early: Preliminary, kind: RunKind, run: str, task_type: type) -> Any:
    """Return the task's configuration as the run `run` has it.

    Raises:
        RunError: there is no such run, or it is of another kind.
    """
    folder = run_folder(early.runs_folder, run)
    return from_mapping(task_type, folder.load_config(kind)["task"], f"{folder.config_path}: task")


def report_changes(early: Preliminary, kind: RunKind, training: RunConfig, task: Any) -> None:
    """Print what a resumed run does differently from before."""
    if early.resume and early.run:
        saved = run_folder(early.runs_folder, early.run).load_config(kind)
        now = {"training": to_mapping(training), "task": to_mapping(task)}
        for line in differences({name: saved[name] for name in now}, now):
            print(f"Changed on resume: {line}")
