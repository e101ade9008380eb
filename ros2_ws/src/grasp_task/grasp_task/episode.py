"""The episode as a state machine: pure functions of events and time, no ROS.

`advance(state, event, now, rules)` gives the next state and the effects that whoever runs the machine has to
carry out: requests to ask, an episode to open or to close. Nothing here waits: answers come back as events.

An episode walks down `ROUTINE`. The command node is disarmed and armed anew before every motion, so that its
first command is always the measured position (a simulator reset never meets an old setpoint), and the policy
node is active only in ``RUN``: the two publishers of joint targets never speak at the same time.

Picking adds two detours. In ``SEARCH`` the policy node is active while the command node is disarmed and
refuses its targets: only its estimate of the object is used. And what a hand holds is not let go of: from the
grasp to the end of ``CARRY`` the command node stays armed, since arming would command the fingers to where
they are measured, and such a hand does not press any more.
"""

from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from grasp_task.events import (
    MOTIONS,
    NO_PROGRESS,
    START_OF_TIME,
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
    Sighting,
    Start,
    Stop,
    TargetAccepted,
    Tick,
)


class Step(Enum):
    """Where the machine is; finer than the phase."""

    IDLE = "idle"
    PREPARE_CAMERA = "prepare camera"
    PREPARE_CONTROL = "prepare control"
    AWAIT_ROBOT = "await robot"
    PREPARE_POLICY = "prepare policy"
    HOME_DISARM = "home: disarm"
    HOME_ARM = "home: arm"
    HOME_MOVE = "home: move"
    RESET_DISARM = "reset: disarm"
    RESET_WORLD = "reset: world"
    SEARCH_POLICY = "search: activate policy"
    SEARCH = "search"
    SEARCH_PAUSE = "search: found, pause policy"
    SEARCH_AGAIN = "search: not found, pause policy"
    RESET_ARM = "reset: arm"
    START_POLICY = "start policy"
    RUN = "run"
    HAND_OVER = "carry: pause policy"
    CARRY = "carry: move"
    PAUSE_POLICY = "pause policy"
    RELEASE_DISARM = "release: disarm"
    RELEASE_ARM = "release: arm"
    RELEASE_OPEN = "release: open hand"
    STAND_DOWN = "stand down"
    STOPPED = "stopped"
    FAULT = "fault"
    DONE = "done"


ROUTINE: dict[Step, tuple[Phase, Request]] = {
    Step.PREPARE_CAMERA: (Phase.HOMING, Request.PREPARE_CAMERA),
    Step.PREPARE_CONTROL: (Phase.HOMING, Request.PREPARE_CONTROL),
    Step.AWAIT_ROBOT: (Phase.HOMING, Request.AWAIT_ROBOT),
    Step.PREPARE_POLICY: (Phase.HOMING, Request.PREPARE_POLICY),
    Step.HOME_DISARM: (Phase.HOMING, Request.DISARM),
    Step.HOME_ARM: (Phase.HOMING, Request.ARM),
    Step.HOME_MOVE: (Phase.HOMING, Request.MOVE_HOME),
    Step.RESET_DISARM: (Phase.RESETTING, Request.DISARM),
    Step.RESET_WORLD: (Phase.RESETTING, Request.RESET_WORLD),
    Step.SEARCH_POLICY: (Phase.RESETTING, Request.START_POLICY),
    Step.SEARCH_PAUSE: (Phase.RESETTING, Request.PAUSE_POLICY),
    Step.SEARCH_AGAIN: (Phase.RESETTING, Request.PAUSE_POLICY),
    Step.RESET_ARM: (Phase.RESETTING, Request.ARM),
    Step.START_POLICY: (Phase.RESETTING, Request.START_POLICY),
    Step.HAND_OVER: (Phase.CARRY, Request.PAUSE_POLICY),
    Step.CARRY: (Phase.CARRY, Request.CARRY),
    Step.PAUSE_POLICY: (Phase.RELEASE, Request.PAUSE_POLICY),
    Step.RELEASE_DISARM: (Phase.RELEASE, Request.DISARM),
    Step.RELEASE_ARM: (Phase.RELEASE, Request.ARM),
    Step.RELEASE_OPEN: (Phase.RELEASE, Request.OPEN_HAND),
}
"""Steps that ask for something and go on when it is answered, with the phase that they show."""

# On a robot the command node tells the others where it is: it comes before whoever waits for that.
_ORDER = (
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
    Step.RUN,
    Step.PAUSE_POLICY,
    Step.RELEASE_DISARM,
    Step.RELEASE_ARM,
    Step.RELEASE_OPEN,
)
_NEXT: dict[Step, Step] = {
    **dict(pairwise(_ORDER)),
    Step.SEARCH_POLICY: Step.SEARCH,
    Step.SEARCH_PAUSE: Step.RESET_ARM,
    Step.SEARCH_AGAIN: Step.RESET_WORLD,
    Step.HAND_OVER: Step.CARRY,
}

