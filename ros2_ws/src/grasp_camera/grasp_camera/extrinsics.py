"""Named transforms between frames, and the YAML file they are kept in. No ROS and no OpenCV in it.

Each entry says where the frame ``child`` lies in the frame ``parent``: a point p of the child has the
coordinates R p + t in the parent. Metres, quaternions w-x-y-z, as everywhere in this repository; optical
frames are x right, y down, z forward.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grasp_camera.camera_info import read_yaml, write_yaml
from grasp_camera.errors import CalibrationFileError
from grasp_description.object_shapes import quaternion_of, rotation_matrix

__all__ = ["FORMAT_VERSION", "Transform", "chained", "read_devices", "read_extrinsics", "write_extrinsics"]

FORMAT_VERSION = 1
_HEAD = (
    "# Where frames lie in one another: metres, unit quaternions w-x-y-z.\n"
    "# A point p of the child frame is R p + t in the parent frame.\n"
)
_KEYS = {"parent", "child", "translation_m", "quaternion_wxyz"}


@dataclass(frozen=True)
class Transform:
    """Pose of one frame in another."""

    parent: str
    """name of the frame that the numbers are given in"""
    child: str
    """name of the frame whose pose this is"""
    translation_m: tuple[float, float, float]
    """m, origin of the child in the parent"""
    quaternion_wxyz: tuple[float, float, float, float]
    """unit quaternion of the child's axes in the parent"""

    def __post_init__(self) -> None:
        values = np.array([*self.translation_m, *self.quaternion_wxyz])
        lengths = (len(self.translation_m), len(self.quaternion_wxyz))
        name = f"transform {self.parent!r} -> {self.child!r}"
        if lengths != (3, 4) or not np.isfinite(values).all():
            raise CalibrationFileError(f"{name} has {values.tolist()}; expected 3 and 4 finite numbers")
        if abs(np.linalg.norm(values[3:]) - 1.0) > 1e-3:
            raise CalibrationFileError(f"{name} has a quaternion {values[3:].tolist()}; expected unit length")
        if not self.parent or not self.child or self.parent == self.child:
            raise CalibrationFileError(f"{name}: expected the names of two frames")

    @classmethod
    def from_matrix(cls, parent: str, child: str, matrix: np.ndarray) -> Transform:
        """From a homogeneous matrix (4, 4)."""
        x, y, z = (float(value) for value in matrix[:3, 3])
        qw, qx, qy, qz = (float(value) for value in quaternion_of(matrix[:3, :3]))
        return cls(parent, child, (x, y, z), (qw, qx, qy, qz))

    def matrix(self) -> np.ndarray:
        """Homogeneous matrix (4, 4)."""
        found = np.eye(4)
        quaternion = np.array(self.quaternion_wxyz)
        found[:3, :3] = rotation_matrix(quaternion / np.linalg.norm(quaternion))
        found[:3, 3] = self.translation_m
        return found


def chained(transforms: Iterable[Transform], parent: str, child: str) -> np.ndarray:
    """Pose (4, 4) of ``child`` in ``parent``, through frames in between.

    Raises:
        CalibrationFileError: the transforms do not lead from one to the other.
    """
    above = {transform.child: transform for transform in transforms}
    pose, frame = np.eye(4), child
    for _ in range(len(above) + 1):
        if frame == parent:
            return pose
        if frame not in above:
            break
        pose = above[frame].matrix() @ pose
        frame = above[frame].parent
    known = ", ".join(f"{one.parent} -> {one.child}" for one in above.values()) or "none"
    raise CalibrationFileError(f"no transform leads from {parent!r} to {child!r}; there are: {known}")


def write_extrinsics(
    path: Path,
    transforms: Iterable[Transform],
    made: Mapping[str, Any] | None = None,
    devices: Sequence[str] = (),
) -> None:
    """Write the file atomically.

    Args:
        made: how the numbers were found (plain values).
        devices: the cameras that were calibrated, as in the camera node's parameter of that name, left before
            right; left out where they are not known.

    Raises:
        OSError: the folder cannot be written.
    """
    entries = [
        {
            "parent": one.parent,
            "child": one.child,
            "translation_m": list(one.translation_m),
            "quaternion_wxyz": list(one.quaternion_wxyz),
        }
        for one in transforms
    ]
    document: dict[str, Any] = {"format_version": FORMAT_VERSION}
    if devices:
        document["devices"] = [str(name) for name in devices]
    document |= {"transforms": entries, "made": dict(made or {})}
    write_yaml(path, document, _HEAD)


def read_extrinsics(path: Path) -> tuple[Transform, ...]:
    """All transforms of a file.

    Raises:
        CalibrationFileError: it is missing, of another version, or an entry is malformed; the message names
        it.
    """
    document = read_yaml(path)
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        raise CalibrationFileError(f"{path}: format_version is {version!r}; expected {FORMAT_VERSION}")
    entries = document.get("transforms")
    if not isinstance(entries, list):
        raise CalibrationFileError(f"{path}: transforms is {entries!r}; expected a list")
    found = tuple(_transform(path, index, entry) for index, entry in enumerate(entries))
    children = [transform.child for transform in found]
    for child in children:
        if children.count(child) > 1:
            raise CalibrationFileError(
                f"{path}: frame {child!r} has {children.count(child)} parents; expected 1"
            )
    return found


def read_devices(path: Path) -> tuple[str, ...]:
    """Which cameras a file's calibration was made with, left before right; empty where it does not say.

    Raises:
        CalibrationFileError: the file is missing, or its ``devices`` is no list of names.
    """
    devices = read_yaml(path).get("devices", [])
    if not isinstance(devices, list) or not all(isinstance(name, str) and name for name in devices):
        raise CalibrationFileError(
            f"{path}: devices is {devices!r}; expected a list of names, left and right, each in quotes"
        )
    return tuple(devices)


def _transform(path: Path, index: int, entry: Any) -> Transform:
    where = f"{path}: transforms[{index}]"
    if not isinstance(entry, Mapping) or set(entry) != _KEYS:
        raise CalibrationFileError(f"{where} is {entry!r}; expected the keys {', '.join(sorted(_KEYS))}")
    try:
        return Transform(
            str(entry["parent"]),
            str(entry["child"]),
            tuple(float(value) for value in entry["translation_m"]),  # type: ignore[arg-type]
            tuple(float(value) for value in entry["quaternion_wxyz"]),  # type: ignore[arg-type]
        )
    except (TypeError, ValueError) as error:
        raise CalibrationFileError(f"{where}: {error}") from error
