"""The loop whole: every node, started by the runner, with a small stand-in policy.

Each takes a while: the simulator loads its ray tracer, and every simulated step is really taken.
"""

import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from closed_loop import Listener, Run, commands_by_tick, nanoseconds, wait_until
from fault_table.judging import Command, violations
from stand_in import write_stand_in

from grasp_description.robot import JOINT_NAMES

pytestmark = [
    pytest.mark.ros,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the nodes' processes in /proc"),
]
TARGET_TIMEOUT_S = 0.1
CONTROL_PERIOD_S = 1 / 30
EPISODE_STEPS, EPISODE_TICKS = 150, 600


def test_the_loop_runs_whole_in_lockstep_and_every_command_keeps_the_limits(tmp_path):
    policy = write_stand_in(tmp_path, turn_rad_s=0.2)
    with Listener() as heard, Run(tmp_path, "--episodes", "2", "--policy", str(policy)) as run:
        status = run.finish()
        assert status == 0, run.output
        assert run.children() == {}
    report = run.report
    assert (report["episodes"], report["wanted"], report["outcome"]) == (2, 2, "ran whole")
    assert abs(report["counters"]["inferences"] - 2 * EPISODE_STEPS) <= 4, (
        "one inference a frame, none left out"
    )
    assert [one["duration_s"] for one in report["results"]] == pytest.approx([5.0, 5.0], abs=0.05)
    assert report["faults"] == []
    assert report["counters"]["lockstep_timeouts"] == 0
    assert "episode 2/2" in run.output
    assert "Scoreboard" in run.output
    second = heard.words[heard.words.index("release") + 1 :]
    assert second == ["homing", "resetting", "grasp", "release", "done"]
    check_limits(heard)


def test_what_happens_in_an_episode_does_not_hang_on_how_fast_the_machine_is(tmp_path):
    policy = write_stand_in(tmp_path, sees=True)
    for _ in range(3):
        quick, slow = (
            run_at_pace(tmp_path, policy, idle_wait_s, pause_s)
            for idle_wait_s, pause_s in ((0.0005, 0.0), (0.02, 0.3))
        )
        assert quick.verdicts == slow.verdicts
        # A listener that missed the command before an episode's first frame cannot tell where it began.
        if len(quick.episodes) == len(slow.episodes) == 2:
            break
    assert len(quick.episodes) == len(slow.episodes) == 2
    for one, other in zip(quick.episodes, slow.episodes, strict=True):
        both = sorted(set(one) & set(other))
        # A listener may miss some of what is sent while the machine is busy.
        assert len(both) > 0.9 * EPISODE_TICKS
        assert np.ptp([one[tick] for tick in both], axis=0).max() > 0.05, "it moves"
        assert all(one[tick] == other[tick] for tick in both), "bit for bit"


@dataclass
class Course:
    """What happened in the episodes of a run, on their own clocks."""

    verdicts: list[tuple]
    episodes: list[dict[int, tuple[float, ...]]]
    """of each episode the positions commanded, by tick since its first frame"""


def run_at_pace(folder: Path, policy: Path, idle_wait_s: float, pause_s: float) -> Course:
    """Two episodes, of a simulator that hurries or tarries while nobody is waited for.

    Args:
        folder: for files
        policy: policy file
        idle_wait_s: s of wall time of a tick in which nobody is waited for
        pause_s: s for which policy, command and task node stand still in turns; 0 for never
    """
    pace = folder / "pace.yaml"
    pace.write_text(
        f"/grasp_sim: {{ros__parameters: {{idle_wait_s: {idle_wait_s}, command_limit_s: 20.0}}}}\n"
    )
    arguments = ("--episodes", "2", "--seed", "4", "--policy", str(policy), "--parameters", str(pace))
    with Listener() as heard, Run(folder, *arguments) as run:
        # Not while nodes still find each other: nobody waits for the listener.
        wait_until(lambda: heard.commands or run.process.poll() is not None, "the first command")
        while pause_s and run.process.poll() is None:
            hinder(run, pause_s)
        assert run.finish() == 0, run.output
    assert run.report["counters"]["lockstep_timeouts"] == 0
    kept = ("object_name", "family", "success", "cause", "dropped")
    verdicts = [tuple(one[name] for name in kept) for one in run.report["results"]]
    return Course(verdicts, commands_by_tick(heard.commands, EPISODE_TICKS))


