"""Real time: ticks follow the machine's own clock. No ROS in it.

A tick that comes late is made up for by running the next ones without a pause; frames that come late are
skipped, so that a slow renderer costs images and not time. Only when the simulation falls far behind is
the lost time given up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from grasp_sim.lockstep import TickActions
from grasp_sim.timing import is_frame_tick

__all__ = ["RealTime", "RealTimeConfig"]


@dataclass(frozen=True)
class RealTimeConfig:
    """What counts as late."""

    frame_lag_s: float = 0.02
    """s behind schedule from which a frame is skipped"""
    most_lag_s: float = 0.25
    """s behind schedule from which the schedule starts anew at the present"""


class RealTime:
    """Runs ticks at wall pace.

    Attributes:
        frames_skipped: frames not taken because the simulation was late. restarts: times that lost time
            was given up.
    """

    def __init__(
        self,
        actions: TickActions,
        config: RealTimeConfig = RealTimeConfig(),
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self.frames_skipped, self.restarts = 0, 0
        self._actions, self._now_s = actions, now_s
        self._origin_s: float | None = None

    def run_tick(self) -> None:
        """Wait until the current tick is due, publish it, move on."""
        actions = self._actions
        lag_s = self._wait_until_due()
        if not actions.running:
            return
        actions.publish_joint_states()
        actions.publish_clock()
        if is_frame_tick(actions.tick):
            if lag_s > self.config.frame_lag_s:
                self.frames_skipped += 1
            else:
                actions.take_frame()
                actions.publish_frame()
                actions.record_frame()
        actions.step()

    def _wait_until_due(self) -> float:
        """Take in messages until the tick is due; how late it is, in s."""
        time_s, now_s = 1e-9 * self._actions.time_ns, self._now_s()
        if self._origin_s is None:
            self._origin_s = now_s - time_s
        ahead_s = self._origin_s + time_s - now_s
        # Even a late tick takes in what has come: the command it is to use.
        self._actions.wait(lambda: False, max(ahead_s, 0.0))
        lag_s = max(self._now_s() - self._origin_s - time_s, 0.0)
        if lag_s > self.config.most_lag_s:
            self.restarts += 1
            self._origin_s += lag_s
            return 0.0
        return lag_s
