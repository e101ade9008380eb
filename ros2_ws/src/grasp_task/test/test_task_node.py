"""The task node among small stand-ins for the other nodes, over real topics and services."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from fake_graph import with_parameters

from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_task.episode import Phase, Step
from grasp_task.task_node import EXIT_ENDED_EARLY, EXIT_INTERRUPTED, EXIT_NO_INFERENCE, EXIT_WHOLE

pytestmark = pytest.mark.ros
QUICK = {
    "episodes": 1,
    "reset_service": "/sim/reset",
    "score_source": "/sim/object_pose",
    "episode_length_s": 1.5,
    "motion_speed": 1.0,
    "stand_down_limit_s": 2.0,
}


@with_parameters(autostart=True, episodes=2)
def test_a_run_of_two_episodes_is_scored_reported_and_ends(graph):
    graph.spin_until(lambda: graph.task.finished, "the end")
    graph.word("done")
    once = ["homing", "resetting", "grasp", "hold", "release"]
    assert [word for word in graph.words if word not in ("idle", "lift")] == [*once, *once, "done"]
    assert graph.task.conclude(interrupted=False) == EXIT_WHOLE
    told = graph.report
    assert (told["episodes"], told["successes"], told["outcome"]) == (2, 2, "ran whole")
    assert told["by_family"]["mug"]["episodes"] == 2
    assert told["counters"]["inferences"] > 40
    assert graph.robot.resets == graph.policy.activations == 2
    assert graph.control.word == "disarmed"
    assert not graph.policy.active


@with_parameters(autostart=True)
def test_a_report_that_cannot_be_written_leaves_no_policy_active_and_is_told(graph):
    graph.word("grasp")
    folder = Path(graph.task.parameters.report).parent
    shutil.rmtree(folder)
    folder.touch()
    graph.spin_until(lambda: graph.task.finished, "the end")
    assert not graph.policy.active
    assert graph.control.word == "disarmed"
    assert graph.task.conclude(interrupted=False) == EXIT_ENDED_EARLY


@with_parameters(camera_node="/grasp_camera")
def test_a_stop_before_the_command_node_is_configured_has_nothing_to_disarm(graph):
    graph.control.destroy_disarm()  # which a real one offers from then on
    graph.spin_until(lambda: graph.task.state.control == "unconfigured", "the command node's word")
    assert graph.call("/grasp/start").success
    graph.spin_until(lambda: graph.camera.active, "the camera node's activation")
    assert graph.call("/grasp/stop").success
    graph.word("stopped")
    assert graph.task.scoreboard.faults == []


@with_parameters(autostart=True)
def test_the_tasks_own_targets_lead_home_and_stop_before_the_policy_acts(graph):
    graph.word("grasp")
    kinds = [kind for kind, _ in graph.control.targets]
    own = [message for kind, message in graph.control.targets if kind == "task"]
    assert kinds[: len(own)] == ["task"] * len(own), "never both at a time"
    assert all(tuple(message.joint_names) == JOINT_NAMES for message in own)
    path = np.array([message.points[0].positions for message in own])
    assert np.abs(path[0] - HOME_POSITION).max() > 0.1
    assert path[-1] == pytest.approx(HOME_POSITION, abs=0.3)
    assert np.all(np.diff(np.abs(path - HOME_POSITION).max(axis=1)) <= 1e-9)


def test_nothing_moves_before_start_and_stop_and_start_work_at_any_time(graph):
    graph.word("idle")
    assert graph.control.targets == []
    assert graph.call("/grasp/start").success
    graph.word("grasp")
    refused = graph.call("/grasp/start")
    assert not refused.success
    assert "already at work" in refused.message
    assert graph.call("/grasp/stop").success
    graph.spin_until(lambda: graph.task.state.step is Step.STOPPED, "standing down")
    assert (graph.control.word, graph.policy.active) == ("disarmed", False)
    assert graph.call("/grasp/start").success
    graph.spin_until(lambda: graph.task.finished, "the end")
    graph.task.conclude(interrupted=False)
    told = graph.report
    assert (told["episodes"], told["successes"]) == (1, 1), "the stopped episode counts neither way"
    assert [one["counts"] for one in told["results"]] == [False, True]


def test_home_goes_home_and_rests_idle_and_disarmed(graph):
    assert graph.call("/grasp/home").success
    graph.word("homing")
    graph.word("idle")
    assert graph.control.word == "disarmed"
    assert graph.robot.position[:7] == pytest.approx(HOME_POSITION[:7], abs=0.06)
    assert graph.policy.activations == 0


@with_parameters(autostart=True)
def test_a_hold_in_mid_episode_is_a_fault_with_the_command_nodes_reason(graph):
    graph.word("hold")
    graph.control.say("holding", "no fresh target")
    graph.word("fault")
    graph.spin_until(lambda: graph.task.state.step is Step.FAULT, "standing down")
    assert "'holding': no fresh target" in graph.task.state.reason
    assert graph.control.word == "disarmed"
    assert graph.report["results"][0]["cause"] == "the command node went to 'holding': no fresh target"


@with_parameters(autostart=True, resume_after_fault=True)
def test_a_dead_policy_node_ends_an_unattended_run_and_is_named(graph):
    graph.word("hold")
    graph.kill(graph.policy)
    graph.control.say("holding", "no fresh target")
    graph.spin_until(lambda: graph.task.finished, "the end")
    assert graph.task.conclude(interrupted=False) == EXIT_ENDED_EARLY
    outcome = graph.report["outcome"]
    assert "no fresh target" in outcome
    assert "/grasp_policy/get_state" in outcome


@with_parameters(autostart=True, startup_limit_s=1.5)
def test_a_command_node_that_is_not_there_is_named_after_the_limit(graph):
    graph.kill(graph.control)
    graph.word("fault")
    assert "/grasp_control/get_state" in graph.task.state.reason


@with_parameters(autostart=True, startup_limit_s=1.5)
def test_a_robot_that_says_nothing_is_named_after_the_limit(graph):
    graph.kill(graph.robot)
    graph.word("fault")
    assert "no complete message on /joint_states" in graph.task.state.reason


@with_parameters(autostart=True, episodes=1, autostart_listener="grasp_recorder")
def test_nothing_begins_before_the_listener_says_that_it_is_ready(graph):
    publisher = graph.control.create_publisher(DiagnosticArray, "/diagnostics", 10)
    heard = graph.task.scoreboard.diagnostics

    def say(ready: str) -> None:
        values = [KeyValue(key="ready", value=ready)]
        publisher.publish(DiagnosticArray(status=[DiagnosticStatus(name="grasp_recorder", values=values)]))

    def told(ready: str) -> bool:
        say(ready)
        return heard.get("grasp_recorder") == {"ready": ready}

    graph.spin_until(lambda: told("false"), "the listener is heard")
    assert graph.task.state.phase is Phase.IDLE
    graph.spin_until(lambda: told("true"), "the listener is ready")
    graph.spin_until(lambda: graph.task.finished, "the end")
    assert graph.report["faults"] == []


@with_parameters(autostart=True, startup_limit_s=1.5, autostart_listener="grasp_recorder")
def test_a_listener_that_never_gets_ready_is_a_fault_and_no_reason_to_stand_still(graph):
    graph.word("grasp")
    assert graph.report["faults"] == ["grasp_recorder was not ready in 1.5 s; begun without it"]


@with_parameters(autostart=True, camera_node="/grasp_camera")
def test_nothing_is_armed_before_the_cameras_stream(graph):
    graph.spin_until(lambda: graph.camera.active, "the camera node's activation")
    graph.spin_until(lambda: graph.control.word == "unconfigured", "the command node's word")
    assert graph.task.state.step is Step.PREPARE_CAMERA
    graph.camera.say("streaming")
    graph.spin_until(lambda: graph.task.finished, "the end")
    assert graph.task.conclude(interrupted=False) == EXIT_WHOLE


@with_parameters(autostart=True, startup_limit_s=1.5, camera_node="/grasp_camera")
def test_cameras_that_never_stream_are_named_after_the_limit(graph):
    graph.word("fault")
    assert "/camera/state says 'connecting', not 'streaming'" in graph.task.state.reason


@with_parameters(autostart=True, answer_limit_s=1.0)
def test_a_robot_that_cannot_be_armed_is_asked_again_until_the_limit_and_the_refusal_quoted(graph):
    graph.control.refuse_arming = "joint 'lbr_A3' was never measured"
    graph.word("fault")
    assert "joint 'lbr_A3' was never measured" in graph.task.state.reason


@with_parameters(autostart=True)
def test_a_policy_that_refuses_its_file_is_a_fault(graph):
    graph.policy.refuse = True
    graph.word("fault")
    assert "/grasp_policy refused to configure from state 'unconfigured'" in graph.task.state.reason
    graph.task.interrupt()
    assert graph.task.conclude(interrupted=True) == EXIT_ENDED_EARLY


@with_parameters(autostart=True, target_gap_limit_s=0.5)
def test_a_policy_that_stays_silent_is_a_fault_and_no_inference(graph):
    graph.policy.mute = True
    graph.word("fault")
    assert "no target of the policy was accepted for 0.5 s" in graph.task.state.reason
    assert graph.task.scoreboard.counters.inferences == 0


@with_parameters(autostart=True)
def test_a_reset_that_does_not_say_which_object_is_a_fault(graph):
    graph.robot.reset_answer = "done"
    graph.word("fault")
    assert "answered 'done'; expected JSON" in graph.task.state.reason


@with_parameters(autostart=True)
def test_an_interruption_stops_what_moves_and_counts_nothing(graph):
    graph.word("hold")
    graph.task.interrupt()
    graph.spin_until(lambda: graph.task.resting, "standing down")
    assert graph.control.word == "disarmed"
    assert graph.task.conclude(interrupted=True) == EXIT_INTERRUPTED
    assert graph.report["episodes"] == 0


def test_a_run_interrupted_before_anything_happened_has_no_inference(graph):
    graph.word("idle")
    assert graph.task.conclude(interrupted=True) == EXIT_NO_INFERENCE
    assert "no inference happened" in graph.report["outcome"]


@with_parameters(labels=["policy=x.onnx", "seed=3"])
def test_labels_reach_the_report(graph):
    assert graph.report["settings"] == {"policy": "x.onnx", "seed": "3"}


@with_parameters(autostart=True, score_source="", reset_service="")
def test_without_reset_and_source_of_poses_an_episode_runs_and_does_not_count(graph):
    graph.spin_until(lambda: graph.task.finished, "the end")
    graph.task.conclude(interrupted=False)
    told = graph.report
    assert told["episodes"] == 0
    assert told["results"][0]["cause"] == "not scored: no score_source"
    assert graph.robot.resets == 0
