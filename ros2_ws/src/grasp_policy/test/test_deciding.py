"""Without ROS, how decisions come about: messages by their fields, episodes, what is said of a decision."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from grasp_policy.deciding import Decider, Decision
from grasp_policy.decision_record import DecisionRecord, checksum
from grasp_policy.decoding import JointStateRefusedError
from grasp_policy.pairing import PairingLimits
from grasp_policy.policy_file import load_policy
from grasp_policy.testing import sample_spec, write_sample

PERIOD_NS = 33_333_333
SPEC = sample_spec()


@pytest.fixture
def decider(tmp_path):
    made = Decider(load_policy(write_sample(tmp_path), None), PairingLimits(PERIOD_NS))
    made.start(0)
    return made


def header(stamp_ns: int) -> SimpleNamespace:
    return SimpleNamespace(stamp=SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9))


def image(stamp_ns: int, grey: int = 0, padding: int = 0) -> SimpleNamespace:
    width, height = SPEC.image_width, SPEC.image_height
    step = 3 * width + padding
    return SimpleNamespace(
        header=header(stamp_ns),
        encoding="rgb8",
        width=width,
        height=height,
        step=step,
        data=bytes([grey]) * (step * height),
    )


def joint_state(stamp_ns: int, position: float = 0.0) -> SimpleNamespace:
    names = list(SPEC.joint_names)
    return SimpleNamespace(header=header(stamp_ns), name=names, position=[position] * 23, velocity=[0.5] * 23)


def decide(decider: Decider, stamp_ns: int, now_ns: int | None = None, left: int = 3) -> Decision:
    now_ns = stamp_ns if now_ns is None else now_ns
    decider.take_joint_state("/joint_states", joint_state(stamp_ns), now_ns)
    decider.take_image(0, "/left", image(stamp_ns, left), now_ns)
    decider.take_image(1, "/right", image(stamp_ns), now_ns)
    observation = decider.observation(now_ns)
    assert observation is not None
    return decider.decide(observation)


def test_steps_are_counted_from_an_episodes_start(decider):
    steps = [decide(decider, index * PERIOD_NS).step for index in range(3)]
    decider.start(3 * PERIOD_NS)
    again = decide(decider, 3 * PERIOD_NS)
    assert steps == [0, 1, 2]
    assert (again.step, again.episode_ns) == (0, 3 * PERIOD_NS)


def test_when_the_clock_steps_back_an_episode_begins_with_zero_memory(decider):
    far = 10**10
    first = decide(decider, far)
    decide(decider, far + PERIOD_NS)
    again = decide(decider, PERIOD_NS)
    assert (again.step, again.episode_ns, decider.restarts) == (0, PERIOD_NS, 1)
    assert again.output.object_position.tolist() == first.output.object_position.tolist()


def test_a_bad_joint_state_also_takes_those_before_it_away(decider):
    decider.take_joint_state("/joint_states", joint_state(0), 0)
    with pytest.raises(JointStateRefusedError):
        decider.take_joint_state("/joint_states", joint_state(1, float("nan")), 1)
    decider.take_image(0, "/left", image(0), 1)
    decider.take_image(1, "/right", image(0), 1)
    assert decider.observation(1) is None


def test_a_record_says_what_was_used_and_survives_as_texts(decider):
    decide(decider, 0)
    record = DecisionRecord.of(decide(decider, PERIOD_NS), decider.policy, "models/one.onnx", PERIOD_NS + 5)
    assert (record.step, record.stamp_ns, record.taken_ns) == (1, PERIOD_NS, PERIOD_NS + 5)
    assert (record.providers, record.threads) == ("CPUExecutionProvider", 1)
    assert record.runtime.startswith("onnxruntime ")
    assert DecisionRecord.from_values(record.values() | {"of a later version": "x"}) == record


def test_a_checksum_is_of_the_pixels_and_not_of_the_padding_between_rows(decider):
    plain, padded = decider.image("", image(0, 9)), decider.image("", image(0, 9, padding=5))
    assert checksum(plain) == checksum(padded)
    assert checksum(plain) != checksum(decider.image("", image(0, 8)))


def test_a_checksum_tells_zero_from_minus_zero():
    assert checksum(np.array([0.0])) != checksum(np.array([-0.0]))


@pytest.mark.parametrize("change", [{"step": "first"}, {"stamp_ns": ""}])
def test_a_record_with_a_bad_number_is_refused_by_its_name(decider, change):
    values = DecisionRecord.of(decide(decider, 0), decider.policy, "p", 0).values()
    with pytest.raises(ValueError, match=next(iter(change))):
        DecisionRecord.from_values(values | change)


def test_a_record_with_a_field_missing_is_refused_by_its_name(decider):
    values = DecisionRecord.of(decide(decider, 0), decider.policy, "p", 0).values()
    for name in (field.name for field in dataclasses.fields(DecisionRecord)):
        with pytest.raises(ValueError, match=name):
            DecisionRecord.from_values({key: value for key, value in values.items() if key != name})
