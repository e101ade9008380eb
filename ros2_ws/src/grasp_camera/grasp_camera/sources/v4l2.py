"""UVC cameras through V4L2 (OpenCV): one that gives both eyes side by side, or two devices.

V4L2 stamps a buffer with the kernel's monotonic clock, the same for all devices and for this process; OpenCV
hands that on as the position in ms, but not the buffer's sequence number: repeated frames are known by their
time alone. A driver that stamps by another clock (uvcvideo's parameter ``clock``) is known by ages that
cannot be; its times are mapped by arrival. Two devices run free: their images are up to half a frame period
apart, and pairing needs ``max_skew_s`` to allow for it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from grasp_camera.errors import CameraConfigError, CameraLostError
from grasp_camera.frames import HOST_CLOCK, Frame
from grasp_camera.sources.choice import SourceConfig

__all__ = ["V4l2Source"]

_OTHER_CLOCK = "driver"
"""of a device whose stamps are not the kernel's monotonic clock"""
_MOST_AGE_NS = 500_000_000
"""a stamp on the monotonic clock is that old on arrival at most, and never of the future"""
_AUTO, _MANUAL = 3, 1
"""values of V4L2_CID_EXPOSURE_AUTO that OpenCV hands through"""
_EXPOSURE_SLACK = 0.01
"""share by which a driver may round an exposure to its own steps; one unit in any case"""
_FRAMES_KEPT = 4


class V4l2Source:
    """The source of kinds ``v4l2_side_by_side`` and ``v4l2_pair``."""

    def __init__(
        self,
        config: SourceConfig,
        opener: Callable[[str], Any] | None = None,
        system_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """
        Args:
            opener: device -> something like cv2.VideoCapture; that itself if not given.
        """
        self._config = config
        self._opener = opener or (lambda device: cv2.VideoCapture(device, cv2.CAP_V4L2))
        self._system_ns, self._monotonic_ns = system_ns, monotonic_ns
        self._side_by_side = config.kind == "v4l2_side_by_side"
        self._readers: list[_Reader] = []

    @property
    def channels(self) -> str:
        return "rgb"

    def describe(self) -> str:
        return f"V4L2 {' and '.join(self._config.devices)}"

    def open(self) -> None:
        """Raises:
        CameraLostError: a device is not there.
        CameraConfigError: a device gives another image size or rate than asked for, or keeps its exposure.
        """
        try:
            for device in self._config.devices:
                clock = _StampClock(self._system_ns, self._monotonic_ns)
                self._readers.append(_Reader(device, self._opened(device), clock))
        except (CameraLostError, CameraConfigError):
            self.close()
            raise

    def read(self, timeout_s: float) -> list[Frame]:
        """Frames of both eyes; raises CameraLostError where a device ended."""
        deadline = time.monotonic() + timeout_s
        while True:
            frames = [
                frame
                for position, reader in enumerate(self._readers)
                for shot in reader.taken()
                for frame in self._frames(position, *shot)
            ]
            left_s = deadline - time.monotonic()
            if frames or left_s <= 0:
                return frames
            time.sleep(min(0.002, left_s))

    def close(self) -> None:
        """Let go of the devices."""
        for reader in self._readers:
            reader.stop()
        self._readers = []

    def _opened(self, device: str) -> Any:
        config = self._config
        capture = self._opener(device)
        if not capture.isOpened():
            capture.release()
            raise CameraLostError(
                f"V4L2 {device} cannot be opened: not there, in use, or not permitted (group video)"
            )
        width = 2 * config.width if self._side_by_side else config.width
        wanted = (
            (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*config.fourcc)),
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, config.height),
            (cv2.CAP_PROP_FPS, config.rate_hz),
            (cv2.CAP_PROP_BUFFERSIZE, 2),
            (cv2.CAP_PROP_AUTO_EXPOSURE, _AUTO if config.auto_exposure else _MANUAL),
        )
        for what, value in wanted:
            capture.set(what, value)
        if not config.auto_exposure:
            capture.set(cv2.CAP_PROP_EXPOSURE, config.exposure)
        found = (round(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), round(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)))
        rate_hz = capture.get(cv2.CAP_PROP_FPS)
        if found != (width, config.height) or abs(rate_hz - config.rate_hz) > 1.0:
            capture.release()
            raise CameraConfigError(
                f"V4L2 {device} gives {found[0]}x{found[1]} px at {rate_hz:g} Hz; asked for "
                f"{width}x{config.height} px at {config.rate_hz} Hz in {config.fourcc} (v4l2-ctl "
                "--list-formats-ext shows what it can)"
            )
        if not config.auto_exposure:
            self._check_exposure(device, capture)
        return capture

    def _check_exposure(self, device: str, capture: Any) -> None:
        """Whether the driver took the exposure: OpenCV's `set` does not say when it clamps."""
        asked = round(self._config.exposure)
        mode, found = capture.get(cv2.CAP_PROP_AUTO_EXPOSURE), capture.get(cv2.CAP_PROP_EXPOSURE)
        if mode == _MANUAL and abs(found - asked) <= max(1.0, _EXPOSURE_SLACK * asked):
            return
        capture.release()
        raise CameraConfigError(
            f"V4L2 {device} has auto_exposure mode {mode:g} and exposure {found:g}; asked for mode {_MANUAL} "
            f"(manual) and exposure {asked}, in 100 us (v4l2-ctl --list-ctrls shows what it can)"
        )

    def _frames(
        self, position: int, image: np.ndarray, time_ns: int, clock: str, arrival_ns: int
    ) -> list[Frame]:
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        if not self._side_by_side:
            return [Frame(position, None, time_ns, clock, arrival_ns, rgb)]
        half = rgb.shape[1] // 2
        eyes = (rgb[:, :half].copy(), rgb[:, half:].copy())
        return [Frame(eye, None, time_ns, clock, arrival_ns, one) for eye, one in enumerate(eyes)]


