"""The state machine's detours when objects are picked into a bin, driven by hand: no ROS, no waiting."""

from dataclasses import replace

import pytest
from test_episode import Driver

from grasp_task.episode import Step
from grasp_task.events import (
    Ask,
    CloseEpisode,
    ControlSaid,
    OpenEpisode,
    Phase,
    Progress,
    Request,
    Rules,
    Sighting,
    Start,
    Stop,
    TargetAccepted,
)

RULES = Rules(episodes=2, picking=True, search_window_s=2.0)
HELD = Progress(lifted=True, at_goal=True, held=True)


def searching(rules: Rules = RULES) -> Driver:
    return Driver(rules).send(Start()).go_to(Step.SEARCH)


def grasping(rules: Rules = RULES) -> Driver:
    driver = see(searching(rules), found=True).go_to(Step.RUN)
    return driver.send(TargetAccepted(driver.now.node_s))


def see(driver: Driver, found: bool) -> Driver:
    return driver.send(Sighting(driver.now.node_s, found))


def carrying(rules: Rules = RULES) -> Driver:
    return grasping(rules).send(HELD).pass_time(rules.episode_length_s).go_to(Step.CARRY)


def requests(driver: Driver) -> list[Request]:
    return [effect.request for effect in driver.effects if isinstance(effect, Ask)]


def test_a_pick_walks_from_search_to_the_bin_and_on_to_the_next_search():
    driver = carrying().go_to(Step.SEARCH)
    words = [phase.value for phase in driver.phases]
    once = ["homing", "resetting", "searching", "resetting", "grasp", "hold", "carry", "release"]
    assert words == ["idle", *once, "homing", "resetting", "searching"]
    assert driver.closed() == [CloseEpisode()]


def test_while_an_object_is_sought_the_policy_is_awake_and_the_command_node_disarmed():
    driver = searching()
    assert requests(driver)[-3:] == [Request.DISARM, Request.RESET_WORLD, Request.START_POLICY]
    assert driver.state.control == "disarmed"
    see(driver, found=False)
    assert driver.state.phase is Phase.SEARCHING
    assert OpenEpisode() not in driver.effects


def test_a_found_object_lets_the_policy_begin_anew_with_an_armed_command_node():
    driver = see(searching(), found=True).go_to(Step.RUN)
    assert requests(driver)[-3:] == [Request.PAUSE_POLICY, Request.ARM, Request.START_POLICY]
    assert driver.effects[-1] == OpenEpisode()


def test_a_search_without_an_object_goes_on_for_ever_with_a_fresh_memory_each_window():
    driver = searching()
    for _ in range(50):
        see(driver, found=False).pass_time(2.1)
        assert driver.state.step is Step.SEARCH_AGAIN
        driver.go_to(Step.SEARCH)
    assert Request.ARM not in requests(driver)[-150:]
    assert driver.faults() == []


def test_a_search_in_which_no_estimate_comes_is_a_fault():
    driver = searching().pass_time(2.1)
    assert driver.state.phase is Phase.FAULT
    assert driver.faults() == ["no estimate of the object came for 2 s of the node's clock"]


@pytest.mark.parametrize("step", [Step.SEARCH_POLICY, Step.SEARCH])
@pytest.mark.parametrize("word", ["armed", "holding"])
def test_a_command_node_that_somebody_arms_while_the_policy_is_awake_is_a_fault(step, word):
    driver = Driver(RULES).send(Start()).go_to(step).send(ControlSaid(word))
    assert driver.faults() == ["somebody armed the command node while an object was sought"]
    assert driver.effects[-1] == Ask(Request.STAND_DOWN)


def test_the_hand_is_not_let_go_of_between_grasp_and_bin():
    driver = carrying()
    assert requests(driver)[-3:] == [Request.START_POLICY, Request.PAUSE_POLICY, Request.CARRY]
    driver.go_to(Step.HOME_DISARM)
    assert requests(driver)[-4:] == [Request.DISARM, Request.ARM, Request.OPEN_HAND, Request.DISARM]


def test_an_object_that_is_not_held_at_the_end_is_not_carried():
    driver = grasping().send(HELD).send(replace(HELD, held=False)).pass_time(RULES.episode_length_s)
    assert driver.state.step is Step.PAUSE_POLICY
    assert driver.closed() == [CloseEpisode()]


def test_an_object_that_leaves_the_workspace_is_not_carried_however_well_it_was_held():
    driver = grasping().send(HELD).send(Progress(lost=True))
    assert driver.state.step is Step.PAUSE_POLICY


@pytest.mark.parametrize("step", [Step.HAND_OVER, Step.CARRY])
def test_a_hold_on_the_way_to_the_bin_is_the_episodes_failure(step):
    driver = grasping().send(HELD).pass_time(RULES.episode_length_s).go_to(step)
    driver.send(ControlSaid("holding", "no fresh target"))
    assert driver.state.phase is Phase.FAULT
    assert driver.closed() == [CloseEpisode("the command node went to 'holding': no fresh target")]
    assert driver.faults() == []


def test_a_way_to_the_bin_that_takes_too_long_is_the_episodes_failure():
    driver = carrying().pass_time(RULES.motion_limit_s + 0.1)
    assert "carrying to the bin took longer than 15 s" in driver.closed()[0].cause


@pytest.mark.parametrize("step", [Step.SEARCH, Step.RUN, Step.CARRY])
def test_a_stop_pauses_anywhere_and_a_start_resumes_with_a_search(step):
    driver = Driver(RULES).send(Start()).go_to(Step.SEARCH)
    if step is not Step.SEARCH:
        driver = grasping() if step is Step.RUN else carrying()
    driver.send(Stop())
    assert driver.state.request is Request.STAND_DOWN
    assert all(not effect.counts for effect in driver.closed())
    assert len(driver.closed()) == (0 if step is Step.SEARCH else 1)
    driver.answer()
    assert driver.state.phase is Phase.STOPPED
    driver.send(Start()).go_to(Step.SEARCH)
    assert driver.faults() == []


def test_the_run_ends_after_the_picks_asked_for():
    driver = carrying().go_to(Step.SEARCH)
    see(driver, found=True).go_to(Step.RUN).send(HELD).go_to(Step.DONE)
    assert len(driver.closed()) == RULES.episodes


def test_without_picking_what_is_held_is_released_where_it_is():
    rules = replace(RULES, picking=False)
    driver = Driver(rules).send(Start()).go_to(Step.RUN)
    driver.send(TargetAccepted(driver.now.node_s)).send(HELD).pass_time(rules.episode_length_s)
    driver.go_to(Step.HOME_DISARM)
    assert Request.CARRY not in requests(driver)
    assert Phase.SEARCHING not in driver.phases
