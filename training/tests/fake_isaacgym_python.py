"""An interpreter in which `import isaacgym` gives the recording fake, for the Isaac Gym backend's tests."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FAKE = Path(__file__).parent / "fake_isaacgym"


@dataclass(frozen=True)
class FakePython:
    """A command that behaves as a Python with the fake, and what the fake has recorded."""

    path: Path
    record: Path

    def calls(self, *names: str) -> list[list[Any]]:
        """Calls recorded so far, each as name and arguments; of these names, or all."""
        if not self.record.exists():
            return []
        found = [json.loads(line) for line in self.record.read_text().splitlines()]
        return [call for call in found if not names or call[0] in names]

    def names(self) -> list[str]:
        """Names of the calls recorded so far."""
        return [call[0] for call in self.calls()]

    def forget(self) -> None:
        """Begin the record anew."""
        self.record.write_text("")


def make_fake_python(folder: Path, fault: str = "", with_fake: bool = True) -> FakePython:
    """Write the command into a folder; fault: ``no-sim``, or ``die``, ``stall``, ``raise``."""
    python = FakePython(folder / "python", folder / "record")
    packages = f"$PYTHONPATH{os.pathsep}{FAKE}" if with_fake else "$PYTHONPATH"
    # For trials by hand with a real Python 3.8.
    interpreter = os.environ.get("ISAACGYM_TEST_PYTHON", sys.executable)
    python.path.write_text(
        f'#!/bin/sh\nexport PYTHONPATH="{packages}" FAKE_ISAACGYM_RECORD="{python.record}"\n'
        f'export FAKE_ISAACGYM_FAULT="{fault}"\nexec "{interpreter}" "$@"\n'
    )
    python.path.chmod(0o755)
    return python
