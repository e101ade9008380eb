"""Checkpoints that survive being killed at any moment.

A checkpoint is an ordinary torch file with its SHA-256 beside it (`sha256sum -c` reads it). Both are written
under a temporary name, flushed to the disk and renamed, the checksum first: a checkpoint that is there has
its own.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from grasp_training.errors import GraspError

_NAME = re.compile(r"^iteration_(\d{8})\.pt$")


class CheckpointError(GraspError, RuntimeError):
    """No usable checkpoint: the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as read from the disk."""

    path: Path
    """File that it came from."""
    iteration: int
    """Number of completed learning iterations."""
    content: dict[str, Any]
    """What was saved: tensors, numbers, strings and containers of these."""


class CheckpointStore:
    """The checkpoints of one run: the last few, and every so-many-th for good."""

    def __init__(
        self, folder: Path, keep_last: int = 3, keep_every: int = 100, report: Callable[[str], None] = print
    ) -> None:
        """Use `folder`, which is made by the first `save`.

        Args:
            folder: where the files lie.
            keep_last: how many of the newest checkpoints are kept.
            keep_every: checkpoints whose iteration divides by this are never deleted.
            report: is called with a message when a damaged checkpoint is passed over.
        """
        self.folder = folder
        self.keep_last = max(1, keep_last)
        self.keep_every = max(1, keep_every)
        self._report = report

    def iterations(self) -> list[int]:
        """Return the iterations that have a checkpoint file, oldest first."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.match(path.name) for path in self.folder.iterdir())
        return sorted(int(match.group(1)) for match in matches if match)

    def path(self, iteration: int) -> Path:
        """Return where the checkpoint of an iteration lies."""
        return self.folder / f"iteration_{iteration:08d}.pt"

    def save(self, iteration: int, content: dict[str, Any]) -> Path:
        """Write a checkpoint, whole or not at all, then delete those that need not be kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(content, buffer)
        data = buffer.getvalue()
        path = self.path(iteration)
        line = f"{hashlib.sha256(data).hexdigest()}  {path.name}\n"
        _write_atomically(_checksum_path(path), line.encode())
        _write_atomically(path, data)
        self._delete_superseded()
        return path

    def load(self, iteration: int, map_location: str = "cpu") -> Checkpoint:
        """Read the checkpoint of an iteration.

        Raises:
            CheckpointError: it is missing, truncated, altered, or holds more than plain data.
        """
        return load_checkpoint(self.path(iteration), map_location)

    def load_latest(self, map_location: str = "cpu") -> Checkpoint:
        """Read the newest checkpoint that is whole; report every damaged one that is passed over.

        Raises:
            CheckpointError: there is none.
        """
        iterations = self.iterations()
        for iteration in reversed(iterations):
            try:
                return self.load(iteration, map_location)
            except CheckpointError as error:
                self._report(f"{error}; trying the checkpoint before it")
        found = f"none of the {len(iterations)} there is whole" if iterations else "it has none"
        raise CheckpointError(f"No checkpoint to load in {self.folder}: {found}")

    def discard_after(self, iteration: int) -> None:
        """Delete the checkpoints newer than `iteration`: damaged, if that one was resumed from."""
        for newer in self.iterations():
            if newer > iteration:
                self._delete(newer)

    def _delete(self, iteration: int) -> None:
        path = self.path(iteration)
        path.unlink(missing_ok=True)
        _checksum_path(path).unlink(missing_ok=True)

    def _delete_superseded(self) -> None:
        for iteration in self.iterations()[: -self.keep_last]:
            if iteration % self.keep_every:
                self._delete(iteration)
        for leftover in self.folder.glob("*.tmp"):
            leftover.unlink(missing_ok=True)


def load_checkpoint(path: Path, map_location: str = "cpu") -> Checkpoint:
    """Read one checkpoint file, checksum first, without executing anything in it.

    Raises:
        CheckpointError: it is missing, truncated, altered, or holds more than plain data.
    """
    try:
        data = path.read_bytes()
        expected = _checksum_path(path).read_text().split()[0]
    except (OSError, IndexError, UnicodeDecodeError) as error:
        raise CheckpointError(f"Checkpoint {path} or its checksum cannot be read ({error})") from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise CheckpointError(
            f"Checkpoint {path} is damaged: its {len(data)} bytes have SHA-256 {found[:12]}…, "
            f"those written had {expected[:12]}…"
        )
    try:
        content = torch.load(io.BytesIO(data), weights_only=True, map_location=map_location)
    except Exception as error:  # torch raises many kinds here, all of which mean "not a checkpoint of ours"
        raise CheckpointError(f"Checkpoint {path} is not a file of plain tensors: {error}") from error
    if not isinstance(content, dict) or "iteration" not in content:
        raise CheckpointError(f"Checkpoint {path} holds no 'iteration'; it was not written by this project")
    return Checkpoint(path, int(content["iteration"]), content)


def _checksum_path(path: Path) -> Path:
    return path.with_suffix(".sha256")


def _write_atomically(path: Path, data: bytes) -> None:
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must reach the disk too
    finally:
        os.close(folder)
