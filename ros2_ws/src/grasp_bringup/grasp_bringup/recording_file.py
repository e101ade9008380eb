"""Writes a recording: MCAP in rosbag2's layout, readable up to its last chunk at any moment. No ROS."""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from mcap.writer import Writer

_LIBRARY = "grasp_bringup"
_BAG_VERSION = 9
"""of rosbag2's metadata: the one of Jazzy, which names policies of quality of service by words"""


@dataclass(frozen=True)
class RecordedTopic:
    """What a recording says of a topic before its messages."""

    name: str
    """its name"""
    kind: str
    """its type, such as ``sensor_msgs/msg/Image``"""
    definition: str = ""
    """text of the type and of all types in it, as "ros2msg"; empty if it is not known"""
    type_hash: str = ""
    """hash of the type; empty if it is not known"""
    offered_qos: tuple[dict[str, object], ...] = ()
    """quality of service of its publishers, as rosbag2 writes it"""


class RecordingFile:
    """An MCAP file being written; nothing of it is ever overwritten.

    Attributes:
        path: where it is
        counts: messages written, by topic
        bytes_written: its size up to the last flush
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            FileExistsError: there is something at ``path`` already.
            OSError: it cannot be made.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.counts: Counter[str] = Counter()
        self.bytes_written = 0
        self._topics: dict[str, RecordedTopic] = {}
        self._channels: dict[str, int] = {}
        self._span_ns: tuple[int, int] | None = None
        # Unbuffered: what the writer hands over is with the system at once, and outlives this process.
        self._stream: BinaryIO = path.open("xb", buffering=0)
        self._writer = Writer(_Whole(self._stream), use_chunking=True)  # type: ignore[arg-type]
        self._writer.start(profile="ros2", library=_LIBRARY)
        self.flush()

    def add_topic(self, topic: RecordedTopic) -> None:
        """Make a topic known, before its first message."""
        schema = self._writer.register_schema(topic.kind, "ros2msg", topic.definition.encode())
        described = {
            "offered_qos_profiles": json.dumps(topic.offered_qos),
            "topic_type_hash": topic.type_hash,
        }
        self._topics[topic.name] = topic
        self._channels[topic.name] = self._writer.register_channel(topic.name, "cdr", schema, described)

    def write(self, topic: str, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Add a message, as serialized by ROS (CDR).

        Args:
            topic: a known one
            log_ns: system time of its arrival
            publish_ns: system time of its publication
            data: its content

        Raises:
            OSError: the disk is full, or fails.
        """
        number = self.counts[topic]
        self._writer.add_message(self._channels[topic], log_ns, data, publish_ns, number)
        self.counts[topic] += 1
        begin, end = self._span_ns or (log_ns, log_ns)
        self._span_ns = (min(begin, log_ns), max(end, log_ns))

    def flush(self) -> None:
        """End the chunk at hand: what was written until now can be read whatever happens next.

        Raises:
            OSError: the disk is full, or fails.
        """
        self._writer.flush()
        self.bytes_written = self._stream.tell()

    def finish(self) -> None:
        """Write the index that makes seeking fast, and close.

        Raises:
            OSError: the disk is full, or fails; call `abandon` then.
        """
        self.flush()
        self._writer.add_metadata("rosbag2", {"serialized_metadata": json.dumps(self._bag_metadata())})
        self._writer.finish()
        self._stream.close()

    def abandon(self) -> None:
        """Close after an error: cut off what is not whole, so that the rest can be read."""
        try:
            self._stream.truncate(self.bytes_written)
        finally:
            self._stream.close()

    def _bag_metadata(self) -> dict[str, object]:
        """What `ros2 bag info` shows. JSON is YAML."""
        begin, end = self._span_ns or (0, 0)
        start = {"nanoseconds_since_epoch": begin}
        duration = {"nanoseconds": end - begin}
        total = sum(self.counts.values())
        about = {"starting_time": start, "duration": duration, "message_count": total}
        topics = [
            {"topic_metadata": _topic_metadata(topic), "message_count": self.counts[name]}
            for name, topic in self._topics.items()
        ]
        return {
            "version": _BAG_VERSION,
            "storage_identifier": "mcap",
            **about,
            "topics_with_message_count": topics,
            "compression_format": "",
            "compression_mode": "",
            "relative_file_paths": [self.path.name],
            "files": [{"path": self.path.name, **about}],
            "custom_data": None,
            "ros_distro": os.environ.get("ROS_DISTRO", ""),
        }


class _Whole:
    """A raw file may take less than it is given, without an error, when the disk fills: this insists."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest:
            rest = rest[self._stream.write(rest) :]
        return len(data)

    def tell(self) -> int:
        return self._stream.tell()

    def flush(self) -> None:
        pass


def _topic_metadata(topic: RecordedTopic) -> dict[str, object]:
    told = asdict(topic)
    return {
        "name": told["name"],
        "type": told["kind"],
        "serialization_format": "cdr",
        "offered_qos_profiles": list(told["offered_qos"]),
        "type_description_hash": told["type_hash"],
    }