_NEEDS_ARMED = (
    *(Step.HOME_MOVE, Step.START_POLICY, Step.RUN),
    *(Step.HAND_OVER, Step.CARRY, Step.RELEASE_OPEN),
)
"""Steps in which the command node must stay armed: anything else it says is a fault."""
_NEEDS_DISARMED = (Step.SEARCH_POLICY, Step.SEARCH, Step.SEARCH_PAUSE, Step.SEARCH_AGAIN)
"""Steps in which the policy is awake and nothing may move: an armed command node is a fault."""
_AWAITS_CONTROL = {Request.ARM: ("armed",), Request.DISARM: ("disarmed", "inactive", "unconfigured")}
"""Requests that are over only once /control/state says so too: a late message of before must not count."""


_LAST_POSE_S = 0.1
"""s of the node's clock that the object's last pose, by which an episode is judged, may come after its end"""


class Aim(Enum):
    """What the machine is working towards."""

    NOTHING = "nothing"
    EPISODES = "episodes"
    HOME = "home"


class Rest(Enum):
    """Where standing down leads."""

    IDLE = "idle"
    STOPPED = "stopped"
    FAULT = "fault"
    DONE = "done"


@dataclass(frozen=True)
class State:
    """The whole state of the machine."""

    step: Step = Step.IDLE
    entered: Instant = START_OF_TIME
    """when the step began"""
    moved: Instant = START_OF_TIME
    """when the node's clock was last seen to move"""
    aim: Aim = Aim.NOTHING
    rest: Rest = Rest.IDLE
    """where `Step.STAND_DOWN` leads"""
    answered: bool = False
    """whether the step's request has been answered well (and only /control/state is still awaited)"""
    control: str = ""
    """last word of /control/state"""
    progress: Progress = NO_PROGRESS
    open: bool = False
    """whether an episode is under way: it may go on after the policy's part, to the bin"""
    acting_since_s: float | None = None
    """stamp of the first target accepted in the episode under way; None before it"""
    accepted_s: float | None = None
    """stamp of the latest one; while an object is sought, of the latest estimate"""
    finished: int = 0
    """episodes over, faulted ones included"""
    faults_in_a_row: int = 0
    reason: str = ""
    """why the machine is in fault, stopped or done"""
    failed: bool = False
    """whether it ended before all episodes were run"""

    @property
    def phase(self) -> Phase:
        """The word for /grasp/state."""
        if self.step is Step.RUN:
            if not self.progress.lifted:
                return Phase.GRASP
            return Phase.HOLD if self.progress.at_goal else Phase.LIFT
        if self.step is Step.SEARCH:
            return Phase.SEARCHING
        if self.step is Step.STAND_DOWN:
            return {Rest.IDLE: Phase.HOMING, Rest.DONE: Phase.RELEASE}.get(self.rest, Phase(self.rest.value))
        return ROUTINE[self.step][0] if self.step in ROUTINE else Phase(self.step.value)

    @property
    def request(self) -> Request | None:
        """The request under way, if any."""
        if self.step is Step.STAND_DOWN:
            return Request.STAND_DOWN
        return ROUTINE[self.step][1] if self.step in ROUTINE else None


Outcome = tuple[State, tuple[Effect, ...]]


def refusal(state: State, command: Start | Stop | Home) -> str:
    """Why ``command`` cannot be taken now; empty if it can."""
    phase = state.phase.value
    if state.step is Step.DONE:
        return "the run is over (state done)"
    if isinstance(command, Stop):
        return ""
    if state.step is Step.STAND_DOWN:
        return f"still standing down (state {phase}); try again in a moment"
    if state.step not in (Step.IDLE, Step.STOPPED, Step.FAULT):
        return f"already at work (state {phase}); /grasp/stop first"
    return ""


def advance(state: State, event: Event, now: Instant, rules: Rules) -> Outcome:
    """Take one event.

    Args:
        state: where the machine is
        event: what happened
        now: when; never earlier on the wall clock than in the call before
        rules: limits

    Returns:
        the next state, and the effects to carry out, in order
    """
    if now.node_s != state.moved.node_s:
        state = replace(state, moved=now)
    match event:
        case Start() | Stop() | Home():
            return _command(state, event, now)
        case Answered():
            return _answer(state, event, now, rules)
        case ControlSaid():
            return _control(state, event, now, rules)
        case TargetAccepted():
            return _accepted(state, event), ()
        case Sighting():
            return _sighted(state, event, now)
        case Progress():
            return _progress(state, event, now, rules)
        case Tick():
            return _tick(state, event, now, rules)


