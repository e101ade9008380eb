"""What the inference node knows about itself: rates, ages, counters, the last error. No ROS in it."""

from __future__ import annotations

import enum
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

__all__ = ["Health", "HealthReport", "InferenceMonitor"]

WINDOW = 900
"""Inferences that percentiles are taken over: half a minute at 30 Hz."""


class Health(enum.IntEnum):
    """Levels with the numbers of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    DEGRADED = 1
    ERROR = 2


@dataclass(frozen=True)
class HealthReport:
    """One second's summary."""

    health: Health
    """The worst thing that holds."""
    message: str
    """That thing in words."""
    values: dict[str, str]
    """Figures by name."""


class InferenceMonitor:
    """Counts and times what the node does; `report` sums up what happened since the report before.

    Attributes:
        inferences: steps done since construction.
        last_error: the latest refusal or error in words, empty where there was none.
    """

    def __init__(self) -> None:
        self.inferences = 0
        self.last_error = ""
        self.configuration_error = ""
        self._errors: Counter[str] = Counter()
        self._arrivals: Counter[str] = Counter()
        self._inference_ms: deque[float] = deque(maxlen=WINDOW)
        self._age_ms: deque[float] = deque(maxlen=WINDOW)
        self._reported_arrivals: Counter[str] = Counter()
        self._reported_errors: Counter[str] = Counter()
        self._reported_skips: Counter[str] = Counter()
        self._reported_inferences = 0

    def record_arrival(self, what: str) -> None:
        """A message came in; `what` is one of the keys given to `report`."""
        self._arrivals[what] += 1

    def record_inference(self, duration_s: float, image_age_s: float) -> None:
        """A step was done, on images of this age at its start."""
        self.inferences += 1
        self._inference_ms.append(1e3 * duration_s)
        self._age_ms.append(1e3 * image_age_s)

    def record_error(self, kind: str, message: str) -> None:
        """Something was refused or failed; `kind` is a word to count it under."""
        self._errors[kind] += 1
        self.last_error = message

    def report(
        self, *, active: bool, state: str, skipped: dict[str, int], sources: tuple[str, ...]
    ) -> HealthReport:
        """Sum up since the report before.

        Args:
            active: whether the node is meant to infer.
            state: the node's state, in a word.
            skipped: cumulative numbers of dropped frames, by reason.
            sources: what should arrive (the keys of `record_arrival`).
        """
        new_errors = self._errors - self._reported_errors
        new_skips = Counter(skipped) - self._reported_skips
        inferred = self.inferences - self._reported_inferences
        arrived = self._arrivals - self._reported_arrivals
        silent = [source for source in sources if not arrived[source]]
        health, message = self._judge(active, state, new_errors, new_skips, inferred, silent)
        self._reported_errors = self._errors.copy()
        self._reported_skips = Counter(skipped)
        self._reported_inferences = self.inferences
        self._reported_arrivals = self._arrivals.copy()
        return HealthReport(health, message, self._values(state, skipped, sources))

    def _judge(
        self,
        active: bool,
        state: str,
        errors: Counter[str],
        skips: Counter[str],
        inferred: int,
        silent: list[str],
    ) -> tuple[Health, str]:
        if self.configuration_error:
            return Health.ERROR, f"refused: {self.configuration_error}"
        if errors:
            return Health.ERROR, f"{_listing(errors)}: {self.last_error}"
        if not active:
            return Health.OK, state
        if not inferred:
            missing = f"; nothing from {', '.join(silent)}" if silent else ""
            return Health.DEGRADED, f"no inference since the last report{missing}"
        if skips:
            return Health.DEGRADED, f"{inferred} inferences; frames not used: {_listing(skips)}"
        return Health.OK, f"{inferred} inferences"

    def _values(self, state: str, skipped: dict[str, int], sources: tuple[str, ...]) -> dict[str, str]:
        values = {"state": state, "inferences": str(self.inferences)}
        for name, samples in (("inference_ms", self._inference_ms), ("image_age_ms", self._age_ms)):
            for percentile in (50, 99):
                text = f"{np.percentile(samples, percentile):.2f}" if samples else ""
                values[f"{name}_p{percentile}"] = text
        values |= {f"received {source}": str(self._arrivals[source]) for source in sources}
        values |= {f"skipped_{reason}": str(count) for reason, count in skipped.items()}
        values |= {f"error_{kind}": str(count) for kind, count in self._errors.items()}
        values["last_error"] = self.last_error
        return values


def _listing(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
