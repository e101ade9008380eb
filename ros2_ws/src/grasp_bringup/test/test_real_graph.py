"""The graph on the robot and its rehearsal, and the robots' files."""

import ast
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from grasp_bringup.files import shared_file
from grasp_bringup.graph import (
    ALONE,
    PROFILES,
    Graph,
    NodeProcess,
    arguments_from,
    check_spelling,
    described_arguments,
)
from grasp_bringup.real import CANONICAL_STATES, RealArguments, real_graph
from grasp_bringup.robot_file import RobotFileError, read_robot, robot_names
from grasp_bringup.verdict import RunRefusedError, begin
from grasp_description.drivers import DRIVER_STYLES
from grasp_task.picking import Picking

ROBOTS = robot_names()


def by_name(graph: Graph) -> dict[str, NodeProcess]:
    return {process.name: process for process in graph.processes}


def test_on_the_robot_cameras_start_first_and_the_task_last_whose_end_is_the_end():
    graph = real_graph(RealArguments())
    assert list(by_name(graph)) == ["grasp_camera", "grasp_control", "grasp_policy", "grasp_task"]
    assert graph.ending.name == "grasp_task"
    assert graph.bringups == ()
    assert graph.environment.keys() == {PROFILES}, "it talks to the drivers' machines"


def test_a_rehearsal_has_the_simulator_in_place_of_cameras_and_drivers_and_stays_on_this_machine():
    graph = real_graph(RealArguments(rehearsal=True, robot_config="lbr_allegro_v5"))
    nodes = by_name(graph)
    assert list(nodes) == ["grasp_sim", "grasp_control", "grasp_policy", "grasp_task"]
    assert nodes["grasp_sim"].parameters["driver_style"] == "lbr+allegro_v5"
    assert nodes["grasp_task"].parameters["camera_node"] == ""
    assert graph.environment == {**ALONE, PROFILES: graph.environment[PROFILES]}


def test_nothing_starts_by_itself():
    for name in ROBOTS:
        assert read_robot(name).nodes["grasp_task"]["autostart"] is False
        assert read_robot(name).nodes["grasp_task"]["resume_after_fault"] is False
    assert "autostart" not in by_name(real_graph(RealArguments()))["grasp_task"].parameters


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_is_the_command_nodes_business_and_a_simulated_driver_is_not_waited_for(dry_run):
    nodes = by_name(real_graph(RealArguments(rehearsal=True, dry_run=dry_run)))
    assert nodes["grasp_control"].parameters["dry_run"] is dry_run
    assert nodes["grasp_sim"].parameters["drivers_commanded"] is not dry_run


def test_all_but_the_command_node_hear_joint_states_in_canonical_names():
    nodes = by_name(real_graph(RealArguments(rviz=True)))
    assert nodes["grasp_control"].parameters["canonical_states_topic"] == CANONICAL_STATES
    for name in ("grasp_policy", "grasp_task", "robot_state_publisher"):
        assert nodes[name].remappings == {"/joint_states": CANONICAL_STATES}


def test_the_recorder_is_there_only_when_asked_for(tmp_path):
    assert "grasp_recorder" not in by_name(real_graph(RealArguments()))
    recorder = by_name(real_graph(RealArguments(record=str(tmp_path / "a.mcap"))))["grasp_recorder"]
    assert recorder.parameters["file"] == str(tmp_path / "a.mcap")


def test_drivers_are_started_only_when_asked_for_each_as_its_maker_does():
    v4 = real_graph(RealArguments(drivers=True))
    assert [(one.package, one.launch_file) for one in v4.bringups] == [
        ("lbr_bringup", "hardware.launch.py"),
        ("allegro_hand_bringup", "allegro_hand.launch.py"),
    ]
    assert v4.bringups[0].arguments == {"model": "iiwa7", "ctrl": "forward_position_controller"}
    v5 = real_graph(RealArguments(drivers=True, robot_config="lbr_allegro_v5"))
    assert [one.package for one in v5.bringups] == ["lbr_bringup"]
    assert v5.processes[0].executable == "allegro_node_grasp"


def test_values_for_a_driver_that_is_a_node_keep_their_types(tmp_path):
    told = yaml.safe_load(read_robot("lbr_allegro_v4").path.read_text(encoding="utf-8"))
    entry = "driver run rate:=200 gain:=0.5 simulated:=false device:=can0"
    told["/grasp_bringup"]["ros__parameters"]["bringups"] = [entry]
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(told))
    (node,) = [one for one in real_graph(RealArguments(str(file), drivers=True)).processes if not one.module]
    assert node.parameters == {"rate": 200, "gain": 0.5, "simulated": False, "device": "can0"}


def test_a_recording_on_the_robot_holds_what_the_drivers_say_and_get(tmp_path):
    graph = real_graph(RealArguments(record=str(tmp_path / "one.mcap")))
    topics = by_name(graph)["grasp_recorder"].parameters["more_topics"]
    assert {"/lbr/joint_states", "/lbr/forward_position_controller/commands"} <= set(topics)


def test_parameters_that_are_nowhere_are_refused_before_anything_starts(tmp_path):
    graph = real_graph(RealArguments(parameters=str(tmp_path / "none.yaml")))
    with pytest.raises(RunRefusedError, match=r"none\.yaml is not there"):
        begin(graph)


