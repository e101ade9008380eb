"""`grasp study observability | batch`: comparisons of trainings over several seeds."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from grasp_training.cli.arguments import PARSER_SETTINGS, known_preset
from grasp_training.learning.config import Preset
from grasp_training.studies import (
    BatchConfig,
    BatchStudy,
    ObservabilityConfig,
    ObservabilityStudy,
    StudyFolder,
    batch_preset,
    batch_report,
    load_batch,
    load_observability,
    observability_preset,
    observability_report,
)
from grasp_training.studies.folder import write_whole
from grasp_training.tasks import make_env


@dataclass(frozen=True)
class StudyObservability:
    """Compare teachers that see the state with teachers that see depth, and the students that each teaches.

    Of each seed: a teacher of each kind, a student of each at one budget, their success on held-out objects,
    how much of the teacher's action the student knows, and how much of the object the teacher leaves visible.
    Every run is an ordinary run, `OUTPUT-KIND-teacher-SEED` and `OUTPUT-KIND-student-SEED`.
    """

    study: Annotated[ObservabilityConfig, tyro.conf.arg(name="")]
    """The study."""
    output: Path
    """Folder of the study: settings, results, policy files, table (study.md) and plot (study.png)."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""
    resume: bool = False
    """Go on with the study in the folder, with its own settings as defaults; what is complete is not done
    again."""
    teacher_iterations: int | None = None
    """Learning iterations of both kinds of teachers; instead of --state-teacher.iterations and
    --depth-teacher.iterations."""
    student_iterations: int | None = None
    """Learning iterations of every student; instead of --student.iterations."""


@dataclass(frozen=True)
class StudyBatch:
    """Compare teachers that learn with as many environments as data parallelism holds, and as disaggregation.

    Both have the same devices and make the same number of environment steps.
    """

    study: Annotated[BatchConfig, tyro.conf.arg(name="")]
    """The study."""
    output: Path
    """Folder of the study: settings, results, table (study.md) and learning curves (study.png)."""
    runs_folder: Path = Path("runs")
    """Folder that holds the runs' folders."""
    resume: bool = False
    """Go on with the study in the folder, with its own settings as defaults; what is complete is not done
    again."""


def run(arguments: Sequence[str]) -> int:
    """Run `grasp study …` and return the exit status."""
    commands = {"observability": _observability, "batch": _batch}
    if not arguments or arguments[0] not in commands:
        asked = bool(arguments) and arguments[0] in ("-h", "--help")
        print("usage: grasp study observability|batch --output FOLDER … (either with --help shows all flags)",
              file=sys.stdout if asked else sys.stderr)  # fmt: skip
        return 0 if asked else 2
    commands[arguments[0]](list(arguments[1:]))
    return 0


def _observability(arguments: list[str]) -> None:
    config = _defaults(arguments, observability_preset, load_observability)
    default = StudyObservability(study=config, output=tyro.MISSING)
    command = tyro.cli(
        StudyObservability,
        prog="grasp study observability",
        args=arguments,
        default=default,
        config=PARSER_SETTINGS,
    )
    folder, config = StudyFolder(command.output), _with_iterations(command)
    study = ObservabilityStudy(folder, config, command.runs_folder, command.resume, make_env)
    findings = observability_report.Findings(study.run(), config.seeds)
    write_whole(folder.path / "figures.json", json.dumps(findings.to_dict(), indent=1) + "\n")
    _publish(folder, observability_report.markdown(findings))
    observability_report.draw(findings, folder.path / "study.png")


def _with_iterations(command: StudyObservability) -> ObservabilityConfig:
    """The study's settings, with the iterations that the short flags give."""
    wanted = {
        "state_teacher": command.teacher_iterations,
        "depth_teacher": command.teacher_iterations,
        "student": command.student_iterations,
    }
    changed = {
        name: dataclasses.replace(getattr(command.study, name), iterations=iterations)
        for name, iterations in wanted.items()
        if iterations is not None
    }
    return dataclasses.replace(command.study, **changed)


def _batch(arguments: list[str]) -> None:
    config = _defaults(arguments, batch_preset, load_batch)
    command = tyro.cli(
        StudyBatch,
        prog="grasp study batch",
        args=arguments,
        default=StudyBatch(study=config, output=tyro.MISSING),
        config=PARSER_SETTINGS,
    )
    folder = StudyFolder(command.output)
    study = BatchStudy(folder, command.study, command.runs_folder, command.resume, make_env)
    results = study.run()
    _publish(folder, batch_report.markdown(results, command.study))
    batch_report.draw(study.run_folders(), folder.path / "study.png")


def _publish(folder: StudyFolder, text: str) -> None:
    """Print the tables and write them down."""
    write_whole(folder.path / "study.md", text)
    print(text)
    print(f"Table, plot and results: {folder.path}")


def _defaults(
    arguments: list[str], preset: Callable[[Preset], Any], load: Callable[[StudyFolder], Any]
) -> Any:
    """The default settings: the preset's, or with `--resume` those that the study has."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--resume", action="store_true")
    found, _ = parser.parse_known_args(arguments)
    if found.resume and found.output:
        return load(StudyFolder(found.output))
    return preset(known_preset(found.preset))