def hinder(run: Run, pause_s: float) -> None:
    """Make each node but the simulator stand still for a while, one after the other."""
    for name in ("grasp_policy", "grasp_control", "grasp_task"):
        node = run.children().get(name)
        # It may end at any moment, as the run does.
        with suppress(ProcessLookupError):
            if node is not None:
                os.kill(node, signal.SIGSTOP)
                time.sleep(pause_s)
                os.kill(node, signal.SIGCONT)
        time.sleep(pause_s)


def test_a_killed_policy_node_the_arm_holds_in_time_the_scoreboard_says_why_and_the_runner_fails(tmp_path):
    policy = write_stand_in(tmp_path, turn_rad_s=0.4)
    with Listener() as heard, Run(tmp_path, "--episodes", "3", "--policy", str(policy)) as run:
        # In the second episode: by then the listener has been found by everyone.
        ended = run.process.poll
        wait_until(lambda: "release" in heard.words or ended() is not None, "the first episode")
        wait_until(lambda: heard.words[-1] == "grasp" or ended() is not None, "the second episode")
        begun = len(heard.accepted)
        wait_until(lambda: len(heard.accepted) > begun + 20 or ended() is not None, "some steps of it")
        assert ended() is None, run.output
        os.kill(run.children()["grasp_policy"], signal.SIGKILL)
        status = run.finish()
        assert run.children() == {}
    assert status == 1, run.output
    assert "grasp_policy was killed by SIGKILL" in run.output
    report = run.report
    assert report["died"] == {"grasp_policy": "was killed by SIGKILL"}
    assert report["results"][1]["success"] is False
    assert "no fresh target" in report["results"][1]["cause"]
    check_limits(heard)
    check_held(heard)


def test_a_policy_that_is_refused_ends_the_run_and_the_report_quotes_why(tmp_path):
    policy = write_stand_in(tmp_path)
    # The file is sound, so the run begins: only the node knows that it cannot have this provider.
    asked = tmp_path / "asked.yaml"
    asked.write_text("/grasp_policy: {ros__parameters: {providers: [NoSuchExecutionProvider]}}\n")
    arguments = ("--episodes", "1", "--policy", str(policy), "--parameters", str(asked))
    with Run(tmp_path, *arguments) as run:
        status = run.finish()
    assert status == 3, run.output
    outcome = run.report["outcome"]
    assert "/grasp_policy refused to configure" in outcome
    assert "grasp_policy says: refused:" in outcome


def check_limits(heard: Listener) -> None:
    """All commands of the run, each sequence from an arming on by itself, lie within the joints' limits."""
    assert all(tuple(command.name) == JOINT_NAMES for command in heard.commands)
    commands = [
        Command(nanoseconds(one.header.stamp), np.array(one.position), np.array(one.velocity))
        for one in heard.commands
    ]
    # A word and a command are not heard in the order in which they were sent: by one command, either way.
    armed = [place for word, place in heard.control_words if word == "armed"]
    near = {min(max(place - 1 + late, 0), len(commands) - 1) for place in armed for late in (0, 1)}
    # The listener may join while the robot moves already; what came before is unknown: start at rest.
    first = next(place for place, command in enumerate(commands) if command.at_rest)
    assert len(commands) - first > 100
    assert violations(commands[first:], [commands[place].stamp_ns for place in sorted(near)]) == []


def check_held(heard: Listener) -> None:
    """After the last target, the robot brakes within the time-out and one control period, and then stands."""
    stamp_ns, place = heard.accepted[-1]
    holding = next(at for word, at in heard.control_words if word == "holding" and at >= place)
    began_ns = nanoseconds(heard.commands[min(holding, len(heard.commands) - 1)].header.stamp)
    assert 1e-9 * (began_ns - stamp_ns) <= TARGET_TIMEOUT_S + CONTROL_PERIOD_S + 1e-6
    speeds = np.abs([command.velocity for command in heard.commands[holding - 1 :]]).max(axis=1)
    assert speeds[-1] == 0.0, "it stands"
    assert np.all(np.diff(speeds) <= 1e-9), "and never gains speed on the way there"
