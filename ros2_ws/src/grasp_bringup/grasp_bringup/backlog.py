"""Between arrival and disk: takes messages without waiting, writes them from a thread of its own. No ROS."""

import threading
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass

from grasp_bringup.recording_file import RecordedTopic, RecordingFile

_FLUSH_S = 0.5
"""s of wall time after which what came is on disk: so much a killed recorder loses"""
_OVERHEAD_BYTES = 200
"""memory of a waiting message beside its content"""


@dataclass(frozen=True)
class _Arrival:
    topic: str
    log_ns: int
    publish_ns: int
    data: bytes


class Backlog:
    """Messages that wait to be written, bounded in bytes: what does not fit is dropped and counted.

    Attributes:
        dropped: messages that were not written, by topic
        failure: why nothing is written any more, in words; empty while all is well
    """

    def __init__(self, file: RecordingFile, limit_bytes: int) -> None:
        self.dropped: Counter[str] = Counter()
        self.failure = ""
        self._file = file
        self._limit_bytes = limit_bytes
        self._waiting: deque[RecordedTopic | _Arrival] = deque()
        self._waiting_bytes = 0
        self._ending = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Memory that waiting messages take."""
        return self._waiting_bytes

    def add_topic(self, topic: RecordedTopic) -> None:
        """Make a topic known, before its first message."""
        with self._change:
            self._waiting.append(topic)
            self._change.notify()

    def add(self, topic: str, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Take a message of a known topic, as `RecordingFile.write` does; never waits for the disk."""
        size = len(data) + _OVERHEAD_BYTES
        with self._change:
            if self.failure or self._waiting_bytes + size > self._limit_bytes:
                self.dropped[topic] += 1
                return
            self._waiting.append(_Arrival(topic, log_ns, publish_ns, data))
            self._waiting_bytes += size
            self._change.notify()

    def close(self) -> None:
        """Write what waits, and finish the file; waits for the disk."""
        with self._change:
            self._ending = True
            self._change.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._write_some():
                pass
            self._file.finish()
        except OSError as error:
            self._give_up(error)

    def _write_some(self) -> bool:
        """Write what comes until the next flush is due; whether there is more to come."""
        due_s = time.monotonic() + _FLUSH_S
        while (left_s := due_s - time.monotonic()) > 0.0:
            with self._change:
                if not self._waiting and not self._ending:
                    self._change.wait(left_s)
                some = list(self._waiting)
                self._waiting.clear()
                if not some and self._ending:
                    return False
            for one in some:
                self._write(one)
        self._file.flush()
        return True

    def _write(self, one: RecordedTopic | _Arrival) -> None:
        if isinstance(one, RecordedTopic):
            self._file.add_topic(one)
            return
        self._file.write(one.topic, one.log_ns, one.publish_ns, one.data)
        with self._change:
            self._waiting_bytes -= len(one.data) + _OVERHEAD_BYTES

    def _give_up(self, error: OSError) -> None:
        """The disk is full, or fails: keep what is whole, and take nothing more."""
        # The first error says more than a second one.
        with suppress(OSError):
            self._file.abandon()
        with self._change:
            self.failure = f"{self._file.path} cannot be written any more: {error}"
            for one in self._waiting:
                if isinstance(one, _Arrival):
                    self.dropped[one.topic] += 1
            self._waiting.clear()
            self._waiting_bytes = 0
