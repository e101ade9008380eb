"""An MP4 written frame by frame through ffmpeg. No ROS in it."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import numpy as np
from PIL import Image

from grasp_sim.painting import VIEW_SIZE, tile, write

VIDEO_RATE_HZ = 10
"""frames a second of the video, and of simulated time"""
_CAPTION = 32
VIDEO_SIZE = (2 * VIEW_SIZE[0], 2 * VIEW_SIZE[1] + _CAPTION)
"""px; both sides are multiples of 16, as encoders want them"""
_PAPER = (250, 250, 248)


def compose(caption: str, views: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """One frame of the video, uint8: both views from outside above, what the cameras see below, words on top.

    Args:
        caption: the words.
        views: uint8 (2, h, w, 3) from outside.
        eyes: uint8 (2, H, W, 3), left and right.
    """
    canvas = Image.new("RGB", VIDEO_SIZE, _PAPER)
    write(canvas, (8, 6), caption, 16)
    for row, pair in enumerate((views, eyes)):
        for column, image in enumerate(pair):
            corner = (column * VIEW_SIZE[0], _CAPTION + row * VIEW_SIZE[1])
            canvas.paste(tile(image, VIEW_SIZE), corner)
    return np.asarray(canvas)


class VideoFile:
    """Takes frames of ``VIDEO_SIZE``; the file appears under its name once closed.

    Raises:
        ImportError: imageio-ffmpeg is not installed.
    """

    def __init__(self, path: Path) -> None:
        import imageio_ffmpeg

        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._beside = path.with_name(f"{path.stem}.part{path.suffix}")
        self._frames = 0
        # One thread and a quick preset: the processor belongs to the policy.
        writer = imageio_ffmpeg.write_frames(
            str(self._beside),
            VIDEO_SIZE,
            fps=VIDEO_RATE_HZ,
            ffmpeg_log_level="error",
            ffmpeg_timeout=20.0,
            output_params=["-threads", "1", "-preset", "veryfast"],
        )
        writer.send(None)
        self._writer: Generator[None, np.ndarray | None, None] | None = writer

    def add(self, frame: np.ndarray) -> None:
        """Take one frame, uint8 (H, W, 3).

        Raises:
            OSError: ffmpeg has ended; its own words are in the message.
        """
        if self._writer is None:
            raise ValueError(f"Video {self.path} is closed; expected no further frame")
        self._writer.send(np.ascontiguousarray(frame))
        self._frames += 1

    def close(self) -> None:
        """Finish the file. A video without frames leaves none."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        if self._frames:
            os.replace(self._beside, self.path)
        else:
            self._beside.unlink(missing_ok=True)
