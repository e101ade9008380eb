"""What counts as an object within reach, and as one in the hand."""

from dataclasses import replace

import numpy as np
import pytest

from grasp_description.robot import HOME_ARM, HOME_POSITION, joint_limits
from grasp_description.workcell import REACH_LOWER, REACH_UPPER, SPAWN_REGION
from grasp_task.picking import Grip, Picking, Search

PICKING = Picking(bin_arm_rad=tuple(HOME_ARM.tolist()), steady_frames=3, steady_m=0.01)
ON_TABLE = np.array([0.6, 0.05, 0.03])


def test_an_object_is_found_once_enough_estimates_in_a_row_agree_on_a_place_within_reach():
    search = Search(PICKING)
    drift = [ON_TABLE + 0.004 * step for step in range(3)]
    assert [search.see(position) for position in drift] == [False, False, True]
    assert search.why_not == ""


@pytest.mark.parametrize("away", [[0.3, 0.0, 0.0], [0.0, -0.3, 0.0], [0.0, 0.0, 0.1]])
def test_an_estimate_out_of_reach_begins_the_count_anew_and_is_told(away):
    search = Search(PICKING)
    search.see(ON_TABLE)
    search.see(ON_TABLE)
    assert not search.see(ON_TABLE + away)
    assert "out of reach" in search.why_not
    assert [search.see(ON_TABLE) for _ in range(3)] == [False, False, True]


def test_estimates_that_wander_find_nothing():
    search = Search(PICKING)
    assert not any(search.see(ON_TABLE + 0.006 * step) for step in range(10))
    assert search.why_not == "estimates spread over 0.012 m; limit is 0.01 m"


def test_a_search_begun_anew_knows_nothing_of_the_one_before():
    search = Search(PICKING)
    search.see(ON_TABLE)
    search.see(ON_TABLE)
    search.restart()
    assert not search.see(ON_TABLE)
    assert search.why_not == "within reach for 1 of 3 estimates"


def test_an_estimate_that_is_no_number_is_out_of_reach():
    assert not PICKING.within_reach(np.array([np.nan, 0.0, 0.03]))


def test_the_default_box_holds_every_place_that_objects_are_trained_on():
    corners = np.array(SPAWN_REGION.centre) + np.array([[-1, -1], [1, 1]]) * SPAWN_REGION.half_size
    assert np.all(corners > REACH_LOWER[:2])
    assert np.all(corners < REACH_UPPER[:2])


def test_an_object_is_carried_only_if_it_is_off_the_table_and_beside_where_it_lay():
    assert PICKING.is_carried(np.array([0.36, 0.43, 0.26]))
    assert not PICKING.is_carried(np.array([0.6, 0.0, 0.26])), "still above its place"
    assert not PICKING.is_carried(np.array([0.36, 0.43, 0.03])), "on the table beside the bin"


def test_fingers_that_go_on_closing_show_that_what_they_held_is_gone():
    grip = Grip()
    moved = HOME_POSITION.copy()
    moved[:7] += 1.0
    grip.see(HOME_POSITION)
    grip.see(moved)
    assert grip.shift_rad == 0.0, "the arm may move"
    moved[12] += 0.4
    grip.see(moved)
    assert grip.shift_rad == pytest.approx(0.4)
    grip.restart()
    grip.see(moved)
    assert grip.shift_rad == 0.0


@pytest.mark.parametrize(
    ("bin_arm_rad", "complaint"),
    [
        ((), r"'bin_arm_rad' has 0 numbers; mode picking expects 7, rad, one for each of lbr_A1"),
        ((0.0,) * 23, "has 23 numbers"),
        ((0.0, 0.0, 0.0, -3.0, 0.0, 0.0, 0.0), r"has -3 rad for joint 'lbr_A4'; expected -2\.\d+ to 2\.\d+"),
        ((0.0, float("nan"), 0.0, 0.0, 0.0, 0.0, 0.0), "has nan rad for joint 'lbr_A2'"),
    ],
)
def test_a_bin_that_the_arm_cannot_reach_is_refused_by_joint_and_limit(bin_arm_rad, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(PICKING, bin_arm_rad=bin_arm_rad)


def test_the_joints_limits_themselves_are_allowed():
    limits = joint_limits()
    assert replace(PICKING, bin_arm_rad=tuple(limits.upper[:7].tolist()))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"reach_lower_m": (0.5, 0.0)}, "'reach_lower_m' is .*; expected three finite numbers"),
        ({"reach_upper_m": (0.7, float("inf"), 0.1)}, "'reach_upper_m' is .*; expected three finite numbers"),
        ({"reach_lower_m": (0.5, 0.2, 0.0)}, "expected each lower bound below its upper one"),
    ],
)
def test_a_reach_box_that_holds_nothing_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        replace(PICKING, **changes)
