"""The episode (home, grasp, lift, hold, release, again), its services, and the scoreboard."""

from grasp_task.episode import State, advance
from grasp_task.events import Phase, Rules
from grasp_task.scoreboard import EpisodeResult, Scoreboard, wilson_interval

__all__ = ["EpisodeResult", "Phase", "Rules", "Scoreboard", "State", "advance", "wilson_interval"]
