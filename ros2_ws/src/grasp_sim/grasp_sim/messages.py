"""ROS messages of the simulated robot, filled in place: nothing is allocated from one tick to the next."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, JointState

from grasp_description.cameras import CAMERA_NAMES, StereoRig
from grasp_description.robot import JOINT_NAMES

BASE_FRAME = "lbr_link_0"
OPTICAL_FRAMES = tuple(f"{name}_optical_frame" for name in CAMERA_NAMES)
"""Frames of the images: x right, y down, z forward."""

_NS = 1_000_000_000


def set_stamp(stamp: Time, time_ns: int) -> None:
    """Write a time in ns into a message's stamp."""
    stamp.sec, stamp.nanosec = divmod(time_ns, _NS)


def stamp_ns(stamp: Time) -> int:
    """A message's stamp in ns."""
    return stamp.sec * _NS + stamp.nanosec


class JointStateMessage:
    """A JointState of some of the 23 joints.

    Args:
        names: what it calls them
        columns: column in canonical order of each of them
    """

    def __init__(self, names: Sequence[str] = JOINT_NAMES, columns: np.ndarray | None = None) -> None:
        self._columns = np.arange(len(JOINT_NAMES)) if columns is None else columns
        self.message = JointState(name=list(names))
        self.message.header.frame_id = BASE_FRAME
        buffers = [array.array("d", bytes(8 * len(names))) for _ in range(3)]
        self.message.position, self.message.velocity, self.message.effort = buffers
        # A message copies what it is given, unless its fields are checked: write into its own.
        own = (self.message.position, self.message.velocity, self.message.effort)
        self._views = [np.frombuffer(buffer) for buffer in own]

    def fill(
        self, time_ns: int, position: np.ndarray, velocity: np.ndarray, effort: np.ndarray
    ) -> JointState:
        """The message with these values (23,) in canonical order, in rad, rad/s, N m."""
        set_stamp(self.message.header.stamp, time_ns)
        for view, values in zip(self._views, (position, velocity, effort), strict=True):
            view[:] = values[self._columns]
        return self.message


class ImageMessage:
    """An rgb8 Image of one eye (0 left, 1 right) of a rig."""

    def __init__(self, rig: StereoRig, eye: int) -> None:
        self.message = Image(height=rig.height, width=rig.width, encoding="rgb8", step=3 * rig.width)
        self.message.header.frame_id = OPTICAL_FRAMES[eye]
        self.message.data = array.array("B", bytes(3 * rig.width * rig.height))
        self._view = np.frombuffer(self.message.data, np.uint8).reshape(rig.height, rig.width, 3)

    def fill(self, time_ns: int, image: np.ndarray) -> Image:
        """The message with this image, uint8 (H, W, 3)."""
        set_stamp(self.message.header.stamp, time_ns)
        self._view[:] = image
        return self.message


def camera_info(rig: StereoRig, eye: int) -> CameraInfo:
    """CameraInfo of one eye (0 left, 1 right): a rectified pinhole camera without distortion.

    The right camera's projection has ``Tx = -fx * baseline``, as sensor_msgs/CameraInfo defines it.
    """
    fx, fy, cx, cy = rig.intrinsics()
    info = CameraInfo(height=rig.height, width=rig.width, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.frame_id = OPTICAL_FRAMES[eye]
    info.k = [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    tx = -fx * rig.baseline_m if eye else 0.0
    info.p = [fx, 0.0, cx, tx, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


class PoseMessage:
    """A PoseStamped in the base frame."""

    def __init__(self) -> None:
        self.message = PoseStamped()
        self.message.header.frame_id = BASE_FRAME

    def fill(self, time_ns: int, position: np.ndarray, quaternion: np.ndarray) -> PoseStamped:
        """The message with this position (3,) in m and quaternion (4,) w-x-y-z."""
        set_stamp(self.message.header.stamp, time_ns)
        pose = self.message.pose
        pose.position.x, pose.position.y, pose.position.z = position.tolist()
        w, x, y, z = quaternion.tolist()
        pose.orientation.w, pose.orientation.x, pose.orientation.y, pose.orientation.z = w, x, y, z
        return self.message


def canonical_positions(message: JointState) -> np.ndarray | None:
    """The 23 positions of a command, rad, canonical order, mapped by name; None if a joint is missing."""
    names = message.name
    if len(message.position) != len(names):
        return None
    if tuple(names) == JOINT_NAMES:
        return np.array(message.position)
    places = {name: index for index, name in enumerate(names)}
    if any(name not in places for name in JOINT_NAMES):
        return None
    return np.array([message.position[places[name]] for name in JOINT_NAMES])
