"""The topics of the arm's and the hand's drivers, and the joint states of both in canonical order."""

import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from grasp_control.drivers import DriverJoints, StateReader
from grasp_control.parameters import Settings
from grasp_control.session import ArmSession
from grasp_description.robot import JOINT_NAMES

# Arm and hand may be measured by two drivers: with a depth of 1 one would push out the other's message.
_MEASUREMENTS = QoSProfile(depth=8, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

OnStates = Callable[[StateReader, JointState], None]


class DriverLink:
    """Opens what the drivers listen and speak on; in a dry run nothing that they listen on.

    Args:
        node: the node whose executor carries the messages
        settings: drivers, topics, dry run
        on_states: takes each joint state, with the reader of its topic
    """

    def __init__(self, node: LifecycleNode, settings: Settings, on_states: OnStates) -> None:
        self._node, self._settings, self._on_states = node, settings, on_states
        self._subscriptions: list[tuple[Any, StateReader]] = []
        self._commands: list[tuple[Any, DriverJoints]] = []
        self._canonical, self._session_subscription = None, None
        self.session: ArmSession | None = None
        try:
            self._open()
        except Exception:  # of a topic's name: what is open already must not go on calling
            self.close()
            raise

    def _open(self) -> None:
        for topic in self._states_topics():
            self._subscriptions.append(self._listen(topic))
        for driver in () if self._settings.dry_run else self._settings.drivers:
            self._commands.append(self._command(driver))
        canonical = self._settings.topics["canonical_states_topic"]
        if canonical:
            self._canonical = self._node.create_publisher(JointState, canonical, _LATEST)
        self.session, self._session_subscription = self._open_session()

    def close(self) -> None:
        """Close all of it."""
        for subscription, _ in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for publisher, _ in self._commands:
            self._node.destroy_lifecycle_publisher(publisher)
        if self._canonical is not None:
            self._node.destroy_publisher(self._canonical)
        if self._session_subscription is not None:
            self._node.destroy_subscription(self._session_subscription)

    def take_waiting(self) -> None:
        """Take what has arrived but was not delivered yet: a due timer comes before waiting messages in the
        executor."""
        for subscription, reader in self._subscriptions:
            with subscription.handle:
                while (taken := subscription.handle.take_message(JointState, False)) is not None:
                    self._on_states(reader, taken[0])

    def publish(self, position: np.ndarray, stamp: Time, arm_listens: bool) -> None:
        """Send a command (23,) in rad to the drivers; the arm's part only where ``arm_listens``."""
        for publisher, driver in self._commands:
            if driver.part == "arm" and not arm_listens:
                continue
            values = position[driver.columns].tolist()
            if publisher.msg_type is JointState:
                message = JointState(name=list(driver.own_names), position=values)
                message.header.stamp = stamp
                publisher.publish(message)
            else:
                publisher.publish(Float64MultiArray(data=values))

    def publish_states(self, position: np.ndarray, velocity: np.ndarray, stamp: Time) -> None:
        """Tell the other nodes where the robot is: (23,) rad and rad/s, canonical order."""
        if self._canonical is not None:
            message = JointState(name=list(JOINT_NAMES))
            message.header.stamp = stamp
            message.position, message.velocity = position.tolist(), velocity.tolist()
            self._canonical.publish(message)

    def _states_topics(self) -> list[str]:
        topics = self._settings.topics
        return list(dict.fromkeys(topics[f"{driver.part}_states_topic"] for driver in self._settings.drivers))

    def _listen(self, topic: str) -> tuple[Any, StateReader]:
        here = [
            one
            for one in self._settings.drivers
            if self._settings.topics[f"{one.part}_states_topic"] == topic
        ]
        reader = StateReader(here, topic)

        def take(message: JointState) -> None:
            self._on_states(reader, message)

        subscription = self._node.create_subscription(JointState, topic, take, _MEASUREMENTS)
        return subscription, reader

    def _command(self, driver: DriverJoints) -> tuple[Any, DriverJoints]:
        kind = (
            JointState if self._settings.command_styles[driver.part] == "joint_state" else Float64MultiArray
        )
        topic = self._settings.topics[f"{driver.part}_command_topic"]
        return self._node.create_lifecycle_publisher(kind, topic, 1), driver

    def _open_session(self) -> tuple[ArmSession | None, Any]:
        """Listen to the arm's session, where there is a topic for it and its message is installed."""
        topic = self._settings.topics["arm_session_topic"]
        if not topic or self._settings.dry_run:
            return None, None
        kind = session_message()
        if kind is None:
            self._node.get_logger().warning(
                f"lbr_fri_idl is not installed: {topic} is not heard, and the arm's session is not asked"
            )
            return None, None
        session = ArmSession(self._settings.control.measurement_timeout_s)

        def hear(message: Any) -> None:
            # On the machine's clock, which nobody sets back.
            session.hear(message.session_state, time.monotonic())

        return session, self._node.create_subscription(kind, topic, hear, _LATEST)


def session_message() -> Any:
    """lbr_fri_idl's LBRState; None where that package, which is not on the Python index, is not installed."""
    try:
        return import_module("lbr_fri_idl.msg").LBRState
    except ImportError:
        return None
