"""What /grasp_sim says about itself on /diagnostics. No ROS in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from grasp_sim.drivers import Drivers
from grasp_sim.lockstep import Lockstep
from grasp_sim.realtime import RealTime

OK, WARN = 0, 1
"""Values of diagnostic_msgs/DiagnosticStatus.level."""
_RENDERINGS = 300


@dataclass
class Counters:
    """What the node counts itself."""

    ticks: int = 0
    frames: int = 0
    resets: int = 0
    resets_refused: int = 0
    recording_error: str = ""
    """why recording was given up; empty if it was not"""
    render_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_RENDERINGS))
    """durations of the last renderings"""


@dataclass(frozen=True)
class Report:
    """One report."""

    level: int
    message: str
    values: Mapping[str, str]


class Reporter:
    """Makes a report from the counters, and says what changed since the last."""

    def __init__(self, counters: Counters, drivers: Drivers) -> None:
        self._counters, self._drivers = counters, drivers
        self._before: tuple[float, float] | None = None
        self._timeouts, self._refused = 0, 0

    def report(self, runner: Lockstep | RealTime, wall_s: float, time_s: float) -> Report:
        """The state of things.

        Args:
            runner: what runs the ticks.
            wall_s: now on a monotonic clock.
            time_s: now on the simulation's clock.
        """
        factor = self._factor(wall_s, time_s)
        counters = self._counters
        render = np.array(counters.render_ms) if counters.render_ms else np.zeros(1)
        values = {
            "mode": "lockstep" if isinstance(runner, Lockstep) else "real time",
            "ticks": str(counters.ticks),
            "frames": str(counters.frames),
            "real_time_factor": f"{factor:.3f}",
            "render_ms_mean": f"{render.mean():.2f}",
            "render_ms_p99": f"{np.percentile(render, 99):.2f}",
            "resets": str(counters.resets),
            "resets_refused": str(counters.resets_refused),
            "arm_commands_refused": str(self._drivers.refused["arm"]),
            "hand_commands_refused": str(self._drivers.refused["hand"]),
            "recording_error": counters.recording_error,
        }
        complaints = self._complaints()
        if isinstance(runner, Lockstep):
            values |= _lockstep_values(runner)
            if runner.timeouts > self._timeouts:
                complaints.append(
                    f"{runner.timeouts - self._timeouts} lockstep time-outs since the last report"
                )
            self._timeouts = runner.timeouts
        else:
            values |= {
                "frames_skipped": str(runner.frames_skipped),
                "schedule_restarts": str(runner.restarts),
            }
            if factor < 0.95:
                complaints.append(f"slower than real time: factor {factor:.2f}")
        return Report(WARN if complaints else OK, "; ".join(complaints) or "running", values)

    def _factor(self, wall_s: float, time_s: float) -> float:
        before, self._before = self._before, (wall_s, time_s)
        if before is None or wall_s <= before[0]:
            return 1.0
        return (time_s - before[1]) / (wall_s - before[0])

    def _complaints(self) -> list[str]:
        complaints = []
        refused = self._drivers.refused.total()
        if refused > self._refused:
            complaints.append(f"{refused - self._refused} commands refused since the last report")
        self._refused = refused
        if self._counters.recording_error:
            complaints.append(f"recording given up: {self._counters.recording_error}")
        return complaints


def _lockstep_values(lockstep: Lockstep) -> dict[str, str]:
    values = {"lockstep_timeouts": str(lockstep.timeouts)}
    partners = {"command": lockstep.control, "drivers": lockstep.drivers, "target": lockstep.policy}
    for name, partner in partners.items():
        values |= {
            f"{name}_timeouts": str(partner.timeouts),
            f"{name}_waits": str(partner.waits),
            f"{name}_resends": str(partner.resends),
            f"{name}_given_up": str(partner.give_ups),
        }
    return values
