"""RealSense cameras through pyrealsense2: a pair of colour cameras, or one camera's infrared pair.

No single D400 gives an RGB stereo pair: its colour comes from one imager. The two sensors' frames are taken
from the sensors directly rather than through a pipeline, which would align frames of one device and knows
nothing of the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from grasp_camera.errors import CameraConfigError, CameraLostError
from grasp_camera.frames import HOST_CLOCK, Frame
from grasp_camera.sources.choice import SourceConfig

__all__ = ["RealSenseSource"]

_QUEUE = 8
_SLICE_MS = 4
_MASTER, _SLAVE = 1.0, 2.0
"""values of librealsense's inter_cam_sync_mode"""


@dataclass(frozen=True, eq=False)
class _Stream:
    """A sensor that streams."""

    sensor: Any
    queue: Any
    serial: str
    eyes: dict[int, int]
    """stream index -> eye"""


class RealSenseSource:
    """The source of kinds ``realsense_pair`` and ``realsense_infrared``."""

    def __init__(
        self,
        config: SourceConfig,
        devices: Callable[[], Iterable[Any]] | None = None,
        system_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """
        Args:
            devices: what is connected; librealsense's own list if not given. (It does not list software
            devices.)

        Raises:
            CameraConfigError: pyrealsense2 is missing, or cannot be loaded.
        """
        self._rs = _library()
        self._config = config
        # The bound method keeps the context alive.
        self._devices = devices if devices is not None else self._rs.context().query_devices
        self._system_ns = system_ns
        self._streams: list[_Stream] = []
        self._infrared = config.kind == "realsense_infrared"

    @property
    def channels(self) -> str:
        return "mono, replicated" if self._infrared else "rgb"

    def describe(self) -> str:
        what = "RealSense infrared pair" if self._infrared else "RealSense colour pair"
        return f"{what} {' and '.join(self._config.devices)}"

    def open(self) -> None:
        """Raises:
        CameraLostError: a serial number is not connected, or librealsense fails.
        CameraConfigError: a camera lacks the stream or the option asked for.
        """
        try:
            found = {_info(device, self._rs.camera_info.serial_number): device for device in self._devices()}
            missing = [serial for serial in self._config.devices if serial not in found]
            if missing:
                there = ", ".join(sorted(found)) or "none"
                raise CameraLostError(f"RealSense {' and '.join(missing)} not connected; connected: {there}")
            for position, serial in enumerate(self._config.devices):
                eyes = {1: 0, 2: 1} if self._infrared else {0: position}
                self._streams.append(self._started(found[serial], serial, eyes, position))
        except RuntimeError as error:
            self.close()
            if isinstance(error, CameraLostError):
                raise
            raise CameraLostError(f"{self.describe()}: {error}") from error
        except CameraConfigError:
            self.close()
            raise

    def read(self, timeout_s: float) -> list[Frame]:
        """Frames of both eyes; raises CameraLostError where librealsense fails."""
        deadline = time.monotonic() + timeout_s
        try:
            while True:
                frames = [frame for stream in self._streams for frame in self._polled(stream)]
                left_s = deadline - time.monotonic()
                if frames or left_s <= 0:
                    return frames
                time.sleep(min(left_s, 1e-3 * _SLICE_MS))
        except RuntimeError as error:
            raise CameraLostError(f"{self.describe()}: {error}") from error

    def close(self) -> None:
        """Stop every sensor; what fails on a camera that is gone is of no interest."""
        for stream in self._streams:
            for end in (stream.sensor.stop, stream.sensor.close):
                try:
                    end()
                except RuntimeError:
                    continue
        self._streams = []

    def _started(self, device: Any, serial: str, eyes: dict[int, int], position: int) -> _Stream:
        sensor, profiles = self._chosen(device, serial, eyes)
        self._set_options(sensor, serial, position)
        sensor.open(profiles)
        queue = self._rs.frame_queue(_QUEUE)
        sensor.start(queue)
        return _Stream(sensor, queue, serial, eyes)

    def _chosen(self, device: Any, serial: str, eyes: dict[int, int]) -> tuple[Any, list[Any]]:
        """The sensor, and its profile for each stream index."""
        rs, config = self._rs, self._config
        kind = rs.stream.infrared if self._infrared else rs.stream.color
        formats = [rs.format.y8] if self._infrared else [rs.format.rgb8, rs.format.bgr8]
        offered = []
        for sensor in device.query_sensors():
            fitting: dict[int, list[Any]] = {index: [] for index in eyes}
            for profile in sensor.get_stream_profiles():
                if profile.stream_type() != kind or not profile.is_video_stream_profile():
                    continue
                video = profile.as_video_stream_profile()
                size = (video.width(), video.height(), profile.fps())
                offered.append(f"{size[0]}x{size[1]} at {size[2]} Hz {profile.format().name}")
                wanted = (config.width, config.height, config.rate_hz)
                if size == wanted and profile.format() in formats and profile.stream_index() in fitting:
                    fitting[profile.stream_index()].append(profile)
            if all(fitting.values()):
                best = [
                    min(one, key=lambda profile: formats.index(profile.format())) for one in fitting.values()
                ]
                return sensor, best
        raise CameraConfigError(
            f"RealSense {serial} has no {kind.name} stream {sorted(eyes)} of {config.width}x{config.height} "
            f"px at {config.rate_hz} Hz in {' or '.join(one.name for one in formats)}; it offers: "
            f"{'; '.join(sorted(set(offered))) or 'none'}"
        )

    def _set_options(self, sensor: Any, serial: str, position: int) -> None:
        option, config = self._rs.option, self._config
        _set_if_there(sensor, option.global_time_enabled, 1.0)
        # A longer exposure must not lower the rate of images.
        _set_if_there(sensor, option.auto_exposure_priority, 0.0)
        _set_if_there(sensor, option.enable_auto_exposure, float(config.auto_exposure))
        if not config.auto_exposure:
            _set(sensor, option.exposure, config.exposure, serial)
        if self._infrared:
            # The projector's dots are no texture of the object, and move with the camera.
            _set_if_there(sensor, option.emitter_enabled, 0.0)
        elif config.sync == "hardware":
            _set(sensor, option.inter_cam_sync_mode, _SLAVE if position else _MASTER, serial)

    def _polled(self, stream: _Stream) -> list[Frame]:
        frames = []
        while True:
            frame = stream.queue.poll_for_frame()
            if not frame:
                return frames
            eye = stream.eyes.get(frame.get_profile().stream_index())
            if eye is not None:
                frames.append(self._frame(frame, eye, stream.serial))

    def _frame(self, frame: Any, eye: int, serial: str) -> Frame:
        domain = frame.get_frame_timestamp_domain()
        own_clock = domain == self._rs.timestamp_domain.hardware_clock
        return Frame(
            eye=eye,
            number=int(frame.get_frame_number()),
            time_ns=round(1e6 * frame.get_timestamp()),
            clock=f"RealSense {serial}" if own_clock else HOST_CLOCK,
            arrival_ns=self._system_ns(),
            image=self._image(frame),
        )

    def _image(self, frame: Any) -> np.ndarray:
        data = np.asanyarray(frame.get_data())
        kind = frame.get_profile().format()
        if kind == self._rs.format.y8:
            return cv2.cvtColor(data, cv2.COLOR_GRAY2RGB)
        if kind == self._rs.format.bgr8:
            return cv2.cvtColor(data, cv2.COLOR_BGR2RGB)
        # librealsense takes its buffer back.
        return data.copy()


def _library() -> Any:
    try:
        import pyrealsense2  # type: ignore[import-not-found]
    except ImportError as error:
        raise CameraConfigError(
            f"pyrealsense2 cannot be loaded ({error}); it needs: pip install pyrealsense2, apt install "
            "libusb-1.0-0"
        ) from error
    return pyrealsense2


def _info(device: Any, what: Any) -> str:
    return device.get_info(what) if device.supports(what) else ""


def _set_if_there(sensor: Any, option: Any, value: float) -> None:
    if sensor.supports(option):
        sensor.set_option(option, value)


def _set(sensor: Any, option: Any, value: float, serial: str) -> None:
    if not sensor.supports(option):
        raise CameraConfigError(
            f"RealSense {serial}: its sensor has no option {option.name}; asked for {value:g}"
        )
    span = sensor.get_option_range(option)
    if not span.min <= value <= span.max:
        raise CameraConfigError(
            f"RealSense {serial}: {option.name} is {value:g}; its sensor takes {span.min:g} to {span.max:g}"
        )
    sensor.set_option(option, value)
