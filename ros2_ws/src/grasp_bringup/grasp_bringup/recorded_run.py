"""What a recording shows of a run, as arrays: decisions, joints, commands, words, moments. For the report."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from grasp_description.robot import JOINT_NAMES
from grasp_policy.decision_record import DecisionRecord
from grasp_policy.decoding import JointMapper, JointStateRefusedError
from grasp_policy.recordings import RecordedMessage, Recording, header_stamp_ns
from grasp_policy.replaying import ReplayTopics, read_decision

LEFT, RIGHT = "/stereo/left/image_rect", "/stereo/right/image_rect"
JOINTS, COMMAND, TARGET = ReplayTopics.joints, "/control/command", "/policy/joint_target"
DECISION, ACCEPTED = "/policy/decision", "/control/accepted_target"
STATES = ("/grasp/state", "/control/state")
_OK = b"\x00"


@dataclass(frozen=True)
class Course:
    """Joint positions over time."""

    stamp_ns: np.ndarray
    """(n,) node's clock, ns"""
    log_ns: np.ndarray
    """(n,) arrival at the recorder, system time, ns"""
    publish_ns: np.ndarray
    """(n,) publication, system time, ns"""
    position: np.ndarray
    """(n, 23) rad, canonical order"""

    def within(self, begin_ns: int, end_ns: int) -> "Course":
        """The part with stamps from ``begin_ns`` to ``end_ns``."""
        inside = (self.stamp_ns >= begin_ns) & (self.stamp_ns <= end_ns)
        return Course(*(one[inside] for one in (self.stamp_ns, self.log_ns, self.publish_ns, self.position)))


@dataclass(frozen=True)
class Event:
    """Something that a node said."""

    log_ns: int
    """arrival at the recorder, system time, ns"""
    source: str
    """topic or node"""
    text: str
    """what it said"""


@dataclass(frozen=True)
class RecordedRun:
    """A recording without its images."""

    decisions: tuple[DecisionRecord, ...]
    """in order"""
    measured: Course
    """joint states"""
    commanded: Course
    """commands"""
    targets: Course
    """targets, the policy's and the task's"""
    image_ns: dict[int, int]
    """stamp of a pair of images -> system time at which the later one was published, ns"""
    accepted_ns: dict[int, int]
    """stamp of an accepted target -> system time at which the command node said so, ns"""
    decided_ns: dict[int, int]
    """stamp of a decision -> system time at which it was published, just after its target, ns"""
    events: tuple[Event, ...]
    """words of state, and diagnostics whenever what they say of trouble changes"""
    counters: tuple[tuple[int, str, str, int], ...]
    """diagnostics' numbers as they change: log time in ns, node, name, value"""
    counts: Counter[str]
    """messages by topic"""

    def stamp_of(self, log_ns: np.ndarray) -> np.ndarray:
        """The node's clock when something arrived at the recorder, (n,) ns: joint states tell both."""
        known = self.measured if len(self.measured.stamp_ns) else self.commanded
        if not len(known.log_ns):
            return np.asarray(log_ns, np.float64)
        return np.interp(log_ns, known.log_ns, known.stamp_ns)


@dataclass
class _Rows:
    stamps: list[tuple[int, int, int]] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)

    def add(self, message: RecordedMessage, position: np.ndarray) -> None:
        self.stamps.append((header_stamp_ns(message.data), message.log_ns, message.publish_ns))
        self.positions.append(position)

    def course(self) -> Course:
        stamp_ns, log_ns, publish_ns = np.array(self.stamps, np.int64).reshape(-1, 3).T
        position = np.array(self.positions, np.float64).reshape(-1, len(JOINT_NAMES))
        return Course(stamp_ns, log_ns, publish_ns, position)


