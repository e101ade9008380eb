"""The launch files under the real `launch`, which is not on the Python index: skipped where it is missing."""

import json
import os
import runpy
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from grasp_bringup.files import shared_file
from grasp_bringup.graph import SimArguments, described_arguments, sim_graph

# Not `launch` alone: this package's folder of launch files could pass for it.
pytest.importorskip("launch.actions", reason="LAUNCH FILE NOT TESTED: ROS 2's `launch` is not installed here")
pytest.importorskip("launch_ros", reason="LAUNCH FILE NOT TESTED: ROS 2's `launch_ros` is not installed here")

from launch import LaunchContext, LaunchDescription, LaunchService
from launch.actions import DeclareLaunchArgument, ExecuteProcess, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.utilities import perform_substitutions
from launch_ros.actions import Node

from grasp_bringup.graph import Bringup, Graph, NodeProcess
from grasp_bringup.launching import launch_graph
from grasp_bringup.real import RealArguments, real_graph
from grasp_bringup.supervisor import Patience


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


def test_it_launches_the_processes_of_the_graph(description):
    nodes = [one for one in actions(description) if isinstance(one, Node)]
    expected = sim_graph(SimArguments()).processes
    assert [one.node_package for one in nodes] == [one.package for one in expected]
    assert [one.node_executable for one in nodes] == [one.executable for one in expected]


def test_arguments_change_the_graph(description):
    assert len(actions(description, rates="true")) == len(actions(description)) + 1
    with pytest.raises(ValueError, match="argument 'episodes' is 'many'"):
        actions(description, episodes="many")
    with pytest.raises(ValueError, match="did you mean 'episodes'"):
        actions(description, epsiodes="5")


@pytest.fixture
def real_description() -> LaunchDescription:
    return runpy.run_path(str(shared_file("launch", "real_robot.launch.py")))["generate_launch_description"]()


def real_actions(description: LaunchDescription, **arguments: str) -> list:
    """What real_robot.launch.py launches with these arguments, its defaults standing for the others."""
    context = LaunchContext()
    described = described_arguments(RealArguments)
    context.launch_configurations.update({name: default for name, default, _ in described})
    context.launch_configurations.update(arguments)
    return description.entities[-1].execute(context) or []


def test_the_robots_launch_file_takes_the_arguments_of_its_graph(real_description):
    declared = [one.name for one in real_description.entities if isinstance(one, DeclareLaunchArgument)]
    assert declared == [name for name, _, _ in described_arguments(RealArguments)]


@pytest.mark.parametrize("arguments", [{}, {"rehearsal": "true", "dry_run": "true"}, {"rviz": "true"}])
def test_it_launches_the_processes_of_the_robots_graph_in_their_order(real_description, arguments):
    nodes = [one for one in real_actions(real_description, **arguments) if isinstance(one, Node)]
    expected = real_graph(RealArguments(**dict.fromkeys(arguments, True))).processes
    assert [one.node_executable for one in nodes] == [one.executable for one in expected]


def test_drivers_are_launched_by_themselves_before_all_nodes_and_only_when_asked_for(real_description):
    assert not [one for one in real_actions(real_description) if type(one) is ExecuteProcess]
    started = real_actions(real_description, drivers="true")
    places = [place for place, one in enumerate(started) if type(one) is ExecuteProcess]
    assert max(places) < min(place for place, one in enumerate(started) if isinstance(one, Node))
    context = LaunchContext()
    lbr, allegro = ([perform_substitutions(context, word) for word in started[place].cmd] for place in places)
    assert lbr[:4] == ["ros2", "launch", "lbr_bringup", "hardware.launch.py"]
    assert sorted(lbr[4:]) == ["ctrl:=forward_position_controller", "model:=iiwa7"]
    assert allegro[:4] == ["ros2", "launch", "allegro_hand_bringup", "allegro_hand.launch.py"]


def test_a_robot_that_is_nowhere_is_refused_by_its_name(real_description):
    with pytest.raises(ValueError, match="lbr_allegro_v6"):
        real_actions(real_description, robot_config="lbr_allegro_v6")


