"""From the fields of ROS messages to the arrays of the policy, with every check. No ROS in it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

Buffer = bytes | bytearray | memoryview | array
"""What an image message's data may be: rclpy gives an array of bytes."""

__all__ = ["ImageRefusedError", "JointMapper", "JointStateRefusedError", "rgb_view"]


class ImageRefusedError(ValueError):
    """An image message is not of the size, encoding or layout that the policy takes."""


class JointStateRefusedError(ValueError):
    """A joint state message lacks a joint, has no velocities, or holds a number that is not finite."""


def rgb_view(
    source: str,
    encoding: str,
    width: int,
    height: int,
    step: int,
    data: Buffer,
    expected_size: tuple[int, int],
) -> np.ndarray:
    """A view (height, width, 3) uint8 of an rgb8 image, rows padded to `step` bytes. Nothing is copied.

    Args:
        source: the topic, for messages.
        encoding, width, height, step, data: fields of sensor_msgs/Image; `data` has the buffer protocol.
        expected_size: width and height that the policy takes, in pixels.

    Raises:
        ImageRefusedError: another size or encoding, a step too short for a row, or too little data.
    """
    if (width, height) != expected_size:
        wanted = f"{expected_size[0]}x{expected_size[1]}"
        raise ImageRefusedError(f"image on {source} is {width}x{height} px; the policy takes {wanted} px")
    if encoding != "rgb8":
        raise ImageRefusedError(f"image on {source} has the encoding {encoding!r}; expected 'rgb8'")
    if step < 3 * width:
        raise ImageRefusedError(
            f"image on {source} has step {step}; expected at least {3 * width} bytes a row"
        )
    needed = step * (height - 1) + 3 * width
    length = memoryview(data).nbytes
    if length < needed:
        raise ImageRefusedError(f"image on {source} has {length} bytes; expected at least {needed}")
    return np.ndarray((height, width, 3), np.uint8, buffer=data, strides=(step, 3, 1))


class JointMapper:
    """Picks the joints of the policy out of joint state messages, by name, into canonical order."""

    def __init__(self, joint_names: Sequence[str]) -> None:
        self._joint_names = tuple(joint_names)
        self._message_names: list[str] | None = None
        self._index: np.ndarray | None = None

    def vectors(
        self, source: str, names: list[str], position: Sequence[float], velocity: Sequence[float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions (rad) and velocities (rad/s) of the joints in canonical order, each (n,) float64.

        Args:
            source: the topic, for messages.
            names, position, velocity: fields of sensor_msgs/JointState; other joints may be among them.

        Raises:
            JointStateRefusedError: a joint is missing or there twice, an array has another length than the
                names, or a number is not finite.
        """
        index = self._indices(source, names)
        for what, values in (("positions", position), ("velocities", velocity)):
            if len(values) != len(names):
                raise JointStateRefusedError(
                    f"{source} has {len(values)} {what} for {len(names)} joint names"
                )
        picked = np.asarray(position, np.float64)[index], np.asarray(velocity, np.float64)[index]
        for what, unit, values in (("position", "rad", picked[0]), ("velocity", "rad/s", picked[1])):
            if not np.isfinite(values).all():
                bad = int(np.flatnonzero(~np.isfinite(values))[0])
                joint = self._joint_names[bad]
                raise JointStateRefusedError(
                    f"Joint {joint!r} has {what} {values[bad]} {unit} from {source}; expected a finite number"
                )
        return picked

    def _indices(self, source: str, names: list[str]) -> np.ndarray:
        if self._index is not None and names == self._message_names:
            return self._index
        for name in self._joint_names:
            times = names.count(name)
            if times != 1:
                raise JointStateRefusedError(f"{source} names joint {name!r} {times} times; expected once")
        self._index = np.array([names.index(name) for name in self._joint_names])
        self._message_names = list(names)
        return self._index
