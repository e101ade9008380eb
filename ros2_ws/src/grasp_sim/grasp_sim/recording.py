"""Keeps pictures of the episodes: a video of the first, a contact sheet of all. No ROS in it.

It looks at the object's true pose to say how an episode went; the scoreboard's word is /grasp/score.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from grasp_description.workcell import EPISODE_LENGTH_S, SuccessCriterion
from grasp_sim.contact_sheet import ContactSheet
from grasp_sim.lockstep import ACTING_WORDS
from grasp_sim.painting import Painter
from grasp_sim.video import VIDEO_RATE_HZ, VideoFile, compose
from grasp_sim.world import World

__all__ = ["Recorder", "RecorderConfig"]

_SHEET_TIMES_S = (0.0, EPISODE_LENGTH_S / 3, 2 * EPISODE_LENGTH_S / 3)
"""s after the start of an episode of the sheet's pictures; one more is taken at the end"""
_OUTSIDE, _CLOSE = 0, 1


@dataclass(frozen=True)
class RecorderConfig:
    """What to keep."""

    video: str = ""
    """path of an MP4; empty for none"""
    video_episodes: int = 4
    """episodes from the start that the video shows"""
    contact_sheet: str = ""
    """path of a PNG; empty for none"""
    sheet_episodes: int = 60
    """episodes from the start that the sheet shows"""


@dataclass
class _Episode:
    number: int
    caption: str
    start_s: float | None = None
    """s of simulated time of its first frame; None before it"""
    criterion: SuccessCriterion = field(default_factory=SuccessCriterion)
    pictures: list[np.ndarray] = field(default_factory=list)
    next_video_s: float = 0.0


class Recorder:
    """Follows the episodes of a world.

    Args:
        world: looked at, never changed.
        painter: draws it from outside; replaced in tests.
    """

    def __init__(self, world: World, config: RecorderConfig, painter: Painter | None = None) -> None:
        self.config, self._world = config, world
        self._painter = painter or Painter(world)
        self._sheet = (
            ContactSheet(Path(config.contact_sheet), config.sheet_episodes) if config.contact_sheet else None
        )
        self._video = VideoFile(Path(config.video)) if config.video else None
        self._episode: _Episode | None = None
        self._episodes = 0
        self._eyes: np.ndarray | None = None

    def on_grasp_state(self, word: str) -> None:
        """The episode's state changed."""
        if word in ACTING_WORDS:
            if self._episode is None:
                self._begin()
        elif self._episode is not None:
            self._end()

    def on_frame(self, eyes: np.ndarray) -> None:
        """The cameras took a pair of images now: uint8 (2, H, W, 3)."""
        self._eyes = eyes
        episode = self._episode
        if episode is None:
            return
        if episode.start_s is None:
            episode.start_s = self._now_s()
        elapsed_s = self._now_s() - episode.start_s
        episode.criterion.update(self._world.object_position, elapsed_s)
        wants_sheet = self._wants_sheet(elapsed_s)
        wants_video = self._video is not None and elapsed_s >= episode.next_video_s - 1e-6
        if not wants_sheet and not wants_video:
            return
        views = self._painter.views()
        if wants_sheet:
            episode.pictures.append(views[_CLOSE if episode.pictures else _OUTSIDE])
        if self._video is not None and wants_video:
            self._video.add(compose(f"{episode.caption}   {elapsed_s:.1f} s", views, eyes))
            episode.next_video_s += 1.0 / VIDEO_RATE_HZ

    def close(self) -> None:
        """Finish what is open; an episode under way is kept as far as it went."""
        if self._episode is not None:
            self._end()
        if self._video is not None:
            self._video.close()
            self._video = None

    def _now_s(self) -> float:
        return 1e-9 * self._world.time_ns

    def _wants_sheet(self, elapsed_s: float) -> bool:
        assert self._episode is not None
        taken = len(self._episode.pictures)
        if self._sheet is None or self._sheet.full or taken >= len(_SHEET_TIMES_S):
            return False
        return elapsed_s >= _SHEET_TIMES_S[taken] - 1e-6

    def _begin(self) -> None:
        self._episodes += 1
        spec = self._world.spawn.spec
        caption = f"{self._episodes}   {spec.name} [{spec.family}]   {1000 * spec.mass_kg:.0f} g"
        self._episode = _Episode(self._episodes, caption)

    def _end(self) -> None:
        episode, self._episode = self._episode, None
        assert episode is not None
        if self._sheet is not None and self._eyes is not None and not self._sheet.full:
            held = episode.criterion.succeeded
            pictures = [*episode.pictures, self._painter.views()[_CLOSE], *self._eyes]
            self._sheet.add_row(f"{episode.caption}   {'held' if held else 'not held'}", held, pictures)
        if self._video is not None and episode.number >= self.config.video_episodes:
            self._video.close()
            self._video = None
