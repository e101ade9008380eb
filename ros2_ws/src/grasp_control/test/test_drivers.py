"""Names and orders of the drivers' joints: shuffled, missing, strange, said twice."""

import numpy as np
import pytest

from grasp_control.drivers import (
    DriverJoints,
    ImaginedRobot,
    StateMerger,
    StateReader,
    imagined,
    narrowed,
)
from grasp_control.measurement import JointMeasurement
from grasp_control.safety import Command
from grasp_description.drivers import ALLEGRO_V4, ALLEGRO_V5, LBR, DriverFacts
from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, HOME_POSITION, JOINT_NAMES, joint_limits

POSITION = 0.01 * np.arange(23)
ARM = DriverJoints("arm", ARM_JOINTS, ARM_JOINTS)
HAND = DriverJoints("hand", HAND_JOINTS, HAND_JOINTS)


def joints_of(facts: DriverFacts) -> DriverJoints:
    return DriverJoints(facts.part, facts.joints, facts.own_names)


def measured(names: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """Where the core takes the robot to be after a message with these canonical names."""
    measurement = JointMeasurement(JOINT_NAMES, joint_limits().velocity, 0.005, 0.2, 0.05)
    assert measurement.update(names, values, [], 1.0, 1.0, 0) == ""
    return measurement.position


@pytest.mark.parametrize("facts", [LBR, ALLEGRO_V4, ALLEGRO_V5], ids=lambda facts: facts.own_names[0])
@pytest.mark.parametrize("seed", range(5))
def test_a_shuffled_order_of_a_drivers_joints_changes_nothing(facts, seed):
    order = np.random.default_rng(seed).permutation(len(facts.joints))
    driver = joints_of(facts)
    told = POSITION[driver.columns][order]
    names, parts = StateReader([driver], "/t").read([facts.own_names[place] for place in order])
    assert parts == (facts.part,)
    assert np.array_equal(measured(names, told)[driver.columns], POSITION[driver.columns])


def test_a_command_is_in_the_drivers_order_thumb_first_for_the_v4_and_last_for_the_v5():
    thumb = [JOINT_NAMES.index(f"allegro_thumb_{joint}") for joint in range(4)]
    assert joints_of(ALLEGRO_V4).columns[:4].tolist() == thumb
    assert joints_of(ALLEGRO_V5).columns[12:].tolist() == thumb
    assert joints_of(LBR).columns.tolist() == list(range(7))


def test_what_a_driver_is_told_comes_back_from_its_states_as_the_same_joints():
    for facts in (LBR, ALLEGRO_V4, ALLEGRO_V5):
        driver = joints_of(facts)
        names, _ = StateReader([driver], "/t").read(facts.own_names)
        assert np.array_equal(
            measured(names, POSITION[driver.columns])[driver.columns], POSITION[driver.columns]
        )


def test_a_missing_joint_is_refused_by_its_drivers_name():
    with pytest.raises(ValueError, match=r"/hand lacks \['ah_joint00'\] of the hand"):
        StateReader([joints_of(ALLEGRO_V4)], "/hand").read(ALLEGRO_V4.own_names[1:])


def test_joints_of_nobodys_are_ignored_even_under_a_canonical_name():
    # A gripper beside the arm, and a name that means a joint of ours on another topic only.
    names, parts = StateReader([joints_of(LBR)], "/t").read([*ARM_JOINTS, "gripper", "allegro_index_0"])
    assert names == (*ARM_JOINTS, "", "")
    assert parts == ("arm",)


def test_a_message_of_strange_joints_alone_is_refused():
    with pytest.raises(ValueError, match=r"names none of our joints \(it names \['joint_0_0'"):
        StateReader([joints_of(ALLEGRO_V4)], "/hand").read(ALLEGRO_V5.own_names)


def test_a_joint_said_twice_is_refused_by_the_core():
    names, _ = StateReader([ARM], "/t").read([*ARM_JOINTS, "lbr_A1"])
    measurement = JointMeasurement(JOINT_NAMES, joint_limits().velocity, 0.005, 0.2, 0.05)
    assert "twice" in measurement.update(names, [0.0] * 8, [], 1.0, 1.0, 0)


def test_arm_and_hand_may_speak_on_one_topic_together_or_apart():
    reader = StateReader([ARM, HAND], "/joint_states")
    assert reader.read(JOINT_NAMES)[1] == ("arm", "hand")
    assert reader.read(HAND_JOINTS)[1] == ("hand",)
    with pytest.raises(ValueError, match="lacks"):
        reader.read([*ARM_JOINTS, *HAND_JOINTS[1:]])


def test_own_names_that_do_not_go_with_the_joints_are_refused():
    with pytest.raises(ValueError, match=r"arm_driver_joints lists .* expected another name"):
        DriverJoints("arm", ARM_JOINTS, ("a",) * 7)
    with pytest.raises(ValueError, match="arm_driver_joints"):
        DriverJoints("arm", ARM_JOINTS, ("a", "b"))


def test_the_whole_robot_is_measured_as_of_its_older_part():
    merger = StateMerger(["arm", "hand"])
    assert merger.take(("arm",), 10) is None
    assert merger.take(("hand",), 12) == 10
    assert merger.take(("hand",), 14) is None
    assert merger.take(("arm",), 20) == 14
    assert merger.take(("arm", "hand"), 30) == 30


def test_a_merger_goes_on_when_the_clock_was_set_back():
    merger = StateMerger(["arm", "hand"])
    merger.take(("arm", "hand"), 1000)
    assert merger.take(("arm", "hand"), 10) == 10


def test_a_merger_that_forgot_waits_for_every_part():
    merger = StateMerger(["arm", "hand"])
    merger.take(("arm", "hand"), 1000)
    merger.forget()
    assert merger.take(("arm",), 10) is None
    assert merger.take(("hand",), 12) == 10


def test_an_imagined_robot_stands_until_every_part_of_the_real_one_was_measured():
    robot = ImaginedRobot(["arm", "hand"])
    assert not robot.stands
    assert robot.instead_of(("lbr_A2",), [9.0], []) == ([9.0], [])
    robot.follow(Command(POSITION, 2.0 * POSITION, first=False))
    robot.measured(["arm"])
    assert robot.stands
    assert robot.instead_of(("lbr_A2",), [9.0], []) == ([0.01], [])
    robot.measured(["hand"])
    assert not robot.stands


def test_a_dry_run_sees_the_robot_where_it_was_told_to_be_but_not_what_a_driver_got_wrong():
    command = Command(POSITION, 2.0 * POSITION, first=False)
    position, velocity = imagined(("lbr_A2", "", "lbr_A3"), [9.0, 8.0, np.nan, 7.0], [], command)
    assert position[:2] == [0.01, 8.0]
    assert np.isnan(position[2])
    assert position[3:] == [7.0]
    assert velocity == []


def test_a_drivers_narrower_range_wins_and_a_wider_one_does_not():
    limits = joint_limits()
    lower, upper = np.array(limits.lower), np.array(limits.upper)
    lower[7] += 0.1
    lower[8] -= 5.0
    upper[8] += 5.0
    upper[9] -= 0.1
    found = narrowed(limits, lower, upper)
    assert (found.lower[7], found.upper[7]) == (limits.lower[7] + 0.1, limits.upper[7])
    assert (found.lower[8], found.upper[8]) == (limits.lower[8], limits.upper[8])
    assert (found.lower[9], found.upper[9]) == (limits.lower[9], limits.upper[9] - 0.1)


@pytest.mark.parametrize("value", [np.nan, 9.0])
def test_a_range_that_leaves_nothing_is_refused_by_joint(value):
    limits = joint_limits()
    lower = np.array(limits.lower)
    lower[22] = value
    with pytest.raises(ValueError, match="allegro_thumb_3"):
        narrowed(limits, lower, limits.upper)


def test_the_robot_at_home_is_within_the_ranges_of_the_v5_driver():
    columns = joints_of(ALLEGRO_V5).columns
    assert (HOME_POSITION[columns] > ALLEGRO_V5.lower_rad).all()
    assert (HOME_POSITION[columns] < ALLEGRO_V5.upper_rad).all()
