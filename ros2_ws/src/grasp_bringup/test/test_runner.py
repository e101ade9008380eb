"""The runner's verdict: what its exit status says about a run."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from grasp_bringup.graph import Graph, NodeProcess, SimArguments, sim_graph
from grasp_bringup.real import RealArguments, real_graph
from grasp_bringup.runner import main, parse_arguments, run_graph
from grasp_bringup.supervisor import Ending, Patience
from grasp_bringup.verdict import (
    INTERRUPTED,
    NO_INFERENCE,
    NODE_DIED,
    OK,
    REFUSED,
    RunRefusedError,
    begin,
    judge,
)
from grasp_policy.testing import sample_spec, write_sample
from grasp_policy.workcell_contract import workcell_contract

WHOLE = {"outcome": "ran whole", "counters": {"inferences": 150}}
IDLE = {"outcome": "no inference happened", "counters": {"inferences": 0}}


@pytest.mark.parametrize(
    ("ending", "report", "endless", "status", "words"),
    [
        (Ending(status=0), WHOLE, False, OK, "the loop ran whole"),
        (Ending(status=0), None, False, NODE_DIED, "wrote no report"),
        (Ending(status=3), IDLE, False, NO_INFERENCE, "no inference happened"),
        (Ending(status=0), IDLE, False, NO_INFERENCE, "no inference happened"),
        (Ending(status=0), {"counters": None}, False, NO_INFERENCE, "no inference happened"),
        (
            Ending(status=1),
            {**WHOLE, "outcome": "ended early: stuck"},
            False,
            1,
            "failed: ended early: stuck",
        ),
        (Ending(status=-9), WHOLE, False, NODE_DIED, "failed"),
        (
            Ending(status=0, died={"grasp_policy": -9}),
            WHOLE,
            False,
            NODE_DIED,
            "grasp_policy was killed by SIGKILL",
        ),
        (Ending(status=130, interrupted=True), WHOLE, False, INTERRUPTED, "interrupted"),
        (Ending(status=0, interrupted=True), WHOLE, True, OK, "the loop ran whole"),
        (Ending(status=3, interrupted=True), IDLE, True, NO_INFERENCE, "no inference happened"),
    ],
)
def test_the_status_says_how_the_run_went(ending, report, endless, status, words):
    found, why = judge(ending, report, endless)
    assert found == status
    assert words in why


def test_the_command_line_knows_every_argument_of_the_graph():
    read = parse_arguments(
        ["sim", "--episodes", "3", "--view", "0", "--objects", "training", "--contact-sheet", "none"]
    )
    assert read == SimArguments(episodes=3, objects="training", contact_sheet="none")


def test_the_command_line_knows_the_robot_too():
    read = parse_arguments(["real", "--robot-config", "lbr_allegro_v5", "--dry-run", "yes"])
    assert read == RealArguments(robot_config="lbr_allegro_v5", dry_run=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            RealArguments(drivers=True),
            "hardware.launch.py, allegro_hand.launch.py can only be started by ros2",
        ),
        (RealArguments(rviz=True), "robot_state_publisher, rviz2 can only be started by ros2 launch"),
    ],
)
def test_what_only_ros2_launch_can_start_is_refused_before_anything_starts(arguments, words, capsys):
    assert run_graph(real_graph(arguments)) == REFUSED
    assert words in capsys.readouterr().err


def test_a_process_whose_module_is_not_installed_is_refused_before_anything_starts(fakes, capsys):
    graph = fakes()
    strange = replace(graph.processes[0], name="grasp_recorder", module="grasp_bringup.no_such")
    assert run_graph(replace(graph, processes=(strange, *graph.processes))) == REFUSED
    assert "grasp_recorder needs the Python module grasp_bringup.no_such" in capsys.readouterr().err


def test_a_robots_file_that_is_missing_is_refused_with_a_message(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["real", "--robot-config", "/no/such.yaml"])
    assert ended.value.code == REFUSED
    assert "/no/such.yaml is none" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line", [[], ["fly"], ["sim", "--episodes", "x"], ["sim", "--wings", "2"], ["real", "--seed", "1"]]
)
def test_a_wrong_command_line_ends_with_status_2_and_a_message(line, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_arguments(line)
    assert ended.value.code == 2
    assert "grasp_run" in capsys.readouterr().err


FAKE = """
import json, pathlib, signal, sys, time

def parameter(name):
    prefix = name + ":="
    return next((json.loads(one[len(prefix):]) for one in sys.argv if one.startswith(prefix)), None)

def main():
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    report, words = parameter("report"), parameter("words")
    print("argument words is", words, flush=True)
    if parameter("inferences") is not None:
        document = {"outcome": words, "counters": {"inferences": parameter("inferences")}}
        pathlib.Path(report).write_text(json.dumps(document))
    time.sleep(parameter("seconds"))
    sys.exit(parameter("status"))

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """A package of fake nodes, and a graph of two of them."""
    folder = tmp_path / "fake_nodes"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "node.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    report = tmp_path / "report.json"

    def graph(*, inferences=5, task_seconds=0.5, task_status=0, sim_seconds=60.0, sim_status=0) -> Graph:
        sim = {"seconds": sim_seconds, "status": sim_status}
        task = {"seconds": task_seconds, "status": task_status, "report": str(report), "words": "12"}
        if inferences is not None:
            task["inferences"] = inferences
        return Graph(
            (
                NodeProcess("fake_nodes", "node", "fake_nodes.node", "fake_sim", (), sim),
                NodeProcess("fake_nodes", "node", "fake_nodes.node", "fake_task", (), task, ends_graph=True),
            ),
            report,
        )

    return graph


