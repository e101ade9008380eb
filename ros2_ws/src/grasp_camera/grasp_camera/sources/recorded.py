"""Recorded images as a source: ``left/NAME.png`` and ``right/NAME.png``, in order of their names.

They come at the rate asked for, with this machine's time. Both eyes of a name are one moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from grasp_camera.errors import CameraConfigError, CameraEndedError
from grasp_camera.frames import EYES, HOST_CLOCK, Frame
from grasp_camera.sources.choice import SourceConfig

__all__ = ["RecordedSource"]

_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".ppm"}


class RecordedSource:
    """The source of kind ``recorded``."""

    def __init__(
        self,
        config: SourceConfig,
        system_ns: Callable[[], int] = time.time_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._config, self._system_ns, self._sleep = config, system_ns, sleep
        self._folder = Path(config.devices[0]).expanduser()
        self._names: list[tuple[Path, Path]] = []
        self._number = 0
        self._first_ns = 0

    @property
    def channels(self) -> str:
        return "rgb"

    def describe(self) -> str:
        return f"recorded images in {self._folder}"

    def open(self) -> None:
        """Raises:
        CameraConfigError: there are no pairs in the folder.
        """
        files = [
            {path.stem: path for path in (self._folder / eye).glob("*") if path.suffix.lower() in _ENDINGS}
            for eye in EYES
        ]
        names = sorted(files[0].keys() & files[1].keys())
        if not names:
            raise CameraConfigError(
                f"{self._folder}: no pairs of images; expected left/NAME.png and right/NAME.png"
            )
        self._names = [(files[0][name], files[1][name]) for name in names]
        self._number, self._first_ns = 0, self._system_ns()

    def read(self, timeout_s: float) -> list[Frame]:
        """The next pair when its time has come; raises CameraEndedError at the end of a recording without
        loop."""
        if self._number >= len(self._names) and not self._config.loop:
            raise CameraEndedError(f"{self.describe()}: at their end")
        due_ns = self._first_ns + round(1e9 * self._number / self._config.rate_hz)
        wait_s = 1e-9 * (due_ns - self._system_ns())
        if wait_s > 0:
            self._sleep(min(wait_s, timeout_s))
        if self._system_ns() < due_ns:
            return []
        paths = self._names[self._number % len(self._names)]
        frames = [
            Frame(eye, self._number, due_ns, HOST_CLOCK, self._system_ns(), self._image(path))
            for eye, path in enumerate(paths)
        ]
        self._number += 1
        return frames

    def close(self) -> None:
        """Begin at the start next time."""
        self._names = []

    def _image(self, path: Path) -> np.ndarray:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise CameraConfigError(f"{path}: no readable image")
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
