"""Frames of two eyes become pairs of one moment; whatever else comes is dropped and counted."""

import numpy as np
import pytest
from camera_samples import PERIOD_NS, START_NS, frame, picture

from grasp_camera.clocks import ClockMap
from grasp_camera.frames import StereoPair
from grasp_camera.pairing import FramePairer, PairingConfig, Reason

MS = 1_000_000


def fed(pairer: FramePairer, frames: list) -> list[StereoPair]:
    return [pair for one in frames if (pair := pairer.add(one)) is not None]


def test_frames_of_one_moment_make_a_pair_whatever_eye_comes_first():
    pairs = fed(FramePairer(), [frame(0, 1), frame(1, 1), frame(1, 2), frame(0, 2)])
    assert [pair.stamp_ns for pair in pairs] == [START_NS + PERIOD_NS, START_NS + 2 * PERIOD_NS]
    np.testing.assert_array_equal(pairs[1].images[0], frame(0, 2).image)
    np.testing.assert_array_equal(pairs[1].images[1], frame(1, 2).image)


def test_a_pair_carries_the_mean_of_both_times_and_their_difference():
    time_ns = START_NS
    (pair,) = fed(FramePairer(), [frame(0, 1, time_ns), frame(1, 1, time_ns + 3 * MS)])
    assert (pair.stamp_ns, pair.skew_ns) == (time_ns + 3 * MS // 2, 3 * MS)


@pytest.mark.parametrize(("skew_ms", "count"), [(5.0, 1), (5.001, 0), (-5.0, 1), (-5.001, 0)])
def test_the_skew_bound_is_held_exactly(skew_ms, count):
    pairer = FramePairer(PairingConfig(max_skew_s=0.005))
    right = frame(1, 1, START_NS + round(skew_ms * MS))
    assert len(fed(pairer, [frame(0, 1, START_NS), right])) == count


def test_a_frame_is_used_once_and_a_repeated_number_is_dropped():
    pairer = FramePairer()
    again = frame(0, 1, START_NS + 5 * PERIOD_NS, image=picture(99))
    assert len(fed(pairer, [frame(0, 1), frame(1, 1), again, frame(1, 2, again.time_ns)])) == 1
    assert pairer.counts[0] == {Reason.REPEATED: 1}


def test_without_numbers_a_time_that_does_not_advance_is_a_repetition():
    pairer = FramePairer()
    times = (START_NS + 3, START_NS + 3, START_NS + 2)
    fed(pairer, [frame(0, None, time_ns, image=picture(index)) for index, time_ns in enumerate(times)])
    assert pairer.counts[0][Reason.REPEATED] == 2


def test_the_same_pixels_under_a_new_number_are_dropped():
    pairer = FramePairer()
    frozen = [frame(eye, number, image=picture(eye)) for number in (1, 2, 3) for eye in (0, 1)]
    assert len(fed(pairer, frozen)) == 1
    assert [counts[Reason.IDENTICAL] for counts in pairer.counts] == [2, 2]


def test_synthetic_images_may_repeat_their_pixels_when_told_so():
    pairer = FramePairer(PairingConfig(drop_identical=False))
    frozen = [frame(eye, number, image=picture(eye)) for number in (1, 2, 3) for eye in (0, 1)]
    assert len(fed(pairer, frozen)) == 3


def test_a_frame_lost_on_one_side_costs_its_moment_alone():
    pairer = FramePairer()
    frames = [frame(eye, number) for number in range(1, 7) for eye in (0, 1) if (eye, number) != (1, 3)]
    stamps = [pair.stamp_ns for pair in fed(pairer, frames)]
    assert stamps == [START_NS + number * PERIOD_NS for number in (1, 2, 4, 5, 6)]
    assert pairer.counts[0][Reason.UNPAIRED] == 1
    assert pairer.counts[1][Reason.LOST] == 1


@pytest.mark.parametrize("periods", [0.05, 0.3, 0.44])
def test_cameras_that_run_free_find_back_to_their_partners_after_a_lost_frame(periods):
    pairer = FramePairer(PairingConfig(max_skew_s=0.55 * PERIOD_NS / 1e9))
    apart_ns = round(periods * PERIOD_NS)
    times = [(eye, n, START_NS + n * PERIOD_NS + eye * apart_ns) for n in range(1, 9) for eye in (0, 1)]
    pairs = fed(pairer, [frame(*one) for one in times if one[:2] != (0, 4)])
    assert [pair.skew_ns for pair in pairs] == [apart_ns] * 7


def test_one_eye_may_lag_by_some_frames():
    pairer = FramePairer()
    left = [frame(0, number) for number in range(1, 4)]
    assert len(fed(pairer, [*left, *[frame(1, number) for number in range(1, 4)]])) == 3


def test_an_eye_that_falls_silent_fills_no_memory():
    pairer = FramePairer()
    fed(pairer, [frame(0, number) for number in range(1, 101)])
    assert pairer.counts[0][Reason.UNPAIRED] == 96


def test_a_camera_that_counts_anew_is_no_repetition():
    pairer = FramePairer()
    frames = [frame(eye, 5000 + n, START_NS + n * PERIOD_NS) for n in (1, 2) for eye in (0, 1)]
    frames += [
        frame(eye, n, START_NS + (2 + n) * PERIOD_NS, image=picture(900 + 2 * n + eye))
        for n in (1, 2)
        for eye in (0, 1)
    ]
    assert len(fed(pairer, frames)) == 4


def test_a_time_far_from_this_machines_clock_is_dropped():
    pairer = FramePairer()
    late = frame(0, 1, START_NS, arrival_ns=START_NS + 600 * MS)
    ahead = frame(0, 2, START_NS + 700 * MS, arrival_ns=START_NS)
    assert fed(pairer, [late, ahead]) == []
    assert pairer.counts[0][Reason.OFF_CLOCK] == 2


def test_a_restart_forgets_what_came_before():
    pairer = FramePairer()
    fed(pairer, [frame(0, 7)])
    pairer.restart()
    assert len(fed(pairer, [frame(0, 1, START_NS), frame(1, 1, START_NS)])) == 1


def device_frame(eye: int, number: int, delay_ms: float, ahead_ns: int = 0):
    """A frame on the cameras' own clock, which is at 5 s when this machine's is at START."""
    taken_ns = START_NS + number * PERIOD_NS
    time_ns = 5_000_000_000 + number * PERIOD_NS
    arrival_ns = taken_ns + round(delay_ms * MS)
    return frame(eye, number, time_ns + ahead_ns, clock="device", arrival_ns=arrival_ns)


def test_a_cameras_own_clock_is_mapped_by_its_promptest_frame():
    rng = np.random.default_rng(0)
    pairer = FramePairer(PairingConfig(max_skew_s=0.001))
    frames = [device_frame(eye, n, 4.0 + rng.exponential(6.0)) for n in range(200) for eye in (0, 1)]
    pairs = fed(pairer, frames)
    # All but those around which a prompter frame moved the map.
    assert len(pairs) > 190
    late_ms = [(pair.stamp_ns - START_NS) / MS % (PERIOD_NS / MS) for pair in pairs[50:]]
    assert max(late_ms) < 5.0
    assert min(late_ms) >= 4.0


def test_both_eyes_of_one_clock_keep_their_exact_skew_whatever_their_delays():
    pairer = FramePairer()
    fed(pairer, [device_frame(eye, 0, 4.0) for eye in (0, 1)])
    (pair,) = fed(pairer, [device_frame(0, 1, 9.0), device_frame(1, 1, 19.0, ahead_ns=700_000)])
    assert pair.skew_ns == 700_000


def test_a_clock_that_jumps_ahead_is_mapped_anew():
    clock = ClockMap()
    clock.system_time(0, 1_000 * MS)
    assert clock.system_time(10 * MS, 1_011 * MS) == 1_010 * MS
    assert clock.system_time(5_000 * MS, 1_050 * MS) == 1_050 * MS
    assert clock.system_time(5_010 * MS, 1_062 * MS) == 1_060 * MS


def test_frames_that_lay_in_a_buffer_do_not_pass_for_new():
    pairer = FramePairer()
    assert len(fed(pairer, [device_frame(eye, n, 5.0) for n in range(3) for eye in (0, 1)])) == 3
    # The process was stopped for two seconds; the frames of before are found in the driver's buffers.
    kept = [device_frame(eye, n, 2_000.0) for n in (3, 4) for eye in (0, 1)]
    assert fed(pairer, kept) == []
    assert [counts[Reason.OFF_CLOCK] for counts in pairer.counts] == [2, 2]
    (pair,) = fed(pairer, [device_frame(eye, 65, 5.0) for eye in (0, 1)])
    assert pair.stamp_ns == START_NS + 65 * PERIOD_NS + 5 * MS


def test_stamps_never_go_back():
    pairer = FramePairer(PairingConfig(max_skew_s=0.001))
    first = [device_frame(eye, 0, 120.0) for eye in (0, 1)]
    prompter = [device_frame(eye, 1, 2.0) for eye in (0, 1)]
    stamps = [pair.stamp_ns for pair in fed(pairer, [*first, *prompter])]
    assert stamps == sorted(set(stamps))
