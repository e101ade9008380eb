"""How much room contacts and constraints want, world by world: what capacities are chosen from."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import mujoco_warp
import torch
import warp


@dataclass(frozen=True)
class Demand:
    """What each of n environments wanted in a physics step."""

    contacts: torch.Tensor
    """(n,) contacts or, where they are more, pairs of geoms that are near: both want the same room"""
    rows: torch.Tensor
    """(n,) rows of constraints"""


def demand_of(model: Any, data: Any) -> Demand:
    """What MuJoCo Warp's last step wanted; to be called within ``WarpDevice.active``.

    MuJoCo Warp counts pairs for all worlds together, so they are looked for once more. Counts stop where
    there is no more room: reserve plenty.
    """
    worlds = data.nworld
    pairs = SimpleNamespace(
        collision_pair=warp.empty(data.naconmax, dtype=warp.vec2i),  # type: ignore[arg-type]
        collision_pairid=warp.empty(data.naconmax, dtype=warp.vec2i),  # type: ignore[arg-type]
        collision_worldid=warp.empty(data.naconmax, dtype=int),
    )
    data.ncollision.zero_()
    mujoco_warp.nxn_broadphase(model, data, pairs)
    near = _by_world(pairs.collision_worldid, data.ncollision, worlds)
    touching = _by_world(data.contact.worldid, data.nacon, worlds)
    return Demand(torch.maximum(near, touching), warp.to_torch(data.nefc).clone())


def _by_world(world_of: Any, count: Any, worlds: int) -> torch.Tensor:
    """How many entries each world has among the first ``count``."""
    listed = warp.to_torch(world_of)[: int(warp.to_torch(count))]
    return torch.bincount(listed, minlength=worlds)
