"""Parameters of the command node: names, defaults, ranges and meanings, declared in one place and read in
another."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node

from grasp_control.config import ControlConfig, GuardConfig
from grasp_control.drivers import DriverJoints, narrowed
from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, JointLimits, joint_limits

_CONTROL_RANGES = {
    "command_rate_hz": (20.0, 1000.0, "rate of commands; in simulation the physics rate"),
    "target_timeout_s": (0.01, 1.0, "longest time without a fresh target before the robot is stopped"),
    "target_max_age_s": (0.01, 1.0, "oldest stamp of a target that still counts as fresh on arrival"),
    "target_spread_s": (0.001, 0.2, "longest time over which a step from target to target is spread"),
    "measurement_timeout_s": (0.01, 1.0, "longest age of a joint's measurement before the robot is stopped"),
    "clock_tolerance_s": (0.001, 0.5, "how far in the future a stamp may lie"),
    "arm_speed_rad_s": (0.01, 4.0, "cap on the arm's commanded joint speeds"),
    "hand_speed_rad_s": (0.01, 10.0, "cap on the hand's commanded joint speeds"),
    "arm_tracking_rad": (0.01, 1.0, "largest distance between command and measurement of an arm joint"),
    "tracking_grace_s": (0.001, 1.0, "how long an arm joint may exceed that distance"),
    "hand_lead_rad": (0.05, 2.0, "largest lead of a hand joint's target over its measurement"),
    "start_tolerance_rad": (0.001, 0.2, "how far outside its limits a joint may be measured when armed"),
    "start_speed_rad_s": (0.01, 2.0, "largest measured speed of an arm joint when armed"),
    "measurement_jump_rad": (0.02, 1.0, "jump between two measurements that counts as a reset or a fault"),
}
_GUARD_RANGES = {
    "table_margin_m": (0.0, 0.2, "clearance that arm links and palm keep from the table"),
    "finger_table_depth_m": (0.0, 0.1, "how far below the table's surface a command may put a finger"),
    "self_margin_m": (0.0, 0.1, "clearance between parts of the robot that may meet"),
    "activation_m": (0.0, 0.3, "clearance beyond the margin from which on targets are bent away"),
    "approach_m": (0.0, 0.02, "how far before its margin a bent target ends"),
}
_CORNERS = {
    "workspace_lower_m": "lower corner (x, y, z) of the box that holds every moving link, base frame",
    "workspace_upper_m": "upper corner of the same box",
}
_TOPICS = {
    "arm_states_topic": ("/joint_states", "the arm's measurements in, sensor_msgs/JointState"),
    "hand_states_topic": ("/joint_states", "the hand's; may be the same topic"),
    "canonical_states_topic": ("", "measurements of all joints out, by canonical names; empty for none"),
    "arm_session_topic": ("", "the arm's session, lbr_fri_idl/LBRState; empty: it is not asked"),
    "target_topic": ("/policy/joint_target", "targets in, trajectory_msgs/JointTrajectory"),
    "arm_command_topic": ("/arm/joint_command", "arm commands out"),
    "hand_command_topic": ("/hand/joint_command", "hand commands out"),
}
_PARTS = {"arm": ARM_JOINTS, "hand": HAND_JOINTS}
_STYLES = ("array", "joint_state")


@dataclass(frozen=True)
class Settings:
    """What the parameters say."""

    control: ControlConfig
    """settings of the core"""
    guard: GuardConfig | None
    """settings of the collision guard; None when it is switched off"""
    limits: JointLimits
    """the robot's, with ranges no wider than the hand's driver wants them"""
    drivers: tuple[DriverJoints, DriverJoints]
    """of the arm and of the hand"""
    command_styles: dict[str, str]
    """array or joint_state, by part"""
    dry_run: bool
    """whether the drivers get no commands"""
    topics: dict[str, str]
    """topic names by parameter name"""


def declare_parameters(node: Node) -> None:
    """Declare every parameter on a node, with its range."""
    for defaults, ranges in ((ControlConfig(), _CONTROL_RANGES), (GuardConfig(), _GUARD_RANGES)):
        for name, (low, high, text) in ranges.items():
            descriptor = ParameterDescriptor(description=text)
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
            node.declare_parameter(name, float(getattr(defaults, name)), descriptor)
    for name, text in _CORNERS.items():
        node.declare_parameter(
            name, list(getattr(GuardConfig(), name)), ParameterDescriptor(description=text)
        )
    text = "whether commands are checked for collisions; switch off for bench tests only"
    node.declare_parameter("collision_guard", True, ParameterDescriptor(description=text))
    text = "compute and log, but command nothing: the graph sees a robot that follows perfectly"
    node.declare_parameter("dry_run", False, ParameterDescriptor(description=text))
    _declare_drivers(node)
    for name, (topic, text) in _TOPICS.items():
        node.declare_parameter(name, topic, ParameterDescriptor(description=text))


def _declare_drivers(node: Node) -> None:
    for part, names in _PARTS.items():
        text = "order of the joints in the driver's command, by canonical names"
        node.declare_parameter(f"{part}_joints", list(names), ParameterDescriptor(description=text))
        text = "the driver's own names of these joints, in the same order; one empty name: the canonical ones"
        node.declare_parameter(f"{part}_driver_joints", [""], ParameterDescriptor(description=text))
        text = "array: std_msgs/Float64MultiArray; joint_state: sensor_msgs/JointState"
        node.declare_parameter(f"{part}_command_style", "array", ParameterDescriptor(description=text))
    hand = slice(len(ARM_JOINTS), None)
    for name, limit in (("hand_lower_rad", joint_limits().lower), ("hand_upper_rad", joint_limits().upper)):
        text = (
            "ends of the hand's ranges, canonical order; what is wider than the robot description is not used"
        )
        node.declare_parameter(name, limit[hand].tolist(), ParameterDescriptor(description=text))


def read_settings(node: Node) -> Settings:
    """The settings that a node's parameters say.

    Raises:
        ValueError: a list is not a permutation of the joints it orders, or values contradict each other.
    """

    def value(name: str) -> Any:
        return node.get_parameter(name).value

    margins: dict[str, Any] = {name: value(name) for name in _GUARD_RANGES}
    corners: dict[str, Any] = {name: tuple(value(name)) for name in _CORNERS}
    guard = GuardConfig(**margins, **corners)
    return Settings(
        control=ControlConfig(**{field.name: value(field.name) for field in fields(ControlConfig)}),
        guard=guard if value("collision_guard") else None,
        limits=_limits(value("hand_lower_rad"), value("hand_upper_rad")),
        drivers=(_driver("arm", value), _driver("hand", value)),
        command_styles={part: _style(part, value(f"{part}_command_style")) for part in _PARTS},
        dry_run=value("dry_run"),
        topics={name: value(name) for name in _TOPICS},
    )


def driver_joints(part: str, joints: list[str], own_names: list[str]) -> DriverJoints:
    """The joints of the arm's or the hand's driver; one empty own name stands for the canonical names.

    Raises:
        ValueError: ``joints`` is not a permutation of the part's, or ``own_names`` does not go with it.
    """
    group = _PARTS[part]
    if sorted(joints) != sorted(group):
        wrong = [name for name in joints if name not in group]
        missing = [name for name in group if name not in joints]
        raise ValueError(
            f"Parameter {part}_joints lists {len(joints)} joints (unknown: {wrong}, missing: {missing}); "
            f"expected each of {list(group)} once"
        )
    return DriverJoints(part, tuple(joints), tuple(joints if list(own_names) == [""] else own_names))


def _driver(part: str, value: Callable[[str], Any]) -> DriverJoints:
    return driver_joints(part, list(value(f"{part}_joints")), list(value(f"{part}_driver_joints")))


def _style(part: str, style: str) -> str:
    if style not in _STYLES:
        raise ValueError(f"Parameter {part}_command_style is {style!r}; expected one of {', '.join(_STYLES)}")
    return style


def _limits(hand_lower_rad: list[float], hand_upper_rad: list[float]) -> JointLimits:
    for name, ends in (("hand_lower_rad", hand_lower_rad), ("hand_upper_rad", hand_upper_rad)):
        if len(ends) != len(HAND_JOINTS):
            raise ValueError(f"Parameter {name} has {len(ends)} numbers; expected {len(HAND_JOINTS)}")
    limits, arm = joint_limits(), len(ARM_JOINTS)
    lower, upper = np.array(limits.lower), np.array(limits.upper)
    lower[arm:], upper[arm:] = hand_lower_rad, hand_upper_rad
    return narrowed(limits, lower, upper)
