"""The page about a recording: its figures, on a made-up run whose figures are known, and its refusals."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from grasp_bringup.episode_figures import episodes_of, events_of, hops, joint_uses, limit_counts
from grasp_bringup.recorded_run import LEFT, RIGHT, Course, Event, RecordedRun, read_images
from grasp_bringup.recording_file import RecordedTopic, RecordingFile
from grasp_bringup.report import REFUSED, main
from grasp_bringup.report_pictures import moments
from grasp_description.robot import JOINT_NAMES, joint_limits
from grasp_policy.decision_record import DecisionRecord
from grasp_policy.recordings import Recording

SECOND = 1_000_000_000
FRAME, TICK = SECOND // 30, SECOND // 120
WALL = 1_000 * SECOND
"""system time at the node's clock's zero"""


def decision(stamp_ns: int, episode_ns: int, step: int) -> DecisionRecord:
    checksums = dict.fromkeys(("left_crc32", "right_crc32", "joints_crc32", "target_crc32"), 0)
    return DecisionRecord(
        episode_ns=episode_ns,
        step=step,
        stamp_ns=stamp_ns,
        joint_stamp_ns=stamp_ns,
        taken_ns=stamp_ns,
        inference_ns=2_000_000,
        **checksums,
        policy="/models/sample.onnx",
        sha256="0" * 64,
        providers="CPUExecutionProvider",
        threads=1,
        runtime="onnxruntime 1",
    )


def course(stamp_ns: np.ndarray, position: np.ndarray, delay_ns: int = 0) -> Course:
    sent = WALL + stamp_ns + delay_ns
    return Course(stamp_ns, sent, sent, position)


@pytest.fixture
def run() -> RecordedRun:
    """Two episodes of a second each, at 10 s and at 20 s; all joints stand, but those that tests move."""
    ticks = np.arange(9 * SECOND, 22 * SECOND, TICK)
    middle = np.mean([joint_limits().lower, joint_limits().upper], axis=0)
    standing = np.tile(middle, (len(ticks), 1))
    decisions = tuple(
        decision(start + step * FRAME, start, step)
        for start in (10 * SECOND, 20 * SECOND)
        for step in range(31)
    )
    return RecordedRun(
        decisions,
        course(ticks, standing.copy()),
        course(ticks, standing.copy(), delay_ns=7_000_000),
        course(ticks[:0], standing[:0]),
        {one.stamp_ns: WALL + one.stamp_ns for one in decisions},
        {one.stamp_ns: WALL + one.stamp_ns + 6_000_000 for one in decisions},
        {one.stamp_ns: WALL + one.stamp_ns + 5_000_000 for one in decisions},
        (
            Event(WALL + 10 * SECOND + 1, "/grasp/state", "grasp"),
            Event(WALL + 20 * SECOND + SECOND // 2, "grasp_control", "holding: no fresh target"),
        ),
        (
            (WALL + 9 * SECOND, "grasp_control", "targets_clipped", 3),
            (WALL + 10 * SECOND + SECOND // 2, "grasp_control", "targets_clipped", 5),
            (WALL + 20 * SECOND + SECOND // 2, "grasp_control", "guard_bent", 0),
        ),
        Counter({"/policy/decision": 62}),
    )


def test_episodes_are_told_apart_by_when_the_memory_was_zeroed(run):
    assert [(one.number, len(one.decisions)) for one in episodes_of(run)] == [(1, 31), (2, 31)]


def test_commands_at_a_position_limit_are_counted_for_their_joint_alone(run):
    first, second = episodes_of(run)
    inside = (run.commanded.stamp_ns >= first.first_ns) & (run.commanded.stamp_ns <= first.last_ns)
    run.commanded.position[np.flatnonzero(inside)[:5], 2] = joint_limits().upper[2]
    uses = {use.joint: use for use in joint_uses(run, first)}
    assert {name for name, use in uses.items() if use.at_limit} == {JOINT_NAMES[2]}
    assert uses[JOINT_NAMES[2]].at_limit == 5
    assert uses[JOINT_NAMES[2]].margin_rad == pytest.approx(0.0)
    assert not any(use.at_limit for use in joint_uses(run, second))


def test_commands_at_a_speed_limit_are_counted_by_steps_at_it(run):
    (first, _) = episodes_of(run)
    place = int(np.searchsorted(run.commanded.stamp_ns, first.first_ns + SECOND // 2))
    speed = joint_limits().velocity[4]
    elapsed_s = 1e-9 * (run.commanded.stamp_ns - run.commanded.stamp_ns[place])
    run.commanded.position[:, 4] += speed * np.clip(elapsed_s, 0.0, 6.5 * 1e-9 * TICK)
    use = joint_uses(run, first)[4]
    assert use.speed_share == pytest.approx(1.0)
    assert use.at_speed == 6


def test_the_distance_of_a_measurement_is_taken_to_the_command_before_it(run):
    (first, _) = episodes_of(run)
    place = int(np.searchsorted(run.measured.stamp_ns, first.first_ns + SECOND // 2))
    run.measured.position[place, 0] += 0.125
    assert joint_uses(run, first)[0].apart_rad == pytest.approx(0.125)


def test_latencies_are_told_hop_by_hop(run):
    medians = {hop.name: hop.percentiles_ms()[0] for hop in hops(run, episodes_of(run)[0].decisions)}
    assert list(medians.values()) == pytest.approx([5.0, 2.0, 1.0, 1.0, 7.0, 0.0], abs=1e-3)


def test_a_decision_that_was_not_accepted_has_no_latencies(run):
    for one in run.decisions[:10]:
        del run.accepted_ns[one.stamp_ns]
    assert {len(hop.seconds) for hop in hops(run, episodes_of(run)[0].decisions)} == {21}


def test_events_and_counters_belong_to_the_episode_that_they_fell_into(run):
    first, second = episodes_of(run)
    assert [event.text for _, event in events_of(run, first)] == ["grasp"]
    ((seconds, event),) = events_of(run, second)
    assert (event.text, round(seconds, 3)) == ("holding: no fresh target", 0.5)
    assert limit_counts(run, first) == {"grasp_control: targets_clipped": 2}
    assert limit_counts(run, second) == {}


def test_moments_are_spread_from_the_first_image_to_the_last(run):
    (first, _) = episodes_of(run)
    shown = moments(first, 3)
    assert shown == [first.first_ns, first.first_ns + 15 * FRAME, first.last_ns]
    assert len(moments(first, 500)) == 31


def write_images(path: Path) -> Recording:
    file = RecordingFile(path)
    for topic in (LEFT, RIGHT):
        file.add_topic(RecordedTopic(topic, "sensor_msgs/msg/Image"))
    padded = Image(encoding="rgb8", width=2, height=2, step=8, data=bytes(range(16)))
    mono = Image(encoding="mono8", width=2, height=2, step=2, data=bytes(4))
    for topic, message in ((LEFT, padded), (RIGHT, mono)):
        file.write(topic, 1, 1, serialize_message(message))
    file.finish()
    return Recording(path)


def test_images_are_read_without_the_padding_of_rows_and_others_than_rgb_are_left_out(tmp_path):
    images = read_images(write_images(tmp_path / "a.mcap"), frozenset({0}))
    assert set(images) == {(LEFT, 0)}
    assert images[LEFT, 0].tolist() == [[[0, 1, 2], [3, 4, 5]], [[8, 9, 10], [11, 12, 13]]]


def test_a_recording_in_which_nothing_was_decided_is_refused(tmp_path, capsys):
    write_images(tmp_path / "a.mcap")
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "a.mcap")])
    assert ended.value.code == REFUSED
    assert "nothing was decided" in capsys.readouterr().err
    assert not (tmp_path / "a.html").exists()
