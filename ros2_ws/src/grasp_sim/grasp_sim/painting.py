"""Pictures of the workcell from outside, for people: by the same ray tracer as the cameras. No ROS in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from grasp_description.cameras import StereoRig
from grasp_description.rendering import SceneState, StereoRenderer
from grasp_sim.world import World

VIEW_SIZE = (320, 240)
"""px, width and height of one view"""
OUTSIDE_VIEW = StereoRig(
    width=VIEW_SIZE[0],
    height=VIEW_SIZE[1],
    fovy_deg=40.0,
    baseline_m=0.0,
    position=(1.75, -1.3, 1.0),
    target=(0.42, -0.03, 0.3),
)
"""The whole robot, from the front right."""
CLOSE_VIEW = replace(OUTSIDE_VIEW, position=(0.95, 0.55, 0.38), target=(0.6, 0.0, 0.12))
"""The hand and the object, from the front left."""
_BACKGROUND = np.array([222, 228, 234], np.uint8)
_INK = (35, 38, 45)


class Painter:
    """Draws both views of a world; what it needs is only made when the first picture is asked for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._renderer: StereoRenderer | None = None

    def views(self) -> np.ndarray:
        """The world now: uint8 (2, H, W, 3), from outside and close by."""
        if self._renderer is None:
            self._renderer = StereoRenderer(1, OUTSIDE_VIEW, depth=True)
        rgb, depth = self._renderer.render(_seen_from(self._world.scene_state()))
        assert depth is not None
        rgb[depth == 0] = _BACKGROUND
        return rgb[0]


def _seen_from(state: SceneState) -> SceneState:
    views = (OUTSIDE_VIEW, CLOSE_VIEW)
    return replace(
        state,
        camera_position=np.stack([view.positions()[0] for view in views])[None],
        camera_rotation=np.stack([view.rotation() for view in views])[None],
    )


def tile(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    """An image (H, W, 3) brought to a size in px; enlarged ones keep their pixels visible."""
    small = image.shape[1] < size[0]
    return Image.fromarray(image).resize(size, Image.Resampling.NEAREST if small else Image.Resampling.BOX)


def write(canvas: Image.Image, corner: tuple[int, int], text: str, size: int) -> None:
    """Words on a picture."""
    ImageDraw.Draw(canvas).text(corner, text, fill=_INK, font=ImageFont.load_default(size))
