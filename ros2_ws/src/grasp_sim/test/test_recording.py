"""Contact sheet and video of fake episodes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from grasp_description.cameras import STEREO_RIG
from grasp_description.robot import HOME_POSITION
from grasp_sim.painting import VIEW_SIZE, Painter
from grasp_sim.recording import Recorder, RecorderConfig
from grasp_sim.timing import is_frame_tick
from grasp_sim.video import VIDEO_RATE_HZ, VIDEO_SIZE, VideoFile, compose
from grasp_sim.world import World

EYES = np.full((2, STEREO_RIG.height, STEREO_RIG.width, 3), 90, np.uint8)


class FakePainter(Painter):
    """Grey pictures, counted."""

    def __init__(self) -> None:
        self.painted = 0

    def views(self) -> np.ndarray:
        self.painted += 1
        return np.full((2, VIEW_SIZE[1], VIEW_SIZE[0], 3), 128, np.uint8)


def play(world: World, recorder: Recorder, ticks: int) -> None:
    for _ in range(ticks):
        if is_frame_tick(world.tick):
            recorder.on_frame(EYES)
        world.step(HOME_POSITION)


def run_episodes(world: World, recorder: Recorder, count: int, ticks: int = 120) -> None:
    for _ in range(count):
        recorder.on_grasp_state("resetting")
        play(world, recorder, 8)
        for word in ("grasp", "lift", "hold"):
            recorder.on_grasp_state(word)
            play(world, recorder, ticks // 3)
        recorder.on_grasp_state("release")


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def test_the_contact_sheet_has_a_row_an_episode_and_is_whole_after_each(world, tmp_path):
    path = tmp_path / "folder" / "sheet.png"
    recorder = Recorder(world, RecorderConfig(contact_sheet=str(path)), FakePainter())
    run_episodes(world, recorder, 1)
    first = Image.open(path).size
    run_episodes(world, recorder, 2)
    assert Image.open(path).size == (first[0], 3 * first[1])
    assert list(path.parent.iterdir()) == [path]


def test_the_contact_sheet_stops_growing(world, tmp_path):
    path = tmp_path / "sheet.png"
    painter = FakePainter()
    recorder = Recorder(world, RecorderConfig(contact_sheet=str(path), sheet_episodes=2), painter)
    run_episodes(world, recorder, 2)
    size, painted = Image.open(path).size, painter.painted
    run_episodes(world, recorder, 2)
    assert (Image.open(path).size, painter.painted) == (size, painted)


def test_the_video_shows_the_first_episodes_in_simulated_time(world, tmp_path):
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "video.mp4"
    recorder = Recorder(world, RecorderConfig(video=str(path), video_episodes=2), FakePainter())
    run_episodes(world, recorder, 1)
    assert not path.exists()
    run_episodes(world, recorder, 2)
    assert path.exists()
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count == 2 * VIDEO_RATE_HZ
    assert seconds == pytest.approx(2.0, abs=0.15)
    recorder.close()


def test_closing_keeps_an_episode_that_is_under_way(world, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    video, sheet = tmp_path / "video.mp4", tmp_path / "sheet.png"
    recorder = Recorder(world, RecorderConfig(video=str(video), contact_sheet=str(sheet)), FakePainter())
    recorder.on_grasp_state("grasp")
    play(world, recorder, 60)
    recorder.close()
    recorder.close()
    assert video.exists()
    assert sheet.exists()


def test_nothing_is_painted_when_nothing_is_kept(world, tmp_path):
    painter = FakePainter()
    run_episodes(world, Recorder(world, RecorderConfig(), painter), 2)
    assert painter.painted == 0


def test_a_video_without_frames_leaves_no_file(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    video = VideoFile(tmp_path / "video.mp4")
    video.close()
    assert list(Path(tmp_path).iterdir()) == []


def test_a_frame_of_the_video_has_both_views_and_both_eyes():
    views = np.stack([np.full((VIEW_SIZE[1], VIEW_SIZE[0], 3), value, np.uint8) for value in (10, 20)])
    eyes = np.stack([np.full((60, 80, 3), value, np.uint8) for value in (30, 40)])
    frame = compose("words", views, eyes)
    assert frame.shape == (VIDEO_SIZE[1], VIDEO_SIZE[0], 3)
    middle = VIDEO_SIZE[1] - VIEW_SIZE[1]
    corners = [frame[middle - 1, 0, 0], frame[middle - 1, -1, 0], frame[-1, 0, 0], frame[-1, -1, 0]]
    assert corners == [10, 20, 30, 40]


def test_the_painter_draws_the_world_from_outside(world):
    pytest.importorskip("mujoco_warp")
    views = Painter(world).views()
    assert views.shape == (2, VIEW_SIZE[1], VIEW_SIZE[0], 3)
    assert all(view.std() > 10 for view in views)
