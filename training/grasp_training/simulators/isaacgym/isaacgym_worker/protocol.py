"""What both sides of the bridge agree on: the scene, the arrays in shared memory, and messages over a socket.

SI units, arm's base frame, quaternions w-x-y-z, joints in the order of ``Scene.joints``: Isaac Gym's own
conventions begin and end in ``adapter`` and ``world``. Python 3.8.
"""

from __future__ import annotations

import json
import mmap
import socket
import struct
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

_LENGTH = struct.Struct("!I")
_ALIGNMENT = 64


@dataclass(frozen=True)
class Camera:
    """The stereo pair: both cameras where there is colour, the left one alone otherwise."""

    width: int
    """px"""
    height: int
    """px"""
    horizontal_fov_deg: float
    """degrees"""
    near_m: float
    """m, nothing nearer is drawn"""
    far_m: float
    """m, nothing farther is drawn"""
    rgb: bool
    """whether to make colour images"""
    depth: bool
    """whether to make depth images"""

    @property
    def count(self) -> int:
        """Cameras an environment."""
        return 2 if self.rgb else 1


@dataclass(frozen=True)
class Scene:
    """What Isaac Gym is to simulate."""

    num_envs: int
    """number of simulations"""
    substeps: int
    """physics steps a control step"""
    physics_rate_hz: float
    """rate of physics steps"""
    gpu: int
    """number of the GPU, for physics and images"""
    gpu_pipeline: bool
    """whether state tensors lie on the GPU"""
    position_iterations: int
    """PhysX's position iterations a step"""
    contact_offset_m: float
    """m, distance from which PhysX makes contacts"""
    assets: str
    """folder of the files named below"""
    robot: str
    """URDF of the robot"""
    objects: list[str]
    """URDF of each object"""
    rest_height_m: list[float]
    """m, height at rest of each object's origin"""
    held: list[list[int]]
    """objects that each simulation has, one actor each"""
    spawn: list[float]
    """m, x and y where a simulation's first object starts before any reset"""
    shelf_top_m: float
    """m, height of the shelf out of sight on which the other objects of a simulation lie"""
    shelf_places: list[list[float]]
    """m, x and y on the shelf for each of a simulation's objects"""
    joints: list[str]
    """canonical order, which is the order of all arrays"""
    home: list[float]
    """rad, where the joints start"""
    stiffness: list[float]
    """N m/rad"""
    damping: list[float]
    """N m s/rad"""
    effort: list[float]
    """N m, magnitude"""
    armature: list[float]
    """kg m²"""
    links: list[str]
    """links whose poses are asked for"""
    fingertips: list[str]
    """links whose contact forces are asked for"""
    bodies: list[str]
    """the robot's links that have a colour"""
    filters: dict[str, int]
    """collision filter of the robot's links: two of them collide unless they share a bit"""
    table_size: list[float]
    """m, sides of the table's box"""
    table_centre: list[float]
    """m"""
    camera: Camera | None
    """None: no images"""

    def to_message(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> Scene:
        """The scene that ``to_message`` described."""
        camera = message["camera"]
        return cls(**{**message, "camera": None if camera is None else Camera(**camera)})


def _layout(scene: Scene) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of every array in shared memory."""
    n, joints, links = scene.num_envs, len(scene.joints), len(scene.links)
    arrays = {
        # What a step is given.
        "joint_command": ("float32", (n, scene.substeps, joints)),
        # What a reset is given, a row each simulation that is reset.
        "reset_env": ("int64", (n,)),
        "reset_slot": ("int64", (n,)),
        "reset_joint_position": ("float32", (n, joints)),
        "reset_object_position": ("float32", (n, 3)),
        "reset_object_quaternion": ("float32", (n, 4)),
        "reset_mass_scale": ("float32", (n,)),
        "reset_friction": ("float32", (n,)),
        "reset_stiffness_scale": ("float32", (n, joints)),
        # The state, as of the last reset or step.
        "joint_position": ("float32", (n, joints)),
        "joint_velocity": ("float32", (n, joints)),
        "link_position": ("float32", (n, links, 3)),
        "link_quaternion": ("float32", (n, links, 4)),
        "object_position": ("float32", (n, 3)),
        "object_quaternion": ("float32", (n, 4)),
        "object_velocity": ("float32", (n, 6)),
        "touch": ("float32", (n, len(scene.fingertips))),
    }
    camera = scene.camera
    if camera is not None:
        # What an appearance is given, a row each simulation: colours of bodies, table and object; poses of
        # the cameras, whose x looks forward and z up.
        arrays["look_env"] = ("int64", (n,))
        arrays["colour"] = ("float32", (n, len(scene.bodies) + 2, 3))
        arrays["camera_position"] = ("float32", (n, 2, 3))
        arrays["camera_quaternion"] = ("float32", (n, 2, 4))
        rows = (camera.height, camera.width)
        arrays["rgb"] = ("uint8", (n, camera.count if camera.rgb else 0, *rows, 3))
        arrays["depth"] = ("float32", (n, camera.count if camera.depth else 0, *rows))
    return arrays


def memory_size(scene: Scene) -> int:
    """Bytes of shared memory that a scene's arrays need."""
    return sum(_room(kind, shape) for kind, shape in _layout(scene).values())


def map_arrays(file: int, scene: Scene) -> dict[str, np.ndarray]:
    """The scene's arrays in the shared memory of an open file, which has at least ``memory_size`` bytes."""
    memory = mmap.mmap(file, memory_size(scene))
    arrays, offset = {}, 0
    for name, (kind, shape) in _layout(scene).items():
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(memory, kind, count, offset).reshape(shape)
        offset += _room(kind, shape)
    return arrays


def _room(kind: str, shape: tuple[int, ...]) -> int:
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    # An array without elements still needs a place that a buffer can start at.
    return max(1, -(-size // _ALIGNMENT)) * _ALIGNMENT


class Channel:
    """Messages of plain JSON types over a stream socket, each after its length (4 bytes, big-endian)."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected socket."""
        self._socket = connection

    def send(self, message: dict[str, Any], limit_s: float) -> None:
        """Send a message.

        Raises:
            socket.timeout: the other side did not take it within limit_s.
            OSError: the other side is gone.
        """
        data = json.dumps(message).encode()
        self._socket.settimeout(limit_s)
        self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self, limit_s: float) -> dict[str, Any]:
        """Wait for a message.

        Raises:
            socket.timeout: there was none, or only a part of one, within limit_s.
            EOFError: the other side has closed the connection.
            OSError: the other side is gone.
        """
        deadline = time.monotonic() + limit_s
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline))
        return json.loads(self._exactly(length, deadline).decode())

    def _exactly(self, count: int, deadline: float) -> bytes:
        data = b""
        while len(data) < count:
            # Zero would mean: do not wait at all, and fail in another way.
            self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
            part = self._socket.recv(count - len(data))
            if not part:
                raise EOFError("the other side has closed the connection")
            data += part
        return data

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
