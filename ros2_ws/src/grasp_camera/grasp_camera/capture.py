"""The capture: opens the cameras, pairs, waits for the exposure, hands pairs on, and starts anew after a
loss.

No ROS in it. `Capture.step` does one thing and waits briefly at most; `CaptureThread` calls it until it is
told to stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from grasp_camera.backoff import Backoff, BackoffConfig
from grasp_camera.errors import CameraConfigError, CameraEndedError, CameraLostError
from grasp_camera.frames import Source, StereoPair
from grasp_camera.monitor import CameraMonitor
from grasp_camera.pairing import FramePairer, PairingConfig
from grasp_camera.settling import SettlingConfig, SettlingDetector, is_black

__all__ = ["Capture", "CaptureConfig", "CaptureThread"]

_READ_S = 0.05
"""s, longest wait in one step"""
_MOST_SKEW_PERIODS = 0.55
"""frame periods: half of one is what cameras that run free need; the rest is jitter"""
_READING = ("settling", "streaming")
"""states in which frames come, and a step waits for them"""


@dataclass(frozen=True)
class CaptureConfig:
    """How to capture."""

    rate_hz: float = 30.0
    """pairs a second that are expected"""
    silence_s: float = 0.5
    """s without a pair after which the cameras count as lost"""
    start_s: float = 4.0
    """s that the first pair after opening may take"""
    pairing: PairingConfig = field(default_factory=PairingConfig)
    """what makes a pair"""
    settling: SettlingConfig = field(default_factory=SettlingConfig)
    """when exposure has settled"""
    backoff: BackoffConfig = field(default_factory=BackoffConfig)
    """waits between attempts to reach the cameras"""

    def __post_init__(self) -> None:
        most_s = _MOST_SKEW_PERIODS / self.rate_hz
        if self.pairing.max_skew_s > most_s:
            raise CameraConfigError(
                f"max_skew_s is {self.pairing.max_skew_s:g}; expected at most {most_s:.4f} s, "
                f"{_MOST_SKEW_PERIODS:g} of a frame period at {self.rate_hz:g} Hz: beyond, a lost frame "
                "would leave every image paired with its partner's neighbour"
            )


class Capture:
    """One source's life.

    Attributes:
        state: ``connecting``, ``settling``, ``streaming``, ``lost`` (waiting for the next attempt),
            ``refused`` (no attempt would help), ``ended`` (a recording) or ``stopped``.
    """

    def __init__(
        self,
        source: Source,
        deliver: Callable[[StereoPair], None],
        config: CaptureConfig = CaptureConfig(),
        monotonic_s: Callable[[], float] = time.monotonic,
        system_ns: Callable[[], int] = time.time_ns,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """
        Args:
            deliver: called with every pair that is fit for use, from the thread that steps. A
                CameraConfigError that it raises ends the capture.
            say: called with a line when something changes.
        """
        self.state = "connecting"
        self.pairer = FramePairer(config.pairing)
        self.settling = SettlingDetector(config.settling)
        self.monitor = CameraMonitor(config.rate_hz)
        self._source, self._deliver, self._config, self._say = source, deliver, config, say
        self._monotonic_s, self._system_ns = monotonic_s, system_ns
        self._backoff = Backoff(config.backoff)
        self._attempt_s = self._deadline_s = monotonic_s()
        self._lost_before = self._opened = False

    def step(self) -> None:
        """Do the next thing: connect, read, or wait."""
        try:
            if self.state in ("connecting", "lost"):
                self._connect()
            elif self.state in _READING:
                self._read()
        except CameraEndedError as error:
            self._source.close()
            self._become("ended", str(error))
        except CameraLostError as error:
            self._lose(str(error))
        except CameraConfigError as error:
            self.fail(str(error))

    def fail(self, reason: str) -> None:
        """Let go of the cameras, and try no more: no attempt would help."""
        self._source.close()
        self.monitor.last_error = reason
        self._become("refused", reason)

    def stop(self) -> None:
        """Let go of the cameras for good."""
        self._source.close()
        if self.state not in ("refused", "ended"):
            self._become("stopped", "")

    def _connect(self) -> None:
        now_s = self._monotonic_s()
        if now_s < self._attempt_s:
            return
        try:
            self._source.open()
        except CameraConfigError as error:
            if not self._opened:
                raise
            # A camera that comes back may do so in parts, or on a slower bus: what it lacks it may get.
            raise CameraLostError(str(error)) from error
        self._opened = True
        self.pairer.restart()
        self.settling.restart()
        self._deadline_s = self._monotonic_s() + self._config.start_s
        self.monitor.reconnections += self._lost_before
        self._become("settling", f"{self._source.describe()}: opened")

    def _read(self) -> None:
        pairs = []
        for frame in self._source.read(_READ_S):
            self.monitor.frames[frame.eye] += 1
            pair = self.pairer.add(frame)
            if pair is not None:
                pairs.append(pair)
        if pairs:
            # After a stop, or where this machine is too slow, several have come: only the newest is of now.
            self.monitor.overtaken += len(pairs) - 1
            self._take(pairs[-1])
        now_s = self._monotonic_s()
        if now_s > self._deadline_s:
            raise CameraLostError(f"{self._source.describe()}: no pair of images any more")

    def _take(self, pair: StereoPair) -> None:
        self._deadline_s = self._monotonic_s() + self._config.silence_s
        self._backoff.succeeded()
        if any(is_black(image) for image in pair.images):
            self.monitor.dark += 1
            return
        if not self.settling.add(pair.stamp_ns, pair.images):
            return
        if self.state != "streaming":
            how = "exposure did not settle; going on" if self.settling.gave_up else "exposure has settled"
            self._become("streaming", how)
        self._deliver(pair)
        self.monitor.record_pair(pair, self._system_ns())

    def _lose(self, reason: str) -> None:
        self._source.close()
        wait_s = self._backoff.failed()
        self._attempt_s = self._monotonic_s() + wait_s
        self._lost_before = True
        self.monitor.last_error = reason
        self._become("lost", f"{reason}; next attempt in {wait_s:g} s")

    def _become(self, state: str, text: str) -> None:
        self.state = state
        self._say(f"{state}: {text}" if text else state)


class CaptureThread:
    """Steps a capture until it is stopped."""

    def __init__(self, capture: Capture) -> None:
        self._capture, self._stopping = capture, threading.Event()
        self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop, and let go of the cameras.

        Raises:
            RuntimeError: the thread does not end, held up inside a camera's library.
        """
        self._stopping.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise RuntimeError(f"the capture did not stop within {timeout_s:g} s: a camera's library hangs")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._capture.step()
                if self._capture.state not in _READING:
                    self._stopping.wait(0.02)
        # Nobody waits for this thread: what it dies of has to stand in the diagnostics.
        except Exception as error:
            self._capture.fail(f"{type(error).__name__}: {error}")
            raise
        finally:
            self._capture.stop()
