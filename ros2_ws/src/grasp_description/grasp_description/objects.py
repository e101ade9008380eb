"""Procedural objects to grasp: seeded sets for training and for held-out evaluation.

An object is one rigid body of one to MAX_PARTS primitive shapes. Its frame has its origin at the centre of
mass; its upright pose is the identity orientation with z up, resting on the table with the origin
`rest_height_m` above it. Mass properties are analytic; where parts overlap, the overlap is counted twice (as
MuJoCo counts it).
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import mujoco
import numpy as np

from grasp_description.object_families import FAMILIES, HELD_OUT_FAMILIES, TRAINING_FAMILIES, Parts
from grasp_description.object_shapes import SHAPES, Part, quaternion_of

__all__ = [
    "FEATURE_SIZE",
    "HELD_OUT_FAMILIES",
    "MAX_PARTS",
    "OBJECT_SETS",
    "SHAPES",
    "TRAINING_FAMILIES",
    "ObjectPack",
    "ObjectSpec",
    "Part",
    "check_limits",
    "difference",
    "make_object",
    "object_set",
    "pack",
    "shape_features",
]

MAX_PARTS = 3
"""Geom slots of an object body, in every backend."""
FEATURE_SIZE = 3 + 6 * MAX_PARTS
"""Length of `shape_features`."""
TRAINING_COUNT = 256
HELD_OUT_COUNT = 128
OBJECT_SETS = ("training", "held-out")

WIDTH_RANGE_M = (0.03, 0.075)
"""Narrow horizontal width of an object's largest part: what the hand closes on."""
HEIGHT_RANGE_M = (0.04, 0.14)
"""Height at rest."""
MAX_EXTENT_M = 0.18
"""Longest side of the box around an object, in its own axes."""
MASS_RANGE_KG = (0.05, 0.35)
DENSITY_RANGE = (150.0, 2000.0)
"""Mean density [kg/m^3] that masses are drawn from: hollow or foamed things to filled bottles and stone."""
MIN_DIFFERENCE = 0.002
"""Smallest `difference` between any two objects of the training and held-out sets."""

_HELD_OUT_NUMBERS = 500
"""Held-out objects of training families are numbered from here, so that no name means two objects."""
_MAX_DRAWS = 10_000
_GEOM_TYPES = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
}


