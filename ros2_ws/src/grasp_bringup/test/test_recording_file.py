"""Files of recordings: what can be read after a full disk or a kill, and that nothing is overwritten."""

import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image, JointState

from grasp_bringup.backlog import Backlog
from grasp_bringup.definitions import DefinitionMissingError, definition, type_hash
from grasp_bringup.recording_file import RecordedTopic, RecordingFile
from grasp_policy.recordings import Recording, RecordingError, header_stamp_ns

KIND = "sensor_msgs/msg/JointState"
TOPIC = RecordedTopic("/joint_states", KIND, definition(KIND), type_hash(KIND))
SILENT = RecordedTopic("/nothing", KIND, definition(KIND))
# Writes and flushes for ever: whoever reads its lines kills it amid a write.
ENDLESS = """
import os, sys
from pathlib import Path
from grasp_bringup.recording_file import RecordedTopic, RecordingFile
file = RecordingFile(Path(sys.argv[1]))
file.add_topic(RecordedTopic("/noise", "sensor_msgs/msg/JointState"))
for count in range(1, 10**9):
    file.write("/noise", count, count, os.urandom(50_000))
    if count % 10 == 0:
        file.flush()
        print(count, flush=True)
"""


def joint_state(stamp_ns: int) -> bytes:
    message = JointState(name=["lbr_A1"], position=[1e-9 * stamp_ns], velocity=[0.0])
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return serialize_message(message)


