"""sim.launch.py under the real `launch`, which is not on the Python index: skipped where it is missing."""

import runpy
from pathlib import Path

import pytest

from grasp_bringup.files import shared_file
from grasp_bringup.graph import SimArguments, described_arguments, sim_graph

# Not `launch` alone: this package's folder of launch files could pass for it.
pytest.importorskip("launch.actions", reason="LAUNCH FILE NOT TESTED: ROS 2's `launch` is not installed here")
pytest.importorskip("launch_ros", reason="LAUNCH FILE NOT TESTED: ROS 2's `launch_ros` is not installed here")

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import DeclareLaunchArgument, ExecuteProcess
from launch_ros.actions import LifecycleNode, Node

from grasp_bringup.graph import Graph, NodeProcess
from grasp_bringup.launching import launch_graph


@pytest.fixture
def description() -> LaunchDescription:
    return runpy.run_path(str(shared_file("launch", "sim.launch.py")))["generate_launch_description"]()


def actions(description: LaunchDescription, **arguments: str) -> list:
    """What the launch file launches with these arguments, its defaults standing for the others."""
    context = LaunchContext()
    context.launch_configurations.update({name: default for name, default, _ in described_arguments()})
    context.launch_configurations.update(arguments)
    return description.entities[-1].execute(context) or []


def test_the_launch_file_takes_the_arguments_of_the_graph(description):
    declared = [one.name for one in description.entities if isinstance(one, DeclareLaunchArgument)]
    assert declared == [name for name, _, _ in described_arguments()]


def test_it_launches_the_processes_of_the_graph_lifecycle_nodes_as_such(description):
    nodes = [one for one in actions(description) if isinstance(one, Node)]
    expected = sim_graph(SimArguments()).processes
    assert [one.node_package for one in nodes] == [one.package for one in expected]
    assert [one.node_executable for one in nodes] == [one.executable for one in expected]
    assert [isinstance(one, LifecycleNode) for one in nodes] == [one.lifecycle for one in expected]


def test_arguments_change_the_graph(description):
    assert len(actions(description, rates="true")) == len(actions(description)) + 1
    with pytest.raises(ValueError, match="argument 'episodes' is 'many'"):
        actions(description, episodes="many")


def launched(monkeypatch: pytest.MonkeyPatch, folder: Path, last_words_s: float = 0.5, **sources: str) -> int:
    """The status of a launch in which shell scripts stand for nodes; the one called task ends it."""
    for package, source in sources.items():
        executable = folder / "lib" / package / "run"
        executable.parent.mkdir(parents=True)
        executable.write_text(f"#!/bin/sh\n{source}\n")
        executable.chmod(0o755)
        marker = folder / "share/ament_index/resource_index/packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(folder))
    monkeypatch.setattr("grasp_bringup.launching.LAST_WORDS_S", last_words_s)
    nodes = [NodeProcess(name, "run", f"{name}.run", name, ends_graph=name == "task") for name in sources]
    service = LaunchService(noninteractive=True)
    service.include_launch_description(LaunchDescription(launch_graph(Graph(tuple(nodes)))))
    return service.run()


WAITS = "exec sleep 60"


def test_the_end_of_the_task_ends_the_launch_well(monkeypatch, tmp_path):
    assert launched(monkeypatch, tmp_path, sim=WAITS, task="sleep 0.5") == 0


def test_a_task_that_fails_fails_the_launch_by_name(monkeypatch, tmp_path, caplog):
    assert launched(monkeypatch, tmp_path, sim=WAITS, task="sleep 0.5; exit 3") == 1
    assert "task exited with status 3" in caplog.text


def test_any_other_process_that_ends_fails_the_launch_by_name(monkeypatch, tmp_path, caplog):
    assert launched(monkeypatch, tmp_path, sim="sleep 0.5", task=WAITS) == 1
    assert "sim exited with status 0" in caplog.text


def test_a_death_that_the_task_notices_fails_the_launch_by_the_dead_ones_name(monkeypatch, tmp_path, caplog):
    assert launched(monkeypatch, tmp_path, last_words_s=60.0, sim="exit 7", task="sleep 1.5; exit 1") == 1
    assert "sim exited with status 7" in caplog.text


def test_every_process_is_an_action_of_launch(description):
    assert all(isinstance(one, ExecuteProcess) for one in actions(description) if isinstance(one, Node))