@dataclass
class Stage:
    """Launches shell scripts in place of nodes; the one called task ends the launch."""

    folder: Path
    last_words_s: float = 0.5
    endless: bool = False
    policy: Path | None = None
    drivers: str = ""
    """a script in place of `ros2`, which launches a driver; empty: there is none"""
    stopped_after_s: float | None = None
    """when something else shuts the launch down, as Ctrl-C does"""
    seen_to_end: set[str] = field(default_factory=set)
    """packages whose end another event handler saw"""

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    def launch(self, **sources: str) -> int:
        """The status of the launch of these scripts."""
        for package, source in sources.items():
            self._install(package, source)
        if self.drivers:
            self._write(self.folder / "ros2", self.drivers)
        nodes = [
            NodeProcess(
                name, "run", f"{name}.run", name, ends_graph=name == "task", onlooker=name == "onlooker"
            )
            for name in sources
        ]
        bringups = (Bringup("driver", "hand.launch.py", {"side": "right"}),) if self.drivers else ()
        graph = Graph(tuple(nodes), self.report, self.endless, self.policy, bringups=bringups)
        description = LaunchDescription(launch_graph(graph, Patience(last_words_s=self.last_words_s)))
        service = LaunchService(noninteractive=True)
        service.include_launch_description(LaunchDescription([self._watch()]))
        service.include_launch_description(description)
        timer = threading.Timer(self.stopped_after_s or 0.0, service.shutdown)
        if self.stopped_after_s is not None:
            timer.start()
        try:
            return service.run()
        finally:
            timer.cancel()

    def _watch(self) -> RegisterEventHandler:
        def note(event: ProcessExited, _: LaunchContext) -> None:
            self.seen_to_end.add(getattr(event.action, "node_package", "driver"))

        return RegisterEventHandler(OnProcessExit(on_exit=note))

    def _install(self, package: str, source: str) -> None:
        executable = self.folder / "lib" / package / "run"
        executable.parent.mkdir(parents=True)
        self._write(executable, source)
        marker = self.folder / "share/ament_index/resource_index/packages" / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()

    @staticmethod
    def _write(executable: Path, source: str) -> None:
        executable.write_text(f"#!/bin/sh\n{source}\n")
        executable.chmod(0o755)

    def reports(self, inferences: int = 5) -> str:
        """A line of a script that writes the report."""
        told = {"outcome": "as told", "counters": {"inferences": inferences}}
        return f"echo '{json.dumps(told)}' > {self.report}\n"


@pytest.fixture
def stage(monkeypatch, tmp_path) -> Stage:
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return Stage(tmp_path)


WAITS = "exec sleep 60"
WAITS_FOR_INTERRUPTION = "trap 'kill $!; exit 130' INT\nsleep 60 &\nwait"


def test_the_end_of_the_task_ends_the_launch_well(stage):
    assert stage.launch(sim=WAITS, task=stage.reports() + "sleep 0.5") == 0


def test_a_task_that_fails_fails_the_launch_and_the_report_says_why(stage, caplog):
    assert stage.launch(sim=WAITS, task=stage.reports() + "sleep 0.5; exit 1") == 1
    assert "failed: as told" in caplog.text
    assert stage.seen_to_end == {"sim", "task"}


def test_a_run_without_report_fails_the_launch_even_if_an_old_report_lies_there(stage, caplog):
    stage.report.write_text(json.dumps({"outcome": "ran whole", "counters": {"inferences": 5}}))
    assert stage.launch(sim=WAITS, task="exit 0") == 1
    assert "the task node wrote no report" in caplog.text


def test_a_run_without_inference_fails_the_launch(stage, caplog):
    assert stage.launch(sim=WAITS, task=stage.reports(inferences=0)) == 1
    assert "no inference happened" in caplog.text


def test_a_run_that_is_refused_starts_nothing(stage, caplog):
    stage.policy = stage.folder / "none.onnx"
    assert stage.launch(sim=WAITS, task=stage.reports()) == 1
    assert "there is no such policy file" in caplog.text
    assert stage.seen_to_end == set()
    assert not stage.report.exists()


def test_any_other_process_that_ends_fails_the_launch_by_name(stage, caplog):
    task = stage.reports() + WAITS_FOR_INTERRUPTION
    assert stage.launch(sim="sleep 0.5", task=task) == 1
    assert "failed: sim exited with status 0" in caplog.text
    assert json.loads(stage.report.read_text())["died"] == {"sim": "exited with status 0"}


def test_a_death_that_the_task_notices_fails_the_launch_by_the_dead_ones_name(stage, caplog):
    stage.last_words_s = 60.0
    assert stage.launch(sim="exit 7", task="sleep 1.5; exit 1") == 1
    assert "failed: sim exited with status 7" in caplog.text


def test_the_end_of_an_onlooker_ends_nothing(stage):
    assert stage.launch(onlooker="exit 0", sim=WAITS, task=stage.reports() + "sleep 2") == 0


def test_a_driver_gets_its_arguments_in_a_launch_of_its_own_that_ends_with_ours(stage):
    told = stage.folder / "told"
    stage.drivers = f'echo "$@" > {told}\n{WAITS}'
    assert stage.launch(sim=WAITS, task=stage.reports() + "sleep 1") == 0
    assert told.read_text().split() == ["launch", "driver", "hand.launch.py", "side:=right"]
    assert "driver" in stage.seen_to_end


def test_a_driver_that_ends_fails_the_launch_by_its_name(stage, caplog):
    stage.drivers = "exit 3"
    assert stage.launch(sim=WAITS, task=stage.reports() + WAITS_FOR_INTERRUPTION) == 1
    assert "failed: driver exited with status 3" in caplog.text


def test_an_interrupted_launch_fails_unless_it_was_to_go_on_until_then(stage, caplog):
    stage.stopped_after_s = 2.0
    assert stage.launch(sim=WAITS, task=stage.reports() + WAITS_FOR_INTERRUPTION) == 1
    assert "interrupted" in caplog.text
    assert stage.seen_to_end == {"sim", "task"}


def test_an_endless_launch_ends_well_when_it_is_interrupted(stage):
    stage.stopped_after_s, stage.endless = 2.0, True
    task = stage.reports() + WAITS_FOR_INTERRUPTION.replace("130", "0")
    assert stage.launch(sim=WAITS, task=task) == 0


def test_every_process_is_an_action_of_launch(description):
    assert all(isinstance(one, ExecuteProcess) for one in actions(description) if isinstance(one, Node))
