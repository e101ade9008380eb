"""Automatic domain randomization: one level, raised while episodes succeed."""

from typing import Any

from grasp_training.tasks.config import CurriculumConfig


class Curriculum:
    """Keeps the level and the success rate that moves it."""

    def __init__(self, config: CurriculumConfig):
        self.config = config
        self.level = config.start_level
        self.success_rate = 0.0
        self._since_rise = 0

    def update(self, episodes: int, successes: float) -> None:
        """Take the outcome of ``episodes`` finished episodes."""
        if not episodes:
            return
        # Over the last thousand episodes or so, whatever their number a step.
        weight = 1.0 - 0.999**episodes
        self.success_rate += weight * (successes / episodes - self.success_rate)
        self._since_rise += episodes
        ready = self._since_rise >= self.config.min_episodes and self.success_rate >= self.config.threshold
        if ready and self.level < 1.0:
            self.level = min(1.0, self.level + self.config.step)
            self._since_rise = 0

    def state_dict(self) -> dict[str, Any]:
        """The state, of plain JSON types."""
        return {"level": self.level, "success_rate": self.success_rate, "since_rise": self._since_rise}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from ``state_dict``."""
        self.level, self.success_rate = float(state["level"]), float(state["success_rate"])
        self._since_rise = int(state["since_rise"])


class FollowedCurriculum(Curriculum):
    """The level as somebody else moves it: whoever sees the outcomes of all blocks of environments."""

    def update(self, episodes: int, successes: float) -> None:
        """Leave the level where it is."""
