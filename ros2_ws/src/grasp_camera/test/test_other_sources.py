"""V4L2 cameras and recorded files as sources; which source a configuration names."""

import threading
import time

import cv2
import numpy as np
import pytest
from camera_samples import START_NS, FakeTime, picture

from grasp_camera.errors import CameraConfigError, CameraEndedError, CameraLostError
from grasp_camera.frames import HOST_CLOCK, Frame
from grasp_camera.sources import SourceConfig, make_source
from grasp_camera.sources.recorded import RecordedSource
from grasp_camera.sources.v4l2 import V4l2Source


class FakeCapture:
    """What cv2.VideoCapture is to a reader: images in order, then nothing, at a pace that the test sets."""

    def __init__(self, shots: list[tuple[np.ndarray, float]], opened: bool = True, size=None) -> None:
        self.shots, self.opened, self.size = list(shots), opened, size
        self.settings: dict[int, float] = {}
        self.go = threading.Semaphore(0)
        self.released = threading.Event()
        self.time_ms = 0.0
        self.fixed: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, what: int, value: float) -> bool:
        self.settings[what] = value
        return True

    def get(self, what: int) -> float:
        if what == cv2.CAP_PROP_POS_MSEC:
            return self.time_ms
        if self.size and what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            return self.size[what == cv2.CAP_PROP_FRAME_HEIGHT]
        return self.fixed.get(what, self.settings[what])

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.go.acquire()
        if not self.shots:
            return False, None
        image, self.time_ms = self.shots.pop(0)
        return True, image

    def release(self) -> None:
        self.released.set()


def bgr(image: np.ndarray) -> np.ndarray:
    return image[..., ::-1]


def read(source: V4l2Source, count: int) -> list[Frame]:
    frames: list[Frame] = []
    deadline = time.monotonic() + 20.0
    while len(frames) < count:
        assert time.monotonic() < deadline, f"{len(frames)} of {count} frames came"
        frames += source.read(0.02)
    return frames


def v4l2(kind: str, captures: list[FakeCapture], now_ms: float = 2000.0, **config) -> V4l2Source:
    """A source on a machine whose monotonic clock shows ``now_ms`` for ever."""
    folder = "/dev/v4l/by-path/" if kind == "v4l2_pair" else "/dev/"
    devices = tuple(f"{folder}video{index}" for index in range(len(captures)))
    opened = dict(zip(devices, captures, strict=True))
    values = {"width": 64, "height": 48, "rate_hz": 30} | config
    return V4l2Source(
        SourceConfig(kind, devices, **values),
        opener=opened.__getitem__,
        system_ns=lambda: START_NS,
        monotonic_ns=lambda: round(1e6 * now_ms),
    )


def test_a_side_by_side_image_is_cut_in_two_of_one_time():
    left, right = picture(1), picture(2)
    capture = FakeCapture([(bgr(np.hstack([left, right])), 1234.5)])
    source = v4l2("v4l2_side_by_side", [capture], now_ms=1260.0)
    source.open()
    capture.go.release()
    frames = read(source, 2)
    for one, image in zip(frames, (left, right), strict=True):
        np.testing.assert_array_equal(one.image, image)
        assert (one.time_ns, one.clock, one.number) == (START_NS - 25_500_000, HOST_CLOCK, None)
    assert capture.settings[cv2.CAP_PROP_FRAME_WIDTH] == 128
    capture.go.release()
    source.close()


def test_two_devices_are_left_and_right_on_one_clock():
    captures = [FakeCapture([(bgr(picture(seed)), 100.0 + seed)]) for seed in (1, 2)]
    source = v4l2("v4l2_pair", captures, now_ms=110.0)
    source.open()
    for capture in captures:
        capture.go.release()
    frames = sorted(read(source, 2), key=lambda one: one.eye)
    assert [(one.eye, START_NS - one.time_ns) for one in frames] == [(0, 9_000_000), (1, 8_000_000)]
    assert {one.clock for one in frames} == {HOST_CLOCK}
    np.testing.assert_array_equal(frames[1].image, picture(2))
    for capture in captures:
        capture.go.release()
    source.close()
    assert all(capture.released.is_set() for capture in captures)


def test_a_device_that_ends_is_lost_after_its_last_frame():
    capture = FakeCapture([(bgr(np.hstack([picture(1), picture(2)])), 5.0)])
    source = v4l2("v4l2_side_by_side", [capture])
    source.open()
    capture.go.release()
    capture.go.release()
    assert capture.released.wait(20.0)
    assert len(source.read(0.1)) == 2
    with pytest.raises(CameraLostError, match="/dev/video0 gives no images any more"):
        source.read(0.1)
    source.close()


@pytest.mark.parametrize("stamp_ms", [START_NS / 1e6, 2001.0, 1499.0, 0.0])
def test_stamps_that_cannot_be_of_the_monotonic_clock_are_left_to_be_mapped_by_arrival(stamp_ms):
    capture = FakeCapture([(bgr(np.hstack([picture(1), picture(2)])), stamp_ms)])
    source = v4l2("v4l2_side_by_side", [capture], now_ms=2000.0)
    source.open()
    capture.go.release()
    for one in read(source, 2):
        assert (one.time_ns, one.arrival_ns) == (round(1e6 * stamp_ms), START_NS)
        assert one.clock != HOST_CLOCK
    capture.go.release()
    source.close()


