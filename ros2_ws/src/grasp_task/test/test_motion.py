"""The task's own motions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grasp_description.robot import HOME_POSITION, JOINT_NAMES, joint_limits
from grasp_task.motion import JointMotion, MotionFollower, MotionLimits, blend

SHARE = 0.3


def limits(tolerance: float = 0.05) -> MotionLimits:
    joints = joint_limits()
    return MotionLimits(SHARE * joints.velocity, SHARE * joints.acceleration, np.full(23, tolerance))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_motion_from_anywhere_stays_within_its_share_of_velocity_and_acceleration(seed):
    joints = joint_limits()
    start = np.random.default_rng(seed).uniform(joints.lower, joints.upper)
    motion = JointMotion(start, HOME_POSITION, limits(), started_s=7.0)
    step = 1e-3
    times = 7.0 + np.arange(-5, int(motion.duration_s / step) + 10) * step
    path = np.array([motion.target(time) for time in times])
    velocity = np.diff(path, axis=0) / step
    acceleration = np.diff(velocity, axis=0) / step
    assert np.all(np.abs(velocity) <= motion.limits.velocity * (1 + 1e-6))
    assert np.all(np.abs(acceleration) <= motion.limits.acceleration * (1 + 1e-3) + 1e-6)
    assert path[0] == pytest.approx(start)
    assert path[-1] == pytest.approx(HOME_POSITION)
    assert np.all((path >= joints.lower - 1e-9) & (path <= joints.upper + 1e-9))


def test_the_blend_is_clipped_at_both_ends():
    assert [blend(-1.0), blend(0.0), blend(0.5), blend(1.0), blend(2.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_a_motion_to_where_the_robot_is_takes_no_time():
    motion = JointMotion(HOME_POSITION, HOME_POSITION, limits(), started_s=3.0)
    assert motion.duration_s == 0.0
    assert motion.arrived(HOME_POSITION, 3.0)


def test_being_there_means_every_joint_and_not_before_time():
    start = HOME_POSITION + 0.1
    motion = JointMotion(start, HOME_POSITION, limits(), started_s=0.0)
    assert not motion.arrived(HOME_POSITION, 0.5 * motion.duration_s)
    assert motion.arrived(HOME_POSITION + 0.04, motion.duration_s)
    one_off = HOME_POSITION.copy()
    one_off[4] += 0.06
    assert not motion.arrived(one_off, motion.duration_s)
    assert motion.farthest(one_off, JOINT_NAMES).startswith("'lbr_A5' is 0.060 rad from its goal")


def test_a_position_that_is_not_a_number_has_never_arrived():
    motion = JointMotion(HOME_POSITION, HOME_POSITION, limits(), started_s=0.0)
    assert not motion.arrived(np.full(23, np.nan), 10.0)


def test_targets_come_at_their_rate_on_ticks_of_the_simulation():
    follower = MotionFollower(limits(), rate_hz=30.0)
    follower.begin(HOME_POSITION)
    due = [
        tick
        for tick in range(400, 440)
        if follower.update(HOME_POSITION + 0.5, round(tick * 1e9 / 120) * 1e-9)[0] is not None
    ]
    assert due == list(range(400, 440, 4))


def test_a_joint_without_a_goal_stays_where_it_is_measured():
    follower = MotionFollower(limits(), rate_hz=30.0)
    start = HOME_POSITION + 0.2
    follower.begin(np.where(np.arange(23) < 7, np.nan, HOME_POSITION))
    follower.update(start, 0.0)
    target, arrived = follower.update(np.concatenate([start[:7], HOME_POSITION[7:]]), 100.0)
    assert arrived
    assert target == pytest.approx(np.concatenate([start[:7], HOME_POSITION[7:]]))


def test_a_motion_that_may_settle_is_over_a_while_after_its_end_wherever_the_joints_are():
    follower = MotionFollower(limits(), rate_hz=30.0)
    blocked = HOME_POSITION + 0.5
    follower.begin(HOME_POSITION, settle_s=0.5)
    over = next(tick / 100 for tick in range(1000) if follower.update(blocked, tick / 100)[1])
    assert over == pytest.approx(
        JointMotion(blocked, HOME_POSITION, limits(), 0.0).duration_s + 0.5, abs=0.011
    )
    follower.begin(HOME_POSITION)
    assert not any(follower.update(blocked, 10.0 + tick / 100)[1] for tick in range(1000))


def test_a_motion_ends_once_and_can_be_forgotten():
    follower = MotionFollower(limits(), rate_hz=30.0)
    assert follower.update(HOME_POSITION, 0.0) == (None, False)
    assert follower.waiting_for(JOINT_NAMES) == ""
    follower.begin(HOME_POSITION)
    assert follower.waiting_for(JOINT_NAMES) == "no complete /joint_states since it began"
    assert follower.update(HOME_POSITION, 1.0)[1]
    assert not follower.active
    follower.begin(HOME_POSITION)
    follower.cancel()
    assert follower.update(HOME_POSITION, 2.0) == (None, False)


def test_a_motion_can_go_on_from_what_was_commanded_and_leaves_pressing_fingers_to_their_targets():
    follower = MotionFollower(limits(), rate_hz=30.0)
    commanded, measured = HOME_POSITION + 0.2, HOME_POSITION + 0.1
    measured[7:] -= 1.0
    goal = np.where(np.arange(23) < 7, HOME_POSITION, np.nan)
    follower.begin(goal, start=commanded)
    first, _ = follower.update(measured, 0.0)
    assert first == pytest.approx(commanded)
    there = np.concatenate([HOME_POSITION[:7], measured[7:]])
    last, arrived = follower.update(there, 100.0)
    assert last == pytest.approx(np.concatenate([HOME_POSITION[:7], commanded[7:]]))
    assert arrived, "nobody waits for fingers that something stops"


def test_a_motion_that_dwells_is_over_only_after_its_rest():
    follower = MotionFollower(limits(), rate_hz=30.0)
    follower.begin(HOME_POSITION, dwell_s=0.3)
    assert not follower.update(HOME_POSITION, 10.0)[1]
    target, arrived = follower.update(HOME_POSITION, 10.29)
    assert (arrived, target is None) == (False, False), "its targets go on, or the command node would hold"
    assert follower.update(HOME_POSITION, 10.31)[1]
