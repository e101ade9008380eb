"""What a rank leaves for the agent that started it: why it failed, and its last sign of life.

Both lie in the folder that torchrun's agent makes for every rank. The agent fails itself over half an error
file, and it ends all other ranks as soon as one has failed: so files are written under another name and
renamed.
"""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.errors import ErrorHandler

_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
_LIFE = "life"


class WholeErrorHandler(ErrorHandler):
    """Records an exception for the agent, whole or not at all."""

    def record_exception(self, e: BaseException) -> None:
        """Write the error file in torchrun's format."""
        if path := _error_file():
            details = {
                "py_callstack": "".join(traceback.format_exception(e)),
                "timestamp": str(int(time.time())),
            }
            said = {"message": f"{type(e).__name__}: {e}", "extraInfo": details}
            _write(path, json.dumps({"message": said}))


def leave_sign_of_life(doing: str) -> None:
    """Leave what this rank does now."""
    if path := _error_file():
        _write(path.with_name(_LIFE), doing)


def last_sign_of_life(rank_folder: Path) -> str:
    """Say in words what a rank that has ended did last, and how long ago."""
    try:
        path = rank_folder / _LIFE
        doing, ago = path.read_text(), time.time() - path.stat().st_mtime
    except OSError:
        return "it had given no sign of life"
    return f"its last sign of life, {ago:.0f} s ago, said: {doing}"


def read_failures(attempt_folder: Path) -> list[str]:
    """Return what the ranks of an attempt say of its end, without tracebacks, the first first."""
    found = []
    for path in attempt_folder.glob("*/error.json"):
        try:
            found.append((path.stat().st_mtime, _first_cause(json.loads(path.read_text()))))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # its rank was ended while it wrote
    return list(dict.fromkeys(text for _, text in sorted(found) if text))


def _first_cause(document: dict[str, Any]) -> str:
    said = document["message"]
    text = str(said["message"] if isinstance(said, dict) else said).strip()
    last = text.splitlines()[-1] if text else ""
    for kind in ("RankError: ", "GraspError: "):
        last = last.split(kind, 1)[-1]
    return last


def _error_file() -> Path | None:
    path = os.environ.get(_ERROR_FILE)
    return Path(path) if path else None


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f"{path.name}.{threading.get_ident()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        return  # the folder is the agent's, who may have removed it: it asks no more
