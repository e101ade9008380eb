"""The capture's life: connecting, settling, streaming, loss, and coming back."""

from dataclasses import replace
from itertools import pairwise

import pytest
from camera_samples import FakeSource, FakeTime, picture

from grasp_camera.backoff import Backoff, BackoffConfig
from grasp_camera.capture import Capture, CaptureConfig, CaptureThread
from grasp_camera.errors import CameraConfigError, CameraEndedError
from grasp_camera.frames import Frame, StereoPair
from grasp_camera.pairing import PairingConfig, Reason
from grasp_camera.settling import SettlingConfig, SettlingDetector

CONFIG = CaptureConfig(rate_hz=20.0, silence_s=0.5, start_s=2.0, backoff=BackoffConfig(0.25, 2.0, 2.0))


class Bench:
    """A capture of fake cameras, and what it handed on."""

    def __init__(self, clock: FakeTime, config: CaptureConfig = CONFIG, **source) -> None:
        self.clock = clock
        self.source = FakeSource(clock, **source)
        self.pairs: list[StereoPair] = []
        self.said: list[str] = []
        self.capture = Capture(
            self.source, self.pairs.append, config, clock.monotonic_s, clock.system_ns, self.said.append
        )

    def run_until(self, state: str, most_s: float = 60.0) -> None:
        end_s = self.clock.monotonic_s() + most_s
        while self.capture.state != state:
            assert self.clock.monotonic_s() < end_s, f"{self.capture.state}, never {state}: {self.said}"
            self.step()

    def step(self) -> None:
        before = self.clock.now_ns
        self.capture.step()
        if self.clock.now_ns == before:
            self.clock.advance(0.01)

    def run_for(self, seconds: float) -> None:
        end_s = self.clock.monotonic_s() + seconds
        while self.clock.monotonic_s() < end_s:
            self.step()


def test_pairs_are_handed_on_only_once_the_exposure_has_settled(clock):
    bench = Bench(clock)
    bench.source.level = 30
    while bench.source.number < 30:
        assert clock.monotonic_s() < 60.0, bench.said
        bench.source.level = min(120, 30 + 5 * bench.source.number)
        bench.step()
        if bench.source.number < 18:
            assert bench.pairs == []
    bench.run_until("streaming")
    bench.run_for(1.0)
    assert len(bench.pairs) >= 20
    assert not bench.capture.settling.gave_up


def test_flickering_light_is_used_after_a_while_and_said(clock):
    bench = Bench(clock)
    while bench.capture.state != "streaming":
        assert clock.monotonic_s() < 60.0, "patience never ran out"
        bench.source.level = 60 if bench.source.level == 140 else 140
        bench.step()
    assert bench.capture.settling.gave_up
    assert clock.monotonic_s() > SettlingConfig().patience_s
    assert "did not settle" in bench.said[-1]


def test_black_images_are_never_handed_on(clock):
    bench = Bench(clock, level=20)
    bench.source.level = 20
    bench.run_until("settling")
    bench.capture.settling.settled = True
    black = [one * 0 for one in (picture(1), picture(2))]
    bench.capture._take(StereoPair(clock.now_ns, 0, (black[0], picture(3))))
    bench.capture._take(StereoPair(clock.now_ns, 0, (picture(3), black[1])))
    assert bench.pairs == []
    assert bench.capture.monitor.dark == 2


def test_cameras_unplugged_and_back_stream_again_after_settling_anew(clock):
    bench = Bench(clock)
    bench.run_until("streaming")
    bench.run_for(1.0)
    bench.source.plugged = False
    bench.run_until("lost")
    count = len(bench.pairs)
    bench.run_for(3.0)
    assert len(bench.pairs) == count
    bench.source.plugged = True
    bench.run_until("settling")
    bench.run_for(0.2)
    assert (bench.capture.state, len(bench.pairs)) == ("settling", count)
    bench.run_until("streaming")
    bench.run_for(1.0)
    assert len(bench.pairs) > count + 10
    assert bench.capture.monitor.reconnections == 1
    assert bench.capture.monitor.last_error == "fake cameras not connected"
    stamps = [pair.stamp_ns for pair in bench.pairs]
    assert stamps == sorted(set(stamps))
    # The cameras count from 1 again: that is no repetition.
    assert [counts[Reason.REPEATED] for counts in bench.capture.pairer.counts] == [0, 0]
    bench.source.plugged = False
    bench.run_until("lost")
    assert bench.said[-1].endswith("next attempt in 0.25 s")


def test_cameras_whose_clock_falls_back_are_opened_anew(clock):
    bench = Bench(clock)
    ahead_ns, read = 10**15, bench.source.read

    def on_their_own_clock(timeout_s: float) -> list[Frame]:
        return [replace(one, clock="own", time_ns=one.time_ns + ahead_ns) for one in read(timeout_s)]

    bench.source.read = on_their_own_clock
    bench.run_until("streaming")
    ahead_ns = 0
    bench.run_until("lost")
    bench.run_until("streaming")
    bench.run_for(0.5)
    assert bench.pairs[-1].stamp_ns == clock.now_ns


