"""What is opened towards the drivers, and what goes over it: a stand-in for the node, real messages."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from rclpy.exceptions import InvalidTopicNameException
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from grasp_control.config import ControlConfig
from grasp_control.driver_link import DriverLink
from grasp_control.drivers import DriverJoints
from grasp_control.parameters import Settings
from grasp_control.session import COMMANDING
from grasp_description.drivers import ALLEGRO_V4, ALLEGRO_V5, LBR, DriverFacts
from grasp_description.robot import JOINT_NAMES, joint_limits

POSITION = 0.01 * np.arange(23)
SESSION_TOPIC = "/lbr/state"


@dataclass
class StandIn:
    """A node that only notes what is asked of it."""

    callbacks: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    kinds: dict[str, Any] = field(default_factory=dict)
    sent: dict[str, list] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def create_subscription(self, kind: Any, topic: str, callback: Callable[[Any], None], _qos: Any) -> str:
        self.kinds[topic], self.callbacks[topic] = kind, callback
        return topic

    def create_lifecycle_publisher(self, kind: Any, topic: str, _depth: int) -> SimpleNamespace:
        if " " in topic:
            raise InvalidTopicNameException("a space", "invalid", topic.index(" "))
        return SimpleNamespace(msg_type=kind, publish=self.sent.setdefault(topic, []).append)

    def create_publisher(self, kind: Any, topic: str, _qos: Any) -> SimpleNamespace:
        return self.create_lifecycle_publisher(kind, topic, 1)

    def destroy_subscription(self, topic: str) -> None:
        del self.callbacks[topic]

    def destroy_lifecycle_publisher(self, _publisher: SimpleNamespace) -> None:
        pass

    def get_logger(self) -> SimpleNamespace:
        return SimpleNamespace(warning=self.warnings.append)


def settings(hand: DriverFacts, **topics: str) -> Settings:
    """Those of an arm of the LBR stack with this hand."""
    facts = (LBR, hand)
    arm_joints, hand_joints = (DriverJoints(one.part, one.joints, one.own_names) for one in facts)
    names = {"canonical_states_topic": "", "arm_session_topic": ""}
    names |= {f"{one.part}_states_topic": one.states_topic for one in facts}
    names |= {f"{one.part}_command_topic": one.command_topic for one in facts}
    styles = {one.part: one.command_style for one in facts}
    joints = (arm_joints, hand_joints)
    return Settings(ControlConfig(), None, joint_limits(), joints, styles, False, names | topics)


def linked(asked: Settings) -> tuple[StandIn, Any]:
    node = StandIn()
    return node, DriverLink(node, asked, lambda reader, message: None)  # type: ignore[arg-type]


@pytest.fixture
def session_package(monkeypatch) -> None:
    """A stand-in for lbr_fri_idl, which is not on the Python index."""
    package, messages = ModuleType("lbr_fri_idl"), ModuleType("lbr_fri_idl.msg")
    messages.LBRState = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lbr_fri_idl", package)
    monkeypatch.setitem(sys.modules, "lbr_fri_idl.msg", messages)


def test_each_driver_gets_its_part_in_its_own_order_names_and_type():
    node, link = linked(settings(ALLEGRO_V5))
    link.publish(POSITION, Time(sec=3), arm_listens=True)
    (arm,), (hand,) = node.sent[LBR.command_topic], node.sent[ALLEGRO_V5.command_topic]
    assert isinstance(arm, Float64MultiArray)
    assert list(arm.data) == POSITION[:7].tolist()
    assert isinstance(hand, JointState)
    assert list(hand.name) == list(ALLEGRO_V5.own_names)
    meant = [POSITION[JOINT_NAMES.index(joint)] for joint in ALLEGRO_V5.joints]
    assert list(hand.position) == meant
    assert hand.header.stamp.sec == 3


def test_a_link_that_cannot_be_opened_listens_no_more():
    node = StandIn()
    asked = settings(ALLEGRO_V4, hand_command_topic="no name")
    with pytest.raises(InvalidTopicNameException):
        DriverLink(node, asked, lambda reader, message: None)  # type: ignore[arg-type]
    assert node.callbacks == {}


def test_the_v4_hand_gets_its_thumb_first():
    node, link = linked(settings(ALLEGRO_V4))
    link.publish(POSITION, Time(), arm_listens=True)
    thumb = [POSITION[JOINT_NAMES.index(f"allegro_thumb_{joint}")] for joint in range(4)]
    assert list(node.sent[ALLEGRO_V4.command_topic][0].data)[:4] == thumb


def test_a_dry_run_opens_no_topic_that_a_driver_hears():
    node, link = linked(replace(settings(ALLEGRO_V4, arm_session_topic=SESSION_TOPIC), dry_run=True))
    link.publish(POSITION, Time(), arm_listens=True)
    assert node.sent == {}
    assert set(node.callbacks) == {LBR.states_topic, ALLEGRO_V4.states_topic}


def test_the_others_are_told_where_the_robot_is_in_canonical_names():
    node, link = linked(settings(ALLEGRO_V4, canonical_states_topic="/canonical"))
    link.publish_states(POSITION, 2.0 * POSITION, Time(sec=1))
    (told,) = node.sent["/canonical"]
    assert list(told.name) == list(JOINT_NAMES)
    assert list(told.position) == POSITION.tolist()


def test_the_arms_session_is_heard_and_no_arm_command_goes_out_while_it_takes_none(session_package):
    node, link = linked(settings(ALLEGRO_V4, arm_session_topic=SESSION_TOPIC))
    assert "never heard" in link.session.why_not_commanding(time.monotonic())
    node.callbacks[SESSION_TOPIC](SimpleNamespace(session_state=COMMANDING))
    assert link.session.why_not_commanding(time.monotonic() - 1.0) == ""
    node.callbacks[SESSION_TOPIC](SimpleNamespace(session_state=1))
    assert "MONITORING_WAIT" in link.session.why_not_commanding(time.monotonic())
    link.publish(POSITION, Time(), arm_listens=False)
    assert node.sent[LBR.command_topic] == []
    assert len(node.sent[ALLEGRO_V4.command_topic]) == 1


def test_without_the_package_a_warning_says_that_the_session_is_not_asked():
    node, link = linked(settings(ALLEGRO_V4, arm_session_topic=SESSION_TOPIC))
    assert link.session is None
    assert "lbr_fri_idl is not installed" in node.warnings[0]
