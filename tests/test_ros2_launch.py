"""The loop whole under the real `ros2 launch`, from a workspace that colcon built.

ROS 2's launch is not on the Python index: all of this is skipped where it is missing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from closed_loop import DOMAIN, PATIENCE_S, wait_until
from colcon_workspace import build_workspace, copy_workspace
from source_tree import ROS_SOURCE
from stand_in import write_stand_in

ROS2 = shutil.which("ros2")
pytest.importorskip("ros2launch.command", reason="ROS2 LAUNCH NOT TESTED: `ros2launch` is not installed here")
pytestmark = [
    pytest.mark.colcon,
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(ROS2 is None, reason="ROS2 LAUNCH NOT TESTED: the command `ros2` is not on PATH"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds the nodes' processes in /proc"),
]
# The workspace's setup.bash is what a user sources.
START = 'source "$1/setup.bash" && shift && exec "$@"'


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> Path:
    """Where colcon has installed the workspace."""
    return build_workspace(copy_workspace(tmp_path_factory.mktemp("workspace")))


class Launch:
    """`ros2 launch grasp_bringup FILE` with a stand-in policy, in a process of its own."""

    def __init__(self, prefix: Path, folder: Path, file: str, *arguments: str) -> None:
        self._prefix = prefix
        self._report, self._output = folder / "report.json", folder / "output.txt"
        files = [f"policy:={write_stand_in(folder, 0.2)}", f"report:={self._report}", "contact_sheet:=none"]
        launch = [str(ROS2), "launch", "grasp_bringup", file, *files, *arguments]
        with self._output.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                ["bash", "-c", START, "bash", str(prefix), *launch],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_LOG_DIR": str(folder / "log")},
            )

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    @property
    def report(self) -> dict[str, Any]:
        """The scoreboard as JSON."""
        return json.loads(self._report.read_text(encoding="utf-8"))

    def wait_for(self, text: str) -> None:
        """Wait until this is printed."""
        wait_until(lambda: text in self.output or self.process.poll() is not None, text)
        assert self.process.poll() is None, self.output

    def finish(self) -> int:
        """Wait for the end; the exit status."""
        status = self.process.wait(PATIENCE_S)
        assert not self.nodes(), self.output
        return status

    def nodes(self) -> dict[str, int]:
        """Process ids of the nodes that run now, by package."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                words = _command(entry)
                found |= {
                    Path(word).parent.name: int(entry.name)
                    for word in words[:2]
                    if word.startswith(str(self._prefix))
                }
        return found

    def end(self) -> None:
        """Leave nothing behind, whatever went wrong."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for identity in self.nodes().values():
            os.kill(identity, signal.SIGKILL)


def _command(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


@pytest.fixture
def launch(prefix, tmp_path) -> Iterator[Any]:
    """Starts a launch with these arguments."""
    started = []

    def start(*arguments: str, file: str = "sim.launch.py") -> Launch:
        started.append(Launch(prefix, tmp_path, file, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_the_loop_runs_whole_and_ends_with_the_scoreboard(launch):
    run = launch("episodes:=2")
    assert run.finish() == 0, run.output
    assert "[grasp_task-4] episode 2/2" in run.output
    assert "Scoreboard" in run.output
    assert (run.report["episodes"], run.report["outcome"]) == (2, "ran whole")
    assert run.report["counters"]["lockstep_timeouts"] == 0


def test_ctrl_c_ends_all_and_the_scoreboard_says_so(launch):
    run = launch("episodes:=2")
    run.wait_for("episode 1/2")
    run.process.send_signal(signal.SIGINT)
    assert run.finish() == 1, run.output
    assert "Scoreboard" in run.output
    assert (run.report["episodes"], run.report["outcome"]) == (1, "interrupted")


def test_a_killed_node_fails_the_launch_and_is_named(launch):
    run = launch("episodes:=3")
    run.wait_for("episode 1/3")
    os.kill(run.nodes()["grasp_policy"], signal.SIGKILL)
    assert run.finish() == 1, run.output
    assert "failed: grasp_policy was killed by SIGKILL" in run.output
    assert run.report["died"] == {"grasp_policy": "was killed by SIGKILL"}


def test_a_terminated_launch_leaves_no_node_behind(launch):
    run = launch("episodes:=0")
    run.wait_for("episode 1 ")
    assert len(run.nodes()) == 4
    run.process.terminate()
    run.process.wait(PATIENCE_S)
    wait_until(lambda: not run.nodes(), "nodes outlived their launch")


def test_a_wrong_argument_is_refused_before_anything_starts(launch):
    run = launch("epsiodes:=5")
    assert run.finish() == 1
    assert "unknown argument 'epsiodes'; did you mean 'episodes'?" in run.output
    assert "process started" not in run.output


def test_a_missing_policy_file_is_refused_before_anything_starts(launch, tmp_path):
    run = launch(f"policy:={tmp_path / 'none.onnx'}")
    assert run.finish() == 1
    assert "policy refused" in run.output
    assert "there is no such policy file" in run.output
    assert "process started" not in run.output


@pytest.mark.parametrize("robot", ["lbr_allegro_v4", "lbr_allegro_v5"])
def test_a_dry_run_of_the_robots_graph_completes_an_episode(launch, tmp_path, robot):
    told = tmp_path / "started.yaml"
    # Without a person to start it.
    told.write_text("/grasp_task: {ros__parameters: {autostart: true, episode_length_s: 1.0}}\n")
    arguments = ("dry_run:=true", "rehearsal:=true", f"robot_config:={robot}", "episodes:=1")
    run = launch(*arguments, f"parameters:={told}", file="real_robot.launch.py")
    assert run.finish() == 0, run.output
    assert (run.report["episodes"], run.report["outcome"]) == (1, "ran whole")
    assert "Dry run, not commanded" in run.output


@pytest.mark.parametrize("test", ["launch_sim.py", "launch_real_robot.py"])
def test_the_tests_for_launch_testing_pass(prefix, tmp_path, test):
    pytest.importorskip("launch_testing", reason="NOT TESTED UNDER LAUNCH_TESTING: it is not installed here")
    place = ROS_SOURCE / "grasp_bringup/test" / test
    files = [f"policy:={write_stand_in(tmp_path, 0.2)}", f"report:={tmp_path / 'report.json'}"]
    command = [sys.executable, "-m", "launch_testing.launch_test", str(place), *files]
    result = subprocess.run(
        ["bash", "-c", START, "bash", str(prefix), *command],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "ROS_LOG_DIR": str(tmp_path / "log")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
