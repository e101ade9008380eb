"""What the training commands share: flags from typed configurations, defaults from a preset or a run."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from grasp_training.learning.config import Preset, RunConfig
from grasp_training.runs import RunKind, differences, from_mapping, run_folder, to_mapping

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

    @staticmethod
    def read(arguments: Sequence[str]) -> Preliminary:
        """Find these flags among all others; wrong values are left to the full parser to complain about."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument("--preset", default="cpu")
        parser.add_argument("--run")
        parser.add_argument("--teacher")
        parser.add_argument("--resume", action="store_true")
        parser.add_argument("--runs-folder", type=Path, default=Path("runs"))
        found, _ = parser.parse_known_args(list(arguments))
        preset: Preset = "smoke" if found.preset == "smoke" else "cpu"
        return Preliminary(preset, found.run, found.teacher, found.resume, found.runs_folder)


def defaults(
    early: Preliminary, kind: RunKind, preset: Callable[[Preset, str], Config], task_type: type
) -> tuple[Config, Any]:
    """Return the default configuration and task: the preset's, or with `--resume` those that the run has.

    Raises:
        RunError: `--resume` names a run that is not there or of another kind.
    """
    config = preset(early.preset, early.run or tyro.MISSING)
    if not (early.resume and early.run):
        return config, task_type()
    folder = run_folder(early.runs_folder, early.run)
    saved = folder.load_config(kind)
    resumed = from_mapping(type(config), saved["training"], f"{folder.config_path}: training")
    return resumed, saved_task(early, kind, early.run, task_type)


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