def test_of_pairs_that_come_at_once_the_newest_alone_is_handed_on(clock):
    bench = Bench(clock)
    bench.run_until("streaming")
    count, read = len(bench.pairs), bench.source.read
    bench.source.read = lambda timeout_s: [one for _ in range(3) for one in read(timeout_s)]
    bench.step()
    assert len(bench.pairs) == count + 1
    assert bench.pairs[-1].stamp_ns == clock.now_ns
    assert bench.capture.monitor.overtaken == 2


def test_cameras_that_fall_silent_are_opened_anew(clock):
    bench = Bench(clock)
    bench.run_until("streaming")
    bench.source.silent = True
    silent_s = clock.monotonic_s()
    bench.run_until("lost")
    assert 0.4 < clock.monotonic_s() - silent_s < 0.7
    assert bench.source.closed == 1
    assert "no pair of images any more" in bench.capture.monitor.last_error


def test_attempts_wait_longer_and_longer_up_to_a_bound(clock):
    bench = Bench(clock, plugged=False)
    bench.run_for(12.0)
    attempts = bench.source.attempts
    waits = [round(b - a, 1) for a, b in pairwise(attempts)]
    assert waits[:4] == pytest.approx([0.25, 0.5, 1.0, 2.0], abs=0.06)
    assert waits[4:] == pytest.approx([2.0] * len(waits[4:]), abs=0.06)


def test_a_pair_ends_the_row_of_failures():
    backoff = Backoff(BackoffConfig(0.5, 3.0, 10.0))
    assert [backoff.failed() for _ in range(5)] == [0.5, 1.5, 4.5, 10.0, 10.0]
    backoff.succeeded()
    assert backoff.failed() == 0.5


def test_a_camera_away_for_days_is_still_waited_for_at_the_bound():
    backoff = Backoff()
    for _ in range(100_000):
        wait_s = backoff.failed()
    assert wait_s == BackoffConfig().most_s


def test_what_no_retry_mends_is_refused_once(clock):
    bench = Bench(clock)

    def refuse() -> None:
        bench.source.attempts.append(clock.monotonic_s())
        raise CameraConfigError("no stream of 7x5 px")

    bench.source.open = refuse  # type: ignore[method-assign]
    bench.run_until("refused")
    bench.run_for(5.0)
    assert len(bench.source.attempts) == 1
    assert bench.capture.monitor.last_error == "no stream of 7x5 px"


def test_a_camera_that_comes_back_in_parts_is_waited_for(clock):
    bench = Bench(clock)
    whole, parts = bench.source.open, 3

    def open_in_parts() -> None:
        nonlocal parts
        if bench.source.opened and parts:
            parts -= 1
            raise CameraConfigError("it has no color stream")
        whole()

    bench.source.open = open_in_parts  # type: ignore[method-assign]
    bench.run_until("streaming")
    bench.source.plugged = False
    bench.run_until("lost")
    bench.source.plugged = True
    bench.run_until("streaming")
    assert parts == 0
    assert sum("it has no color stream" in line for line in bench.said) == 3


def test_an_image_of_another_size_than_the_calibrations_ends_the_capture(clock):
    bench = Bench(clock)

    def deliver(pair: StereoPair) -> None:
        raise CameraConfigError("camera gives 64x48 px")

    bench.capture._deliver = deliver
    bench.run_until("refused")
    assert bench.source.closed == 1


def test_a_recording_at_its_end_is_not_begun_again(clock):
    bench = Bench(clock)
    bench.run_until("streaming")

    def read(timeout_s: float) -> list[Frame]:
        raise CameraEndedError("recorded images: at their end")

    bench.source.read = read
    bench.run_until("ended")
    bench.run_for(10.0)
    assert (bench.capture.state, len(bench.source.attempts), bench.source.closed) == ("ended", 1, 1)
    bench.capture.stop()
    assert bench.capture.state == "ended"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_dies_says_of_what(clock):
    bench = Bench(clock)

    def read(timeout_s: float) -> list:
        raise ZeroDivisionError("a fault in a source")

    bench.source.read = read  # type: ignore[method-assign]
    thread = CaptureThread(bench.capture)
    thread._thread.join(10.0)
    assert bench.capture.state == "refused"
    assert bench.capture.monitor.last_error == "ZeroDivisionError: a fault in a source"


def test_a_stopped_thread_lets_go_of_the_cameras(clock):
    bench = Bench(clock)
    thread = CaptureThread(bench.capture)
    thread.stop(15.0)
    assert bench.capture.state == "stopped"
    assert bench.source.closed >= 1


def test_a_skew_that_would_pair_neighbours_is_refused():
    CaptureConfig(rate_hz=30.0, pairing=PairingConfig(max_skew_s=0.018))
    with pytest.raises(CameraConfigError, match=r"max_skew_s is 0\.019; expected at most 0\.0183 s"):
        CaptureConfig(rate_hz=30.0, pairing=PairingConfig(max_skew_s=0.019))


def test_settling_looks_at_both_eyes():
    detector = SettlingDetector(SettlingConfig(pairs=3, tolerance=0.05, patience_s=100.0))
    for number, right in enumerate((100, 120, 140, 160, 160, 160)):
        settled = detector.add(number, (picture(1), picture(2, level=right)))
        assert settled == (number == 5)
