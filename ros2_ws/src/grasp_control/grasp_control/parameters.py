"""Parameters of the command node: names, defaults, ranges and meanings, declared in one place and read in
another."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.node import Node

from grasp_control.config import ControlConfig, GuardConfig
from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, JOINT_NAMES

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
    "joint_states_topic": ("/joint_states", "measurements in, sensor_msgs/JointState"),
    "target_topic": ("/policy/joint_target", "targets in, trajectory_msgs/JointTrajectory"),
    "arm_command_topic": ("/arm/joint_command", "arm commands out, std_msgs/Float64MultiArray"),
    "hand_command_topic": ("/hand/joint_command", "hand commands out, std_msgs/Float64MultiArray"),
}


@dataclass(frozen=True)
class Settings:
    """What the parameters say."""

    control: ControlConfig
    """settings of the core"""
    guard: GuardConfig | None
    """settings of the collision guard; None when it is switched off"""
    arm_columns: np.ndarray
    """(7,) column in canonical order of each number in an arm command"""
    hand_columns: np.ndarray
    """(16,) the same for a hand command"""
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
    for name, names in (("arm_joints", ARM_JOINTS), ("hand_joints", HAND_JOINTS)):
        text = "order of the joints in the driver's command, by canonical names"
        node.declare_parameter(name, list(names), ParameterDescriptor(description=text))
    for name, (topic, text) in _TOPICS.items():
        node.declare_parameter(name, topic, ParameterDescriptor(description=text))


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
        arm_columns=driver_columns(value("arm_joints"), ARM_JOINTS, "arm_joints"),
        hand_columns=driver_columns(value("hand_joints"), HAND_JOINTS, "hand_joints"),
        topics={name: value(name) for name in _TOPICS},
    )


def driver_columns(names: list[str], group: tuple[str, ...], parameter: str) -> np.ndarray:
    """Column in canonical order of each joint that a driver lists.

    Raises:
        ValueError: the list is not a permutation of the group.
    """
    if sorted(names) != sorted(group):
        wrong = [name for name in names if name not in group]
        missing = [name for name in group if name not in names]
        raise ValueError(
            f"Parameter {parameter} lists {len(names)} joints (unknown: {wrong}, missing: {missing}); "
            f"expected each of {list(group)} once"
        )
    return np.array([JOINT_NAMES.index(name) for name in names])
