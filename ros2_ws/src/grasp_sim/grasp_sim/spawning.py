"""Which object comes next and where it is put: a seeded sequence without end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grasp_description.objects import ObjectSpec, object_set
from grasp_description.workcell import SPAWN_CLEARANCE_M, SPAWN_REGION, SpawnRegion

_ORDER, _POSE = 0, 1


@dataclass(frozen=True)
class Spawn:
    """One object and where it starts."""

    index: int
    """place in the sequence, from 0"""
    spec: ObjectSpec
    """the object"""
    position: np.ndarray
    """(3,) m, centre of mass, base frame"""
    quaternion: np.ndarray
    """(4,) w-x-y-z, upright at some yaw"""

    @property
    def pose(self) -> np.ndarray:
        """Position and quaternion (7,), as a free joint's qpos holds them."""
        return np.concatenate([self.position, self.quaternion])


class SpawnSequence:
    """Runs through an object set in random order, again and again, each object at a random pose.

    Every entry depends on set, seed and index alone, not on what was asked before.

    Args:
        objects: name of the set, "training" or "held-out".
        seed: of order and poses; 0 or more.

    Raises:
        ValueError: there is no such set, or the seed is negative.
    """

    def __init__(self, objects: str, seed: int, region: SpawnRegion = SPAWN_REGION) -> None:
        if seed < 0:
            raise ValueError(f"SpawnSequence got seed={seed}; expected 0 or more")
        self._specs, self._seed, self._region = object_set(objects), seed, region

    def spawn(self, index: int, attempt: int = 0) -> Spawn:
        """Entry ``index``; a further ``attempt`` gives the same object another pose."""
        cycle, place = divmod(index, len(self._specs))
        order = np.random.default_rng([_ORDER, self._seed, cycle]).permutation(len(self._specs))
        spec = self._specs[order[place]]
        xy, yaw = self._region.sample(np.random.default_rng([_POSE, self._seed, index, attempt]))
        position = np.array([*xy, spec.rest_height_m + SPAWN_CLEARANCE_M])
        return Spawn(index, spec, position, np.array([np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)]))
