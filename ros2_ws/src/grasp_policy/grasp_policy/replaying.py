"""Decides again what a recording shows, and holds the targets against the recorded ones, bit for bit."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from grasp_policy.deciding import Decider
from grasp_policy.decision_record import DecisionRecord, checksum
from grasp_policy.decoding import ImageRefusedError, JointStateRefusedError
from grasp_policy.pairing import Observation
from grasp_policy.recordings import RecordedMessage, RecordingError, header_stamp_ns

__all__ = ["Difference", "ReplayTally", "ReplayTopics", "Replayer", "read_decision"]

_LAG_NS = 3_000_000_000
"""A decision waits so long (recorder's clock) for its messages: topics may be recorded out of step."""
_MEMORY_NS = 10_000_000_000
"""Messages are kept so long (recorder's clock)."""


@dataclass(frozen=True)
class ReplayTopics:
    """Names of the topics in a recording."""

    left: str = "/stereo/left/image_rect"
    """Left images."""
    right: str = "/stereo/right/image_rect"
    """Right images."""
    joints: tuple[str, ...] = ("/grasp/joint_states", "/joint_states")
    """Joint states: a robot's in the order of the stack; and where nothing else has that name."""
    target: str = "/policy/joint_target"
    """Targets, the policy's among others'."""
    decision: str = "/policy/decision"
    """What each target was decided from."""

    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset((self.left, self.right, *self.joints, self.target, self.decision))


@dataclass(frozen=True)
class Difference:
    """A target that came out otherwise than it was recorded."""

    record: DecisionRecord
    """The decision."""
    recorded: np.ndarray | None
    """The recorded target, (23,) rad; None where only its checksum was recorded."""
    replayed: np.ndarray
    """The target now, (23,) rad."""

    @property
    def largest_rad(self) -> float:
        """Largest difference of any joint's target; NaN where it cannot be told."""
        return float("nan") if self.recorded is None else float(np.abs(self.replayed - self.recorded).max())


@dataclass
class ReplayTally:
    """What came of a replay."""

    decisions: int = 0
    """Decisions in the recording."""
    same: int = 0
    """Targets that came out the same, bit for bit."""
    differences: int = 0
    """Targets that did not."""
    first: Difference | None = None
    """The first of these."""
    largest_rad: float = 0.0
    """Largest difference of any joint's target that could be told."""
    undecided: Counter[str] = field(default_factory=Counter)
    """Decisions that could not be made again, by reason."""

    @property
    def complete(self) -> bool:
        """Whether every decision of the recording was made again."""
        return self.decisions > 0 and self.same + self.differences == self.decisions


class _Shelf:
    """Messages of one topic by stamp, forgotten after a while."""

    def __init__(self) -> None:
        self._messages: OrderedDict[int, list[bytes]] = OrderedDict()
        self._arrivals: deque[tuple[int, int]] = deque()

    def put(self, message: RecordedMessage) -> None:
        stamp_ns = header_stamp_ns(message.data)
        self._messages.setdefault(stamp_ns, []).append(message.data)
        self._arrivals.append((message.log_ns, stamp_ns))
        while self._arrivals[0][0] < message.log_ns - _MEMORY_NS:
            _, old = self._arrivals.popleft()
            self._messages[old].pop(0)
            if not self._messages[old]:
                del self._messages[old]

    def of(self, stamp_ns: int) -> Iterable[bytes]:
        return self._messages.get(stamp_ns, ())


class Replayer:
    """Takes a recording message by message, in its order, and decides again through `decider`.

    Memory is bounded: messages of a few seconds.

    Attributes:
        tally: the outcome so far; final after `finish`.
    """

    def __init__(self, decider: Decider, topics: ReplayTopics = ReplayTopics()) -> None:
        self.tally = ReplayTally()
        self._decider = decider
        self._topics = topics
        self._shelves = {topic: _Shelf() for topic in topics.names() - {topics.decision}}
        self._waiting: deque[tuple[int, DecisionRecord]] = deque()
        self._next: tuple[int, int] | None = None

    def take(self, message: RecordedMessage) -> None:
        """Take the next message of the recording; topics that do not matter here are ignored.

        Raises:
            RecordingError: it is not what its topic promises.
        """
        if message.topic == self._topics.decision:
            self._waiting.append((message.log_ns, read_decision(message)))
        elif message.topic in self._shelves:
            self._shelves[message.topic].put(message)
        while self._waiting and self._waiting[0][0] < message.log_ns - _LAG_NS:
            self._replay(self._waiting.popleft()[1])

    def finish(self) -> ReplayTally:
        """The recording is over: decide what still waits."""
        while self._waiting:
            self._replay(self._waiting.popleft()[1])
        return self.tally

    def _replay(self, record: DecisionRecord) -> None:
        self.tally.decisions += 1
        reason = self._reason_not_to_decide(record)
        observation = None if reason else self._observation(record)
        if isinstance(observation, Observation):
            output = self._decider.decide(observation).output
            self._next = (record.episode_ns, record.step + 1)
            self._compare(record, output.joint_target.astype(np.float64))
        else:
            self._next = None
            self.tally.undecided[reason or str(observation)] += 1

    def _reason_not_to_decide(self, record: DecisionRecord) -> str:
        if record.sha256 != self._decider.policy.sha256:
            return f"made by another policy, SHA-256 {record.sha256[:12]}"
        if record.step == 0:
            self._decider.begin_episode(record.episode_ns)
        elif (record.episode_ns, record.step) != self._next:
            # What the policy remembers at this step is not known.
            return "its episode's earlier decisions are not in the recording, or could not be made again"
        return ""

    def _observation(self, record: DecisionRecord) -> Observation | str:
        """What the node decided from, found by stamps and checksums; or why it cannot be had."""
        left = self._image(self._topics.left, record.stamp_ns, record.left_crc32)
        right = self._image(self._topics.right, record.stamp_ns, record.right_crc32)
        joints = self._joint_state(record)
        for topic, found in (
            (self._topics.left, left),
            (self._topics.right, right),
            (" or ".join(self._topics.joints), joints),
        ):
            if found is None:
                return f"what it saw on {topic} is not in the recording"
        assert left is not None
        assert right is not None
        assert joints is not None
        return Observation(record.stamp_ns, left, right, record.joint_stamp_ns, *joints)

    def _image(self, topic: str, stamp_ns: int, crc32: int) -> np.ndarray | None:
        for data in self._shelves[topic].of(stamp_ns):
            try:
                image = self._decider.image(topic, deserialize_message(data, Image))
            except ImageRefusedError:
                continue
            if checksum(image) == crc32:
                return image
        return None

    def _joint_state(self, record: DecisionRecord) -> tuple[np.ndarray, np.ndarray] | None:
        for topic in self._topics.joints:
            for data in self._shelves[topic].of(record.joint_stamp_ns):
                try:
                    vectors = self._decider.joint_state(topic, deserialize_message(data, JointState))
                except JointStateRefusedError:
                    continue
                if checksum(*vectors) == record.joints_crc32:
                    return vectors
        return None

    def _compare(self, record: DecisionRecord, replayed: np.ndarray) -> None:
        recorded = self._recorded_target(record)
        # The checksum tells whether the bits are the same where the target itself was not recorded.
        if checksum(replayed) == record.target_crc32 and (
            recorded is None or recorded.tobytes() == replayed.tobytes()
        ):
            self.tally.same += 1
            return
        difference = Difference(record, recorded, replayed)
        self.tally.differences += 1
        self.tally.first = self.tally.first or difference
        # max() leaves out a difference that is NaN when it comes second.
        self.tally.largest_rad = max(self.tally.largest_rad, difference.largest_rad)

    def _recorded_target(self, record: DecisionRecord) -> np.ndarray | None:
        for data in self._shelves[self._topics.target].of(record.stamp_ns):
            target: Any = deserialize_message(data, JointTrajectory)
            # Others publish targets too, such as grasp_task on its way home.
            for point in target.points:
                positions = np.asarray(point.positions, np.float64)
                if checksum(positions) == record.target_crc32:
                    return positions
        return None


def read_decision(message: RecordedMessage) -> DecisionRecord:
    """The record in a message on ``/policy/decision``.

    Raises:
        RecordingError: it is not of that type, or holds no record.
    """
    if message.kind != "diagnostic_msgs/msg/DiagnosticArray":
        expected = "diagnostic_msgs/msg/DiagnosticArray"
        raise RecordingError(f"messages on {message.topic} are of {message.kind}; expected {expected}")
    array: Any = deserialize_message(message.data, DiagnosticArray)
    try:
        (status,) = array.status
        return DecisionRecord.from_values({item.key: item.value for item in status.values})
    except ValueError as error:
        raise RecordingError(f"a message on {message.topic} is no decision: {error}") from error
