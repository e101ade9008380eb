"""Deciding a recording again: what is the same, what differs, and what cannot be told."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from mcap.writer import Writer
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from grasp_policy.deciding import Decider
from grasp_policy.decision_record import DecisionRecord, checksum
from grasp_policy.pairing import PairingLimits
from grasp_policy.policy_file import load_policy
from grasp_policy.recordings import Recording
from grasp_policy.replay import DIFFERENT, INCOMPLETE, REFUSED, SAME, main, replay
from grasp_policy.testing import sample_spec, write_sample

PERIOD_NS = 33_333_333
SPEC = sample_spec()
LEFT, RIGHT, JOINTS = "/stereo/left/image_rect", "/stereo/right/image_rect", "/joint_states"
TARGET, DECISION = "/policy/joint_target", "/policy/decision"
Said = tuple[str, Any]
"""a topic and a message on it"""


class RecordedNode:
    """Decides on made-up images as the node does, and keeps what a recorder would hear."""

    def __init__(self, policy: Path) -> None:
        self.path = policy
        self.decider = Decider(load_policy(policy, None), PairingLimits(PERIOD_NS))
        self.random = np.random.default_rng(5)
        self.said: list[list[Said]] = []
        self.now_ns = 0

    def episode(self, steps: int) -> None:
        self.decider.start(self.now_ns)
        for _ in range(steps):
            self.said.append(self._step())
            self.now_ns += PERIOD_NS

    def _step(self) -> list[Said]:
        left, right, joints = self._image(), self._image(), self._joint_state()
        self.decider.take_joint_state(JOINTS, joints, self.now_ns)
        self.decider.take_image(0, LEFT, left, self.now_ns)
        self.decider.take_image(1, RIGHT, right, self.now_ns)
        observation = self.decider.observation(self.now_ns)
        assert observation is not None
        decision = self.decider.decide(observation)
        record = DecisionRecord.of(decision, self.decider.policy, str(self.path), self.now_ns)
        target = target_of(decision.output.joint_target.astype(float).tolist(), self.now_ns)
        return [(JOINTS, joints), (LEFT, left), (RIGHT, right), (TARGET, target), (DECISION, told(record))]

    def _image(self) -> Image:
        size = 3 * SPEC.image_width * SPEC.image_height
        pixels = self.random.integers(0, 256, size, np.uint8).tobytes()
        message = Image(encoding="rgb8", width=SPEC.image_width, height=SPEC.image_height, data=pixels)
        message.step = 3 * SPEC.image_width
        return stamped(message, self.now_ns)

    def _joint_state(self) -> JointState:
        values = {"position": self.random.normal(size=23).tolist(), "velocity": [0.1] * 23}
        return stamped(JointState(name=list(reversed(SPEC.joint_names)), **values), self.now_ns)


def stamped(message: Any, stamp_ns: int) -> Any:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


def target_of(positions: list[float], stamp_ns: int) -> JointTrajectory:
    point = JointTrajectoryPoint(positions=positions)
    return stamped(JointTrajectory(joint_names=list(SPEC.joint_names), points=[point]), stamp_ns)


def told(record: DecisionRecord) -> DiagnosticArray:
    values = [KeyValue(key=key, value=value) for key, value in record.values().items()]
    return stamped(DiagnosticArray(status=[DiagnosticStatus(values=values)]), record.stamp_ns)


def record_in(step: list[Said]) -> DecisionRecord:
    values = next(message for topic, message in step if topic == DECISION).status[0].values
    return DecisionRecord.from_values({item.key: item.value for item in values})


def write(path: Path, said: Iterable[Said]) -> Path:
    """A recording of messages in this order, 1 ms apart."""
    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start(profile="ros2")
        channels: dict[str, int] = {}
        for index, (topic, message) in enumerate(said):
            if topic not in channels:
                kind = f"{type(message).__module__.split('.')[0]}/msg/{type(message).__name__}"
                schema = writer.register_schema(kind, "ros2msg", b"")
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            log_ns = index * 1_000_000
            writer.add_message(channels[topic], log_ns, serialize_message(message), log_ns)
        writer.finish()
    return path


@pytest.fixture
def node(tmp_path) -> RecordedNode:
    made = RecordedNode(write_sample(tmp_path))
    made.episode(4)
    made.episode(3)
    return made


def flat(steps: list[list[Said]]) -> list[Said]:
    return [one for step in steps for one in step]


def test_targets_come_out_the_same_over_several_episodes(node, tmp_path, capsys):
    path = write(tmp_path / "a.mcap", flat(node.said))
    assert main([str(path)]) == SAME
    assert "7 targets the same, bit for bit" in capsys.readouterr().out


def test_a_target_that_differs_in_its_last_bit_is_told_with_stamp_joint_and_values(node, tmp_path, capsys):
    target = node.said[2][3][1]
    true = target.points[0].positions[4]
    false = np.nextafter(true, 9.0)
    target.points[0].positions[4] = false
    record = record_in(node.said[2])
    claimed = dataclasses.replace(record, target_crc32=checksum(np.asarray(target.points[0].positions)))
    node.said[2][4] = (DECISION, told(claimed))
    assert main([str(write(tmp_path / "a.mcap", flat(node.said)))]) == DIFFERENT
    printed = capsys.readouterr().out
    assert "6 targets the same" in printed
    assert f"images of {2 * PERIOD_NS} ns, step 2" in printed
    assert f"joint_4 the most: recorded {float(false)!r} rad, now {float(true)!r} rad" in printed


def test_messages_may_be_recorded_out_of_step(node, tmp_path):
    said = flat(node.said)
    late_images = [one for one in said if one[0] == DECISION] + [one for one in said if one[0] != DECISION]
    assert main([str(write(tmp_path / "a.mcap", late_images))]) == SAME


def test_a_robots_joint_states_are_found_beside_those_of_its_arm_alone(node, tmp_path):
    arm = stamped(JointState(name=["arm_1"], position=[0.5], velocity=[0.0]), 0)
    said = [
        ("/grasp/joint_states" if topic == JOINTS else topic, message) for topic, message in flat(node.said)
    ]
    assert main([str(write(tmp_path / "a.mcap", [(JOINTS, arm), *said]))]) == SAME


def test_what_the_node_did_not_use_changes_nothing(node, tmp_path):
    others = []
    for step in node.said:
        stamp_ns = step[0][1].header.stamp.sec * 10**9 + step[0][1].header.stamp.nanosec
        dark = Image(encoding="rgb8", width=8, height=6, step=24, data=bytes(144))
        small = Image(encoding="rgb8", width=1, height=1, step=3, data=bytes(3))
        hand_only = JointState(name=["joint_0"], position=[0.0], velocity=[0.0])
        of_the_task = target_of([0.5] * 23, stamp_ns)
        others += [(LEFT, stamped(dark, stamp_ns)), (RIGHT, stamped(small, stamp_ns))]
        others += [(JOINTS, stamped(hand_only, stamp_ns)), (TARGET, of_the_task), *step]
    assert main([str(write(tmp_path / "a.mcap", others))]) == SAME


def test_after_an_image_that_is_missing_its_episode_cannot_be_decided_but_the_next_can(node, tmp_path):
    del node.said[1][1]
    recording = Recording(write(tmp_path / "a.mcap", flat(node.said)))
    _, tally, _ = replay(recording)
    assert (tally.decisions, tally.same, tally.differences) == (7, 4, 0)
    assert tally.undecided[f"what it saw on {LEFT} is not in the recording"] == 1
    assert sum(tally.undecided.values()) == 3
    assert main([str(recording.files[0])]) == INCOMPLETE


def test_a_recording_that_begins_within_an_episode_is_decided_from_the_next_on(node, tmp_path):
    _, tally, _ = replay(Recording(write(tmp_path / "a.mcap", flat(node.said[2:]))))
    assert (tally.same, tally.differences, sum(tally.undecided.values())) == (3, 0, 2)


def test_a_target_that_was_not_recorded_is_held_against_its_checksum(node, tmp_path):
    del node.said[1][3]
    assert main([str(write(tmp_path / "a.mcap", flat(node.said)))]) == SAME


def test_a_target_that_differs_and_was_not_recorded_is_a_difference_all_the_same(node, tmp_path, capsys):
    record = record_in(node.said[1])
    node.said[1][4] = (DECISION, told(dataclasses.replace(record, target_crc32=1)))
    assert main([str(write(tmp_path / "a.mcap", flat(node.said)))]) == DIFFERENT
    assert "its target is not in the recording" in capsys.readouterr().out


def test_another_policy_file_is_refused_with_both_sums(node, tmp_path, capsys):
    path = write(tmp_path / "a.mcap", flat(node.said))
    other = write_sample(tmp_path, name="other", nan_after_steps=100)
    assert main([str(path), "--policy", str(other)]) == REFUSED
    printed = capsys.readouterr().err
    assert node.decider.policy.sha256 in printed
    assert load_policy(other, None).sha256 in printed


def test_a_recording_without_decisions_is_refused(node, tmp_path, capsys):
    path = write(tmp_path / "a.mcap", [one for one in flat(node.said) if one[0] != DECISION])
    assert main([str(path)]) == REFUSED
    assert "has no message on /policy/decision" in capsys.readouterr().err
