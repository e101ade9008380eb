"""Who may say what in the graph on a robot: SROS2 policies, made from the nodes themselves.

    python -m grasp_bringup.security --robot-config lbr_allegro_v4 --output my_policy.xml

Each node is made as the graph would start it, in a context that speaks to nobody, and asked for its topics
and services; those, and no others, are allowed. SECURITY.md has the commands that make keys of a policy.
"""

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import rclpy
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node

from grasp_bringup.graph import NodeProcess
from grasp_bringup.real import RealArguments, real_graph
from grasp_bringup.recorded_topics import TOPICS
from grasp_bringup.robot_file import RobotFileError

FORMAT_VERSION = "0.2.0"
"""of SROS2's policy files, in Jazzy"""
_CLASSES = {
    "grasp_camera": "CameraNode",
    "grasp_control": "ControlNode",
    "grasp_policy": "PolicyNode",
    "grasp_task": "TaskNode",
    "grasp_recorder": "RecorderNode",
}
"""The nodes in the graph on a robot, by name; each is in its process's module. They are imported when they
are asked: a machine for simulation has no cameras' packages."""


@dataclass(frozen=True)
class Interface:
    """What one node says and hears: full names, sorted."""

    name: str
    """name of the node; its enclave is /NAME"""
    publish: tuple[str, ...] = ()
    """topics"""
    subscribe: tuple[str, ...] = ()
    """topics"""
    reply: tuple[str, ...] = ()
    """services that it offers"""
    request: tuple[str, ...] = ()
    """services that it calls"""


OPERATOR = Interface(
    "operator",
    publish=("/parameter_events", "/rosout"),
    subscribe=("/control/state", "/diagnostics", "/grasp/score", "/grasp/state", "/parameter_events"),
    # Every node offers this one; those of the command line have their process's number in their names.
    reply=("/_ros2cli_*/get_type_description",),
    request=("/grasp/home", "/grasp/start", "/grasp/stop"),
)
"""A person's shell: the three services that move and stop the robot, and what tells how it goes."""


def interfaces(robot_config: str) -> list[Interface]:
    """What the nodes of a robot's graph say and hear, the recorder and the operator's shell included.

    Args:
        robot_config: the robot's YAML file, or the name of one in config/robots

    Raises:
        RobotFileError: the robot's file is missing or malformed.
        ValueError: its parameters cannot be.
    """
    with tempfile.TemporaryDirectory() as folder, _alone() as context:
        report, recording = f"{folder}/report.json", f"{folder}/recording.mcap"
        graph = real_graph(RealArguments(robot_config=robot_config, report=report, record=recording))
        return [*(_interface(process, context) for process in graph.processes), OPERATOR]


def policy_text(found: Iterable[Interface]) -> str:
    """The policy as SROS2 reads it: an enclave a node, and in it nothing but what the node needs."""
    policy = ElementTree.Element("policy", version=FORMAT_VERSION)
    enclaves = ElementTree.SubElement(policy, "enclaves")
    for interface in found:
        enclave = ElementTree.SubElement(enclaves, "enclave", path=f"/{interface.name}")
        profiles = ElementTree.SubElement(enclave, "profiles")
        profile = ElementTree.SubElement(profiles, "profile", ns="/", node=interface.name)
        for verb, kind in _RULES.items():
            names = getattr(interface, verb)
            rule = ElementTree.SubElement(profile, f"{kind}s", {verb: "ALLOW"}) if names else None
            for name in names:
                ElementTree.SubElement(rule, kind).text = name  # type: ignore[arg-type]
    ElementTree.indent(policy)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(policy, "unicode")}\n'


def read_policy(text: str) -> list[Interface]:
    """The interfaces that a policy made by `policy_text` allows."""
    found = []
    for profile in ElementTree.fromstring(text).iter("profile"):
        allowed = {
            verb: tuple(rule.text or "" for rule in profile.findall(f"{kind}s[@{verb}='ALLOW']/{kind}"))
            for verb, kind in _RULES.items()
        }
        found.append(Interface(profile.get("node", ""), **allowed))
    return found


_RULES = {"publish": "topic", "subscribe": "topic", "reply": "service", "request": "service"}


@contextmanager
def _alone() -> Iterator[Context]:
    """A context that finds nobody, and that nobody finds: its nodes have the names of the robot's own."""
    before = os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE")
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "OFF"
    context = Context()
    rclpy.init(context=context)
    try:
        yield context
    finally:
        rclpy.shutdown(context=context)
        del os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"]
        if before is not None:
            os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = before


def _interface(process: NodeProcess, context: Context) -> Interface:
    make = getattr(import_module(process.module), _CLASSES[process.name])
    node = make(context=context, cli_args=["--ros-args", *process.ros_arguments()])
    try:
        if process.name == "grasp_control":
            _configure(node)
        own, (published, heard) = (node.get_name(), node.get_namespace()), _optional(process.name, node)
        return Interface(
            process.name,
            _names(node.get_publisher_names_and_types_by_node(*own), published),
            _names(node.get_subscriber_names_and_types_by_node(*own), heard),
            _names(node.get_service_names_and_types_by_node(*own)),
            _names(node.get_client_names_and_types_by_node(*own)),
        )
    finally:
        if process.name == "grasp_control":
            node.trigger_cleanup()
            gc.unfreeze()  # else ruckig's bindings complain of what is not freed
        node.destroy_node()


def _configure(node: LifecycleNode) -> None:
    """Let the command node open its topics, which its parameters name; nothing is said on them."""
    node.trigger_configure()
    if node.count_publishers("/control/command") == 0:
        raise ValueError("The command node cannot be configured: its log says why")


def _optional(name: str, node: Node) -> tuple[list[str], list[str]]:
    """Topics that a node publishes and hears only where their messages are installed, as on a robot."""
    if name == "grasp_control":
        session = str(node.get_parameter("arm_session_topic").value)
        return [], [session] if session else []
    return ["/tf_static"] if name == "grasp_camera" else [], list(TOPICS) if name == "grasp_recorder" else []


def _names(found: list[tuple[str, Any]], more: Iterable[str] = ()) -> tuple[str, ...]:
    return tuple(sorted({name for name, _ in found} | set(more)))


def main(arguments: list[str] | None = None) -> int:
    """Write a robot's policy; the exit status is 2 where there is no such robot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = next(one.default for one in fields(RealArguments) if one.name == "robot_config")
    parser.add_argument("--robot-config", default=default, help="the robot's file, or the name of one")
    parser.add_argument("--output", type=Path, required=True, help="policy file to write, XML")
    told = parser.parse_args(arguments)
    try:
        told.output.write_text(policy_text(interfaces(told.robot_config)), encoding="utf-8")
    except (RobotFileError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
