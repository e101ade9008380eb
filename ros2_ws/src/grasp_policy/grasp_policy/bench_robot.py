"""A robot of noise and echoes for `bench`: cameras, drivers, and an ear with a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from grasp_description.robot import HOME_POSITION, JOINT_NAMES

__all__ = ["BenchError", "BenchRobot", "joint_state_message", "noise_images"]

_BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_REARM_S = 0.5
_JOINT_RATE_HZ = 100.0
_PATIENCE_S = 180.0
"""s of wall time: only catches what is dead; nodes on a busy machine start slowly"""


class BenchError(RuntimeError):
    """A node did not come, refused, or did not answer."""


class BenchRobot(Node):
    """Sends pictures of noise at the policy's rate and joint states that follow the commands at once.

    Attributes:
        sent_ns: stamp of a pair of images -> system time just before they were published, ns.
        taken_ns: stamp -> system time at which the policy node had images and joint state, ns.
        target_ns: stamp -> system time at which the policy node published the target, ns.
        inference_ns: stamp -> wall time of the policy's step, by the node's own word, ns.
        accepted_ns: stamp -> system time at which the command node accepted the target, ns.
        commands_ns: system time and stamp of every command, ns.
    """

    def __init__(self, context: Context, images: list[Image], rate_hz: float) -> None:
        super().__init__("bench_robot", context=context)
        self.sent_ns: dict[int, int] = {}
        self.taken_ns: dict[int, int] = {}
        self.target_ns: dict[int, int] = {}
        self.inference_ns: dict[int, int] = {}
        self.accepted_ns: dict[int, int] = {}
        self.commands_ns: list[tuple[int, int]] = []
        self._images = images
        self._position = list(HOME_POSITION)
        self._velocity = [0.0] * len(JOINT_NAMES)
        self._left = self.create_publisher(Image, "/stereo/left/image_rect", _BEST_EFFORT)
        self._right = self.create_publisher(Image, "/stereo/right/image_rect", _BEST_EFFORT)
        self._joints = self.create_publisher(JointState, "/joint_states", _BEST_EFFORT)
        listen: Any = self.create_subscription
        listen(JointTrajectory, "/policy/joint_target", self._on_target, 10)
        listen(DiagnosticArray, "/policy/decision", self._on_decision, 10)
        listen(Header, "/control/accepted_target", self._on_accepted, 10)
        listen(JointState, "/control/command", self._on_command, 10)
        self.create_timer(1.0 / rate_hz, self._send_images)
        self.create_timer(1.0 / _JOINT_RATE_HZ, lambda: self._send_joints(time.time_ns()))
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)

    def run_until(self, done: Callable[[], bool], what: str, patience_s: float = _PATIENCE_S) -> None:
        """Be a robot until `done`.

        Raises:
            BenchError: it never was.
        """
        deadline_s = time.monotonic() + patience_s
        while not done():
            if time.monotonic() > deadline_s:
                raise BenchError(f"waited {patience_s:g} s in vain: {what}")
            self._executor.spin_once(timeout_sec=0.05)

    def bring_up(self, node: str) -> None:
        """Configure and activate a lifecycle node.

        Raises:
            BenchError: it does not come, or refuses.
        """
        client = self.create_client(ChangeState, f"{node}/change_state")
        self.run_until(client.service_is_ready, f"{node} comes")
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            future = client.call_async(request)
            self.run_until(future.done, f"{node} answers")
            answer: Any = future.result()
            if not answer.success:
                raise BenchError(f"{node} refused transition {transition}; its log says why")

    def arm(self) -> None:
        """Arm the command node, as soon as it has measurements, and again whenever it holds.

        Raises:
            BenchError: it keeps refusing.
        """
        client = self.create_client(Trigger, "/grasp_control/arm")
        self.run_until(client.service_is_ready, "/grasp_control comes")
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            future = client.call_async(Trigger.Request())
            self.run_until(future.done, "/grasp_control answers")
            answer: Any = future.result()
            if answer.success:
                self.create_timer(_REARM_S, lambda: self._arm_again(client))
                return
            if time.monotonic() > deadline_s:
                raise BenchError(f"/grasp_control refuses to be armed: {answer.message}")

    def _arm_again(self, client: Any) -> None:
        """Arm once more where no target is accepted: after a stall of this machine the command node holds."""
        newest_ns = max(self.accepted_ns.values(), default=0)
        if time.time_ns() - newest_ns > 1e9 * _REARM_S:
            client.call_async(Trigger.Request())

    def _send_images(self) -> None:
        stamp_ns = time.time_ns()
        left, right = (self._images[(len(self.sent_ns) + eye) % len(self._images)] for eye in (0, 1))
        # Of the images' own stamp: else the policy node would wait for the next joint state.
        self._send_joints(stamp_ns)
        for image in (left, right):
            _stamp(image, stamp_ns)
        self.sent_ns[stamp_ns] = time.time_ns()
        self._left.publish(left)
        self._right.publish(right)

    def _send_joints(self, stamp_ns: int) -> None:
        message = joint_state_message(self._position, self._velocity)
        _stamp(message, stamp_ns)
        self._joints.publish(message)

    def _on_target(self, message: JointTrajectory, info: dict[str, int]) -> None:
        self.target_ns[_stamp_ns(message.header)] = info["source_timestamp"]

    def _on_decision(self, message: DiagnosticArray) -> None:
        values = {item.key: item.value for item in message.status[0].values}  # type: ignore[index]
        stamp_ns = _stamp_ns(message.header)
        self.taken_ns[stamp_ns] = int(values["taken_ns"])
        self.inference_ns[stamp_ns] = int(values["inference_ns"])

    def _on_accepted(self, message: Header, info: dict[str, int]) -> None:
        self.accepted_ns[_stamp_ns(message)] = info["source_timestamp"]

    def _on_command(self, message: JointState, info: dict[str, int]) -> None:
        self.commands_ns.append((info["source_timestamp"], _stamp_ns(message.header)))
        self._position, self._velocity = list(message.position), list(message.velocity)


def noise_images(width: int, height: int, count: int) -> list[Image]:
    """Messages of pictures of noise, rgb8."""
    random = np.random.default_rng(0)
    return [
        Image(
            encoding="rgb8",
            width=width,
            height=height,
            step=3 * width,
            data=random.integers(0, 256, 3 * width * height, np.uint8).tobytes(),
        )
        for _ in range(count)
    ]


def joint_state_message(position: list[float], velocity: list[float]) -> JointState:
    """A joint state in canonical order, rad and rad/s."""
    return JointState(name=list(JOINT_NAMES), position=position, velocity=velocity)


def _stamp(message: Any, stamp_ns: int) -> None:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)


def _stamp_ns(header: Any) -> int:
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
