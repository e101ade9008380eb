"""What the camera node says about itself on /diagnostics. No ROS in it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from grasp_camera.frames import EYES, StereoPair
from grasp_camera.pairing import Reason

__all__ = ["CameraMonitor", "Report"]

OK, WARN, ERROR = 0, 1, 2
"""Values of diagnostic_msgs/DiagnosticStatus.level."""
_WINDOW = 300


@dataclass(frozen=True)
class Report:
    """One report."""

    level: int
    """OK, WARN or ERROR"""
    message: str
    """a line"""
    values: Mapping[str, str]
    """numbers by name"""


class CameraMonitor:
    """Counts and times; `report` sums up what happened since the report before.

    Written to by the capture's thread, read by the node's: single values and deques, no compound updates.

    Attributes:
        pairs: pairs handed out since construction.
        dark: pairs not handed out because an eye saw nothing.
        overtaken: pairs not handed out because a newer one had come already.
        reconnections: times the cameras were opened again after they were lost.
        last_error: why they were lost last, or could not be opened; empty if that never happened.
    """

    def __init__(self, rate_hz: float) -> None:
        """
        Args:
            rate_hz: pairs a second that are expected.
        """
        self.pairs = self.dark = self.overtaken = self.reconnections = 0
        self.frames = [0, 0]
        self.last_error = ""
        self._rate_hz = rate_hz
        self._skew_ms: deque[float] = deque(maxlen=_WINDOW)
        self._age_ms: deque[float] = deque(maxlen=_WINDOW)
        self._before: tuple[float, int, str] | None = None
        self._dropped_before: Counter[str] = Counter()

    def record_pair(self, pair: StereoPair, now_ns: int) -> None:
        """A pair is handed out at ``now_ns`` on the system clock."""
        self.pairs += 1
        self._skew_ms.append(1e-6 * abs(pair.skew_ns))
        self._age_ms.append(1e-6 * (now_ns - pair.stamp_ns))

    def report(
        self, state: str, counts: tuple[Counter[Reason], Counter[Reason]], settled: bool, now_s: float
    ) -> Report:
        """Sum up.

        Args:
            state: the capture's state, in a word; ``streaming`` is the good one.
            counts: frames not used, by eye.
            settled: whether exposure has settled; false too once patience ran out.
            now_s: a monotonic clock.
        """
        rate_hz = self._rate(state, now_s)
        # Asked for by reason: the capture's thread adds new ones meanwhile, which going through them forbids.
        dropped = Counter(
            {f"{EYES[eye]}_{reason.value}": counts[eye][reason] for eye in (0, 1) for reason in Reason}
        )
        dropped["dark"], dropped["overtaken"] = self.dark, self.overtaken
        new = dropped - self._dropped_before
        self._dropped_before = dropped
        level, message = self._judge(state, rate_hz, new, settled)
        values = {"state": state, "rate_hz": f"{rate_hz or 0.0:.1f}", "pairs": str(self.pairs)}
        values |= {f"{EYES[eye]}_frames": str(count) for eye, count in enumerate(self.frames)}
        values |= {name: str(count) for name, count in dropped.items()}
        values |= _percentiles("skew_ms", self._skew_ms) | _percentiles("age_ms", self._age_ms)
        values |= {
            "exposure_settled": str(settled).lower(),
            "reconnections": str(self.reconnections),
            "last_error": self.last_error,
        }
        return Report(level, message, values)

    def _rate(self, state: str, now_s: float) -> float | None:
        """Pairs a second since the report before; None where not all of that time was streaming."""
        before, self._before = self._before, (now_s, self.pairs, state)
        if before is None or now_s <= before[0] or (before[2], state) != ("streaming", "streaming"):
            return None
        return (self._before[1] - before[1]) / (now_s - before[0])

    def _judge(self, state: str, rate_hz: float | None, new: Counter[str], settled: bool) -> tuple[int, str]:
        if state == "refused":
            return ERROR, self.last_error
        if state in ("stopped", "ended", "inactive", "unconfigured"):
            return OK, state
        if state != "streaming":
            return WARN, f"{state}: {self.last_error}" if self.last_error else state
        complaints = [f"{count} {name}" for name, count in new.items()]
        if rate_hz is not None and rate_hz < 0.9 * self._rate_hz:
            complaints.insert(0, f"{rate_hz:.1f} of {self._rate_hz:g} pairs a second")
        if not settled:
            complaints.append("exposure never settled")
        if complaints:
            return WARN, "; ".join(complaints)
        return OK, state if rate_hz is None else f"{rate_hz:.1f} pairs a second"


def _percentiles(name: str, samples: deque[float]) -> dict[str, str]:
    values = np.array(list(samples))
    return {
        f"{name}_p{percentile}": f"{np.percentile(values, percentile):.2f}" if len(values) else ""
        for percentile in (50, 99)
    }
