"""Follows the object through one episode and judges it. No ROS."""

import numpy as np

from grasp_description.workcell import GOAL_POSITION, SUCCESS_TOLERANCE_M, SuccessCriterion
from grasp_task.events import Progress
from grasp_task.scoreboard import EpisodeResult


class EpisodeScorer:
    """Judges episode after episode: `open`, then `see` every pose of the object, then `close`.

    Args:
        scored: False where no source of object poses exists; episodes then do not count
    """

    def __init__(self, scored: bool) -> None:
        self._scored = scored
        self._criterion = SuccessCriterion()
        self._object_name, self._family = "", ""
        self._opened_wall_s = 0.0
        self._seen = 0

    def open(self, object_name: str, family: str, wall_s: float) -> None:
        """Begin an episode with this object at ``wall_s`` of a monotonic clock."""
        self._criterion.reset()
        self._object_name, self._family = object_name, family
        self._opened_wall_s, self._seen = wall_s, 0

    def see(self, position: np.ndarray, time_s: float) -> Progress:
        """Take where the object is.

        Args:
            position: (3,) m, centre of mass, base frame
            time_s: s since the episode began
        """
        self._seen += 1
        self._criterion.update(position, time_s)
        at_goal = float(np.linalg.norm(position - GOAL_POSITION)) <= SUCCESS_TOLERANCE_M
        lifted = self._criterion.lifted_at_s is not None and not self._criterion.dropped
        held, lost = self._criterion.succeeded, self._criterion.lost
        return Progress(lifted=lifted, at_goal=at_goal, held=held, lost=lost)

    def close(
        self, cause: str, counts: bool, duration_s: float, wall_s: float, cycle_s: float = 0.0
    ) -> EpisodeResult:
        """End the episode.

        Args:
            cause: why it did not run whole, or was no success after all; empty if it did
            counts: False if an operator stopped it
            duration_s: s of the node's clock that the policy acted
            wall_s: the moment on the clock of `open`
            cycle_s: s of the node's clock since the end of the episode before, or since the start
        """
        success = self._scored and not cause and self._criterion.succeeded
        return EpisodeResult(
            object_name=self._object_name,
            family=self._family,
            success=success,
            cause="" if success else cause or self._why_failed(),
            counts=counts and self._scored,
            lifted_at_s=self._criterion.lifted_at_s,
            dropped=self._criterion.dropped,
            duration_s=duration_s,
            wall_s=wall_s - self._opened_wall_s,
            cycle_s=cycle_s,
        )

    def _why_failed(self) -> str:
        if not self._scored:
            return "not scored: no score_source"
        if not self._seen:
            return "no pose of the object arrived"
        if self._criterion.lost:
            return "object left the workspace"
        if self._criterion.lifted_at_s is None:
            return "not lifted"
        return "dropped" if self._criterion.dropped else "lifted but not held at the goal to the end"
