"""Stands between the simulator and the other nodes, and between targets and the command node."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from fault_table.tampering import Later, Tamper, nanoseconds

_SENSOR_IN = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
_SENSOR_OUT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_RELIABLE = QoSProfile(depth=10)


@dataclass(frozen=True)
class Channel:
    """One topic that goes through the relay."""

    name: str
    """what the table of faults calls it"""
    kind: type
    """type of its messages"""
    topic: str
    """what the topic is called on the side of the other nodes"""
    remapped: str
    """node whose end of it is behind the relay"""
    sensor: bool
    """whether that node publishes it, best effort; else it listens to it"""


CHANNELS = (
    Channel("clock", Clock, "/clock", "grasp_sim", True),
    Channel("joints", JointState, "/joint_states", "grasp_sim", True),
    Channel("left", Image, "/stereo/left/image_rect", "grasp_sim", True),
    Channel("right", Image, "/stereo/right/image_rect", "grasp_sim", True),
    Channel("arm", Float64MultiArray, "/arm/joint_command", "grasp_sim", False),
    Channel("hand", Float64MultiArray, "/hand/joint_command", "grasp_sim", False),
    Channel("targets", JointTrajectory, "/policy/joint_target", "grasp_control", False),
)


def behind(topic: str) -> str:
    """Name of a topic on the far side of the relay."""
    return f"/behind{topic}"


def remappings(node: str) -> Mapping[str, str]:
    """What a node's topics have to be called, that they go through the relay."""
    return {one.topic: behind(one.topic) for one in CHANNELS if one.remapped == node}


class Relay:
    """Passes messages on, spoiled where asked. It can leave the ROS domain and come back.

    Args:
        domain: ROS domain
        names: channels to pass on

    Attributes:
        now_ns: the simulator's clock, whatever the other nodes are told
        good_ns: stamp (of a command: time) of the last message that was passed on unspoiled, by channel
    """

    def __init__(self, domain: int, names: Sequence[str]) -> None:
        self._domain = domain
        self._channels = [one for one in CHANNELS if one.name in names]
        self._tampers: dict[str, Tamper] = {}
        self._waiting: list[tuple[int, Any, Any]] = []
        self._last: dict[str, Any] = {}
        self._lock = threading.RLock()
        self.now_ns = 0
        self.good_ns: dict[str, int] = {}
        self._context: Context | None = None

    def tamper(self, channels: Mapping[str, Callable[[Any], Tamper]]) -> None:
        """Spoil these channels from now on, and no others; those of another relay are left to it.

        Args:
            channels: by name, what makes the tamper out of the last sound message.
        """
        with self._lock:
            self._tampers = {
                name: make(self._last[name]) for name, make in channels.items() if name in self._last
            }

    def join(self) -> None:
        """Enter the domain and pass on."""
        self._context = Context()
        rclpy.init(context=self._context, domain_id=self._domain)
        node = rclpy.create_node("relay_" + self._channels[0].name, context=self._context)
        node.create_subscription(Clock, behind("/clock"), self._on_clock, _SENSOR_IN)
        for channel in self._channels:
            far, near = behind(channel.topic), channel.topic
            source, sink = (far, near) if channel.sensor else (near, far)
            publisher = node.create_publisher(
                channel.kind, sink, _SENSOR_OUT if channel.sensor else _RELIABLE
            )
            node.create_subscription(
                channel.kind,
                source,
                self._passer(channel, publisher),
                _SENSOR_IN if channel.sensor else _RELIABLE,
            )
        self._spinner = Spinner(self._context, node)

    def leave(self) -> None:
        """Leave the domain: whoever listens to the relay loses it."""
        if self._context is not None:
            self._spinner.stop()
            rclpy.shutdown(context=self._context)
            self._context = None
            self._waiting.clear()

    def _on_clock(self, message: Clock) -> None:
        with self._lock:
            self.now_ns = nanoseconds(message.clock)
            due = [one for one in self._waiting if one[0] <= self.now_ns]
            self._waiting = [one for one in self._waiting if one[0] > self.now_ns]
        for _, message_due, publisher in due:
            publisher.publish(message_due)

    def _passer(self, channel: Channel, publisher: Any) -> Any:
        def take(message: Any) -> None:
            with self._lock:
                tamper = self._tampers.get(channel.name)
                if tamper is None:
                    self.good_ns[channel.name] = self._time_of(message)
                    self._last[channel.name] = message
                passed = [message] if tamper is None else tamper(message)
                for one in passed:
                    if isinstance(one, Later):
                        self._waiting.append((self.now_ns + one.after_ns, one.message, publisher))
                    else:
                        publisher.publish(one)

        return take

    def _time_of(self, message: Any) -> int:
        if isinstance(message, Clock):
            return nanoseconds(message.clock)
        header = getattr(message, "header", None)
        return self.now_ns if header is None else nanoseconds(header.stamp)


class Spinner:
    """Spins a node in a thread of its own until it is stopped."""

    def __init__(self, context: Context, node: Node) -> None:
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Come to an end; nothing is called back afterwards."""
        self._end.set()
        self._thread.join()
        self._executor.shutdown()

    def _spin(self) -> None:
        while not self._end.is_set():
            self._executor.spin_once(timeout_sec=0.1)
