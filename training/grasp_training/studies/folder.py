"""A study is a folder: study.yaml, results.json, and what its stages write. Its runs are ordinary runs."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grasp_training.runs import ConfigurationError, RunError, differences, load_yaml, save_yaml

Result = dict[str, Any]
"""What a stage found, of plain JSON types."""


class StudyFolder:
    """Keeps a study's settings, and the result of every stage that is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Return the study's name; its runs' names begin with it."""
        return self.path.resolve().name

    @property
    def settings_path(self) -> Path:
        """Return where the settings lie."""
        return self.path / "study.yaml"

    @property
    def results_path(self) -> Path:
        """Return where the results of complete stages lie."""
        return self.path / "results.json"

    def begin(
        self,
        kind: str,
        config: Result,
        resume: bool,
        may_change: Sequence[str] = ("seeds", "threads", "jobs"),
    ) -> None:
        """Write the settings down, or find those of the study that goes on.

        Args:
            kind: of study.
            config: its settings, of plain types.
            resume: go on with the study in this folder.
            may_change: settings that may differ from those it began with.

        Raises:
            RunError: there is a study already, or none of this kind to go on with.
            ConfigurationError: it goes on with other settings, which its complete stages do not have.
        """
        if resume:
            kept = {name: value for name, value in self.load_config(kind).items() if name not in may_change}
            now = {name: value for name, value in config.items() if name not in may_change}
            changed = differences(kept, now)
            if changed:
                raise ConfigurationError(
                    f"The study in {self.path} has other settings ({'; '.join(changed)}), which its results "
                    "hold for. Resume it without these flags, or take another folder"
                )
        elif self.settings_path.exists():
            raise RunError(
                f"There is a study in {self.path}: continue it with --resume, or take another folder"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        save_yaml(self.settings_path, {"kind": kind, "config": config})

    def load_config(self, kind: str) -> Result:
        """Return the settings of the study.

        Raises:
            RunError: there is none, or it is of another kind.
        """
        try:
            saved = load_yaml(self.settings_path)
        except ConfigurationError as error:
            raise RunError(f"There is no study to resume in {self.path}: {error}") from error
        if saved.get("kind") != kind:
            raise RunError(f"The study in {self.path} is of {saved.get('kind')}; expected {kind}")
        return saved["config"]

    def results(self) -> dict[str, Result]:
        """Return the results of complete stages by name, in the order of their completion."""
        if not self.results_path.exists():
            return {}
        return json.loads(self.results_path.read_text())

    def ensure(self, stage: str, make: Callable[[], Result], report: Callable[[str], None]) -> Result:
        """Return a stage's result, making it unless it is there.

        A result is written whole once its stage is complete. A stage that was killed is made again; a
        training in it goes on from its own last checkpoint. Processes may make different stages side by side.
        """
        results = self.results()
        if stage in results:
            return results[stage]
        report(f"{self.name}: {stage}")
        found = make()
        with self._alone():
            results = {**self.results(), stage: found}
            write_whole(self.results_path, json.dumps(results, indent=1) + "\n")
        return found

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from writing results; a lock ends with the process that holds it."""
        with (self.path / "results.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def write_whole(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