@dataclass(frozen=True)
class ObjectSpec:
    """One object. Raises ValueError unless its origin is its centre of mass and `rest_height_m` is exact."""

    name: str
    """Unique and stable, e.g. ``mug_017``."""
    family: str
    """The family of shapes it was drawn from."""
    parts: tuple[Part, ...]
    """One to MAX_PARTS primitives."""
    mass_kg: float
    """Total mass."""
    rest_height_m: float
    """Height of the origin (centre of mass) above the table at rest in the upright pose."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not 1 <= len(self.parts) <= MAX_PARTS:
            raise ValueError(f"Object {self.name!r} has {len(self.parts)} parts; expected 1 to {MAX_PARTS}")
        if not (np.isfinite(self.mass_kg) and self.mass_kg > 0):
            raise ValueError(f"Object {self.name!r} has mass {self.mass_kg} kg; expected a positive number")
        offset = _centre_of_mass(self.parts)
        if np.abs(offset).max() > 1e-6:
            raise ValueError(
                f"Object {self.name!r} has its centre of mass at {offset} m; expected its origin"
            )
        expected = -self.bounds()[0, 2]
        if not abs(self.rest_height_m - expected) < 1e-6:
            found = f"rest height {self.rest_height_m} m"
            raise ValueError(
                f"Object {self.name!r} has {found}; its parts reach {expected} m below its origin"
            )

    def part_masses(self) -> np.ndarray:
        """Mass of each part (number of parts,) [kg]; they sum to `mass_kg`."""
        weights = _weights(self.parts)
        return self.mass_kg * weights / weights.sum()

    def part_densities(self) -> np.ndarray:
        """Density of each part (number of parts,) [kg/m^3]."""
        return self.part_masses() / [part.volume for part in self.parts]

    def inertia_matrix(self) -> np.ndarray:
        """Inertia (3, 3) about the origin in the object's axes [kg m^2]; overlaps of parts count twice."""
        total = np.zeros((3, 3))
        for part, mass in zip(self.parts, self.part_masses(), strict=True):
            position = np.asarray(part.position)
            shift = position @ position * np.eye(3) - np.outer(position, position)
            total += mass * (part.unit_inertia() + shift)
        return total

    def principal_inertia(self) -> tuple[np.ndarray, np.ndarray]:
        """Principal moments (3,) [kg m^2], largest first, and their axes as a quaternion (4,).

        In the object's frame: MuJoCo's body_inertia and body_iquat, with body_ipos zero.
        """
        moments, axes = np.linalg.eigh(self.inertia_matrix())
        axes = axes[:, ::-1].copy()
        if np.linalg.det(axes) < 0:
            axes[:, 2] *= -1
        return moments[::-1].copy(), quaternion_of(axes)

    def bounds(self) -> np.ndarray:
        """Smallest and largest corner (2, 3) of the box around the object in its own axes [m]; exact."""
        boxes = np.array([part.bounds() for part in self.parts])
        return np.array([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])

    def extents(self) -> np.ndarray:
        """Sides (3,) of the box around the object in its own axes [m]."""
        low, high = self.bounds()
        return high - low

    @property
    def height_m(self) -> float:
        """Height from the table to the highest point in the upright pose."""
        return float(self.extents()[2])

    @property
    def narrow_width_m(self) -> float:
        """Smaller horizontal side of the largest part's box: what a hand from above closes on."""
        largest = max(self.parts, key=lambda part: part.volume)
        low, high = largest.bounds()
        return float((high - low)[:2].min())

    def bounding_radius(self) -> float:
        """Radius [m] of a sphere about the origin that holds the object (exact for single parts)."""
        return max(float(np.linalg.norm(part.position)) + part.bounding_radius() for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` gives an equal object."""
        return {
            "name": self.name,
            "family": self.family,
            "parts": [part.to_dict() for part in self.parts],
            "mass_kg": self.mass_kg,
            "rest_height_m": self.rest_height_m,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ObjectSpec:
        """The object that `to_dict` described. Raises TypeError for unknown keys, ValueError for bad ones."""
        return cls(**{**data, "parts": tuple(Part.from_dict(part) for part in data["parts"])})


def make_object(name: str, family: str, parts: Iterable[Part], mass_kg: float) -> ObjectSpec:
    """An object from parts in any frame whose z points up at rest: moves the origin to the centre of mass."""
    parts = tuple(parts)
    centre = _centre_of_mass(parts)
    moved = tuple(replace(part, position=tuple(np.subtract(part.position, centre))) for part in parts)
    lowest = min(part.bounds()[0, 2] for part in moved)
    return ObjectSpec(name, family, moved, float(mass_kg), float(-lowest))


def _weights(parts: Sequence[Part]) -> np.ndarray:
    return np.array([part.relative_density * part.volume for part in parts])


def _centre_of_mass(parts: Sequence[Part]) -> np.ndarray:
    weights = _weights(parts)
    return weights @ np.array([part.position for part in parts]) / weights.sum()


def check_limits(spec: ObjectSpec) -> None:
    """Raise ValueError, naming the measure, for an object that the hand could not grasp from above."""
    measures = (
        ("narrow width", spec.narrow_width_m, WIDTH_RANGE_M, "m"),
        ("height", spec.height_m, HEIGHT_RANGE_M, "m"),
        ("longest extent", spec.extents().max(), (0.0, MAX_EXTENT_M), "m"),
        ("mass", spec.mass_kg, MASS_RANGE_KG, "kg"),
    )
    for measure, value, (low, high), unit in measures:
        if not low - 1e-9 <= value <= high + 1e-9:
            raise ValueError(
                f"Object {spec.name!r} has {measure} {value:.4f} {unit}; expected {low} to {high}"
            )


def difference(first: ObjectSpec, second: ObjectSpec) -> float:
    """Largest difference of two objects' part sizes, positions [m], quaternions; inf if shapes differ.

    Mass and colour do not count: the same shape in another weight is the same object.
    """
    if [part.shape for part in first.parts] != [part.shape for part in second.parts]:
        return np.inf
    return float(np.abs(_geometry(first) - _geometry(second)).max())


@lru_cache(maxsize=4096)
def _geometry(spec: ObjectSpec) -> np.ndarray:
    return np.concatenate([[*part.size, *part.position, *part.quaternion] for part in spec.parts])


@lru_cache(maxsize=16)
def object_set(name: str, seed: int = 0) -> tuple[ObjectSpec, ...]:
    """The objects of a set, a function of the seed alone, families taking turns.

    ``"training"``: TRAINING_COUNT objects of TRAINING_FAMILIES. ``"held-out"``: HELD_OUT_COUNT objects, every
    second one of a training family but unlike any training object of the same seed (`MIN_DIFFERENCE`), the
    others of HELD_OUT_FAMILIES. Raises ValueError for another name.
    """
    if name == "training":
        return tuple(_draw_set(0, seed, TRAINING_FAMILIES, TRAINING_COUNT, 0, ()))
    if name != "held-out":
        raise ValueError(f"Object set {name!r} does not exist; expected one of {', '.join(OBJECT_SETS)}")
    half = HELD_OUT_COUNT // 2
    training = object_set("training", seed)
    known = _draw_set(1, seed, TRAINING_FAMILIES, half, _HELD_OUT_NUMBERS, training)
    new = _draw_set(2, seed, HELD_OUT_FAMILIES, HELD_OUT_COUNT - half, 0, training)
    return tuple(spec for pair in zip(known, new, strict=True) for spec in pair)


def _draw_set(
    stream: int,
    seed: int,
    families: tuple[str, ...],
    count: int,
    first_number: int,
    others: Sequence[ObjectSpec],
) -> list[ObjectSpec]:
    drawn: list[ObjectSpec] = []
    for index in range(count):
        family = families[index % len(families)]
        name = f"{family}_{first_number + index // len(families):03d}"
        # One generator an object: adding objects or families leaves the others as they are.
        family_id = sum(ord(letter) << (8 * place) for place, letter in enumerate(family))
        rng = np.random.default_rng([stream, seed, family_id, index])
        earlier = [spec for spec in (*others, *drawn) if spec.family == family]
        drawn.append(_draw_object(rng, name, family, FAMILIES[family], earlier))
    return drawn


def _draw_object(
    rng: np.random.Generator,
    name: str,
    family: str,
    draw: Callable[[np.random.Generator], Parts],
    earlier: Sequence[ObjectSpec],
) -> ObjectSpec:
    reason = ""
    for _ in range(_MAX_DRAWS):
        spec = _coloured(rng, _weighed(rng, make_object(name, family, draw(rng), 1.0)))
        try:
            check_limits(spec)
        except ValueError as error:
            reason = str(error)
            continue
        alike = next((other.name for other in earlier if difference(spec, other) < MIN_DIFFERENCE), None)
        if alike is None:
            return spec
        reason = f"too like {alike!r}"
    raise RuntimeError(f"No {family} passed in {_MAX_DRAWS} draws for {name!r}; the last failed: {reason}")


def _weighed(rng: np.random.Generator, spec: ObjectSpec) -> ObjectSpec:
    volume = sum(part.volume for part in spec.parts)
    low, high = (np.clip(mass / volume, *DENSITY_RANGE) for mass in MASS_RANGE_KG)
    density = np.exp(rng.uniform(np.log(low), np.log(high)))
    return replace(spec, mass_kg=float(np.clip(density * volume, *MASS_RANGE_KG)))


def _coloured(rng: np.random.Generator, spec: ObjectSpec) -> ObjectSpec:
    hue = rng.random()
    parts = []
    for part in spec.parts:
        # Parts of one object are of related colours, as a mug and its handle are.
        shade = (hue + rng.uniform(-0.06, 0.06)) % 1.0, rng.uniform(0.25, 0.9), rng.uniform(0.45, 0.95)
        parts.append(replace(part, rgba=(*colorsys.hsv_to_rgb(*shade), 1.0)))
    return replace(spec, parts=tuple(parts))


def shape_features(spec: ObjectSpec) -> np.ndarray:
    """Shape as a privileged observation, float32 (FEATURE_SIZE,) [m], the same layout for every family.

    Half sides (3) of the box around the object in its own axes, then for each of MAX_PARTS slots: size (3)
    and position (3), zeros where the slot is empty.
    """
    slots = np.zeros((MAX_PARTS, 6))
    for slot, part in enumerate(spec.parts):
        slots[slot] = (*part.size, *part.position)
    return np.concatenate([spec.extents() / 2, slots.ravel()]).astype(np.float32)


@dataclass(frozen=True)
class ObjectPack:
    """n objects as arrays for batched models: float64, SI units, quaternions w-x-y-z, `s` = MAX_PARTS slots.

    An empty slot is a sphere of 1 mm at the origin, transparent, with `active` false: valid as a geom, to be
    excluded from contacts (contype = conaffinity = 0).
    """

    geom_type: np.ndarray
    """(n, s) int32, mujoco.mjtGeom."""
    geom_size: np.ndarray
    """(n, s, 3) MuJoCo geom sizes."""
    geom_position: np.ndarray
    """(n, s, 3) in the object's frame."""
    geom_quaternion: np.ndarray
    """(n, s, 4) in the object's frame."""
    geom_rgba: np.ndarray
    """(n, s, 4) nominal colours; alpha 0 in empty slots."""
    geom_half_extents: np.ndarray
    """(n, s, 3) half sides of the box around the geom in its own axes: the end of MuJoCo's geom_aabb."""
    geom_bounding_radius: np.ndarray
    """(n, s) MuJoCo's geom_rbound."""
    active: np.ndarray
    """(n, s) bool, whether the slot holds a part."""
    mass: np.ndarray
    """(n,) kg."""
    inertia: np.ndarray
    """(n, 3) principal moments about the origin [kg m^2]."""
    inertia_quaternion: np.ndarray
    """(n, 4) principal axes in the object's frame."""
    rest_height: np.ndarray
    """(n,) height of the origin above the table at rest, upright."""
    bounding_radius: np.ndarray
    """(n,) radius of a sphere about the origin that holds the object."""


def pack(specs: Sequence[ObjectSpec]) -> ObjectPack:
    """Stack objects into arrays. Raises ValueError for an empty sequence."""
    if not specs:
        raise ValueError("pack() got no objects; expected at least one")
    slots = [_slots(spec) for spec in specs]
    principal = [spec.principal_inertia() for spec in specs]
    return ObjectPack(
        geom_type=np.array(
            [[_GEOM_TYPES[p.shape] if p else mujoco.mjtGeom.mjGEOM_SPHERE for p in row] for row in slots],
            np.int32,
        ),
        geom_size=np.array([[p.size if p else (0.001, 0, 0) for p in row] for row in slots]),
        geom_position=np.array([[p.position if p else (0, 0, 0) for p in row] for row in slots], float),
        geom_quaternion=np.array(
            [[p.quaternion if p else (1, 0, 0, 0) for p in row] for row in slots], float
        ),
        geom_rgba=np.array([[p.rgba if p else (0, 0, 0, 0) for p in row] for row in slots], float),
        geom_half_extents=np.array(
            [[p.local_half_extents() if p else (0.001,) * 3 for p in row] for row in slots]
        ),
        geom_bounding_radius=np.array([[p.bounding_radius() if p else 0.001 for p in row] for row in slots]),
        active=np.array([[p is not None for p in row] for row in slots]),
        mass=np.array([spec.mass_kg for spec in specs]),
        inertia=np.array([moments for moments, _ in principal]),
        inertia_quaternion=np.array([quaternion for _, quaternion in principal]),
        rest_height=np.array([spec.rest_height_m for spec in specs]),
        bounding_radius=np.array([spec.bounding_radius() for spec in specs]),
    )


def _slots(spec: ObjectSpec) -> list[Part | None]:
    return [*spec.parts, *[None] * (MAX_PARTS - len(spec.parts))]
