"""What a run needs of the graph: parameters that nodes know, and drivers that say what they should."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState

import grasp_control.parameters
import grasp_task.parameters
from grasp_bringup.findings import Finding, fail, ok, warn
from grasp_bringup.robot_file import RobotFile
from grasp_control.drivers import StateReader
from grasp_control.parameters import Settings
from grasp_description.robot import JOINT_NAMES

_BEST_EFFORT = QoSProfile(depth=8, reliability=ReliabilityPolicy.BEST_EFFORT)
_SHOWN = 4
"""names that a line shows at most"""


@dataclass
class Heard:
    """What was heard on the drivers' topics."""

    states: dict[str, list[JointState]] = field(default_factory=dict)
    """joint states by topic"""
    listeners: dict[str, int] = field(default_factory=dict)
    """subscriptions by command topic"""
    speakers: dict[str, int] = field(default_factory=dict)
    """publishers by command topic"""


def control_settings(
    robot: RobotFile, files: list[Path], context: Context
) -> tuple[Settings | None, list[Finding]]:
    """The command node's settings as its parameters say them, and what is wrong with the parameters.

    Args:
        robot: the robot's file, for the names that it uses
        files: parameter files, later ones win
        context: an initialised one
    """
    found: list[Finding] = []
    settings: Settings | None = None
    for name, declare in (
        ("grasp_control", grasp_control.parameters.declare_parameters),
        ("grasp_task", grasp_task.parameters.declare_parameters),
    ):
        node = None
        try:
            node = _parameter_node(name, files, context)
            declare(node)
            found += _unknown(name, robot.nodes.get(name, {}), node)
            if name == "grasp_control":
                settings = grasp_control.parameters.read_settings(node)
        except (ValueError, RuntimeError, ParameterException) as error:
            # A RuntimeError is rclpy's, of a file that it cannot read.
            found.append(fail("parameters", f"{name}: {error}", f"correct it in {robot.path}"))
        finally:
            if node is not None:
                node.destroy_node()
    return settings, found or [ok("parameters", "the command and the task node know all of theirs")]


def _parameter_node(name: str, files: list[Path], context: Context) -> Node:
    told = [part for file in files for part in ("--params-file", str(file))]
    return Node(
        name,
        context=context,
        cli_args=["--ros-args", *told],
        start_parameter_services=False,
        enable_rosout=False,
    )


def _unknown(name: str, told: Mapping[str, Any], node: Node) -> list[Finding]:
    unknown = [one for one in told if one != "use_sim_time" and not node.has_parameter(one)]
    advice = "correct its name: a node ignores what it does not know"
    return [fail("parameters", f"{name} has no parameter {one!r}", advice) for one in unknown]


def listen(settings: Settings, duration_s: float, context: Context) -> Heard:
    """Listen to the drivers for ``duration_s`` of wall time; nothing is said."""
    node = Node("grasp_doctor", context=context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    heard, parts = Heard(), [driver.part for driver in settings.drivers]

    def keep(topic: str) -> Callable[[JointState], None]:
        return heard.states.setdefault(topic, []).append

    for topic in dict.fromkeys(settings.topics[f"{part}_states_topic"] for part in parts):
        node.create_subscription(JointState, topic, keep(topic), _BEST_EFFORT)
    deadline = time.monotonic() + duration_s
    while (left_s := deadline - time.monotonic()) > 0.0:
        executor.spin_once(timeout_sec=min(left_s, 0.1))
    for part in parts:
        topic = settings.topics[f"{part}_command_topic"]
        heard.listeners[topic] = node.count_subscribers(topic)
        heard.speakers[topic] = node.count_publishers(topic)
    executor.remove_node(node)
    executor.shutdown()
    node.destroy_node()
    return heard


def check_drivers(settings: Settings, heard: Heard) -> list[Finding]:
    """Whether the drivers name their joints as the parameters say, stand within limits, and listen."""
    found = []
    for driver in settings.drivers:
        part = driver.part
        states, command = settings.topics[f"{part}_states_topic"], settings.topics[f"{part}_command_topic"]
        here = [one for one in settings.drivers if settings.topics[f"{one.part}_states_topic"] == states]
        found += _check_states(
            part, states, heard.states.get(states, []), StateReader(here, states), settings
        )
        if not heard.listeners.get(command):
            found.append(fail(part, f"nobody listens on {command}", "start its controller"))
        if heard.speakers.get(command):
            text = f"somebody else commands on {command}"
            found.append(fail(part, text, "end that node: only the command node may command"))
    return found


def _check_states(
    part: str, topic: str, messages: list[JointState], reader: StateReader, settings: Settings
) -> list[Finding]:
    if not messages:
        return [fail(part, f"no joint states on {topic}", "start its driver; compare ROS_DOMAIN_ID")]
    refused = ""
    for message in reversed(messages):
        try:
            names, parts = reader.read(list(message.name))
        except ValueError as error:
            refused = str(error)
            continue
        if part in parts:
            return _check_position(part, names, np.array(message.position), settings)
    text = refused or f"no joint state on {topic} names the joints of the {part}"
    return [fail(part, text, f"correct {part}_joints and {part}_driver_joints")]


def _check_position(
    part: str, names: tuple[str, ...], position: np.ndarray, settings: Settings
) -> list[Finding]:
    limits, tolerance = settings.limits, settings.control.start_tolerance_rad
    driver = next(one for one in settings.drivers if one.part == part)
    found = []
    for name in driver.joints:
        place, column = names.index(name), JOINT_NAMES.index(name)
        value = position[place] if place < len(position) else np.nan
        lower, upper = limits.lower[column], limits.upper[column]
        span = f"limits are {lower:.3f} to {upper:.3f} rad"
        if not lower - tolerance <= value <= upper + tolerance:
            text = f"joint {name!r} is measured at {value:.3f} rad; {span}"
            found.append(fail(part, text, "move it there by hand: arming would be refused"))
        elif not lower <= value <= upper:
            text = f"joint {name!r} is measured at {value:.3f} rad; {span}"
            found.append(warn(part, text, "the first command will be the limit"))
    shown = ", ".join(driver.own_names[:_SHOWN])
    return found or [ok(part, f"joints {shown}, … are named as expected and within limits")]


def new_context() -> Context:
    """A context of ROS of its own; the caller shuts it down."""
    context = Context()
    rclpy.init(context=context)
    return context
