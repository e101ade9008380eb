"""Memory that the ranks of one machine share: what one writes, another reads, without a copy between them.

It lies in anonymous files (memfd), which other processes open through /proc. They belong to no folder, so
nothing is left behind however a rank ends, and the small /dev/shm of a container does not limit them.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

_BOOT = Path("/proc/sys/kernel/random/boot_id")

Tell = Callable[[str, str], None]
"""Tells all ranks a value under a key."""
Ask = Callable[[str], str]
"""Returns a value that another rank told, waiting for it."""


@dataclass(frozen=True)
class Place:
    """Where records lie in shared memory."""

    region: int
    """Number of the region among its owner's, from 1."""
    offset: int
    """Bytes from the region's start."""


class SharedMemory:
    """This rank's memory, in regions that other processes of the machine can map."""

    def __init__(self, owner: int, tell: Tell) -> None:
        """Begin without any, but for what others need to find out whether they can map it.

        Args:
            owner: this rank.
            tell: tells the others where the regions are.
        """
        self._owner, self._tell = owner, tell
        self._regions: list[torch.Tensor] = []
        self._files: list[int] = []
        self.new((1,))

    def new(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Return zeroed bytes uint8 of a shape, in a region of their own."""
        size = math.prod(shape)
        name = f"grasp-{uuid.uuid4().hex}"
        file = os.memfd_create(name)
        os.ftruncate(file, size)
        region = torch.frombuffer(mmap.mmap(file, size), dtype=torch.uint8)
        found = {"machine": _machine(), "process": os.getpid(), "file": file, "name": name, "size": size}
        self._tell(_key(self._owner, len(self._regions)), json.dumps(found))
        self._regions.append(region)
        self._files.append(file)
        return region.view(shape)

    def place(self, records: torch.Tensor) -> Place:
        """Say where contiguous records lie.

        Raises:
            ValueError: they do not lie in this memory as a whole.
        """
        for number, region in enumerate(self._regions):
            offset = records.data_ptr() - region.data_ptr()
            if offset >= 0 and offset + records.nbytes <= region.nbytes and records.is_contiguous():
                return Place(number, offset)
        raise ValueError(f"Records {tuple(records.shape)} do not lie in memory that ranks share")

    def __del__(self) -> None:
        for file in self._files:
            os.close(file)


class MappedMemory:
    """Another rank's shared memory, mapped when it is first asked for."""

    def __init__(self, owner: int, ask: Ask) -> None:
        """Prepare to map.

        Args:
            owner: the rank whose memory it is.
            ask: returns what that rank told.
        """
        self._owner, self._ask = owner, ask
        self._regions: dict[int, torch.Tensor] = {}

    def reachable(self) -> bool:
        """Say whether the memory can be mapped: its owner is on this machine, and in sight."""
        try:
            self._region(0)
        except OSError:
            return False
        return True

    def records(self, place: Place, shape: tuple[int, int]) -> torch.Tensor:
        """Return the records uint8 (rows, size) at a place.

        Raises:
            OSError: the region cannot be mapped.
        """
        region = self._region(place.region)
        return region[place.offset : place.offset + math.prod(shape)].view(shape)

    def _region(self, number: int) -> torch.Tensor:
        if number not in self._regions:
            self._regions[number] = _map(json.loads(self._ask(_key(self._owner, number))))
        return self._regions[number]


def _map(found: dict[str, str | int]) -> torch.Tensor:
    """Return a region of another process; its name tells it from another file of the same number."""
    if found["machine"] != _machine():
        raise OSError(f"the memory of process {found['process']} is on another machine")
    path = Path(f"/proc/{found['process']}/fd/{found['file']}")
    if not str(path.readlink()).startswith(f"/memfd:{found['name']}"):
        raise OSError(f"{path} is not the memory that was told of")
    file = os.open(path, os.O_RDWR)
    try:
        return torch.frombuffer(mmap.mmap(file, int(found["size"])), dtype=torch.uint8)
    finally:
        os.close(file)


def _machine() -> str:
    """Return what tells this machine, since it was started, from all others."""
    return _BOOT.read_text().strip()


def can_share() -> bool:
    """Say whether this system has the means."""
    return hasattr(os, "memfd_create") and _BOOT.exists()


def _key(owner: int, region: int) -> str:
    return f"memory/{owner}/{region}"