def test_rviz_may_be_closed():
    graph = real_graph(RealArguments(rviz=True))
    assert [one.name for one in graph.processes if one.onlooker] == ["robot_state_publisher", "rviz2"]


def test_a_rehearsal_with_the_robots_drivers_is_refused():
    with pytest.raises(ValueError, match="a rehearsal moves no robot"):
        RealArguments(rehearsal=True, drivers=True)


def test_further_parameters_win_over_the_robots_own():
    files = by_name(real_graph(RealArguments(rehearsal=True, parameters="/etc/mine.yaml")))["grasp_sim"]
    names = [file.name for file in files.parameter_files]
    assert names == ["lbr_allegro_v4.yaml", "rehearsal.yaml", "mine.yaml"]


@pytest.mark.parametrize("rehearsal", [True, False])
def test_every_node_of_ours_reads_the_same_files_the_recorder_too(tmp_path, rehearsal):
    arguments = RealArguments(
        rehearsal=rehearsal, record=str(tmp_path / "a.mcap"), parameters="/etc/mine.yaml"
    )
    nodes = by_name(real_graph(arguments))
    files = {name: process.parameter_files for name, process in nodes.items()}
    assert files == dict.fromkeys(nodes, nodes["grasp_task"].parameter_files)
    assert files["grasp_recorder"][-1] == Path("/etc/mine.yaml")


def test_arguments_are_described_read_back_and_checked_for_spelling():
    described = described_arguments(RealArguments)
    assert [name for name, _, _ in described] == [one.name for one in fields(RealArguments)]
    told = {name: default for name, default, _ in described}
    assert arguments_from(RealArguments, told) == RealArguments()
    with pytest.raises(ValueError, match="did you mean 'dry_run'"):
        check_spelling(["dryrun"], RealArguments)


@pytest.mark.parametrize("name", ROBOTS)
def test_a_robots_file_says_what_its_drivers_makers_say(name):
    robot = read_robot(name)
    told = robot.nodes["grasp_control"]
    for driver in DRIVER_STYLES[robot.driver_style]:
        part = driver.part
        assert told[f"{part}_states_topic"] == driver.states_topic
        assert told[f"{part}_command_topic"] == driver.command_topic
        assert told[f"{part}_command_style"] == driver.command_style
        assert tuple(told[f"{part}_driver_joints"]) == driver.own_names
        assert tuple(told.get(f"{part}_joints", driver.joints)) == driver.joints
        assert tuple(told.get(f"{part}_lower_rad", ())) == driver.lower_rad
        assert tuple(told.get(f"{part}_upper_rad", ())) == driver.upper_rad


def test_every_style_has_a_robot():
    assert {read_robot(name).driver_style for name in ROBOTS} == set(DRIVER_STYLES)


def test_the_rehearsals_file_speaks_only_to_nodes_of_the_graph():
    told = yaml.safe_load(shared_file("config", "rehearsal.yaml").read_text(encoding="utf-8"))
    assert set(told) == {f"/{name}" for name in by_name(real_graph(RealArguments(rehearsal=True)))}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "cannot be read"),
        ("- 1", "cannot be read"),
        ("", "cannot be read"),
        ("/grasp_control: {}", "cannot be read"),
        ("/grasp_task: {ros__parameters: {episodes: 1}}", r"without \['bringups', 'driver_style'\]"),
        (
            "/grasp_bringup: {ros__parameters: {driver_style: x, bringups: [], bringup: []}}",
            r"unknown entries \['bringup'\]",
        ),
    ],
)
def test_a_robots_file_that_cannot_be_is_refused_with_its_path(tmp_path: Path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RobotFileError, match=message) as refused:
        read_robot(str(path))
    assert str(path) in str(refused.value)


def test_a_robot_that_is_nowhere_is_refused_with_those_that_are_there():
    with pytest.raises(RobotFileError, match="expected a path, or one of lbr_allegro_v4, lbr_allegro_v5"):
        read_robot("lbr_allegro_v6")
    with pytest.raises(RobotFileError, match=r"/no/such\.yaml is none"):
        read_robot("/no/such.yaml")


def test_the_launch_file_holds_no_node_of_its_own():
    source = shared_file("launch", "real_robot.launch.py").read_text(encoding="utf-8")
    imported = {one.module for one in ast.walk(ast.parse(source)) if isinstance(one, ast.ImportFrom)}
    assert "grasp_bringup.real" in imported
    assert "launch_ros.actions" not in imported


def test_picking_on_the_robot_is_supplied_by_people_and_in_a_rehearsal_by_the_simulator():
    told = by_name(real_graph(RealArguments(task="picking")))["grasp_task"].parameters
    assert told["mode"] == "picking"
    assert "reset_service" not in told
    rehearsed = by_name(real_graph(RealArguments(task="picking", rehearsal=True)))["grasp_task"].parameters
    assert rehearsed["reset_service"] == "/sim/supply"


def test_every_robots_bin_is_within_the_arms_limits():
    for name in ROBOTS:
        task = read_robot(name).nodes["grasp_task"]
        Picking(**{key: tuple(task[key]) for key in ("bin_arm_rad", "reach_lower_m", "reach_upper_m")})
