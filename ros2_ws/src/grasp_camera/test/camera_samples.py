"""What the tests of the camera package share: frames, a calibration, and time that passes when told to."""

from dataclasses import dataclass, field

import numpy as np

from grasp_camera.camera_info import CameraCalibration
from grasp_camera.errors import CameraLostError
from grasp_camera.extrinsics import Transform
from grasp_camera.frames import HOST_CLOCK, Frame
from grasp_camera.stereo_calibration import OPTICAL_FRAMES, StereoCalibration

PERIOD_NS = 33_333_333
START_NS = 1_700_000_000_000_000_000


def picture(seed: int, size: tuple[int, int] = (64, 48), level: int = 100) -> np.ndarray:
    """A noisy picture (H, W, 3), like no other."""
    rng = np.random.default_rng(seed)
    return rng.integers(level - 20, level + 20, (size[1], size[0], 3)).astype(np.uint8)


def frame(eye: int, number: int | None, time_ns: int | None = None, **changes) -> Frame:
    """Frame number ``number`` of a camera that takes 30 a second."""
    time_ns = START_NS + (number or 0) * PERIOD_NS if time_ns is None else time_ns
    values = {
        "number": number,
        "time_ns": time_ns,
        "clock": HOST_CLOCK,
        "arrival_ns": time_ns + 8_000_000,
        "image": picture(2 * (number or 0) + eye),
    }
    return Frame(eye=eye, **(values | changes))


def calibration(
    width: int = 640, height: int = 480, focal: float = 600.0, baseline_m: float = 0.12, **changes
):
    """A pair that needs little rectification."""
    k = np.array([[focal, 0, 0.5 * (width - 1)], [0, focal, 0.5 * (height - 1)], [0, 0, 1.0]])
    cameras = []
    for name, shift in (("stereo_left", 0.0), ("stereo_right", baseline_m)):
        p = np.hstack([k, [[-focal * shift], [0], [0]]])
        values = {"d": np.zeros(5), "k": k, "r": np.eye(3), "p": p} | changes
        cameras.append(CameraCalibration(name, width, height, "plumb_bob", **values))
    step = np.eye(4)
    step[0, 3] = baseline_m
    return StereoCalibration(*cameras, (Transform.from_matrix(*OPTICAL_FRAMES, step),))


@dataclass
class FakeTime:
    """A clock that a test moves: monotonic and system time together."""

    now_ns: int = START_NS

    def monotonic_s(self) -> float:
        return 1e-9 * (self.now_ns - START_NS)

    def system_ns(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(1e9 * seconds)


@dataclass
class FakeSource:
    """Cameras that do what a test says; reading takes as long as it is allowed to."""

    time: FakeTime
    plugged: bool = True
    silent: bool = False
    channels: str = "rgb"
    level: int = 100
    opened: list[float] = field(default_factory=list)
    closed: int = 0
    attempts: list[float] = field(default_factory=list)
    number: int = 0

    def describe(self) -> str:
        return "fake cameras"

    def open(self) -> None:
        self.attempts.append(self.time.monotonic_s())
        if not self.plugged:
            raise CameraLostError("fake cameras not connected")
        self.opened.append(self.time.monotonic_s())
        self.number = 0

    def read(self, timeout_s: float) -> list[Frame]:
        self.time.advance(timeout_s)
        if not self.plugged:
            raise CameraLostError("fake cameras unplugged")
        if self.silent:
            return []
        self.number += 1
        return [
            frame(
                eye,
                self.number,
                self.time.now_ns,
                arrival_ns=self.time.now_ns,
                image=picture(len(self.opened) * 100_000 + 2 * self.number + eye, level=self.level),
            )
            for eye in (0, 1)
        ]

    def close(self) -> None:
        self.closed += 1