def _enter(state: State, step: Step, now: Instant, *effects: Effect) -> Outcome:
    state = replace(state, step=step, entered=now, moved=now, answered=False)
    state = replace(state, progress=NO_PROGRESS, acting_since_s=None, accepted_s=None)
    request = state.request
    return state, effects if request is None else (*effects, Ask(request))


def _command(state: State, command: Start | Stop | Home, now: Instant) -> Outcome:
    if refusal(state, command):
        return state, ()
    if isinstance(command, Stop):
        closing = (CloseEpisode(command.reason, counts=False),) if state.open else ()
        state = replace(state, open=False, aim=Aim.NOTHING, rest=Rest.STOPPED, reason=command.reason)
        return _enter(state, Step.STAND_DOWN, now, *closing)
    aim = Aim.HOME if isinstance(command, Home) else Aim.EPISODES
    return _enter(replace(state, aim=aim, reason="", faults_in_a_row=0), _ORDER[0], now)


def _answer(state: State, answer: Answered, now: Instant, rules: Rules) -> Outcome:
    if answer.request is not state.request:
        return state, ()  # an answer that came too late: its step is over
    if state.step is Step.STAND_DOWN:
        return _stood_down(state, answer, now, rules)
    if not answer.ok:
        return _fault(state, f"{answer.request.value} failed: {answer.message}", now)
    state = replace(state, answered=True)
    return _go_on(state, now, rules)


def _go_on(state: State, now: Instant, rules: Rules) -> Outcome:
    """Leave the step if its request is answered and /control/state agrees."""
    words = _AWAITS_CONTROL.get(state.request) if state.request is not None else None
    if not state.answered or (words is not None and state.control not in words):
        return state, ()
    if state.step is Step.START_POLICY:
        return _enter(replace(state, open=True), Step.RUN, now, OpenEpisode())
    if state.step is Step.RESET_WORLD and rules.picking:
        return _enter(state, Step.SEARCH_POLICY, now)
    if state.step is Step.CARRY:
        return _close_episode(state, Step.RELEASE_DISARM, now)
    if state.step is Step.HOME_MOVE and state.aim is Aim.HOME:
        return _enter(replace(state, aim=Aim.NOTHING, rest=Rest.IDLE), Step.STAND_DOWN, now)
    if state.step is Step.RELEASE_OPEN:
        if rules.episodes and state.finished >= rules.episodes:
            return _enter(replace(state, aim=Aim.NOTHING, rest=Rest.DONE), Step.STAND_DOWN, now)
        return _enter(state, Step.HOME_DISARM, now)
    return _enter(state, _NEXT[state.step], now)


def _stood_down(state: State, answer: Answered, now: Instant, rules: Rules) -> Outcome:
    if not answer.ok:
        complaint = f"standing down failed: {answer.message}"
        reason = f"{state.reason}; {complaint}" if state.reason else complaint
        unattended = rules.resume_after_fault or state.rest is Rest.DONE
        note = () if state.rest is Rest.FAULT else (NoteFault(reason),)
        state = replace(state, aim=Aim.NOTHING, reason=reason, failed=unattended)
        return _enter(state, Step.DONE if unattended else Step.FAULT, now, *note)
    if state.rest is not Rest.FAULT or not rules.resume_after_fault or state.aim is not Aim.EPISODES:
        return _enter(state, Step(state.rest.value), now)
    if state.faults_in_a_row >= rules.max_consecutive_faults:
        reason = f"{state.faults_in_a_row} faults in a row, the last: {state.reason}"
        return _enter(replace(state, reason=reason, failed=True), Step.DONE, now)
    if rules.episodes and state.finished >= rules.episodes:
        return _enter(state, Step.DONE, now)
    state = replace(state, reason="")
    return _enter(state, _ORDER[0], now)


def _control(state: State, said: ControlSaid, now: Instant, rules: Rules) -> Outcome:
    state = replace(state, control=said.word)
    if state.step in _NEEDS_ARMED and said.word != "armed":
        why = said.reason or "no reason given"
        return _fault(state, f"the command node went to {said.word!r}: {why}", now)
    if state.step in _NEEDS_DISARMED and said.word in ("armed", "holding"):
        return _fault(state, "somebody armed the command node while an object was sought", now)
    return _go_on(state, now, rules)


def _accepted(state: State, target: TargetAccepted) -> State:
    if state.step is not Step.RUN:
        return state
    began = target.stamp_s if state.acting_since_s is None else state.acting_since_s
    return replace(state, acting_since_s=began, accepted_s=target.stamp_s)


