"""/grasp_recorder: writes what passes on topics to an MCAP file, as `ros2 bag record -s mcap` does.

It subscribes and publishes diagnostics, and nobody waits for it. `python -m grasp_bringup.recorder_node`.
"""

import importlib
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import IntegerRange, ParameterDescriptor
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import try_shutdown

from grasp_bringup.backlog import Backlog
from grasp_bringup.definitions import definition, type_hash
from grasp_bringup.recorded_topics import (
    COMMANDS,
    IMAGES,
    NEEDED,
    TOPICS,
    Listening,
    hears,
    offered_qos,
    suitable_qos,
)
from grasp_bringup.recording_file import RecordedTopic, RecordingFile

_LOOK_S = 0.5
"""s of wall time between two looks at who publishes what"""
_LAST_S = 2.5
"""s of wall time that it goes on at most when it is to end, while the command node still commands"""


class RecorderNode(Node):
    """Listens to its topics as their publishers offer them, and hands what comes to the backlog."""

    def __init__(self, **arguments: Any) -> None:
        """
        Args:
            arguments: of `rclpy.node.Node`, for tests

        Raises:
            FileExistsError: the recording is there already.
            OSError: it cannot be made.
            ValueError: the parameter ``file`` is empty.
        """
        super().__init__("grasp_recorder", **arguments)
        self._declare_parameters()
        path = self.get_parameter("file").value
        if not path:
            raise ValueError("parameter 'file' is empty; expected the path of a recording to be made")
        limit_bytes = int(self.get_parameter("backlog_mib").value or 0) * 2**20
        self._file = RecordingFile(Path(path))
        self._backlog = Backlog(self._file, limit_bytes)
        more: list[str] = [topic for topic in self.get_parameter("more_topics").value or [] if topic]
        topics: list[str] = list(self.get_parameter("topics").value or [])
        self._wanted = list(dict.fromkeys([*topics, *more]))
        self._listening: dict[str, Listening] = {}
        self._refused: dict[str, str] = {}
        self._failed = False
        for topic in self._wanted:
            # A type that is not installed here is told when somebody publishes it.
            with suppress(ImportError, KeyError):
                self._listen(topic, *TOPICS[topic])
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_LOOK_S, self._look, clock=steady)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)

    def close(self) -> None:
        """Write what waits, and finish the file."""
        self._backlog.close()

    def _declare_parameters(self) -> None:
        text = "path of the recording, NAME.mcap; it must not exist"
        self.declare_parameter("file", "", ParameterDescriptor(description=text, read_only=True))
        text = "names of the topics that are recorded, as soon as somebody publishes them"
        self.declare_parameter("topics", list(TOPICS), ParameterDescriptor(description=text, read_only=True))
        text = "names of further topics; empty names count for nothing"
        self.declare_parameter("more_topics", [""], ParameterDescriptor(description=text, read_only=True))
        text = "MiB of messages that may wait for the disk; what comes beyond them is dropped"
        span = [IntegerRange(from_value=1, to_value=4096, step=1)]
        self.declare_parameter(
            "backlog_mib", 64, ParameterDescriptor(description=text, read_only=True, integer_range=span)
        )

    def _ready(self) -> bool:
        """Whether nothing of an episode is missed from now on: all publishers are found, images have come.

        Publisher and listener find each other one after the other: images that come show that both did.
        """
        found = all(
            one.subscription.get_publisher_count() > 0
            for topic, one in self._listening.items()
            if topic in NEEDED or self.count_publishers(topic)
        )
        return found and all(one.described for topic, one in self._listening.items() if topic in IMAGES)

    def _look(self) -> None:
        """Listen to what is published otherwise than expected, or was not expected at all."""
        for topic in self._wanted:
            offers = self.get_publishers_info_by_topic(topic)
            if not offers or topic in self._refused:
                continue
            kind, profiles = offers[0].topic_type, [offer.qos_profile for offer in offers]
            listening = self._listening.get(topic)
            if listening and listening.kind == kind and hears(listening.qos, profiles):
                continue
            try:
                self._listen(topic, kind, suitable_qos(profiles))
            except (ImportError, AttributeError, ValueError) as error:
                self._refused[topic] = f"type {kind}: {error}"
                self.get_logger().error(f"{topic} is not recorded: {self._refused[topic]}")

    def _listen(self, topic: str, kind: str, qos: QoSProfile) -> None:
        """Listen to a topic, in place of how it was listened to before.

        Raises:
            ImportError, AttributeError, ValueError: the type is not installed, or is none.
        """
        package, _, name = kind.split("/")
        message_class = getattr(importlib.import_module(f"{package}.msg"), name)
        text = definition(kind)
        # rclpy's declaration of callbacks knows nothing of the one that also takes a message's times.
        callback: Any = partial(self._on_message, topic)
        # First the old one: within a process a topic has one type.
        before = self._listening.pop(topic, None)
        if before is not None:
            self.destroy_subscription(before.subscription)
        # Raw: what is written is what came, bit for bit.
        subscription = self.create_subscription(message_class, topic, callback, qos, raw=True)
        self._listening[topic] = Listening(kind, text, qos, subscription)

    def _describe(self, topic: str) -> None:
        """Tell the file of a topic, before the first message of its type."""
        listening = self._listening[topic]
        offers = [offer.qos_profile for offer in self.get_publishers_info_by_topic(topic)]
        about = (topic, listening.kind, listening.definition, type_hash(listening.kind))
        self._backlog.add_topic(RecordedTopic(*about, offered_qos(offers)))
        listening.described = True

    def _on_message(self, topic: str, data: Any, info: dict[str, int]) -> None:
        if not self._listening[topic].described:
            self._describe(topic)
        log_ns = info["received_timestamp"] or time.time_ns()
        self._backlog.add(topic, log_ns, info["source_timestamp"] or log_ns, bytes(data))

    def _publish_diagnostics(self) -> None:
        dropped, failure = self._backlog.dropped.copy(), self._backlog.failure
        if failure and not self._failed:
            self._failed = True
            self.get_logger().error(failure)
        silent = [topic for topic in self._wanted if not self._file.counts[topic]]
        values = {
            "file": str(self._file.path),
            "ready": str(self._ready()).lower(),
            "bytes": str(self._file.bytes_written),
            "messages": str(sum(self._file.counts.values())),
            "waiting_bytes": str(self._backlog.waiting_bytes),
            "dropped": str(sum(dropped.values())),
            **{f"dropped {topic}": str(count) for topic, count in dropped.items()},
            "without messages": ", ".join(silent),
            "refused": ", ".join(f"{topic} ({why})" for topic, why in self._refused.items()),
        }
        level, text = DiagnosticStatus.OK, "recording"
        if dropped or self._refused:
            level, text = DiagnosticStatus.WARN, "recording, but not all of it"
        if failure:
            level, text = DiagnosticStatus.ERROR, failure
        status = DiagnosticStatus(level=level, name="grasp_recorder", message=text, hardware_id="recorder")
        status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(array)


def main() -> None:
    """Record until SIGINT, SIGTERM or SIGHUP; exits with 0 then, with 2 where the file cannot be made.

    Ctrl-C in `ros2 launch` reaches all nodes at once: how the robot comes to rest is still recorded.
    """
    interruptions: list[int] = []
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda received, _: interruptions.append(received))
    try:
        node = RecorderNode()
    except (OSError, ValueError) as error:
        try_shutdown()
        print(f"grasp_recorder: {error}", file=sys.stderr)
        sys.exit(2)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not interruptions:
            executor.spin_once(timeout_sec=0.1)
        deadline_s = time.monotonic() + _LAST_S
        while node.count_publishers(COMMANDS) and time.monotonic() < deadline_s:
            executor.spin_once(timeout_sec=0.1)
    finally:
        node.close()
        node.destroy_node()
        try_shutdown()
    sys.exit(0)


if __name__ == "__main__":
    main()