HURRIED = Patience(last_words_s=0.5, interrupt_s=5.0, terminate_s=1.0)


def test_a_run_that_goes_well_exits_with_zero_and_prefixes_what_nodes_print(fakes, capsys):
    assert run_graph(fakes(), patience=HURRIED) == OK
    out = capsys.readouterr().out
    assert "fake_task | argument words is 12" in out
    assert "fake_sim  | argument words is None" in out
    assert "the loop ran whole" in out


def test_a_run_without_inference_does_not_pass(fakes, capsys):
    assert run_graph(fakes(inferences=0), patience=HURRIED) == NO_INFERENCE
    assert "no inference happened" in capsys.readouterr().err


def test_a_run_without_report_does_not_pass_even_if_an_old_report_lies_there(fakes):
    graph = fakes(inferences=None)
    graph.report.write_text(json.dumps(WHOLE))
    assert run_graph(graph, patience=HURRIED) == NODE_DIED
    assert not graph.report.exists()


def test_a_dead_node_is_named_on_the_screen_and_in_the_report(fakes, capsys):
    graph = fakes(task_seconds=60.0, sim_seconds=0.7, sim_status=7)
    assert run_graph(graph, patience=HURRIED) == NODE_DIED
    printed = capsys.readouterr()
    assert "fake_sim exited with status 7: ending the run" in printed.out
    assert "failed: fake_sim exited with status 7" in printed.err
    assert json.loads(graph.report.read_text())["died"] == {"fake_sim": "exited with status 7"}


def test_ctrl_c_ends_all_in_order(fakes, tmp_path):
    source = (
        "import sys\nfrom pathlib import Path\nfrom grasp_bringup.graph import Graph, NodeProcess\n"
        "from grasp_bringup.runner import run_graph\n"
        "common = ('fake_nodes', 'node', 'fake_nodes.node')\n"
        "sim = {'seconds': 60.0, 'status': 0}\n"
        f"task = {{**sim, 'inferences': 5, 'report': {str(tmp_path / 'report.json')!r}}}\n"
        "nodes = (NodeProcess(*common, 'fake_sim', (), sim),"
        " NodeProcess(*common, 'fake_task', (), task, ends_graph=True))\n"
        f"sys.exit(run_graph(Graph(nodes, Path(task['report']))))"
    )
    runner = subprocess.Popen(
        [sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert runner.stdout is not None
    said = [runner.stdout.readline() for _ in range(2)]
    assert all(b"argument words is" in line for line in said)
    runner.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert runner.wait(timeout=30.0) == INTERRUPTED
    assert time.monotonic() - started < 20.0
    assert b"interrupted" in runner.stdout.read()
    runner.stdout.close()


def missing(policy: Path) -> None:
    policy.unlink()


def tampered(policy: Path) -> None:
    policy.write_bytes(policy.read_bytes().replace(b"sample", b"simple", 1))


def without_card(policy: Path) -> None:
    policy.with_suffix(".md").unlink()


def for_another_robot(policy: Path) -> None:
    write_sample(policy.parent, name=policy.stem)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (missing, "there is no such policy file"),
        (tampered, "SHA-256"),
        (without_card, "the model card is missing"),
        (for_another_robot, "joint_names"),
    ],
)
def test_a_policy_file_that_its_node_would_refuse_is_refused_before_anything_starts(
    fakes, tmp_path, capsys, harm, words
):
    policy = write_sample(tmp_path, sample_spec(workcell_contract()))
    harm(policy)
    graph = replace(fakes(), policy=policy)
    graph.report.write_text(json.dumps(WHOLE))
    assert run_graph(graph, patience=HURRIED) == REFUSED
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"grasp_run: policy refused: {policy.with_suffix('')}" in printed.err
    assert words in printed.err
    assert not graph.report.exists(), "an earlier run's report would speak for this one"


def test_a_sound_policy_file_may_run(fakes, tmp_path):
    begin(replace(fakes(), policy=write_sample(tmp_path, sample_spec(workcell_contract()))))


def test_where_a_policy_file_cannot_be_checked_its_node_has_the_word(fakes, tmp_path, monkeypatch):
    broken = tmp_path / "onnx.py"
    broken.write_text("raise ImportError('not for this interpreter')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    graph = replace(fakes(), policy=tmp_path / "none.onnx")
    begin(graph)
    broken.unlink()
    with pytest.raises(RunRefusedError, match="there is no such policy file"):
        begin(graph)


def test_the_graph_says_where_its_report_is_and_whether_it_is_endless():
    graph = sim_graph(SimArguments(report="/tmp/a/b.json", episodes=0))
    assert graph.report == Path("/tmp/a/b.json")
    assert graph.endless
    assert not sim_graph(SimArguments()).endless
    assert sim_graph(SimArguments(policy="/tmp/x.onnx")).policy == Path("/tmp/x.onnx")
