"""Pictures of episodes, drawn afterwards from their traces: strips of frames and a video."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import imageio_ffmpeg
import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from grasp_description.cameras import StereoRig
from grasp_description.rendering import SceneState, StereoRenderer, nominal_scene
from grasp_description.robot import JOINT_NAMES
from grasp_description.scene import apply_object, build_model
from grasp_training.evaluation.episodes import VIEWS_PER_EPISODE, Episode

FRONT = StereoRig(
    width=240,
    height=180,
    fovy_deg=30.0,
    baseline_m=0.0,
    position=(1.45, 0.75, 0.6),
    target=(0.57, -0.03, 0.18),
)
"""From the front left, near."""
VIDEO_COLUMNS, VIDEO_ROWS = 3, 2
VIDEO_RATE_HZ = 15
_BACKGROUND = np.array([222, 228, 234], np.uint8)
_PAPER, _GOOD, _BAD, _MOVING = (250, 250, 248), (30, 140, 70), (190, 50, 40), (120, 124, 130)
_BORDER, _CAPTION = 3, 18
_CHUNK = 6
"""moments drawn at a time"""
_SKY = np.array([0.0, 0.0, 100.0]), np.diag([1.0, -1.0, -1.0])
"""position and rotation of a camera that sees nothing"""


class Photographer:
    """Draws moments of episodes as seen from one place, with nominal colours and light."""

    def __init__(self, view: StereoRig = FRONT, threads: int = 1):
        self.view = view
        self._renderer = StereoRenderer(_CHUNK, view, threads=threads, depth=True, shadows=True)
        self._model = build_model()
        self._data = mujoco.MjData(self._model)

    def __call__(self, moments: Iterable[tuple[Episode, int]]) -> Iterator[np.ndarray]:
        """An image (H, W, 3) uint8 for each episode and row of its trace, in order."""
        waiting: list[SceneState] = []
        for episode, row in moments:
            waiting.append(self._scene(episode, row))
            if len(waiting) == _CHUNK:
                yield from self._draw(waiting)
                waiting = []
        if waiting:
            yield from self._draw(waiting)

    def _scene(self, episode: Episode, row: int) -> SceneState:
        model, data, joints = self._model, self._data, len(JOINT_NAMES)
        apply_object(model, episode.object)
        data.qpos[:joints] = episode.trace.joint_position[row]
        data.qpos[joints:] = episode.trace.object_pose[row]
        mujoco.mj_kinematics(model, data)
        state = nominal_scene(model, data, self.view)
        scene = SceneState(**{item.name: np.array(getattr(state, item.name)) for item in fields(SceneState)})
        # One eye is enough: rays into the sky cost next to nothing.
        scene.camera_position[0, 1], scene.camera_rotation[0, 1] = _SKY
        return scene

    def _draw(self, scenes: Sequence[SceneState]) -> Iterator[np.ndarray]:
        padded = [*scenes, *[scenes[-1]] * (_CHUNK - len(scenes))]
        names = [item.name for item in fields(SceneState)]
        columns = {name: np.concatenate([getattr(scene, name) for scene in padded]) for name in names}
        rgb, depth = self._renderer.render(SceneState(**columns))
        assert depth is not None
        for index in range(len(scenes)):
            image = rgb[index, 0].copy()
            image[depth[index, 0] == 0] = _BACKGROUND
            yield image


def choose(episodes: Sequence[Episode], count: int) -> list[Episode]:
    """Up to ``count`` episodes, spread over the families they have, the first of each family first."""
    turns: dict[str, int] = {}
    ranked = []
    for episode in episodes:
        family = episode.object.family
        ranked.append((turns.setdefault(family, 0), episode.number, episode))
        turns[family] += 1
    return [episode for *_, episode in sorted(ranked, key=lambda item: item[:2])[:count]]


def strip(episode: Episode, photographer: Photographer) -> Image.Image:
    """One episode as a row of frames, with what the policy saw below them where it saw anything."""
    last = len(episode.trace) - 1
    rows = np.linspace(0, last, VIEWS_PER_EPISODE).round().astype(int).tolist()
    frames = [Image.fromarray(image) for image in photographer((episode, row) for row in rows)]
    width, height = frames[0].size
    views = episode.trace.views
    view_height = width * 3 // 4 if views else 0
    sheet = Image.new("RGB", (len(frames) * width, _CAPTION + height + view_height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    colour = _GOOD if episode.success else _BAD
    pen.text((4, 2), _title(episode), fill=colour, font=ImageFont.load_default(13))
    for column, frame in enumerate(frames):
        sheet.paste(frame, (column * width, _CAPTION))
    for step, view in views.items():
        column = int(np.argmin(np.abs(np.asarray(rows) - step)))
        image = Image.fromarray(view).resize((width, view_height), Image.Resampling.NEAREST)
        sheet.paste(image, (column * width, _CAPTION + height))
    return sheet


def write_video(
    path: Path,
    episodes: Sequence[Episode],
    rate_hz: int,
    threads: int = 1,
    report: Callable[[float], None] | None = None,
) -> None:
    """Write a video (H.264 in MP4) of some episodes side by side.

    Args:
        path: ``….mp4``.
        episodes: all of an evaluation; successes and failures are shown in the proportion that they have.
        rate_hz: rate of the traces.
        threads: threads of rendering.
        report: is called with the share that is done.
    """
    shown = _proportional(episodes, VIDEO_COLUMNS * VIDEO_ROWS)
    photographer = Photographer(threads=threads)
    every = max(1, rate_hz // VIDEO_RATE_HZ)
    length = max(len(episode.trace) for episode in shown)
    rows = [*range(0, length - 1, every), length - 1]
    moments = [(episode, min(row, len(episode.trace) - 1)) for row in rows for episode in shown]
    width, height = _tile_size(photographer.view)
    # The codec takes multiples of 16.
    size = (-(-VIDEO_COLUMNS * width // 16) * 16, -(-VIDEO_ROWS * height // 16) * 16)
    writer = imageio_ffmpeg.write_frames(str(path), size, fps=VIDEO_RATE_HZ, macro_block_size=16, quality=7)
    writer.send(None)
    try:
        canvas = Image.new("RGB", size, _PAPER)
        for index, image in enumerate(photographer(moments)):
            place = index % len(shown)
            corner = (place % VIDEO_COLUMNS * width, place // VIDEO_COLUMNS * height)
            canvas.paste(_tile(image, *moments[index], rate_hz), corner)
            if place == len(shown) - 1:
                frame = np.asarray(canvas).tobytes()
                # The verdicts stand for a second.
                for _ in range(1 if index + 1 < len(moments) else VIDEO_RATE_HZ):
                    writer.send(frame)
                if report is not None:
                    report((index + 1) / len(moments))
    finally:
        writer.close()


def _proportional(episodes: Sequence[Episode], count: int) -> list[Episode]:
    """Successes and failures in their proportion, at least one of each that there is, by number."""
    good, bad = ([e for e in episodes if e.success == wanted] for wanted in (True, False))
    count = min(count, len(episodes))
    wanted = round(count * len(good) / len(episodes))
    if good and bad and count > 1:
        wanted = min(max(wanted, 1), count - 1)
    return sorted(choose(good, wanted) + choose(bad, count - wanted), key=lambda episode: episode.number)


def _tile_size(view: StereoRig) -> tuple[int, int]:
    return view.width + 2 * _BORDER, view.height + 2 * _BORDER + _CAPTION


def _tile(image: np.ndarray, episode: Episode, row: int, rate_hz: int) -> Image.Image:
    ended = row == len(episode.trace) - 1
    colour = (_GOOD if episode.success else _BAD) if ended else _MOVING
    height, width = image.shape[:2]
    tile = Image.new("RGB", (width + 2 * _BORDER, height + 2 * _BORDER + _CAPTION), colour)
    tile.paste(Image.fromarray(image), (_BORDER, _BORDER))
    words = f"{episode.object.name}   {row / rate_hz:.1f} s" if not ended else _title(episode)
    ImageDraw.Draw(tile).text((5, height + 2 * _BORDER), words, fill=_PAPER, font=ImageFont.load_default(13))
    return tile


def _title(episode: Episode) -> str:
    if episode.success:
        outcome = "success"
    elif episode.lost:
        outcome = "failure: left the workspace"
    elif episode.dropped:
        outcome = "failure: dropped"
    elif episode.lifted_at_s is None:
        outcome = "failure: never lifted"
    else:
        outcome = f"failure: {100 * episode.goal_distance_m:.0f} cm from the goal"
    return f"{episode.object.name}: {outcome}"
