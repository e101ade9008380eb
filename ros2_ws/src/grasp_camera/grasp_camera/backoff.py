"""How long to wait between attempts to reach a camera. No ROS in it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Backoff", "BackoffConfig"]


@dataclass(frozen=True)
class BackoffConfig:
    """The waits."""

    first_s: float = 0.25
    """s before the first new attempt"""
    factor: float = 2.0
    """each wait is so many times the one before"""
    most_s: float = 5.0
    """s, no wait is longer"""


class Backoff:
    """Waits that grow from failure to failure."""

    def __init__(self, config: BackoffConfig = BackoffConfig()) -> None:
        self.config = config
        self.failures = 0
        """failures in a row"""

    def failed(self) -> float:
        """Count a failure; returns s to wait before the next attempt."""
        config = self.config
        # Bounded before it is raised: a camera may be away for days.
        wait_s = config.first_s * config.factor ** min(self.failures, 60)
        self.failures += 1
        return min(wait_s, config.most_s)

    def succeeded(self) -> None:
        """Images have come: the next failure starts from the shortest wait."""
        self.failures = 0
