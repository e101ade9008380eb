"""The RealSense source over the real pyrealsense2: software devices in place of cameras."""

import time

import numpy as np
import pytest
from camera_samples import PERIOD_NS, START_NS, picture

from grasp_camera.errors import CameraConfigError, CameraLostError
from grasp_camera.frames import HOST_CLOCK, Frame
from grasp_camera.sources import SourceConfig

rs = pytest.importorskip(
    "pyrealsense2",
    reason="RealSense cameras go UNTESTED: no pyrealsense2 (pip install it, apt install libusb-1.0-0)",
    exc_type=ImportError,
)

from software_cameras import SoftwareCamera  # noqa: E402

from grasp_camera.sources.realsense import RealSenseSource  # noqa: E402

COLOUR = {"kind": "realsense_pair", "devices": ("111", "222"), "width": 64, "height": 48}
INFRARED = {"kind": "realsense_infrared", "devices": ("333",), "width": 64, "height": 48}


class Bench:
    """Cameras that may be unplugged, and the source that opens them."""

    def __init__(self, cameras: list[SoftwareCamera], **config) -> None:
        self.plugged = {camera.serial: camera for camera in cameras}
        self.source = RealSenseSource(
            SourceConfig(**config),
            devices=lambda: [camera.device for camera in self.plugged.values()],
            system_ns=lambda: START_NS,
        )

    def read(self, count: int) -> list[Frame]:
        """So many frames, as soon as they have come through the library's threads."""
        frames: list[Frame] = []
        deadline = time.monotonic() + 20.0
        while len(frames) < count:
            assert time.monotonic() < deadline, f"{len(frames)} of {count} frames came"
            frames += self.source.read(0.05)
        return frames


@pytest.fixture
def pair():
    bench = Bench([SoftwareCamera("222"), SoftwareCamera("999"), SoftwareCamera("111")], **COLOUR)
    yield bench
    bench.source.close()


def test_cameras_are_told_apart_by_serial_number(pair):
    pair.source.open()
    for serial, seed in (("111", 1), ("222", 2)):
        pair.plugged[serial].send(7, START_NS, picture(seed))
    frames = sorted(pair.read(2), key=lambda one: one.eye)
    assert [one.eye for one in frames] == [0, 1]
    for one, seed in zip(frames, (1, 2), strict=True):
        np.testing.assert_array_equal(one.image, picture(seed))


def test_a_frame_brings_its_number_and_its_hardware_time(pair):
    pair.source.open()
    time_ns = START_NS + 123_456_000
    pair.plugged["111"].send(41, time_ns, picture(0))
    (one,) = pair.read(1)
    assert one.number == 41
    # librealsense keeps ms in a double: at today's dates good to a microsecond.
    assert one.time_ns == pytest.approx(time_ns, abs=1_000)
    assert (one.clock, one.arrival_ns) == (HOST_CLOCK, START_NS)


def test_a_hardware_clock_is_known_as_the_cameras_own(pair):
    pair.source.open()
    pair.plugged["222"].send(1, 5_000_000, picture(0), domain=rs.timestamp_domain.hardware_clock)
    (one,) = pair.read(1)
    assert one.clock == "RealSense 222"


def test_an_image_outlives_the_librarys_buffers(pair):
    pair.source.open()
    kept = []
    for number in range(60):
        pair.plugged["111"].send(number, START_NS + number * PERIOD_NS, picture(number))
        kept += pair.read(1)
    for one in kept:
        # A view would hold one of the few frames that the library has.
        assert one.image.flags.owndata
        np.testing.assert_array_equal(one.image, picture(one.number))


def test_a_missing_camera_is_named_with_those_that_are_there(pair):
    del pair.plugged["111"]
    with pytest.raises(CameraLostError, match="RealSense 111 not connected; connected: 222, 999"):
        pair.source.open()


def test_a_camera_unplugged_and_back_is_opened_again(pair):
    pair.source.open()
    pair.source.close()
    # A device that comes back is another object of the library's.
    pair.plugged["111"] = SoftwareCamera("111")
    pair.source.open()
    pair.plugged["111"].send(1, START_NS, picture(5))
    assert pair.read(1)[0].number == 1