def test_a_frame_that_lay_in_a_buffer_does_not_pass_for_new():
    both = bgr(np.hstack([picture(1), picture(2)]))
    capture = FakeCapture([(both, 1990.0), (both, 1000.0)])
    source = v4l2("v4l2_side_by_side", [capture], now_ms=2000.0)
    source.open()
    for _ in range(2):
        capture.go.release()
    stale = read(source, 4)[-1]
    assert (START_NS - stale.time_ns, stale.clock) == (1_000_000_000, HOST_CLOCK)
    capture.go.release()
    source.close()


def test_a_reader_that_is_not_emptied_keeps_the_newest():
    shots = [(bgr(np.hstack([picture(n), picture(n)])), float(n)) for n in range(20)]
    capture = FakeCapture(shots)
    source = v4l2("v4l2_side_by_side", [capture])
    source.open()
    for _ in range(21):
        capture.go.release()
    assert capture.released.wait(20.0)
    assert [one.time_ns for one in source.read(0.1)][-1] == 19_000_000
    source.close()


def test_a_device_that_is_not_there_may_come_later():
    with pytest.raises(CameraLostError, match="/dev/video0 cannot be opened"):
        v4l2("v4l2_side_by_side", [FakeCapture([], opened=False)]).open()


def test_a_device_of_another_size_is_refused_with_both_sizes():
    capture = FakeCapture([], size=(640, 480))
    with pytest.raises(CameraConfigError, match="gives 640x480 px at 30 Hz; asked for 128x48 px"):
        v4l2("v4l2_side_by_side", [capture]).open()
    assert capture.released.is_set()


MANUAL = {"auto_exposure": False, "exposure": 156.0}


@pytest.mark.parametrize(
    ("fixed", "found"),
    [
        ({cv2.CAP_PROP_AUTO_EXPOSURE: 3.0}, "mode 3 and exposure 156"),
        ({cv2.CAP_PROP_EXPOSURE: 100.0}, "mode 1 and exposure 100"),
        ({cv2.CAP_PROP_EXPOSURE: -1.0}, "mode 1 and exposure -1"),
    ],
)
def test_an_exposure_that_the_driver_does_not_take_is_refused_with_both(fixed, found):
    capture = FakeCapture([])
    capture.fixed = fixed
    with pytest.raises(CameraConfigError) as refusal:
        v4l2("v4l2_side_by_side", [capture], **MANUAL).open()
    assert f"/dev/video0 has auto_exposure {found}; asked for mode 1 (manual) and exposure 156" in str(
        refusal.value
    )
    assert capture.released.is_set()


def test_an_exposure_that_the_driver_rounds_to_its_steps_is_taken():
    capture = FakeCapture([])
    capture.fixed = {cv2.CAP_PROP_EXPOSURE: 157.0}
    source = v4l2("v4l2_side_by_side", [capture], **MANUAL)
    source.open()
    assert capture.settings[cv2.CAP_PROP_EXPOSURE] == 156.0
    capture.go.release()
    source.close()


@pytest.fixture
def recording(tmp_path):
    for eye, shift in (("left", 0), ("right", 100)):
        (tmp_path / eye).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / eye / f"{number:03d}.png"), bgr(picture(number + shift)))
    return tmp_path


def recorded(folder, clock: FakeTime, **config) -> RecordedSource:
    return RecordedSource(
        SourceConfig("recorded", (str(folder),), **config), system_ns=clock.system_ns, sleep=clock.advance
    )


def test_recorded_images_come_in_order_at_their_rate(recording, clock):
    source = recorded(recording, clock, rate_hz=10)
    source.open()
    frames = [one for _ in range(50) for one in source.read(0.03)][:8]
    assert [one.number for one in frames] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [one.time_ns - START_NS for one in frames[::2]] == [0, 10**8, 2 * 10**8, 3 * 10**8]
    np.testing.assert_array_equal(frames[4].image, picture(2))
    np.testing.assert_array_equal(frames[7].image, picture(100))


def test_a_recording_without_loop_ends(recording, clock):
    source = recorded(recording, clock, loop=False)
    source.open()
    assert len([one for _ in range(3) for one in source.read(1.0)]) == 6
    with pytest.raises(CameraEndedError, match="at their end"):
        source.read(0.05)


def test_an_empty_recording_is_refused(tmp_path, clock):
    with pytest.raises(CameraConfigError, match="no pairs of images"):
        recorded(tmp_path, clock).open()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "webcam"}, "source is 'webcam'; expected one of realsense_pair"),
        ({"devices": ("1",)}, "realsense_pair expects 2: serial numbers"),
        ({"devices": ("1", "1")}, "expected two different ones"),
        ({"devices": ("1", "")}, "realsense_pair expects 2"),
        ({"sync": "wireless"}, "sync is 'wireless'; expected host or hardware"),
        ({"auto_exposure": False}, "exposure is 0; without auto_exposure expected more than 0"),
        (
            {"kind": "v4l2_pair", "devices": ("/dev/v4l/by-id/left", "/dev/video12")},
            "expects names under /dev/v4l/by-path or /dev/v4l/by-id: the number of /dev/video12",
        ),
        ({"fourcc": "YUY"}, "fourcc is 'YUY'"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes, message):
    with pytest.raises(CameraConfigError) as refusal:
        SourceConfig(**({"kind": "realsense_pair", "devices": ("1", "2")} | changes))
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("kind", "devices"),
    [("v4l2_side_by_side", ("/dev/null",)), ("v4l2_pair", ("a", "b")), ("recorded", ("x",))],
)
def test_every_kind_has_its_source(kind, devices):
    source = make_source(SourceConfig(kind, devices))
    assert all(device in source.describe() for device in devices)