_Shot = tuple[np.ndarray, int, str, int]
"""Image (BGR), its time in ns, the name of the clock of that time, its arrival in ns."""


class _StampClock:
    """One device's stamps on this machine's system clock, once one of them could be of the monotonic clock.

    From then on they are taken for it, however old: what lay in a buffer while this process was stopped must
    not pass for new.
    """

    def __init__(self, system_ns: Callable[[], int], monotonic_ns: Callable[[], int]) -> None:
        self._system_ns, self._monotonic_ns = system_ns, monotonic_ns
        self._is_monotonic = False

    def placed(self, stamp_ns: int) -> tuple[int, str, int]:
        """A stamp of a frame that has just come: its time in ns, the clock of that, the arrival in ns."""
        arrival_ns, age_ns = self._system_ns(), self._monotonic_ns() - stamp_ns
        self._is_monotonic |= 0 <= age_ns <= _MOST_AGE_NS
        if self._is_monotonic:
            return arrival_ns - age_ns, HOST_CLOCK, arrival_ns
        return stamp_ns, _OTHER_CLOCK, arrival_ns


class _Reader:
    """Reads one device in a thread: OpenCV's read blocks."""

    def __init__(self, device: str, capture: Any, clock: _StampClock) -> None:
        self._device, self._capture, self._clock = device, capture, clock
        self._shots: queue.Queue[_Shot] = queue.Queue(_FRAMES_KEPT)
        self._stopping, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"v4l2 {device}", daemon=True)
        self._thread.start()

    def taken(self) -> list[_Shot]:
        """What has come since the last call.

        Raises:
            CameraLostError: the device ended, and all it gave was taken.
        """
        shots = []
        while True:
            try:
                shots.append(self._shots.get_nowait())
            except queue.Empty:
                break
        if not shots and self._ended.is_set():
            raise CameraLostError(f"V4L2 {self._device} gives no images any more")
        return shots

    def stop(self) -> None:
        # A read that hangs in the driver ends by OpenCV's own time limit; the thread releases the device
        # then.
        self._stopping.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                good, image = self._capture.read()
                if not good:
                    return
                stamp_ns = round(1e6 * self._capture.get(cv2.CAP_PROP_POS_MSEC))
                self._put((image, *self._clock.placed(stamp_ns)))
        finally:
            self._capture.release()
            self._ended.set()

    def _put(self, shot: _Shot) -> None:
        """The newest frames count: a full queue loses its oldest."""
        while True:
            try:
                return self._shots.put_nowait(shot)
            except queue.Full:
                try:
                    self._shots.get_nowait()
                except queue.Empty:
                    continue
