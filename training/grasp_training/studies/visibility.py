"""Active vision: which share of the object's pixels the robot leaves visible, through an episode."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import mujoco
import numpy as np

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.rendering import SceneState, StereoRenderer, nominal_scene
from grasp_description.robot import JOINT_NAMES
from grasp_description.scene import OBJECT_GEOMS, TABLE_GEOM, apply_object, build_model
from grasp_training.evaluation import Episode

VIEW = replace(STEREO_RIG, width=128, height=96)
"""The workcell's left camera in its nominal place; finer than policies see, as a share of few pixels is
coarse."""
BEFORE_LIFT_S = 0.5
_SAME_DEPTH_M = 1e-4
"""m, depths that differ by less are of one surface"""
_AWAY = np.array([0.0, 0.0, -50.0])
_NOTHING = -1
"""a type that no slot of the renderer has: the slot stays empty"""
_CHUNK = 16
"""moments drawn at a time"""


@dataclass(frozen=True)
class Views:
    """One moment as three depth images (H, W) in m, of the left camera; 0 where nothing is hit."""

    full: np.ndarray
    """the scene as it is"""
    without_robot: np.ndarray
    """the robot's geoms moved out of sight"""
    empty: np.ndarray
    """neither robot nor object"""

    def object_pixels(self) -> np.ndarray:
        """(H, W) bool, the pixels that would show the object if no robot were there."""
        return np.abs(self.without_robot - self.empty) > _SAME_DEPTH_M

    def visible_pixels(self) -> np.ndarray:
        """(H, W) bool, the pixels that show the object."""
        return self.object_pixels() & (np.abs(self.full - self.without_robot) <= _SAME_DEPTH_M)

    def share(self) -> float:
        """Share of the object's pixels that are visible, 0 to 1; NaN where the camera's image has none."""
        pixels = int(self.object_pixels().sum())
        return float(self.visible_pixels().sum() / pixels) if pixels else math.nan


class ObjectWatcher:
    """Draws moments of episodes with and without robot and object, by the renderer that policies see by.

    Args:
        view: the camera; of a rig the left one.
        threads: threads of rendering.
    """

    def __init__(self, view: StereoRig = VIEW, threads: int = 1):
        self._view = view
        self._renderer = StereoRenderer(_CHUNK, view, threads=threads, depth=True, rgb=False)
        self._model = build_model()
        self._data = mujoco.MjData(self._model)
        names = [self._model.geom(index).name for index in range(self._model.ngeom)]
        self._robot = np.array([name not in (*OBJECT_GEOMS, TABLE_GEOM) for name in names])

    def views(self, moments: Sequence[tuple[Episode, int]]) -> Iterator[Views]:
        """The images of each episode and row of its trace, in order."""
        for first in range(0, len(moments), _CHUNK):
            part = moments[first : first + _CHUNK]
            scene = _joined([self._scene(*moment) for moment in part])
            full = self._depth(scene)
            bare = replace(scene, geom_xpos=np.where(self._robot[None, :, None], _AWAY, scene.geom_xpos))
            alone = self._depth(bare)
            nothing = self._depth(replace(bare, object_type=np.full_like(scene.object_type, _NOTHING)))
            for row in range(len(part)):
                yield Views(full[row], alone[row], nothing[row])

    def shares(self, episode: Episode, every: int = 1) -> np.ndarray:
        """Visible share (rows,) of every so-many-th row of an episode's trace, the first among them."""
        rows = range(0, len(episode.trace), every)
        return np.array([views.share() for views in self.views([(episode, row) for row in rows])])

    def _scene(self, episode: Episode, row: int) -> SceneState:
        model, data, joints = self._model, self._data, len(JOINT_NAMES)
        apply_object(model, episode.object)
        data.qpos[:joints] = episode.trace.joint_position[row]
        data.qpos[joints:] = episode.trace.object_pose[row]
        mujoco.mj_kinematics(model, data)
        state = nominal_scene(model, data, self._view)
        return SceneState(**{item.name: np.array(getattr(state, item.name)) for item in fields(SceneState)})

    def _depth(self, scene: SceneState) -> np.ndarray:
        _, depth = self._renderer.render(scene)
        assert depth is not None
        return depth[:, 0].copy()


def _joined(scenes: Sequence[SceneState]) -> SceneState:
    """Scenes of one world each as one batch, filled up with the last one to the size of a chunk."""
    padded = [*scenes, *[scenes[-1]] * (_CHUNK - len(scenes))]
    names = [item.name for item in fields(SceneState)]
    return SceneState(**{name: np.concatenate([getattr(scene, name) for scene in padded]) for name in names})


@dataclass(frozen=True)
class EpisodeVisibility:
    """How much of the object was to be seen in one episode; shares are 0 to 1, NaN where there is none."""

    number: int
    """the episode's number"""
    lifted: bool
    """whether the object was lifted at some time"""
    shares: tuple[float, ...]
    """at times from the start on, of equal distance"""
    until_lift: float
    """mean until the object was lifted, or until the end where it never was"""
    before_lift: float
    """mean of the last half second before the object was lifted; NaN where it never was"""

    @staticmethod
    def of(episode: Episode, shares: np.ndarray, period_s: float) -> EpisodeVisibility:
        """The figures of an episode from its shares (rows,) at times period_s apart."""
        times = period_s * np.arange(len(shares))
        lifted_at = episode.lifted_at_s
        # Times are sums of periods, and may be a rounding error past the one that they mean.
        end = math.inf if lifted_at is None else lifted_at + 1e-6
        before = (times <= end) & (times > end - BEFORE_LIFT_S)
        return EpisodeVisibility(
            number=episode.number,
            lifted=lifted_at is not None,
            shares=tuple(round(float(share), 4) for share in shares),
            until_lift=_mean(shares[times <= end]),
            before_lift=math.nan if lifted_at is None else _mean(shares[before]),
        )


def watch(
    episodes: Sequence[Episode], rate_hz: int, every: int = 2, threads: int = 1
) -> tuple[EpisodeVisibility, ...]:
    """Measure how much of the object was to be seen in each episode.

    A pixel is the object's where the depth of the scene without robot differs from that without robot and
    object. It is visible where the scene as it is has the same depth there. The camera is the workcell's left
    one, in its nominal place (in episodes it stands up to a centimetre off).

    Args:
        episodes: with their traces.
        rate_hz: rate of the traces.
        every: control steps between two moments that are drawn.
        threads: threads of rendering.
    """
    watcher = ObjectWatcher(threads=threads)
    period_s = every / rate_hz
    return tuple(
        EpisodeVisibility.of(episode, watcher.shares(episode, every), period_s) for episode in episodes
    )


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan
