"""When auto exposure has settled after a start. No ROS in it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

__all__ = ["SettlingConfig", "SettlingDetector", "brightness"]

_STEP = 8
"""every so many rows and columns are looked at"""
_BLACK = 3.0
"""grey levels: a mean below is a lens cap, or a sensor that gives nothing"""


@dataclass(frozen=True)
class SettlingConfig:
    """What settled means."""

    pairs: int = 10
    """pairs in a row whose brightness agrees"""
    tolerance: float = 0.03
    """spread of their brightness, as a share of it, in either eye"""
    patience_s: float = 5.0
    """s after which the images are used all the same, and the diagnostics say so: light may flicker for
    good"""


def brightness(image: np.ndarray) -> float:
    """Mean grey level, 0 to 255, of an image (H, W, 3) uint8."""
    return float(image[::_STEP, ::_STEP].mean())


def is_black(image: np.ndarray) -> bool:
    """Whether an image shows nothing at all."""
    return brightness(image) < _BLACK


class SettlingDetector:
    """Watches the brightness of pairs from a start on.

    Attributes:
        settled: whether images may be used.
        gave_up: whether that is so only because patience ran out.
    """

    def __init__(self, config: SettlingConfig = SettlingConfig()) -> None:
        self.config = config
        self.restart()

    def restart(self) -> None:
        """Begin anew: the cameras were opened."""
        self.settled = False
        self.gave_up = False
        self._first_ns: int | None = None
        self._seen: deque[tuple[float, float]] = deque(maxlen=self.config.pairs)

    def add(self, stamp_ns: int, images: tuple[np.ndarray, np.ndarray]) -> bool:
        """Look at a pair; returns whether images may be used, this pair's included."""
        if self.settled:
            return True
        self._first_ns = stamp_ns if self._first_ns is None else self._first_ns
        self._seen.append((brightness(images[0]), brightness(images[1])))
        self.settled = len(self._seen) == self.config.pairs and self._agree()
        if not self.settled and stamp_ns - self._first_ns > 1e9 * self.config.patience_s:
            self.settled = self.gave_up = True
        return self.settled

    def _agree(self) -> bool:
        levels = np.array(self._seen)
        spread = np.ptp(levels, axis=0)
        return bool((spread <= self.config.tolerance * np.maximum(levels.mean(axis=0), 1.0)).all())
