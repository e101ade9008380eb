"""The episode's state machine, driven by hand: no ROS, no waiting."""

from dataclasses import replace

import pytest

from grasp_task.episode import State, Step, advance, refusal
from grasp_task.events import (
    Answered,
    Ask,
    CloseEpisode,
    ControlSaid,
    Effect,
    Event,
    Home,
    Instant,
    NoteFault,
    OpenEpisode,
    Phase,
    Progress,
    Request,
    Rules,
    Start,
    Stop,
    TargetAccepted,
    Tick,
)

ATTENDED = Rules(episodes=2)
UNATTENDED = Rules(episodes=2, resume_after_fault=True, max_consecutive_faults=3)


class Driver:
    """Runs the machine and plays a world in which everything answers well, as far as it is told to."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.state = State()
        self.now = Instant(100.0, 1000.0)
        self.effects: list[Effect] = []
        self.phases = [Phase.IDLE]

    def send(self, event: Event) -> "Driver":
        self.state, effects = advance(self.state, event, self.now, self.rules)
        self.effects += effects
        if self.state.phase is not self.phases[-1]:
            self.phases.append(self.state.phase)
        return self

    def pass_time(self, node_s: float, wall_s: float | None = None) -> "Driver":
        elapsed = node_s if wall_s is None else wall_s
        self.now = Instant(self.now.node_s + node_s, self.now.wall_s + elapsed)
        return self.send(Tick())

    def answer(self, ok: bool = True, message: str = "") -> "Driver":
        request = self.state.request
        assert request is not None, f"nothing is asked in step {self.state.step}"
        self.send(Answered(request, ok, message))
        if ok and request is Request.ARM:
            self.send(ControlSaid("armed"))
        if ok and request in (Request.DISARM, Request.STAND_DOWN):
            self.send(ControlSaid("disarmed"))
        return self

    def go_to(self, step: Step) -> "Driver":
        for _ in range(100):
            if self.state.step is step:
                return self
            if self.state.step is Step.RUN:
                self.send(TargetAccepted(self.now.node_s)).pass_time(self.rules.episode_length_s)
            else:
                self.answer()
        raise AssertionError(f"never came to {step}; stands at {self.state.step}")

    def closed(self) -> list[CloseEpisode]:
        return [effect for effect in self.effects if isinstance(effect, CloseEpisode)]

    def faults(self) -> list[str]:
        return [effect.cause for effect in self.effects if isinstance(effect, NoteFault)]


def started(rules: Rules = ATTENDED) -> Driver:
    return Driver(rules).send(Start())


def running(rules: Rules = ATTENDED) -> Driver:
    driver = started(rules).go_to(Step.RUN)
    return driver.send(TargetAccepted(driver.now.node_s))


def test_nothing_is_asked_before_start():
    driver = Driver(ATTENDED).pass_time(1000.0)
    assert driver.state.phase is Phase.IDLE
    assert driver.effects == []


def test_an_episode_walks_through_its_phases_in_order_and_the_next_follows():
    driver = running()
    driver.send(Progress(lifted=True)).send(Progress(lifted=True, at_goal=True))
    driver.pass_time(ATTENDED.episode_length_s).go_to(Step.HOME_DISARM)
    walked = [Phase.IDLE, Phase.HOMING, Phase.RESETTING, Phase.GRASP, Phase.LIFT, Phase.HOLD, Phase.RELEASE]
    assert driver.phases == [*walked, Phase.HOMING]
    assert driver.closed() == [CloseEpisode()]


def test_the_run_ends_after_the_episodes_asked_for_with_everything_stood_down():
    driver = started().go_to(Step.DONE)
    assert len(driver.closed()) == 2
    assert driver.effects[-1] == Ask(Request.STAND_DOWN)
    assert driver.state.phase is Phase.DONE
    assert not driver.state.failed


def test_an_episode_that_is_judged_ends_with_its_last_pose_however_far_the_clock_is():
    length_s = ATTENDED.episode_length_s
    driver = running().send(Progress(until_s=0.0)).pass_time(1.5)
    while driver.now.node_s - 100.0 < length_s:
        driver.send(TargetAccepted(driver.now.node_s)).pass_time(0.5)
    driver.send(Progress(lifted=True, until_s=length_s - 0.01))
    assert driver.state.step is Step.RUN, "the pose of the end is yet to come"
    driver.send(Progress(lifted=True, at_goal=True, until_s=length_s))
    assert driver.closed() == [CloseEpisode()]


def test_an_episode_whose_last_pose_is_lost_ends_all_the_same():
    driver = running().send(Progress(until_s=1.0)).pass_time(ATTENDED.episode_length_s + 0.101)
    assert driver.closed() == [CloseEpisode()]


def test_zero_episodes_is_endless():
    driver = Driver(Rules(episodes=0)).send(Start())
    for count in range(1, 51):
        driver.go_to(Step.RUN).go_to(Step.HOME_DISARM)
        assert len(driver.closed()) == count


def test_the_command_node_is_disarmed_before_it_is_armed_and_before_the_world_is_reset():
    driver = started().go_to(Step.DONE)
    asked = [effect.request for effect in driver.effects if isinstance(effect, Ask)]
    assert Request.RESET_WORLD in asked
    for place, request in enumerate(asked):
        if request is Request.ARM:
            earlier = asked[:place][::-1]
            last = next(one for one in earlier if one in (Request.DISARM, Request.ARM))
            assert last is Request.DISARM
        if request is Request.RESET_WORLD:
            assert asked[place - 1] is Request.DISARM
            assert asked[place + 1] is Request.ARM


def test_the_policy_is_inactive_whenever_the_task_moves_the_robot_itself():
    active = False
    driver = started().go_to(Step.DONE)
    for effect in driver.effects:
        if isinstance(effect, Ask):
            active = {
                Request.START_POLICY: True,
                Request.PAUSE_POLICY: False,
                Request.PREPARE_POLICY: False,
                Request.STAND_DOWN: False,
            }.get(effect.request, active)
            assert not (active and effect.request in (Request.MOVE_HOME, Request.OPEN_HAND))


def test_arming_is_over_only_when_the_state_topic_says_so_too():
    driver = started().go_to(Step.HOME_ARM)
    driver.send(ControlSaid("disarmed")).send(Answered(Request.ARM, True))
    assert driver.state.step is Step.HOME_ARM
    driver.send(ControlSaid("disarmed"))
    assert driver.state.step is Step.HOME_ARM, "a late message of before the arming is no fault"
    driver.send(ControlSaid("armed"))
    assert driver.state.step is Step.HOME_MOVE


def test_a_late_answer_to_an_earlier_request_changes_nothing():
    driver = started().go_to(Step.HOME_MOVE)
    before = driver.state
    driver.send(Answered(Request.ARM, False, "too late")).send(Answered(Request.RESET_WORLD, True))
    assert driver.state == before


def test_scoring_opens_when_the_policy_is_active_and_its_time_counts_from_the_first_accepted_target():
    driver = started().go_to(Step.RUN)
    assert driver.effects[-1] == OpenEpisode()
    driver.pass_time(1.5)
    driver.send(TargetAccepted(driver.now.node_s - 0.01))
    for _ in range(4):
        driver.pass_time((ATTENDED.episode_length_s - 0.02) / 4).send(TargetAccepted(driver.now.node_s))
    assert driver.state.step is Step.RUN
    driver.pass_time(0.01)
    assert driver.state.step is Step.PAUSE_POLICY


def test_a_policy_that_brings_no_target_is_a_fault():
    driver = started().go_to(Step.RUN).pass_time(ATTENDED.target_gap_limit_s + 0.01)
    assert driver.state.phase is Phase.FAULT
    assert "no target of the policy was accepted for 2 s" in driver.closed()[0].cause


def test_targets_that_cease_without_a_word_of_the_command_node_are_a_fault():
    driver = running()
    for _ in range(10):
        driver.pass_time(0.2).send(TargetAccepted(driver.now.node_s))
    driver.pass_time(ATTENDED.target_gap_limit_s - 0.01)
    assert driver.state.step is Step.RUN
    driver.pass_time(0.02)
    assert "no target of the policy was accepted for 2 s" in driver.closed()[0].cause


def test_a_lost_object_ends_the_episode_at_once():
    driver = running().pass_time(1.0).send(Progress(lost=True))
    assert driver.state.step is Step.PAUSE_POLICY
    assert driver.closed() == [CloseEpisode()]


def test_a_dropped_object_leads_back_to_grasp():
    driver = running().send(Progress(lifted=True)).send(Progress(lifted=False))
    assert driver.phases[-2:] == [Phase.LIFT, Phase.GRASP]


@pytest.mark.parametrize("word", ["holding", "faulted", "disarmed", "inactive", "unconfigured"])
def test_an_episode_in_which_the_command_node_leaves_armed_has_failed_with_the_cause(word):
    driver = running().pass_time(1.0).send(ControlSaid(word, "no fresh target for 100 ms"))
    assert driver.state.phase is Phase.FAULT
    assert driver.closed() == [CloseEpisode(f"the command node went to {word!r}: no fresh target for 100 ms")]
    assert driver.faults() == [], "an episode's failure is not counted a second time"
    assert driver.effects[-1] == Ask(Request.STAND_DOWN)


@pytest.mark.parametrize("step", [Step.HOME_MOVE, Step.START_POLICY, Step.RELEASE_OPEN])
def test_the_command_node_leaving_armed_outside_an_episode_is_a_fault_of_its_own(step):
    driver = started().go_to(step).send(ControlSaid("holding", "table ahead"))
    assert driver.state.phase is Phase.FAULT
    assert driver.faults() == ["the command node went to 'holding': table ahead"]


@pytest.mark.parametrize("step", [Step.HOME_DISARM, Step.RESET_DISARM, Step.RESET_WORLD, Step.RELEASE_DISARM])
def test_holding_is_no_fault_where_the_command_node_is_about_to_be_disarmed_anyway(step):
    driver = started().go_to(step)
    driver.send(ControlSaid("holding", "no fresh target"))
    assert driver.state.step is step


ASKING_STEPS = [
    Step.PREPARE_CAMERA,
    Step.PREPARE_CONTROL,
    Step.AWAIT_ROBOT,
    Step.PREPARE_POLICY,
    Step.HOME_DISARM,
    Step.HOME_ARM,
    Step.HOME_MOVE,
    Step.RESET_DISARM,
    Step.RESET_WORLD,
    Step.RESET_ARM,
    Step.START_POLICY,
    Step.PAUSE_POLICY,
    Step.RELEASE_DISARM,
    Step.RELEASE_ARM,
    Step.RELEASE_OPEN,
]


@pytest.mark.parametrize("step", ASKING_STEPS)
def test_every_request_that_fails_is_a_fault_that_says_why(step):
    driver = started().go_to(step)
    request = driver.state.request
    assert request is not None
    driver.send(Answered(request, False, "because of this"))
    assert driver.state.phase is Phase.FAULT
    assert driver.state.reason == f"{request.value} failed: because of this"


@pytest.mark.parametrize("step", ASKING_STEPS)
def test_every_request_has_a_limit_in_wall_time_even_if_the_clock_of_the_node_stands(step):
    driver = started().go_to(step)
    assert driver.state.request is not None
    limit = driver.rules.wall_limit_s(driver.state.request)
    driver.now = replace(driver.now, wall_s=driver.now.wall_s + min(limit, 19.0))
    driver.send(Tick())
    assert driver.state.step is step
    driver.now = replace(driver.now, wall_s=driver.now.wall_s + limit)
    driver.send(Tick("awaiting the answer of /some/service"))
    assert driver.state.phase is Phase.FAULT
    assert "s of wall time" in driver.state.reason
    assert "awaiting the answer of /some/service" in driver.state.reason


def test_an_answer_that_the_state_topic_never_confirms_is_named_as_that():
    driver = started().go_to(Step.HOME_ARM).send(Answered(Request.ARM, True))
    driver.pass_time(ATTENDED.answer_limit_s + 0.1)
    assert "answered, but /control/state still says 'disarmed'" in driver.state.reason


def test_a_motion_that_does_not_arrive_is_a_fault_that_names_the_joint():
    driver = started().go_to(Step.HOME_MOVE)
    driver.now = replace(driver.now, node_s=driver.now.node_s + ATTENDED.motion_limit_s + 0.1)
    driver.send(Tick("'lbr_A2' is 0.310 rad from its goal"))
    assert driver.state.phase is Phase.FAULT
    assert "'lbr_A2' is 0.310 rad from its goal" in driver.state.reason


@pytest.mark.parametrize(
    ("node_s", "wall_s"), [(ATTENDED.motion_limit_s, 0.0), (1.0, ATTENDED.motion_wall_limit_s)]
)
def test_a_motion_that_is_meant_to_take_long_is_given_that_time_beside_its_limit(node_s, wall_s):
    driver = started().go_to(Step.HOME_MOVE)
    planned_s = 40.0
    began = driver.now
    for more_s, step in ((planned_s - 0.1, Step.HOME_MOVE), (planned_s + 0.1, Step.STAND_DOWN)):
        later = (node_s + more_s, 0.0) if not wall_s else (node_s + 0.01 * more_s, wall_s + more_s)
        driver.now = Instant(began.node_s + later[0], began.wall_s + later[1])
        driver.send(Tick("", planned_s))
        assert driver.state.step is step


@pytest.mark.parametrize("step", [Step.RUN, Step.HOME_MOVE, Step.RELEASE_OPEN])
def test_a_clock_that_stands_still_while_something_moves_is_a_fault(step):
    driver = started().go_to(step)
    for _ in range(3):
        driver.pass_time(0.001, ATTENDED.clock_stall_limit_s - 0.1)
    assert driver.state.step is step, "as long as it moves at all, it may be slow"
    driver.pass_time(0.0, ATTENDED.clock_stall_limit_s + 0.1)
    assert driver.state.phase is Phase.FAULT
    assert "the node's clock stood still" in driver.state.reason


def test_an_episode_has_a_limit_in_wall_time():
    driver = running()
    while driver.state.step is Step.RUN:
        driver.pass_time(0.001, 10.0)
    assert driver.now.wall_s - 1000.0 <= ATTENDED.episode_wall_limit_s + 10.0
    assert "of the node's clock took" in driver.closed()[0].cause


def test_after_a_fault_an_attended_robot_waits_for_start():
    driver = running().send(ControlSaid("holding")).answer().pass_time(1000.0)
    assert driver.state.step is Step.FAULT
    driver.send(Start())
    assert driver.state.step is Step.PREPARE_CAMERA
    assert driver.state.reason == ""


def test_after_a_fault_an_unattended_run_goes_on_and_counts_the_episode():
    driver = running(UNATTENDED).send(ControlSaid("holding")).answer()
    assert driver.state.step is Step.PREPARE_CAMERA
    driver.go_to(Step.DONE)
    assert [close.cause != "" for close in driver.closed()] == [True, False]
    assert not driver.state.failed


def test_a_fault_in_the_last_episode_ends_an_unattended_run_in_order():
    driver = started(UNATTENDED).go_to(Step.RUN).go_to(Step.HOME_DISARM).go_to(Step.RUN)
    driver.send(ControlSaid("holding")).answer()
    assert driver.state.step is Step.DONE
    assert not driver.state.failed


def test_too_many_faults_in_a_row_end_an_unattended_run():
    driver = started(Rules(episodes=0, resume_after_fault=True, max_consecutive_faults=3))
    for _ in range(3):
        driver.go_to(Step.HOME_MOVE).answer(ok=False, message="stuck").answer()
    assert driver.state.step is Step.DONE
    assert driver.state.failed
    assert driver.state.reason == "3 faults in a row, the last: moving home failed: stuck"


def test_a_whole_episode_forgives_the_faults_before_it():
    driver = started(Rules(episodes=0, resume_after_fault=True, max_consecutive_faults=2))
    for _ in range(5):
        driver.go_to(Step.HOME_MOVE).answer(ok=False, message="stuck").answer()
        driver.go_to(Step.RUN).go_to(Step.HOME_DISARM)
    assert driver.state.step is Step.HOME_DISARM


def test_a_dead_node_ends_an_unattended_run_with_the_cause_and_the_silence():
    driver = running(UNATTENDED).send(ControlSaid("holding", "no fresh target for 100 ms"))
    driver.now = replace(driver.now, wall_s=driver.now.wall_s + UNATTENDED.stand_down_limit_s + 0.1)
    driver.send(Tick("awaiting the answer of /grasp_policy/get_state"))
    assert driver.state.step is Step.DONE
    assert driver.state.failed
    assert "no fresh target for 100 ms" in driver.state.reason
    assert "awaiting the answer of /grasp_policy/get_state" in driver.state.reason
    assert len(driver.closed()) == 1


def test_a_dead_node_leaves_an_attended_robot_in_fault():
    driver = running().send(ControlSaid("holding")).answer(ok=False, message="/grasp_policy is silent")
    assert driver.state.step is Step.FAULT
    assert "/grasp_policy is silent" in driver.state.reason


@pytest.mark.parametrize("step", [*ASKING_STEPS, Step.RUN])
def test_stop_at_any_time_stands_down_into_stopped_and_start_resumes(step):
    driver = started().go_to(step).send(Stop())
    assert driver.effects[-1] == Ask(Request.STAND_DOWN)
    assert driver.state.phase is Phase.STOPPED
    driver.answer()
    assert driver.state.step is Step.STOPPED
    driver.send(Start())
    assert driver.state.step is Step.PREPARE_CAMERA


def test_an_episode_that_is_stopped_does_not_count():
    driver = running().send(Stop()).answer()
    assert driver.closed() == [CloseEpisode("stopped by /grasp/stop", counts=False)]
    assert driver.state.finished == 0


def test_stop_works_without_ever_having_started():
    driver = Driver(ATTENDED).send(Stop())
    assert driver.effects == [Ask(Request.STAND_DOWN)]


def test_a_stop_that_cannot_disarm_is_a_fault():
    driver = running().send(Stop()).answer(ok=False, message="/grasp_control/disarm is silent")
    assert driver.state.phase is Phase.FAULT
    assert "/grasp_control/disarm is silent" in driver.faults()[0]


def test_home_moves_home_and_rests_idle_without_an_episode():
    driver = Driver(ATTENDED).send(Home()).go_to(Step.HOME_MOVE).answer()
    assert driver.effects[-1] == Ask(Request.STAND_DOWN)
    driver.answer()
    assert driver.state.step is Step.IDLE
    assert driver.closed() == []


def test_commands_are_refused_with_a_reason_where_they_make_no_sense():
    busy = running()
    assert "already at work (state grasp)" in refusal(busy.state, Start())
    assert "already at work" in refusal(busy.state, Home())
    assert refusal(busy.state, Stop()) == ""
    before = busy.state
    assert busy.send(Start()).state == before
    standing_down = running().send(Stop())
    assert "still standing down" in refusal(standing_down.state, Start())
    done = started().go_to(Step.DONE)
    assert "the run is over" in refusal(done.state, Stop())


def test_every_step_has_a_phase_of_one_word():
    for step in Step:
        word = State(step=step).phase.value
        assert word.isalpha()
        assert word == word.lower()
