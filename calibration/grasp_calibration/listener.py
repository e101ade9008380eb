"""The ROS side of live views: pairs of raw images of one stamp, with the joint state nearest to them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from types import TracebackType

import cv2
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import Image, JointState

__all__ = ["StereoListener"]

_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
_JOINTS_QOS = QoSProfile(depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
"""deep, since a look at a pair of images takes as long as many joint states"""
_JOINTS_KEPT = 400
_MOST_JOINT_SKEW_NS = 50_000_000
_RECORDED = "recorded"
"""source of a camera node that has no camera"""

Moment = tuple[tuple[np.ndarray, np.ndarray], Mapping[str, float] | None]


class StereoListener:
    """Subscribes to two image topics, and to joint states where asked; a context manager."""

    def __init__(
        self,
        topics: tuple[str, str],
        joint_topic: str,
        joint_names: tuple[str, ...] = (),
        context: Context | None = None,
    ) -> None:
        """
        Args:
            topics: left, right.
            joint_topic: joint states; messages that lack one of the joints (a hand's driver may share the
                topic) are left out.
            joint_names: the joints that are wanted; none if empty.
            context: of rclpy, for tests; its own otherwise.
        """
        self._own = context is None
        self._context = context or Context()
        if self._own:
            rclpy.init(context=self._context)
        self._node = Node("grasp_calibrate", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._images: list[dict[int, np.ndarray]] = [{}, {}]
        self._joints: deque[tuple[int, dict[str, float]]] = deque(maxlen=_JOINTS_KEPT)
        self._joint_names = joint_names
        for eye, topic in enumerate(topics):
            self._node.create_subscription(Image, topic, partial(self._on_image, eye), _QOS)
        if joint_names:
            self._node.create_subscription(JointState, joint_topic, self._on_joints, _JOINTS_QOS)

    def __enter__(self) -> StereoListener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        if self._own:
            rclpy.shutdown(context=self._context)

    def take(self, timeout_s: float) -> Moment | None:
        """The next pair, grey, with the joint positions of that moment (None where not asked for); None if
        none comes in time.

        Joint states come later than the images' stamp says, or earlier: a pair waits for one of its stamp or
        later, and goes without (empty) only where none comes in time.
        """
        deadline = time.monotonic() + timeout_s
        stamps: set[int] = set()
        while time.monotonic() < deadline:
            self._executor.spin_once(timeout_sec=max(0.0, min(0.1, deadline - time.monotonic())))
            stamps = self._images[0].keys() & self._images[1].keys()
            ready = [stamp for stamp in stamps if self._joints_reach(stamp)]
            if ready:
                return self._taken(max(ready))
        return self._taken(max(stamps)) if stamps else None

    def devices(self, camera_node: str, timeout_s: float = 3.0) -> tuple[str, ...]:
        """The cameras that a camera node has open, left before right; empty where it does not answer in time,
        has none, or plays a recording.
        """
        client = AsyncParameterClient(self._node, camera_node)
        asked = client.get_parameters(["source", "devices"])
        self._executor.spin_until_future_complete(asked, timeout_sec=timeout_s)
        answer = asked.result() if asked.done() else None
        if answer is None or len(answer.values) != 2:
            return ()
        source, devices = answer.values
        recorded = source.string_value == _RECORDED
        return () if recorded else tuple(name for name in devices.string_array_value if name)

    def _joints_reach(self, stamp: int) -> bool:
        return not self._joint_names or bool(self._joints and self._joints[-1][0] >= stamp)

    def _taken(self, stamp: int) -> Moment:
        left, right = (images[stamp] for images in self._images)
        self._images = [{}, {}]
        joints = self._nearest_joints(stamp) if self._joint_names else None
        return (left, right), joints

    def _nearest_joints(self, stamp: int) -> dict[str, float]:
        """Empty where there are none near enough in time."""
        if not self._joints:
            return {}
        nearest, positions = min(self._joints, key=lambda one: abs(one[0] - stamp))
        return positions if abs(nearest - stamp) <= _MOST_JOINT_SKEW_NS else {}

    def _on_image(self, eye: int, message: Image) -> None:
        channels = {"rgb8": 3, "mono8": 1}.get(message.encoding)
        if channels is None:
            self._node.get_logger().error(
                f"images are {message.encoding}; expected rgb8 or mono8", throttle_duration_sec=5.0
            )
            return
        rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
        image = rows[:, : channels * message.width].reshape(message.height, message.width, channels)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if channels == 3 else image[..., 0].copy()
        waiting = self._images[eye]
        waiting[Time.from_msg(message.header.stamp).nanoseconds] = grey
        while len(waiting) > 3:
            del waiting[min(waiting)]

    def _on_joints(self, message: JointState) -> None:
        told = dict(zip(message.name, map(float, message.position), strict=False))
        if not all(name in told for name in self._joint_names):
            return
        positions = {name: told[name] for name in self._joint_names}
        self._joints.append((Time.from_msg(message.header.stamp).nanoseconds, positions))
