"""Reads recordings of topics: MCAP files as rosbag2 and this stack's recorder write them. No ROS in it."""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard
from mcap.exceptions import InvalidMagic, McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader

__all__ = ["RecordedMessage", "Recording", "RecordingError", "header_stamp_ns"]

_ENCODING = "cdr"
_DAMAGE = (McapError, ValueError, LookupError, RuntimeError, struct.error, zstandard.ZstdError)
"""What the library and its decompressors raise on a file that was cut off or damaged."""


class RecordingError(ValueError):
    """A file is no recording, or a message in it is not what its topic promises."""


@dataclass(frozen=True)
class RecordedMessage:
    """One message as it came over the wire."""

    topic: str
    """Its topic."""
    kind: str
    """Its type, such as ``sensor_msgs/msg/Image``."""
    log_ns: int
    """The recorder's clock (not simulated time) when it came, ns."""
    publish_ns: int
    """The publisher's clock (not simulated time) when it was sent, ns; `log_ns` where nobody knows."""
    data: bytes
    """Its content, serialized (CDR)."""


class Recording:
    """A recording on disk: one MCAP file, or the folder of several that rosbag2 made.

    Attributes:
        files: its files, in order.
        damage: what was wrong with files read so far, in words; empty for whole ones. What lies before the
            damage is read: a recorder that was killed leaves a file without an end.
    """

    def __init__(self, path: Path | str) -> None:
        """
        Raises:
            RecordingError: there is no such file, or no MCAP file in the folder.
        """
        path = Path(path)
        self.files = _in_order(path.glob("*.mcap")) if path.is_dir() else [path]
        self.damage: list[str] = []
        if not self.files:
            raise RecordingError(f"{path} has no MCAP file in it; expected a recording, *.mcap")
        for file in self.files:
            if not file.is_file():
                raise RecordingError(f"there is no recording {file}")

    def messages(self, topics: Container[str] | None = None) -> Iterator[RecordedMessage]:
        """The messages on `topics` (None: on all), in the order of the file, which is that of arrival.

        Raises:
            RecordingError: a file is not MCAP, or holds messages of another encoding than ROS 2's.
        """
        self.damage = []
        for file in self.files:
            yield from self._messages_of(file, topics)

    def _messages_of(self, file: Path, topics: Container[str] | None) -> Iterator[RecordedMessage]:
        channels: dict[int, Channel] = {}
        kinds: dict[int, str] = {}
        with file.open("rb") as stream:
            try:
                for record in StreamReader(stream, validate_crcs=True).records:
                    if isinstance(record, Schema):
                        kinds[record.id] = record.name
                    elif isinstance(record, Channel):
                        channels[record.id] = record
                    elif isinstance(record, Message):
                        channel = channels[record.channel_id]
                        if topics is None or channel.topic in topics:
                            yield _message(file, channel, kinds.get(channel.schema_id, ""), record)
            except InvalidMagic as error:
                raise RecordingError(f"{file} is not an MCAP file: {error}") from error
            except RecordingError:
                raise
            except _DAMAGE as error:
                self.damage.append(
                    f"{file} ends early or is damaged: {type(error).__name__} {error}".rstrip()
                )


def header_stamp_ns(data: bytes) -> int:
    """The stamp in ns of a serialized message whose first field is a std_msgs/Header.

    Raises:
        RecordingError: it is too short for one.
    """
    if len(data) < 12:
        raise RecordingError(f"message of {len(data)} bytes; expected a header with a stamp, 12 at least")
    # CDR: a representation identifier of four bytes, whose second is odd for little endian.
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    return seconds * 1_000_000_000 + nanoseconds


def _message(file: Path, channel: Channel, kind: str, record: Message) -> RecordedMessage:
    if channel.message_encoding != _ENCODING:
        found = f"messages on {channel.topic} in the encoding {channel.message_encoding!r}"
        raise RecordingError(f"{file} has {found}; expected {_ENCODING!r}")
    return RecordedMessage(
        channel.topic, kind, record.log_time, record.publish_time or record.log_time, record.data
    )


def _in_order(files: Iterator[Path]) -> list[Path]:
    """rosbag2 numbers its files without leading zeros: NAME_2.mcap comes before NAME_10.mcap."""

    def number(file: Path) -> tuple[int, str]:
        digits = file.stem.rpartition("_")[2]
        return (int(digits) if digits.isdecimal() else 0, file.name)

    return sorted(files, key=number)
