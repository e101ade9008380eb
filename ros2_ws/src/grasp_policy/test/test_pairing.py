"""Which images and joint states may go into a policy step (safety promise 6)."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grasp_policy.pairing import FramePairer, Observation, PairingLimits, Reason

PERIOD = 33_333_333
LIMITS = PairingLimits(frame_period_ns=PERIOD)
MS = 1_000_000
START = 10 * PERIOD


def tagged(*values: int) -> np.ndarray:
    """An array that says where it came from."""
    return np.array(values, np.int64)


@dataclass
class Stream:
    """Feeds a pairer with arrays that carry their own stamps."""

    pairer: FramePairer = field(default_factory=lambda: FramePairer(LIMITS))
    now: int = START

    def left(self, stamp: int) -> Observation | None:
        self.pairer.add_left(stamp, tagged(0, stamp), self.now)
        return self.pairer.take(self.now)

    def right(self, stamp: int) -> Observation | None:
        self.pairer.add_right(stamp, tagged(1, stamp), self.now)
        return self.pairer.take(self.now)

    def joints(self, stamp: int) -> Observation | None:
        self.pairer.add_joint_state(stamp, tagged(2, stamp), tagged(3, stamp), self.now)
        return self.pairer.take(self.now)

    def frame(self, stamp: int) -> Observation | None:
        """Joint state and both images of one moment; the last to come completes them."""
        assert self.joints(stamp) is None
        assert self.left(stamp) is None
        return self.right(stamp)


@pytest.fixture
def stream() -> Stream:
    stream = Stream()
    stream.pairer.start(START)
    return stream


def used(observation: Observation | None) -> int:
    assert observation is not None
    return observation.stamp_ns


def test_images_and_joints_of_one_moment_are_used_once(stream: Stream) -> None:
    observation = stream.frame(START)
    assert used(observation) == START
    assert observation is not None
    assert observation.left.tolist() == [0, START]
    assert observation.right.tolist() == [1, START]
    assert observation.joint_position.tolist() == [2, START]
    assert observation.joint_velocity.tolist() == [3, START]
    assert stream.pairer.take(stream.now) is None
    assert not stream.pairer.counts


@pytest.mark.parametrize("order", ["left right joints", "joints right left", "right joints left"])
def test_the_order_of_arrival_makes_no_difference(stream: Stream, order: str) -> None:
    *first, last = order.split()
    assert all(getattr(stream, name)(START) is None for name in first)
    assert used(getattr(stream, last)(START)) == START


def test_images_whose_stamps_differ_are_not_used(stream: Stream) -> None:
    stream.joints(START + 2)
    assert stream.left(START) is None
    assert stream.right(START + 1) is None
    assert used(stream.left(START + 1)) == START + 1
    assert stream.pairer.counts == {Reason.UNPAIRED: 1}


def test_images_wait_for_an_eye_that_lags_by_more_than_a_period(stream: Stream) -> None:
    stream.left(START)
    stream.now += PERIOD
    stream.joints(START)
    stream.left(START + PERIOD)
    assert used(stream.right(START)) == START


def test_images_of_one_eye_alone_are_counted(stream: Stream) -> None:
    for k in range(10):
        stream.now = START + k * PERIOD
        assert stream.left(stream.now) is None
    assert stream.pairer.counts == {Reason.UNPAIRED: 7}


def test_a_repeated_frame_is_not_used(stream: Stream) -> None:
    stream.frame(START)
    assert stream.left(START) is None
    assert stream.right(START) is None
    assert stream.pairer.counts == {Reason.REPEATED: 2}


def test_a_frame_from_before_the_last_one_is_not_used(stream: Stream) -> None:
    stream.now += MS
    stream.frame(START + MS)
    assert stream.left(START) is None
    assert stream.right(START) is None
    assert stream.pairer.counts == {Reason.REPEATED: 2}


def test_images_two_periods_old_are_used_and_older_ones_not(stream: Stream) -> None:
    stream.now = START + 2 * PERIOD
    assert used(stream.frame(START)) == START
    stream.now += PERIOD + 1
    assert stream.left(START + PERIOD) is None
    assert stream.pairer.counts == {Reason.OLD: 1}


def test_images_that_grew_old_while_they_waited_are_not_used(stream: Stream) -> None:
    stream.left(START)
    stream.right(START)
    stream.now = START + 2 * PERIOD + 1
    assert stream.joints(START + PERIOD) is None
    assert stream.pairer.counts == {Reason.OLD: 1}


def test_images_from_the_future_are_not_used(stream: Stream) -> None:
    assert stream.left(START + 2 * PERIOD + 1) is None
    assert stream.pairer.counts == {Reason.AHEAD: 1}
    assert used(stream.frame(START)) == START


def test_images_just_ahead_of_the_clock_are_used(stream: Stream) -> None:
    """The simulator publishes a tick's images before it publishes the tick's time."""
    assert used(stream.frame(START + PERIOD // 4)) == START + PERIOD // 4


def test_images_from_before_the_start_are_not_used(stream: Stream) -> None:
    assert stream.left(START - 1) is None
    assert stream.right(START - 1) is None
    assert stream.pairer.counts == {Reason.BEFORE_START: 2}


def test_images_that_were_used_are_not_used_again_by_an_episode_that_begins_at_their_stamp(
    stream: Stream,
) -> None:
    assert used(stream.frame(START)) == START
    stream.pairer.start(START)
    stream.frame(START)
    assert stream.pairer.take(stream.now) is None
    assert stream.pairer.counts == {Reason.REPEATED: 2}


def test_what_waited_before_the_start_is_forgotten(stream: Stream) -> None:
    stream.left(START)
    stream.joints(START)
    stream.pairer.start(START)
    assert stream.right(START) is None


def test_no_joint_state_no_inference(stream: Stream) -> None:
    for k in range(3):
        stream.now = START + k * PERIOD
        stream.left(stream.now)
        assert stream.right(stream.now) is None
    assert stream.pairer.counts == {Reason.NO_JOINT_STATE: 2}


def test_joint_states_that_stopped_are_not_used(stream: Stream) -> None:
    stream.joints(START)
    stream.now = START + PERIOD
    stream.left(stream.now)
    assert stream.right(stream.now) is None


def test_a_joint_state_too_far_from_the_images_is_not_used(stream: Stream) -> None:
    stream.left(START)
    stream.right(START)
    stream.now = START + 2 * PERIOD
    assert stream.joints(START + PERIOD + 1) is None
    assert stream.pairer.counts == {Reason.NO_JOINT_STATE: 1}


def test_the_nearest_joint_state_is_used(stream: Stream) -> None:
    stream.joints(START - 3 * MS)
    stream.joints(START + 2 * MS)
    stream.joints(START + 9 * MS)
    stream.left(START)
    observation = stream.right(START)
    assert observation is not None
    assert observation.joint_stamp_ns == START + 2 * MS


def test_a_bad_joint_state_voids_the_good_ones_before_it(stream: Stream) -> None:
    stream.joints(START)
    stream.pairer.drop_joint_states()
    stream.left(START)
    assert stream.right(START) is None
    assert used(stream.joints(START + MS)) == START


def test_joint_states_off_the_clock_are_counted(stream: Stream) -> None:
    stream.joints(START + 100 * PERIOD)
    stream.joints(0)
    assert stream.pairer.counts == {Reason.JOINTS_OFF_CLOCK: 2}


def test_a_clock_that_steps_back_starts_anew(stream: Stream) -> None:
    stream.now = START + 100 * PERIOD
    stream.frame(stream.now)
    stream.left(stream.now + PERIOD)
    stream.now = START
    assert used(stream.frame(START)) == START
    assert stream.pairer.counts == {Reason.CLOCK_BACK: 1}


def test_a_clock_disciplined_by_a_little_goes_on_and_repeats_nothing(stream: Stream) -> None:
    stream.now = START + 10 * MS
    stream.frame(stream.now)
    stream.now -= MS
    assert stream.left(START + 10 * MS) is None
    assert stream.right(START + 10 * MS) is None
    stream.now += PERIOD
    assert used(stream.frame(stream.now)) == stream.now
    assert stream.pairer.counts == {Reason.REPEATED: 2}


@dataclass(frozen=True)
class Arrival:
    """Messages of one stamp that arrive one after the other."""

    kinds: list[str]
    """Which, in order."""
    offset: int
    """Their stamp, from the clock, in ns."""
    repeat: int | None
    """If given, they carry the stamp of this earlier arrival instead."""
    advance: int
    """How far the clock moves before, in ns."""


KINDS = st.lists(st.sampled_from(["left", "right", "joints"]), min_size=1, max_size=5) | st.permutations(
    ["left", "right", "joints"]
)
OFFSETS = st.sampled_from([0, 0, -1, MS, -MS, -PERIOD // 2, PERIOD, -2 * PERIOD, -2 * PERIOD - 1, 3 * PERIOD])
ADVANCES = st.sampled_from([0, 1, MS, PERIOD, PERIOD, PERIOD, 3 * PERIOD, -MS, -PERIOD, -40 * PERIOD])
ARRIVALS = st.builds(Arrival, KINDS, OFFSETS, st.none() | st.integers(0, 5), ADVANCES)
EVENTS = st.lists(
    ARRIVALS | ARRIVALS | ARRIVALS | st.sampled_from(["start", "void"]), min_size=5, max_size=40
)


class Judge:
    """Holds what a pairer gives out against the promises, knowing only what was put in."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.started: int | None = None
        self.last: int | None = None
        self.usable_joints: set[int] = set()
        self.clock_steps = 0

    def start(self) -> None:
        self.stream.pairer.start(self.stream.now)
        self.started, self.last, self.usable_joints = self.stream.now, None, set()

    def void(self) -> None:
        self.stream.pairer.drop_joint_states()
        self.usable_joints = set()

    def offer(self, kind: str, stamp: int) -> None:
        observation = getattr(self.stream, kind)(stamp)
        if self.stream.pairer.counts[Reason.CLOCK_BACK] != self.clock_steps:
            self.clock_steps = self.stream.pairer.counts[Reason.CLOCK_BACK]
            self.started = None if self.started is None else self.stream.now
            self.last, self.usable_joints = None, set()
        if kind == "joints":
            self.usable_joints.add(stamp)
        if observation is not None:
            self.judge(observation)

    def judge(self, observation: Observation) -> None:
        stamp = observation.stamp_ns
        assert abs(self.stream.now - stamp) <= 2 * PERIOD
        assert self.started is None or stamp >= self.started
        assert self.last is None or stamp > self.last
        assert observation.left.tolist() == [0, stamp]
        assert observation.right.tolist() == [1, stamp]
        assert observation.joint_position.tolist() == [2, observation.joint_stamp_ns]
        assert observation.joint_velocity.tolist() == [3, observation.joint_stamp_ns]
        assert observation.joint_stamp_ns in self.usable_joints
        assert max(self.usable_joints) >= stamp
        nearest = min(abs(joints - stamp) for joints in self.usable_joints)
        assert abs(observation.joint_stamp_ns - stamp) == nearest <= PERIOD
        self.last = stamp


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_whatever_comes_nothing_unfit_is_used(events: list[Arrival | str]) -> None:
    judge = Judge(Stream(now=200 * PERIOD))
    stamps: list[int] = []
    for event in events:
        if isinstance(event, str):
            getattr(judge, event)()
            continue
        judge.stream.now += event.advance
        again = event.repeat is not None and event.repeat < len(stamps)
        stamps.append(stamps[-1 - (event.repeat or 0)] if again else judge.stream.now + event.offset)
        for kind in event.kinds:
            judge.offer(kind, stamps[-1])


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_healthy_stream_is_used_whole_in_any_order_of_arrival(data: st.DataObject) -> None:
    stream = Stream()
    stream.pairer.start(START)
    stamps, joint_stamps = [], []
    for k in range(12):
        stamp = START + k * PERIOD
        stream.now = stamp + data.draw(st.integers(-PERIOD // 4, PERIOD))
        for kind in data.draw(st.permutations(["left", "right", "joints"])):
            observation = getattr(stream, kind)(stamp)
            if observation is not None:
                stamps.append(observation.stamp_ns)
                joint_stamps.append(observation.joint_stamp_ns)
    assert stamps == joint_stamps == [START + k * PERIOD for k in range(12)]
    assert not stream.pairer.counts
