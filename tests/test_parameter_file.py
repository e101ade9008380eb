"""The parameter files against what the nodes declare: rclpy ignores misspelt parameters."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rclpy
import yaml
from rclpy.context import Context
from rclpy.node import Node

import grasp_camera.parameters
import grasp_control.parameters
import grasp_sim.parameters
import grasp_task.parameters
from grasp_bringup.files import shared_file
from grasp_bringup.graph import SimArguments, sim_graph
from grasp_bringup.rates import RatesNode
from grasp_bringup.robot_file import robot_names, robot_path
from grasp_policy.policy_node import PolicyNode

pytestmark = pytest.mark.ros
FILES = [
    shared_file("config", "sim.yaml"),
    shared_file("config", "rehearsal.yaml"),
    *(robot_path(name) for name in robot_names()),
]


def told_by(file: Path) -> dict[str, dict[str, Any]]:
    """Parameters by node, of the nodes that there are."""
    entries = yaml.safe_load(file.read_text(encoding="utf-8"))
    nodes = {node.lstrip("/"): entry["ros__parameters"] for node, entry in entries.items()}
    return {name: told for name, told in nodes.items() if name != "grasp_bringup"}


CASES = [(file, name) for file in FILES for name in told_by(file)]


@pytest.fixture
def context() -> Iterator[Context]:
    made = Context()
    rclpy.init(context=made, domain_id=1 + os.getpid() % 100)
    yield made
    # A destroyed lifecycle node lives on until its state machine is collected: not into the next test.
    gc.collect()
    rclpy.shutdown(context=made)


def declaring(declare: Callable[[Node], Any]) -> Callable[..., Node]:
    """A maker of nodes that have nothing but the parameters that ``declare`` gives them."""

    def make(name: str, **arguments: Any) -> Node:
        node = Node(name, **arguments)
        declare(node)
        return node

    return make


MAKERS: dict[str, Callable[..., Node]] = {
    "grasp_camera": declaring(grasp_camera.parameters.declare_parameters),
    "grasp_sim": declaring(grasp_sim.parameters.declare_parameters),
    "grasp_control": declaring(grasp_control.parameters.declare_parameters),
    "grasp_policy": lambda name, **arguments: PolicyNode(**arguments),
    "grasp_task": declaring(grasp_task.parameters.declare_parameters),
    "grasp_rates": lambda name, **arguments: RatesNode(**arguments),
}


@pytest.mark.parametrize(("file", "name"), CASES, ids=[f"{file.stem}-{name}" for file, name in CASES])
def test_every_parameter_in_a_file_is_declared_by_its_node_and_within_range(file, name, context):
    # A value of a wrong type or out of range is refused here, when the node declares it.
    node = MAKERS[name](name, context=context, cli_args=["--ros-args", "--params-file", str(file)])
    told = told_by(file)
    try:
        declared = set(node.get_parameters_by_prefix(""))
        assert set(told[name]) <= declared
        for parameter, value in told[name].items():
            found = node.get_parameter(parameter).value
            assert (list(found) if isinstance(value, list) else found) == value
    finally:
        node.destroy_node()


@pytest.mark.parametrize("name", [process.name for process in sim_graph(SimArguments(rates=True)).processes])
def test_every_parameter_that_the_graph_sets_is_declared_by_its_node_and_arrives(name, context):
    arguments = SimArguments(policy="models/1.onnx", objects="training", seed=5, rates=True)
    process = next(one for one in sim_graph(arguments).processes if one.name == name)
    node = MAKERS[name](name, context=context, cli_args=["--ros-args", *process.ros_arguments()])
    try:
        for parameter, value in process.parameters.items():
            found = node.get_parameter(parameter).value
            assert (list(found) if isinstance(value, list) else found) == value
    finally:
        node.destroy_node()
