"""A run is a folder: config.yaml, checkpoints/, metrics.jsonl, TensorBoard events, curves.png."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from grasp_training.errors import GraspError
from grasp_training.runs.checkpoints import CheckpointStore
from grasp_training.runs.configuration import ConfigurationError, load_yaml, save_yaml, to_mapping
from grasp_training.runs.metrics import MetricsLog, draw_curves

RunKind = Literal["teacher", "student"]

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_RECORDED_PACKAGES = ("torch", "rsl-rl-lib", "mujoco", "mujoco-warp", "numpy")


class RunError(GraspError, RuntimeError):
    """A run cannot be made, continued or read: the message names it and what to do."""


@dataclass(frozen=True)
class RunFolder:
    """Paths and files of one run."""

    path: Path
    """The folder itself."""

    @property
    def name(self) -> str:
        """Return the run's name."""
        return self.path.name

    def label(self, iteration: int) -> str:
        """Return what reports call the run as of a checkpoint."""
        return f"{self.name}, {iteration} iterations"

    @property
    def config_path(self) -> Path:
        """Return where the resolved configuration lies."""
        return self.path / "config.yaml"

    @property
    def curves_path(self) -> Path:
        """Return where the learning curves lie."""
        return self.path / "curves.png"

    @property
    def metrics(self) -> MetricsLog:
        """Return the run's table of figures."""
        return MetricsLog(self.path / "metrics.jsonl")

    def checkpoints(self, keep_last: int = 3, keep_every: int = 100) -> CheckpointStore:
        """Return the run's checkpoints."""
        return CheckpointStore(self.path / "checkpoints", keep_last, keep_every)

    def exists(self) -> bool:
        """Say whether a run was begun here."""
        return self.config_path.exists()

    def save_config(self, kind: RunKind, training: Any, task: Any, more: dict[str, Any]) -> None:
        """Write the fully resolved configuration, with what else is needed to make the run again.

        A run that is continued keeps the record of what began it; what continues it is added.

        Args:
            kind: teacher or student.
            training: configuration of learning, a dataclass.
            task: configuration of the task, a dataclass.
            more: further entries, such as a student's teacher.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        before = load_yaml(self.config_path).get("made_with", []) if self.exists() else []
        save_yaml(
            self.config_path,
            {
                "kind": kind,
                "training": to_mapping(training),
                "task": to_mapping(task),
                **more,
                "made_with": [*before, _provenance()],
            },
        )

    def load_config(self, kind: RunKind | None = None) -> dict[str, Any]:
        """Read config.yaml as a mapping with the keys kind, training, task and made_with.

        Raises:
            RunError: there is no such run, or it is of another kind.
        """
        try:
            document = load_yaml(self.config_path)
        except ConfigurationError as error:
            raise RunError(f"There is no run '{self.name}' to read: {error}") from error
        if kind is not None and document.get("kind") != kind:
            raise RunError(
                f"Run '{self.name}' ({self.config_path}) is a {document.get('kind')}; a {kind} is needed"
            )
        return document

    def draw_curves(self) -> None:
        """Draw curves.png from the metrics so far."""
        draw_curves(self.metrics.rows(), self.curves_path, self.name)


def run_folder(runs_folder: Path, name: str) -> RunFolder:
    """Return the folder of the run `name`.

    Raises:
        RunError: the name is not a plain file name.
    """
    if not _NAME.match(name):
        raise RunError(f"'{name}' is no name for a run: letters, digits, '.', '_' and '-' only")
    return RunFolder(runs_folder / name)


def _provenance() -> dict[str, Any]:
    versions = {}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "command": _command(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "code": _code_version(),
        "packages": versions,
    }


def _command() -> str:
    """Return the command line of this process, without the folder of runs: that is the machine's affair."""
    words = list(sys.argv[1:])
    for index, word in enumerate(words):
        if word == "--runs-folder":
            del words[index : index + 2]
            break
        if word.startswith("--runs-folder="):
            del words[index]
            break
    return shlex.join(["grasp", *words])


def _code_version() -> str:
    """Return the commit of the code, 40 hexadecimal digits, with `-dirty` where files were changed.

    Outside a git checkout, or before its first commit: 'unknown'.
    """
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return result.stdout.strip() if result.returncode == 0 else "unknown"