def test_closing_twice_and_opening_in_vain_leave_nothing_open(pair):
    pair.source.open()
    pair.source.close()
    pair.source.close()
    gone = pair.plugged.pop("222")
    with pytest.raises(CameraLostError):
        pair.source.open()
    pair.plugged["222"] = gone
    pair.source.open()


def test_a_stream_that_there_is_not_is_refused_with_those_that_there_are():
    bench = Bench([SoftwareCamera("111"), SoftwareCamera("222")], **(COLOUR | {"width": 1280, "height": 720}))
    with pytest.raises(CameraConfigError, match=r"1280x720 px at 30 Hz .* it offers: 64x48 at 30 Hz rgb8"):
        bench.source.open()


def test_the_infrared_pair_is_mono_in_three_channels_and_says_so():
    bench = Bench([SoftwareCamera("333", infrared=True)], **INFRARED)
    bench.source.open()
    images = [picture(seed)[..., 0] for seed in (1, 2)]
    for index in (1, 2):
        bench.plugged["333"].send(3, START_NS, images[index - 1], index=index)
    frames = sorted(bench.read(2), key=lambda one: one.eye)
    for one, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(one.image, np.repeat(image[..., None], 3, axis=2))
    assert bench.source.channels == "mono, replicated"
    bench.source.close()


def with_option(camera: SoftwareCamera, option: rs.option) -> SoftwareCamera:
    span = rs.option_range()
    span.min, span.max, span.default, span.step = 0.0, 260.0, 0.0, 1.0
    camera.sensor.add_option(option, span, True)
    return camera


def test_hardware_sync_makes_the_left_camera_lead():
    cameras = [
        with_option(SoftwareCamera(serial), rs.option.inter_cam_sync_mode) for serial in ("111", "222")
    ]
    bench = Bench(cameras, **(COLOUR | {"sync": "hardware"}))
    bench.source.open()
    assert [one.sensor.get_option(rs.option.inter_cam_sync_mode) for one in cameras] == [1.0, 2.0]
    bench.source.close()


def test_hardware_sync_is_refused_where_a_camera_has_none(pair):
    bench = Bench([SoftwareCamera("111"), SoftwareCamera("222")], **(COLOUR | {"sync": "hardware"}))
    with pytest.raises(
        CameraConfigError, match="RealSense 111: its sensor has no option inter_cam_sync_mode"
    ):
        bench.source.open()


def test_an_exposure_that_the_camera_cannot_is_refused_rather_than_tried_again_and_again():
    cameras = [with_option(SoftwareCamera(serial), rs.option.exposure) for serial in ("111", "222")]
    fixed = COLOUR | {"auto_exposure": False}
    bench = Bench(cameras, **(fixed | {"exposure": 150.0}))
    bench.source.open()
    assert [one.sensor.get_option(rs.option.exposure) for one in cameras] == [150.0, 150.0]
    bench.source.close()
    bench = Bench(cameras, **(fixed | {"exposure": 300.0}))
    with pytest.raises(CameraConfigError, match="RealSense 111: exposure is 300; its sensor takes 0 to 260"):
        bench.source.open()


def test_global_time_is_asked_for_and_the_projector_switched_off():
    camera = SoftwareCamera("333", infrared=True)
    for option in (rs.option.global_time_enabled, rs.option.emitter_enabled):
        with_option(camera, option)
    camera.sensor.set_option(rs.option.emitter_enabled, 1.0)
    bench = Bench([camera], **INFRARED)
    bench.source.open()
    assert camera.sensor.get_option(rs.option.global_time_enabled) == 1.0
    assert camera.sensor.get_option(rs.option.emitter_enabled) == 0.0
    bench.source.close()


def test_without_cameras_the_librarys_own_list_is_asked():
    source = RealSenseSource(SourceConfig(**(COLOUR | {"devices": ("no such camera", "nor this")})))
    with pytest.raises(CameraLostError, match="no such camera and nor this not connected"):
        source.open()