def _sighted(state: State, sighting: Sighting, now: Instant) -> Outcome:
    if state.step is not Step.SEARCH:
        return state, ()
    if sighting.found:
        return _enter(state, Step.SEARCH_PAUSE, now)
    return replace(state, accepted_s=sighting.stamp_s), ()


def _progress(state: State, progress: Progress, now: Instant, rules: Rules) -> Outcome:
    if state.step is not Step.RUN:
        return state, ()
    state = replace(state, progress=progress)
    if progress.lost:
        return _end_episode(state, now, rules)
    return _tick(state, Tick(), now, rules)


def _is_over(state: State, now: Instant, rules: Rules) -> bool:
    began, judged_s = state.acting_since_s, state.progress.until_s
    if began is None:
        return False
    # The clock may be ahead of the poses: an episode that is judged ends with its last pose.
    acted_s = now.node_s - began if judged_s is None else max(judged_s, now.node_s - began - _LAST_POSE_S)
    return acted_s >= rules.episode_length_s - 1e-6


def _gap_s(state: State, now: Instant) -> float:
    """Time of the node's clock since the latest accepted target, or since the policy was activated."""
    return now.node_s - (state.entered.node_s if state.accepted_s is None else state.accepted_s)


def _end_episode(state: State, now: Instant, rules: Rules) -> Outcome:
    """The policy's part is over."""
    if rules.picking and state.progress.held:
        return _enter(state, Step.HAND_OVER, now)
    return _close_episode(state, Step.PAUSE_POLICY, now)


def _close_episode(state: State, step: Step, now: Instant) -> Outcome:
    state = replace(state, open=False, finished=state.finished + 1, faults_in_a_row=0)
    return _enter(state, step, now, CloseEpisode())


def _fault(state: State, reason: str, now: Instant) -> Outcome:
    """Stand down into fault; the episode under way, if any, has failed."""
    if state.open:
        effect: Effect = CloseEpisode(cause=reason)
        state = replace(state, open=False, finished=state.finished + 1)
    else:
        effect = NoteFault(reason)
    state = replace(state, rest=Rest.FAULT, reason=reason, faults_in_a_row=state.faults_in_a_row + 1)
    return _enter(state, Step.STAND_DOWN, now, effect)


def _tick(state: State, tick: Tick, now: Instant, rules: Rules) -> Outcome:
    node_s, wall_s = now.node_s - state.entered.node_s, now.wall_s - state.entered.wall_s
    moving = state.step in (Step.RUN, Step.SEARCH) or state.request in MOTIONS
    detail = f" ({tick.waiting_for})" if tick.waiting_for else ""
    if _is_over(state, now, rules):
        return _end_episode(state, now, rules)
    if moving and now.wall_s - state.moved.wall_s > rules.clock_stall_limit_s:
        at = f"stood still at {now.node_s:.3f} s for {rules.clock_stall_limit_s:g} s of wall time"
        return _fault(state, f"the node's clock {at} while in state {state.phase.value}{detail}", now)
    if state.step is Step.RUN and wall_s > rules.episode_wall_limit_s:
        took = f"{node_s:.2f} s of the node's clock took {wall_s:.0f} s of wall time"
        return _fault(state, f"{took}; limit is {rules.episode_wall_limit_s:g} s{detail}", now)
    if state.step is Step.RUN and _gap_s(state, now) > rules.target_gap_limit_s:
        during = f"{rules.target_gap_limit_s:g} s of the node's clock"
        return _fault(state, f"no target of the policy was accepted for {during}{detail}", now)
    if state.step is Step.SEARCH and node_s > rules.search_window_s:
        if state.accepted_s is None:
            during = f"{rules.search_window_s:g} s of the node's clock"
            return _fault(state, f"no estimate of the object came for {during}{detail}", now)
        return _enter(state, Step.SEARCH_AGAIN, now)
    if state.request in MOTIONS and node_s > rules.motion_limit_s + tick.motion_s:
        text = f"took longer than {rules.motion_limit_s + tick.motion_s:g} s of the node's clock"
        return _fault(state, f"{state.request.value} {text}{detail}", now)
    return _check_answer(state, detail, wall_s - tick.motion_s, now, rules)


def _check_answer(state: State, detail: str, wall_s: float, now: Instant, rules: Rules) -> Outcome:
    """Fault if the request under way has waited too long for its answer."""
    request = state.request
    if request is None or wall_s <= rules.wall_limit_s(request):
        return state, ()
    limit = f"took longer than {rules.wall_limit_s(request):g} s of wall time"
    if state.answered:
        detail = f" (answered, but /control/state still says {state.control!r})"
    if request is Request.STAND_DOWN:
        return _stood_down(state, Answered(request, False, f"{limit}{detail}"), now, rules)
    return _fault(state, f"{request.value} {limit}{detail}", now)
