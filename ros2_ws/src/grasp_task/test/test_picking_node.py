"""The task node picks into a bin, among stand-ins for the other nodes, over real topics and services."""

from array import array

import numpy as np
import pytest
from fake_graph import with_parameters

from grasp_description.robot import HOME_ARM
from grasp_task.episode import Step
from grasp_task.task_node import EXIT_WHOLE

pytestmark = pytest.mark.ros
BIN = HOME_ARM + np.array([0.9, 0, 0, 0, 0, 0, 0])
QUICK = {
    "mode": "picking",
    "bin_arm_rad": array("d", BIN.tolist()),
    "autostart": True,
    "episodes": 1,
    "steady_frames": 5,
    "search_window_s": 1.0,
    "reset_service": "/sim/reset",
    "score_source": "/sim/object_pose",
    "episode_length_s": 2.0,
    "motion_speed": 1.0,
    "stand_down_limit_s": 2.0,
}


def test_a_pick_ends_over_the_bin_with_the_fingers_targets_as_the_policy_left_them(graph):
    graph.word("release")
    kinds = [kind for kind, _ in graph.control.targets]
    path = np.array([message.points[0].positions for _, message in graph.control.targets])
    last = max(place for place, kind in enumerate(kinds) if kind == "policy")
    assert kinds[last + 1 :] == ["task"] * len(kinds[last + 1 :]), "never both at a time"
    carried = path[last + 1 :]
    assert np.all(carried[:, 7:] == path[last, 7:])
    assert carried[0] == pytest.approx(path[last])
    assert carried[-1, :7] == pytest.approx(BIN)
    graph.word("done")
    assert [word for word in graph.words if word not in ("idle", "lift")] == [
        *("homing", "resetting", "searching", "resetting", "grasp", "hold", "carry", "release", "done")
    ]
    assert graph.task.conclude(interrupted=False) == EXIT_WHOLE
    told = graph.report
    assert (told["episodes"], told["successes"], told["longest_streak"]) == (1, 1, 1)
    assert told["successes_per_hour"] > 0.0
    assert told["results"][0]["grip_shift_rad"] == 0.0


def test_no_target_is_taken_while_an_object_is_sought_and_none_is_sought_for_ever(graph):
    graph.policy.sees_object = False
    graph.word("searching")
    moved = len(graph.control.targets)
    graph.spin_until(lambda: graph.policy.activations >= 3, "a fresh memory for each window")
    graph.spin_until(lambda: "out of reach" in graph.task.search_status, "why it is not found")
    assert len(graph.control.targets) == moved
    assert graph.call("/grasp/stop").success
    graph.spin_until(lambda: graph.task.state.step is Step.STOPPED, "standing down")
    assert not graph.policy.active
    graph.policy.sees_object = True
    assert graph.call("/grasp/start").success
    graph.spin_until(lambda: graph.task.finished, "the end")
    graph.task.conclude(interrupted=False)
    assert graph.report["successes"] == 1


def test_an_object_that_slips_on_the_way_is_no_success(graph):
    graph.word("carry")
    graph.robot.slipped = True
    graph.spin_until(lambda: graph.task.finished, "the end")
    graph.task.conclude(interrupted=False)
    (result,) = graph.report["results"]
    assert (result["success"], result["counts"]) == (False, True)
    assert result["cause"].startswith("lost on the way to the bin: it is at (0.62, 0.00,")


@with_parameters(score_source="", reset_service="")
def test_without_a_simulator_a_pick_is_judged_by_the_estimate_and_the_hand(graph):
    graph.spin_until(lambda: graph.task.finished, "the end")
    graph.task.conclude(interrupted=False)
    told = graph.report
    assert (told["episodes"], told["successes"]) == (1, 1)
    assert told["judged_by"] == "the policy's own estimate and the hand's joints"
