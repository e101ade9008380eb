"""What crosses between simulator and learner: one record an environment, packed.

A message is a (rows, record size) array of bytes, each row one environment's record. A learner that receives
from several simulators lets each write to its own rows of one buffer; every field of all of its environments
is then a strided view of that buffer, and nothing is copied or put together after the receipt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

DepthType = Literal["float16", "uint16"]
"""How depth is sent and kept: metres as float16, or millimetres as uint16 (0 to 65.5 m)."""

Transport = Literal["auto", "messages"]
"""How records cross between ranks: through memory that ranks of one machine share, and as messages of a
process group between machines; or always as messages."""

DEPTH = "depth"
"""Observation group that is sent as `DepthType`."""

_ALIGNMENT = 16
"""Bytes to which fields and records are aligned: views of any type, and vector loads, need it."""

DONE, TIME_OUT, SUCCESS, HAS_SUCCESS = 1, 2, 4, 8
"""Bits of the field `status`."""

MILLIMETRES = 1000.0
MAX_FIGURES = 32
"""Scalars that a block of environments can log a step."""


@dataclass(frozen=True)
class Field:
    """One field of a record."""

    name: str
    """Name of the field."""
    shape: tuple[int, ...]
    """Its shape in one record."""
    dtype: torch.dtype
    """Its type."""
    offset: int
    """Bytes from the record's start."""

    @property
    def size(self) -> int:
        """Return its bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class RecordLayout:
    """Where the fields lie in a record."""

    fields: tuple[Field, ...]
    """The fields, by offset."""
    size: int
    """Bytes of a record."""

    @staticmethod
    def of(parts: dict[str, tuple[tuple[int, ...], torch.dtype]]) -> RecordLayout:
        """Lay out fields of the given shapes and types in the order given."""
        fields, offset = [], 0
        for name, (shape, dtype) in parts.items():
            field = Field(name, tuple(shape), dtype, offset)
            fields.append(field)
            offset = _aligned(offset + field.size)
        return RecordLayout(tuple(fields), offset)

    def new(self, rows: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """Return a zeroed buffer uint8 (rows, size)."""
        return torch.zeros(rows, self.size, dtype=torch.uint8, device=device)

    def views(self, buffer: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return each field (rows, *shape) as a view of a buffer uint8 (rows, size)."""
        return {field.name: _view(buffer, field) for field in self.fields}


def _view(buffer: torch.Tensor, field: Field) -> torch.Tensor:
    flat = buffer[:, field.offset : field.offset + field.size].view(field.dtype)
    return flat.unflatten(1, field.shape) if field.shape else flat[:, 0]


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT


@dataclass(frozen=True)
class ObservationSpec:
    """Shape and type of an observation group as the environment makes it."""

    shape: tuple[int, ...]
    """Shape for one environment."""
    dtype: str
    """Name of the torch type, such as `float32`."""


def transport_type(group: str, dtype: str, depth: DepthType) -> torch.dtype:
    """Return the type in which a group is sent: what the environment makes, but for depth."""
    return getattr(torch, depth if group == DEPTH else dtype)


def action_layout(num_actions: int) -> RecordLayout:
    """Return the record that a learner sends for a step.

    `action` float32 (num_actions,); `episode_length` int64, control steps that the episode has run for, or -1
    to leave it; `level` float64, the curriculum's; `step` int64, counted from 1, or `STOP`; `lesson` uint8,
    1 where the images are to be lessons in seeing.
    """
    return RecordLayout.of(
        {
            "level": ((), torch.float64),
            "step": ((), torch.int64),
            "episode_length": ((), torch.int64),
            "lesson": ((), torch.uint8),
            "action": ((num_actions,), torch.float32),
        }
    )


STOP = -1
"""In place of a step: the run is over."""


def result_layout(
    observations: dict[str, ObservationSpec], depth: DepthType, smallest_block: int
) -> RecordLayout:
    """Return the record that a simulator answers with.

    The observation groups under `observation/NAME`; `reward` float32; `status` uint8, bits as above; `step`
    int64, that of the actions; `figures` float32: the scalars a block logs, laid over its rows.

    Args:
        observations: groups as the environments make them.
        depth: how depth is sent.
        smallest_block: environments in the smallest block.
    """
    parts: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
        "step": ((), torch.int64),
        "reward": ((), torch.float32),
        "status": ((), torch.uint8),
        "figures": ((-(-MAX_FIGURES // smallest_block),), torch.float32),
    }
    for name, spec in observations.items():
        parts[observation_field(name)] = (spec.shape, transport_type(name, spec.dtype, depth))
    return RecordLayout.of(parts)


def observation_field(group: str) -> str:
    """Return the name of the field that holds an observation group."""
    return f"observation/{group}"


def write(target: torch.Tensor, value: torch.Tensor) -> None:
    """Copy a value into a field, depth in metres into millimetres where the field is uint16."""
    if target.dtype is torch.uint16:
        value = (value * MILLIMETRES).round_().clamp_(0, 65535).to(torch.int32).to(torch.uint16)
    target.copy_(value)


def read_depth(depth: torch.Tensor) -> torch.Tensor:
    """Return depth as sent (float16 in m, or uint16 in mm) as float32 in m."""
    if depth.dtype is torch.uint16:
        return depth.to(torch.float32) / MILLIMETRES
    return depth.to(torch.float32)


def specification(value: torch.Tensor) -> ObservationSpec:
    """Return shape and type of a batch of observations (n, …)."""
    return ObservationSpec(tuple(value.shape[1:]), str(value.dtype).removeprefix("torch."))
