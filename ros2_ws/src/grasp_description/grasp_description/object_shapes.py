"""Parts of objects: primitive shapes with exact volume, inertia and extent.

Lengths in metres, masses in kilograms, quaternions w-x-y-z. Sizes follow MuJoCo's geoms
(https://mujoco.readthedocs.io/en/stable/XMLreference.html#body-geom): a box has three half sizes; a cylinder
and a capsule have radius, half length along their own z, 0; an ellipsoid has three semi-axes. A capsule's
half length does not contain its caps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

SHAPES = ("box", "cylinder", "capsule", "ellipsoid")
_SIZES_USED = {"box": 3, "cylinder": 2, "capsule": 2, "ellipsoid": 3}

Vector3 = tuple[float, float, float]
Vector4 = tuple[float, float, float, float]


def rotation_matrix(quaternion: Vector4 | np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) of a unit quaternion (4,), w-x-y-z."""
    w, x, y, z = (float(value) for value in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """Unit quaternion (4,), w-x-y-z with w >= 0, of a rotation matrix (3, 3)."""
    # The eigenvector of the largest eigenvalue of this symmetric matrix is the quaternion (Bar-Itzhack 2000):
    # no case distinction by trace, and no loss of accuracy near half turns.
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    symmetric = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    quaternion = np.linalg.eigh(symmetric)[1][:, -1]
    return -quaternion if quaternion[0] < 0 else quaternion


@dataclass(frozen=True)
class Part:
    """One primitive of an object, placed in the object's frame. Raises ValueError unless it is a solid."""

    shape: str
    """One of SHAPES."""
    size: Vector3
    """MuJoCo's geom size [m]; entries that the shape does not use are 0."""
    position: Vector3 = (0.0, 0.0, 0.0)
    """Centre in the object's frame [m]."""
    quaternion: Vector4 = (1.0, 0.0, 0.0, 0.0)
    """Orientation in the object's frame, w-x-y-z."""
    relative_density: float = 1.0
    """Density relative to the object's other parts (a hammer's head is heavier than its handle)."""
    rgba: Vector4 = (0.6, 0.6, 0.6, 1.0)
    """Nominal colour; training randomizes it."""

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            raise ValueError(f"Part has shape {self.shape!r}; expected one of {', '.join(SHAPES)}")
        for field, length in (("size", 3), ("position", 3), ("quaternion", 4), ("rgba", 4)):
            values = tuple(float(value) for value in getattr(self, field))
            if len(values) != length or not np.all(np.isfinite(values)):
                raise ValueError(f"Part has {field} {values}; expected {length} finite numbers")
            object.__setattr__(self, field, values)
        used = _SIZES_USED[self.shape]
        if min(self.size[:used]) <= 0 or any(self.size[used:]):
            raise ValueError(
                f"{self.shape} has size {self.size}; expected {used} positive numbers, then zeros"
            )
        if abs(np.linalg.norm(self.quaternion) - 1) > 1e-6:
            raise ValueError(f"Part has quaternion {self.quaternion}; expected unit length")
        if not self.relative_density > 0:
            raise ValueError(f"Part has relative_density {self.relative_density}; expected a positive number")

    @cached_property
    def rotation(self) -> np.ndarray:
        """Rotation matrix (3, 3) from the part's frame to the object's."""
        return rotation_matrix(self.quaternion)

    @property
    def volume(self) -> float:
        """Volume [m^3]."""
        a, b, c = self.size
        if self.shape == "box":
            return 8 * a * b * c
        if self.shape == "ellipsoid":
            return 4 / 3 * np.pi * a * b * c
        tube = 2 * np.pi * a * a * b
        return tube if self.shape == "cylinder" else tube + 4 / 3 * np.pi * a**3

    def unit_inertia(self) -> np.ndarray:
        """Inertia (3, 3) about the part's centre, in the object's axes, for a mass of 1 kg [m^2]."""
        return self.rotation @ np.diag(self._local_unit_inertia()) @ self.rotation.T

    def _local_unit_inertia(self) -> np.ndarray:
        a, b, _ = self.size
        if self.shape in ("box", "ellipsoid"):
            squares = np.square(self.size)
            return (squares.sum() - squares) / (3 if self.shape == "box" else 5)
        if self.shape == "cylinder":
            across = a * a / 4 + b * b / 3
            return np.array([across, across, a * a / 2])
        caps = 4 / 3 * np.pi * a**3 / self.volume
        tube = 1 - caps
        across = tube * (a * a / 4 + b * b / 3) + caps * (0.4 * a * a + b * b + 0.75 * a * b)
        along = tube * a * a / 2 + caps * 0.4 * a * a
        return np.array([across, across, along])

    def reach(self, direction: np.ndarray) -> float:
        """How far the part reaches from its centre along a unit direction (3,) of the object's frame [m]."""
        x, y, z = np.abs(self.rotation.T @ direction)
        a, b, c = self.size
        if self.shape == "box":
            return float(a * x + b * y + c * z)
        if self.shape == "ellipsoid":
            return float(np.sqrt((a * x) ** 2 + (b * y) ** 2 + (c * z) ** 2))
        return float(b * z + (a * np.hypot(x, y) if self.shape == "cylinder" else a))

    def bounds(self) -> np.ndarray:
        """Smallest and largest corner (2, 3) of the box around the part, in the object's axes [m]."""
        half = np.array([self.reach(axis) for axis in np.eye(3)])
        return np.array([self.position - half, self.position + half])

    def local_half_extents(self) -> np.ndarray:
        """Half sides (3,) of the box around the part in the part's own axes [m] (MuJoCo's geom_aabb)."""
        a, b, c = self.size
        if self.shape == "cylinder":
            return np.array([a, a, b])
        return np.array([a, a, a + b]) if self.shape == "capsule" else np.array([a, b, c])

    def bounding_radius(self) -> float:
        """Radius of the sphere about the part's own centre that just holds it [m] (MuJoCo's geom_rbound)."""
        a, b, c = self.size
        if self.shape == "ellipsoid":
            return max(a, b, c)
        return a + b if self.shape == "capsule" else float(np.linalg.norm(self.size))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` reads it."""
        return {
            "shape": self.shape,
            "size": list(self.size),
            "position": list(self.position),
            "quaternion": list(self.quaternion),
            "relative_density": self.relative_density,
            "rgba": list(self.rgba),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Part:
        """The part that `to_dict` described. Raises TypeError for unknown keys, ValueError for bad values."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        return cls(**values)