def write(path: Path, count: int) -> RecordingFile:
    file = RecordingFile(path)
    file.add_topic(TOPIC)
    file.add_topic(SILENT)
    for index in range(count):
        file.write("/joint_states", 100 + index, 50 + index, joint_state(index))
    return file


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """As on a disk that fills up: writes beyond ``size`` bytes are cut short, then fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_read_back_bit_for_bit_in_order_with_both_times(tmp_path):
    write(tmp_path / "a.mcap", 20).finish()
    recording = Recording(tmp_path / "a.mcap")
    read = list(recording.messages())
    assert recording.damage == []
    assert [one.data for one in read] == [joint_state(index) for index in range(20)]
    assert [(one.log_ns, one.publish_ns) for one in read] == [
        (100 + index, 50 + index) for index in range(20)
    ]
    assert {(one.topic, one.kind) for one in read} == {("/joint_states", KIND)}
    assert [header_stamp_ns(one.data) for one in read] == list(range(20))


def test_a_reader_of_others_decodes_it_by_the_definitions_inside(tmp_path):
    write(tmp_path / "a.mcap", 3).finish()
    with (tmp_path / "a.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        decoded = [one.decoded_message for one in reader.iter_decoded_messages()]
        summary = reader.get_summary()
        (bag,) = reader.iter_metadata()
    assert [(one.name, one.header.stamp.nanosec) for one in decoded] == [(["lbr_A1"], n) for n in range(3)]
    assert bag.name == "rosbag2"
    assert summary is not None
    assert [schema.encoding for schema in summary.schemas.values()] == ["ros2msg"] * 2
    channels = {channel.topic: channel for channel in summary.channels.values()}
    assert channels["/joint_states"].message_encoding == "cdr"
    assert channels["/joint_states"].metadata["topic_type_hash"].startswith("RIHS01_")


def test_a_topic_without_messages_is_in_the_file(tmp_path):
    write(tmp_path / "a.mcap", 1).finish()
    with (tmp_path / "a.mcap").open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    assert {channel.topic for channel in summary.channels.values()} == {"/joint_states", "/nothing"}


def test_a_recording_without_any_message_is_whole(tmp_path):
    write(tmp_path / "a.mcap", 0).finish()
    recording = Recording(tmp_path / "a.mcap")
    assert list(recording.messages()) == []
    assert recording.damage == []


def test_an_existing_file_is_refused_and_stays_as_it_is(tmp_path):
    path = tmp_path / "a.mcap"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        RecordingFile(path)
    assert path.read_text() == "precious"


def test_what_was_flushed_is_readable_before_the_file_has_an_end(tmp_path):
    file = write(tmp_path / "a.mcap", 5)
    file.flush()
    recording = Recording(tmp_path / "a.mcap")
    assert len(list(recording.messages())) == 5
    assert "ends early" in recording.damage[0]
    file.finish()


def test_a_writer_killed_amid_a_write_leaves_all_that_it_had_flushed(tmp_path):
    path = tmp_path / "killed.mcap"
    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        flushed = [int(process.stdout.readline()) for _ in range(3)][-1]
        process.kill()
    times = [one.log_ns for one in Recording(path).messages()]
    assert len(times) >= flushed
    assert times == list(range(1, len(times) + 1))


def test_a_full_disk_stops_the_recording_and_leaves_what_was_whole(tmp_path):
    with files_no_larger_than(200_000):
        backlog = Backlog(RecordingFile(tmp_path / "full.mcap"), limit_bytes=2**24)
        backlog.add_topic(RecordedTopic("/noise", KIND))
        for index in range(1, 101):
            backlog.add("/noise", index, index, os.urandom(10_000))
            if index == 10:
                wait_until_written(tmp_path / "full.mcap", 100_000)
        backlog.close()
    backlog.add("/noise", 200, 200, b"late")
    assert "full.mcap cannot be written any more" in backlog.failure
    assert backlog.dropped["/noise"] >= 1
    times = [one.log_ns for one in Recording(tmp_path / "full.mcap").messages()]
    assert times == list(range(1, len(times) + 1))
    assert len(times) >= 10


def wait_until_written(path: Path, size: int) -> None:
    waiting = threading.Event()
    for _ in range(3000):
        if path.stat().st_size >= size:
            return
        waiting.wait(0.02)
    raise AssertionError(f"{path} stayed below {size} bytes")


def test_what_does_not_fit_into_the_backlog_is_dropped_and_counted(tmp_path, monkeypatch):
    file = write(tmp_path / "a.mcap", 0)
    disk = threading.Event()
    writing = file.write
    monkeypatch.setattr(file, "write", lambda *arguments: (disk.wait(60.0), writing(*arguments)))
    backlog = Backlog(file, limit_bytes=10_000)
    for index in range(100):
        backlog.add("/joint_states", index, index, bytes(800))
    assert backlog.waiting_bytes <= 10_000
    assert backlog.dropped["/joint_states"] == 90
    disk.set()
    backlog.close()
    assert len(list(Recording(tmp_path / "a.mcap").messages())) == 10


def test_a_file_that_is_no_recording_is_refused_by_its_name(tmp_path):
    (tmp_path / "text.mcap").write_text("not a recording at all")
    with pytest.raises(RecordingError, match=r"text\.mcap is not an MCAP file"):
        list(Recording(tmp_path / "text.mcap").messages())
    with pytest.raises(RecordingError, match=r"there is no recording .*nowhere\.mcap"):
        Recording(tmp_path / "nowhere.mcap")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match="has no MCAP file in it"):
        Recording(tmp_path / "empty")


def test_the_files_of_a_folder_are_read_in_the_order_of_their_numbers(tmp_path):
    for number in (0, 2, 10):
        file = RecordingFile(tmp_path / f"bag_{number}.mcap")
        file.add_topic(TOPIC)
        file.write("/joint_states", number, number, joint_state(number))
        file.finish()
    assert [one.log_ns for one in Recording(tmp_path).messages()] == [0, 2, 10]


def test_a_definition_holds_the_types_within_types():
    text = definition("sensor_msgs/msg/Image")
    separator = "=" * 80
    names = [part.splitlines()[1] for part in text.split(separator)[1:]]
    assert names == ["MSG: std_msgs/Header", "MSG: builtin_interfaces/Time"]
    assert Image().get_fields_and_field_types().keys() <= set(text.split())


def test_a_type_that_is_not_installed_is_refused_by_its_name():
    with pytest.raises(DefinitionMissingError, match="no_such_msgs"):
        definition("no_such_msgs/msg/Thing")
    assert type_hash("no_such_msgs/msg/Thing") == ""
