"""The description of the node graph."""

import ast
import importlib.util
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from grasp_bringup.files import shared_file
from grasp_bringup.graph import (
    Graph,
    NodeProcess,
    SimArguments,
    check_spelling,
    described_arguments,
    sim_arguments,
    sim_graph,
    yaml_value,
)


def by_name(graph: Graph) -> dict[str, NodeProcess]:
    return {process.name: process for process in graph.processes}


def test_the_graph_in_simulation_has_its_four_nodes_and_the_task_ends_it():
    graph = sim_graph(SimArguments())
    assert list(by_name(graph)) == ["grasp_sim", "grasp_control", "grasp_policy", "grasp_task"]
    assert graph.ending.name == "grasp_task"


def test_arguments_reach_the_nodes_that_need_them():
    nodes = by_name(
        sim_graph(SimArguments(episodes=7, seed=3, objects="training", lockstep=False, view=True))
    )
    assert nodes["grasp_task"].parameters["episodes"] == 7
    assert nodes["grasp_task"].parameters["autostart"] is True
    sim = nodes["grasp_sim"].parameters
    assert (sim["seed"], sim["objects"], sim["lockstep"], sim["view"]) == (3, "training", False, True)


def test_paths_are_absolute_so_that_no_node_depends_on_where_it_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph = sim_graph(SimArguments(policy="models/x.onnx", report="r.json", contact_sheet="none"))
    nodes = by_name(graph)
    assert nodes["grasp_policy"].parameters["policy"] == str(tmp_path / "models/x.onnx")
    assert graph.report == tmp_path / "r.json"
    assert nodes["grasp_task"].parameters["report"] == str(tmp_path / "r.json")
    assert nodes["grasp_sim"].parameters["contact_sheet"] == ""


def test_the_rate_reporter_is_part_of_the_graph_only_when_asked_for():
    assert "grasp_rates" not in by_name(sim_graph(SimArguments()))
    assert by_name(sim_graph(SimArguments(rates=True)))["grasp_rates"].module == "grasp_bringup.rates"


def test_further_parameters_win_over_the_packages_own_file():
    own = by_name(sim_graph(SimArguments()))["grasp_sim"].parameter_files
    more = by_name(sim_graph(SimArguments(parameters="/etc/mine.yaml")))["grasp_sim"].parameter_files
    assert more == (*own, Path("/etc/mine.yaml"))


def test_every_node_reads_the_same_files_those_that_only_listen_too():
    told = SimArguments(rates=True, record="one.mcap", parameters="/etc/mine.yaml")
    nodes = by_name(sim_graph(told))
    files = {name: process.parameter_files for name, process in nodes.items()}
    assert files == dict.fromkeys(nodes, nodes["grasp_sim"].parameter_files)
    assert {"grasp_rates", "grasp_recorder"} <= set(files)
    assert files["grasp_rates"][-1] == Path("/etc/mine.yaml")


def test_every_node_can_be_started_as_a_module_and_has_an_executable():
    for process in sim_graph(SimArguments(rates=True, record="one.mcap")).processes:
        assert importlib.util.find_spec(process.module) is not None, process.module
        package = importlib.util.find_spec(process.package)
        assert package is not None
        source = Path(package.origin or "").parents[1] / "setup.py"
        assert f"{process.executable} = {process.module}:main" in source.read_text(encoding="utf-8")


def test_a_command_line_uses_the_interpreter_and_neither_bin_nor_lib():
    node = NodeProcess(
        "p", "n", "p.n", "name", (Path("/a.yaml"),), {"x": 1.5, "s": "12", "l": ["a", "b"]}, {"/from": "/to"}
    )
    parameters = ["-p", "x:=1.5", "-p", 's:="12"', "-p", 'l:=["a", "b"]']
    assert node.command("/usr/bin/python3") == [
        *["/usr/bin/python3", "-m", "p.n", "--ros-args", "-r", "__node:=name", "--params-file", "/a.yaml"],
        *parameters,
        *["-r", "/from:=/to", "--enclave", "/name"],
    ]


