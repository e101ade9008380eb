"""A run that is recorded: what its policy decided comes out again of the recording, bit for bit.

The simulator and every node really run: it takes a while.
"""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from closed_loop import Run, wait_until
from stand_in import write_stand_in

from grasp_bringup.report import write_report
from grasp_description.robot import JOINT_NAMES
from grasp_policy.recordings import Recording, RecordingError, header_stamp_ns
from grasp_policy.replay import INCOMPLETE, SAME, main, replay
from grasp_policy.replaying import read_decision

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the nodes' processes in /proc"),
]
SHORT = "/grasp_task: {ros__parameters: {episode_length_s: 1.0}}\n"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """The recording of two short episodes of a policy that acts by all that it sees."""
    folder = tmp_path_factory.mktemp("recorded")
    path = folder / "run.mcap"
    with run_recorded(folder, path) as run:
        assert run.finish() == 0, run.output
    return path


def run_recorded(folder: Path, recording: Path) -> Run:
    policy = write_stand_in(folder, sees=True)
    short = folder / "short.yaml"
    short.write_text(SHORT)
    arguments = ("--episodes", "2", "--policy", str(policy), "--parameters", str(short))
    return Run(folder, *arguments, "--record", str(recording))


def test_a_recorded_run_is_decided_again_bit_for_bit(recorded, capsys):
    assert main([str(recorded)]) == SAME, capsys.readouterr()
    first, tally, _ = replay(Recording(recorded))
    assert tally.same == tally.decisions >= 50
    assert first.step == 0
    episodes = {read_decision(one).episode_ns for one in Recording(recorded).messages({"/policy/decision"})}
    assert len(episodes) == 2


def test_a_recorded_run_holds_all_that_a_decision_saw_and_caused(recorded):
    recording = Recording(recorded)
    messages = list(recording.messages())
    assert recording.damage == []
    counts = Counter(one.topic for one in messages)
    heard = {
        *("/clock", "/stereo/left/image_rect", "/stereo/right/image_rect", "/stereo/left/camera_info"),
        *("/joint_states", "/policy/joint_target", "/policy/decision", "/control/accepted_target"),
        *("/control/command", "/control/state", "/arm/joint_command", "/hand/joint_command"),
        *("/grasp/state", "/grasp/score", "/diagnostics"),
    }
    assert heard <= set(counts)
    decided, accepted = (
        {header_stamp_ns(one.data) for one in messages if one.topic == topic}
        for topic in ("/policy/decision", "/control/accepted_target")
    )
    assert decided <= accepted
    assert all(one.publish_ns <= one.log_ns for one in messages)


def test_a_recorder_killed_in_an_episode_leaves_what_came_before_to_be_decided_again(tmp_path):
    path = tmp_path / "killed.mcap"
    with run_recorded(tmp_path, path) as run:
        wait_until(lambda: decisions_in(path) > 5 or run.process.poll() is not None, "decisions on disk")
        assert run.process.poll() is None, run.output
        os.kill(run.children()["grasp_bringup"], signal.SIGKILL)
        assert run.finish() == 1, run.output
    assert "grasp_recorder was killed by SIGKILL" in run.output
    assert main([str(path)]) in (SAME, INCOMPLETE)
    tally = replay(Recording(path))[1]
    assert tally.differences == 0
    assert tally.same > 5


def decisions_in(path: Path) -> int:
    if not path.is_file():
        return 0
    return sum(1 for _ in Recording(path).messages({"/policy/decision"}))


def test_a_recording_that_is_there_already_is_refused_before_anything_starts(tmp_path):
    path = tmp_path / "run.mcap"
    path.write_text("precious")
    with run_recorded(tmp_path, path) as run:
        assert run.finish() == 2, run.output
    assert f"recording {path} is there already" in run.output
    assert path.read_text() == "precious"


def test_the_recorder_refuses_to_start_without_a_file():
    command = [sys.executable, "-m", "grasp_bringup.recorder_node"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 2
    assert "parameter 'file' is empty" in told.stderr


def test_a_page_of_the_recorded_run_shows_both_episodes_and_needs_no_other_file(recorded, tmp_path):
    page = tmp_path / "page.html"
    assert write_report(Recording(recorded), page) == 2
    text = page.read_text(encoding="utf-8")
    assert text.count('src="data:image/png;base64,') == 2 * 3
    assert "src=" not in text.replace('src="data:image/png;base64,', "")
    assert "<h2>Episode 2</h2>" in text
    assert all(name in text for name in JOINT_NAMES)
    with pytest.raises(RecordingError, match="no episode 3; it has 1 to 2"):
        write_report(Recording(recorded), page, number=3)