class _Collector:
    """Sorts messages into what a `RecordedRun` is made of."""

    def __init__(self) -> None:
        self.decisions: list[DecisionRecord] = []
        self.rows = {topic: _Rows() for topic in (*JOINTS, COMMAND, TARGET)}
        self.published: dict[str, dict[int, int]] = {topic: {} for topic in ("image", ACCEPTED, DECISION)}
        self.events: list[Event] = []
        self.counters: list[tuple[int, str, str, int]] = []
        self.counts: Counter[str] = Counter()
        self._mapper = JointMapper(JOINT_NAMES)
        self._said: dict[str, str] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._handlers: dict[str, Callable[[RecordedMessage], None]] = {
            DECISION: self._on_decision,
            LEFT: self._on_image,
            RIGHT: self._on_image,
            ACCEPTED: self._on_accepted,
            **dict.fromkeys(JOINTS, self._on_joint_state),
            COMMAND: self._on_joint_state,
            TARGET: self._on_target,
            "/diagnostics": self._on_diagnostics,
            **dict.fromkeys(STATES, self._on_word),
        }

    def take(self, message: RecordedMessage) -> None:
        self.counts[message.topic] += 1
        handler = self._handlers.get(message.topic)
        if handler is not None:
            handler(message)

    def _on_decision(self, message: RecordedMessage) -> None:
        self.decisions.append(read_decision(message))
        self.published[DECISION][header_stamp_ns(message.data)] = message.publish_ns

    def _on_image(self, message: RecordedMessage) -> None:
        stamp_ns, known = header_stamp_ns(message.data), self.published["image"]
        known[stamp_ns] = max(message.publish_ns, known.get(stamp_ns, 0))

    def _on_accepted(self, message: RecordedMessage) -> None:
        self.published[ACCEPTED].setdefault(header_stamp_ns(message.data), message.publish_ns)

    def _on_joint_state(self, message: RecordedMessage) -> None:
        told: Any = deserialize_message(message.data, JointState)
        try:
            fields = list(told.name), list(told.position), list(told.velocity)
            self.rows[message.topic].add(message, self._mapper.vectors(message.topic, *fields)[0])
        except JointStateRefusedError as error:
            self._say(message.log_ns, message.topic, str(error))

    def _on_target(self, message: RecordedMessage) -> None:
        told: Any = deserialize_message(message.data, JointTrajectory)
        for point in told.points:
            fields = list(told.joint_names), list(point.positions), [0.0] * len(point.positions)
            try:
                self.rows[TARGET].add(message, self._mapper.vectors(TARGET, *fields)[0])
            except JointStateRefusedError as error:
                self._say(message.log_ns, TARGET, str(error))

    def _on_word(self, message: RecordedMessage) -> None:
        told: Any = deserialize_message(message.data, String)
        self.events.append(Event(message.log_ns, message.topic, told.data))

    def _on_diagnostics(self, message: RecordedMessage) -> None:
        told: Any = deserialize_message(message.data, DiagnosticArray)
        for status in told.status:
            self._say(message.log_ns, status.name, "" if status.level == _OK else status.message)
            for item in status.values:
                if item.value.isdecimal():
                    self._count(message.log_ns, status.name, item.key, int(item.value))

    def _say(self, log_ns: int, source: str, text: str) -> None:
        """Note trouble when it begins or changes, not while it lasts."""
        if text and self._said.get(source) != text:
            self.events.append(Event(log_ns, source, text))
        self._said[source] = text

    def _count(self, log_ns: int, node: str, name: str, value: int) -> None:
        if self._numbers.get((node, name)) != value:
            self._numbers[node, name] = value
            self.counters.append((log_ns, node, name, value))


def read_run(recording: Recording) -> RecordedRun:
    """Read a recording, without its images.

    Raises:
        RecordingError: it is no recording, or a message is not what its topic promises.
    """
    found = _Collector()
    for message in recording.messages():
        found.take(message)
    return RecordedRun(
        tuple(found.decisions),
        next((found.rows[topic] for topic in JOINTS if found.rows[topic].stamps), _Rows()).course(),
        found.rows[COMMAND].course(),
        found.rows[TARGET].course(),
        found.published["image"],
        found.published[ACCEPTED],
        found.published[DECISION],
        tuple(sorted(found.events, key=lambda event: event.log_ns)),
        tuple(found.counters),
        found.counts,
    )


def read_images(recording: Recording, stamps_ns: frozenset[int]) -> dict[tuple[str, int], np.ndarray]:
    """The images of these stamps, (H, W, 3) uint8, by topic and stamp; those not in rgb8 are left out."""
    found: dict[tuple[str, int], np.ndarray] = {}
    for message in recording.messages({LEFT, RIGHT}):
        stamp_ns = header_stamp_ns(message.data)
        if stamp_ns in stamps_ns and (message.topic, stamp_ns) not in found:
            image: Any = deserialize_message(message.data, Image)
            if image.encoding == "rgb8" and len(image.data) == image.step * image.height:
                rows = np.frombuffer(image.data, np.uint8).reshape(image.height, image.step)
                pixels = rows[:, : 3 * image.width].reshape(image.height, image.width, 3)
                found[message.topic, stamp_ns] = pixels
    return found