@pytest.mark.parametrize(
    "value", [True, 0, 20, 1e-05, 1.0, 1e20, "", "12", "1.0", "true", "a: b", 'q"uote', ["x", "1"]]
)
def test_a_value_survives_the_way_through_yaml_with_its_type(value):
    read = yaml.safe_load(yaml_value(value))
    assert read == value
    assert type(read) is type(value)


def test_two_nodes_of_one_name_or_no_end_are_refused():
    graph = sim_graph(SimArguments())
    with pytest.raises(ValueError, match="no name twice"):
        Graph((*graph.processes, graph.processes[0]))
    with pytest.raises(ValueError, match="exactly one"):
        Graph(graph.processes[:2])


def test_arguments_are_read_from_texts_by_the_type_of_their_default():
    read = sim_arguments({"episodes": "5", "view": "1", "lockstep": "false", "policy": "12"})
    assert read == replace(SimArguments(), episodes=5, view=True, lockstep=False, policy="12")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"episodes": "many"}, "argument 'episodes' is 'many'; expected int"),
        ({"view": "maybe"}, "argument 'view' is 'maybe'; expected true or false"),
        ({"epsiodes": "5"}, r"unknown arguments \['epsiodes'\]"),
        ({"episodes": "-1"}, "episodes is -1; expected 0"),
        ({"report": "none"}, "report is 'none'; expected a path"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_name(texts, message):
    with pytest.raises(ValueError, match=message):
        sim_arguments(texts)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("epsiodes", "episodes"),
        ("contact-sheet", "contact_sheet"),
        ("sede", "seed"),
        ("lock_step", "lockstep"),
    ],
)
def test_a_misspelt_argument_is_refused_with_the_one_that_was_meant(given, meant):
    with pytest.raises(ValueError, match=f"unknown argument '{given}'; did you mean '{meant}'"):
        check_spelling(["seed", given])


def test_arguments_of_other_launch_files_are_not_taken_for_misspelt_ones():
    check_spelling([*(one.name for one in fields(SimArguments)), "robot_name", "launch-prefix", "use_rviz"])


def test_every_argument_is_described_with_a_default_that_reads_back():
    described = described_arguments()
    assert [name for name, _, _ in described] == [one.name for one in fields(SimArguments)]
    assert all(text for _, _, text in described)
    assert sim_arguments({name: default for name, default, _ in described}) == SimArguments()


def test_the_parameter_file_speaks_only_to_nodes_of_the_graph():
    told = yaml.safe_load(shared_file("config", "sim.yaml").read_text(encoding="utf-8"))
    names = {f"/{process.name}" for process in sim_graph(SimArguments(rates=True)).processes}
    assert set(told) == names


def test_a_file_that_is_nowhere_is_refused_with_where_it_was_looked_for(monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/opt/some/prefix")
    with pytest.raises(FileNotFoundError, match=r"/opt/some/prefix/share/grasp_bringup/config/no\.yaml"):
        shared_file("config", "no.yaml")


def test_the_launch_file_holds_no_node_of_its_own():
    source = shared_file("launch", "sim.launch.py").read_text(encoding="utf-8")
    imported = {one.module for one in ast.walk(ast.parse(source)) if isinstance(one, ast.ImportFrom)}
    assert "grasp_bringup.graph" in imported
    assert "launch_ros.actions" not in imported


def test_the_recorder_is_part_of_the_graph_only_when_asked_for_and_gets_an_absolute_path(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert sim_graph(SimArguments()).recording is None
    graph = sim_graph(SimArguments(record="one.mcap"))
    assert graph.recording == tmp_path / "one.mcap"
    assert by_name(graph)["grasp_recorder"].parameters == {"file": str(tmp_path / "one.mcap")}


def test_picking_in_simulation_asks_for_objects_and_never_puts_the_robot_back():
    told = by_name(sim_graph(SimArguments(task="picking")))["grasp_task"].parameters
    assert (told["mode"], told["reset_service"]) == ("picking", "/sim/supply")
    assert "reset_service" not in by_name(sim_graph(SimArguments()))["grasp_task"].parameters


def test_a_task_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="task is 'juggling'; expected one of episodes, picking"):
        SimArguments(task="juggling")
