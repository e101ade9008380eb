"""/grasp_rates: listens, and at its end (Ctrl-C, or after a duration) prints rates and ages of images.

Run it beside the graph as ``python -m grasp_bringup.rates``, or in it by ``rates:=true``.
"""

import signal
import sys
import time
from typing import Any

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped, PoseStamped
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown
from rich.console import Console
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, Header, String
from trajectory_msgs.msg import JointTrajectory

from grasp_bringup.measuring import Measuring

_RIGHT_IMAGE, _COMMAND, _ACCEPTED = "/stereo/right/image_rect", "/control/command", "/control/accepted_target"
TOPICS: dict[str, Any] = {
    "/clock": Clock,
    "/joint_states": JointState,
    "/stereo/left/image_rect": Image,
    _RIGHT_IMAGE: Image,
    "/stereo/left/camera_info": CameraInfo,
    "/stereo/right/camera_info": CameraInfo,
    "/policy/joint_target": JointTrajectory,
    "/policy/object_position": PointStamped,
    _ACCEPTED: Header,
    _COMMAND: JointState,
    "/arm/joint_command": Float64MultiArray,
    "/hand/joint_command": Float64MultiArray,
    "/sim/object_pose": PoseStamped,
    "/diagnostics": DiagnosticArray,
}
"""What is listened to."""
# Best effort listens to reliable publishers too, and slows none of them down.
_LISTEN = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def _nanoseconds(stamp: Time) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


class RatesNode(Node):
    """Listens; it publishes nothing."""

    def __init__(self, **arguments: Any) -> None:
        """
        Args:
            arguments: of `rclpy.node.Node`, for tests
        """
        super().__init__("grasp_rates", **arguments)
        span = FloatingPointRange(from_value=0.0, to_value=86400.0)
        text = "s of wall time to listen; 0 until it is interrupted"
        descriptor = ParameterDescriptor(description=text, read_only=True, floating_point_range=[span])
        self.duration_s = float(self.declare_parameter("duration_s", 0.0, descriptor).value or 0.0)
        self.measuring = Measuring(TOPICS)
        self.create_subscription(String, "/grasp/state", self._on_state, _LATCHED)
        for topic, kind in TOPICS.items():
            # Raw: most messages are only counted, and unpacking images would cost what is to be measured.
            self.create_subscription(
                kind, topic, lambda data, topic=topic: self._on_message(topic, data), _LISTEN, raw=True
            )

    def _on_state(self, message: String) -> None:
        self.measuring.state(message.data)

    def _on_message(self, topic: str, data: Any) -> None:
        now_s = time.monotonic()
        self.measuring.arrive(topic, now_s)
        if topic == _RIGHT_IMAGE:
            self.measuring.image(_nanoseconds(deserialize_message(data, Image).header.stamp), now_s)
        elif topic == _COMMAND:
            self.measuring.command(_nanoseconds(deserialize_message(data, JointState).header.stamp), now_s)
        elif topic == _ACCEPTED:
            self.measuring.accepted(_nanoseconds(deserialize_message(data, Header).stamp))


def main() -> None:
    """Listen, then print."""
    interruptions: list[int] = []
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: interruptions.append(received))
    node = RatesNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    end_s = time.monotonic() + (node.duration_s or float("inf"))
    try:
        while not interruptions and time.monotonic() < end_s:
            executor.spin_once(timeout_sec=0.1)
        console = Console()
        console.print(node.measuring.rate_table())
        console.print(node.measuring.age_table())
    finally:
        node.destroy_node()
        try_shutdown()
    sys.exit(0)


if __name__ == "__main__":
    main()
