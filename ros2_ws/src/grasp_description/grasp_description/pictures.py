"""A picture of the description: the workcell from outside, both stereo views, a sheet of sample objects.

Drawn with the ray tracer that training and the simulator node use; Pillow adds the words and lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import mujoco
import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from grasp_description.cameras import CAMERA_NAMES, STEREO_RIG, StereoRig
from grasp_description.objects import HELD_OUT_FAMILIES, TRAINING_FAMILIES, ObjectSpec, object_set
from grasp_description.rendering import SceneState, StereoRenderer, nominal_scene
from grasp_description.robot import HOME_POSITION
from grasp_description.scene import OBJECT_JOINT, apply_object, build_model
from grasp_description.workcell import GOAL_POSITION, SPAWN_REGION, SUCCESS_TOLERANCE_M

OUTSIDE_VIEW = StereoRig(
    width=960, height=720, fovy_deg=38.0, baseline_m=0.0, position=(1.9, 1.35, 1.15), target=(0.5, -0.1, 0.36)
)
"""From the front left, above the table."""
SHEET_VIEW = StereoRig(
    width=160,
    height=144,
    fovy_deg=24.0,
    baseline_m=0.0,
    position=(SPAWN_REGION.centre[0], SPAWN_REGION.centre[1] - 0.45, 0.36),
    target=(*SPAWN_REGION.centre, 0.045),
)
"""One object close by."""
SAMPLES_PER_FAMILY = 4
_OVERSAMPLING = 2
_BACKGROUND = np.array([222, 228, 234], np.uint8)
_PAPER, _INK, _MARK, _GOAL = (250, 250, 248), (35, 38, 45), (20, 90, 200), (20, 140, 60)
_ARM_ASIDE_RAD = 2.9
_SHEET_YAW_RAD = -0.6


def draw_description(spec: ObjectSpec, seed: int = 0) -> Image.Image:
    """The whole picture, with one object on the table and samples of the object sets of a seed.

    Raises:
        ImportError: MuJoCo Warp is not installed.
    """
    outside, eyes = _outside(spec), _eyes(spec)
    margin, caption = 16, 26
    eye_width, eye_height = eyes[0].size
    width = outside.width + eye_width + 3 * margin
    sheet = _sheet(seed, width - 2 * margin)
    top = margin + caption
    canvas = Image.new("RGB", (width, top + outside.height + sheet.height + 3 * margin), _PAPER)
    pen = ImageDraw.Draw(canvas)
    title = f"Workcell with {spec.name}: cameras and spawn region in blue, goal in green"
    _write(pen, (margin, margin), title)
    canvas.paste(outside, (margin, top))
    x = outside.width + 2 * margin
    for index, (name, eye) in enumerate(zip(CAMERA_NAMES, eyes, strict=True)):
        # The lower eye ends where the outside view ends.
        y = top if index == 0 else top + outside.height - eye_height
        canvas.paste(eye, (x, y))
        _write(
            pen,
            (x, y - caption),
            f"{name}: {STEREO_RIG.width} by {STEREO_RIG.height} px, as a policy sees it",
        )
    canvas.paste(sheet, (margin, top + outside.height + margin))
    return canvas


def photograph(states: Sequence[SceneState], view: StereoRig) -> np.ndarray:
    """Smoothed images (n, H, W, 3) uint8 of scenes of one world each, from the left camera of a view."""
    fine = replace(view, width=view.width * _OVERSAMPLING, height=view.height * _OVERSAMPLING)
    rgb, depth = StereoRenderer(len(states), fine, depth=True).render(_stacked(states))
    assert depth is not None
    rgb, depth = rgb[:, 0], depth[:, 0]
    rgb[depth == 0] = _BACKGROUND
    blocks = rgb.reshape(len(states), view.height, _OVERSAMPLING, view.width, _OVERSAMPLING, 3)
    return blocks.mean(axis=(2, 4)).round().astype(np.uint8)


def scene_with(
    spec: ObjectSpec, view: StereoRig, yaw_rad: float = 0.0, arm_aside: bool = False
) -> SceneState:
    """One world: the robot at home (or turned away), the object at rest at the spawn region's centre."""
    model = build_model()
    apply_object(model, spec)
    data = mujoco.MjData(model)
    data.qpos[: len(HOME_POSITION)] = HOME_POSITION
    if arm_aside:
        data.qpos[0] = _ARM_ASIDE_RAD
    half = yaw_rad / 2
    data.joint(OBJECT_JOINT).qpos = [
        *SPAWN_REGION.centre,
        spec.rest_height_m,
        np.cos(half),
        0.0,
        0.0,
        np.sin(half),
    ]
    mujoco.mj_forward(model, data)
    return _stacked([nominal_scene(model, data, view)])


def sample_objects(seed: int, count: int = SAMPLES_PER_FAMILY) -> dict[str, list[ObjectSpec]]:
    """The first objects of every family, training families first; held-out families from the held-out set."""
    specs = object_set("training", seed) + object_set("held-out", seed)
    families = TRAINING_FAMILIES + HELD_OUT_FAMILIES
    return {family: [spec for spec in specs if spec.family == family][:count] for family in families}


def _stacked(states: Sequence[SceneState]) -> SceneState:
    columns = {field.name: [getattr(state, field.name) for state in states] for field in fields(SceneState)}
    return SceneState(**{name: np.concatenate(values) for name, values in columns.items()})


def _outside(spec: ObjectSpec) -> Image.Image:
    view = OUTSIDE_VIEW
    image = Image.fromarray(photograph([scene_with(spec, view)], view)[0])
    pen = ImageDraw.Draw(image)
    for position in STEREO_RIG.positions():
        corners = _frustum_corners(STEREO_RIG, position, 0.1)
        for corner in corners:
            _line(pen, [position, corner])
        _line(pen, [*corners, corners[0]])
    centre, half = np.asarray(SPAWN_REGION.centre), np.asarray(SPAWN_REGION.half_size)
    _line(pen, [[*(centre + half * sign), 0.0] for sign in ([-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1])])
    turn = np.linspace(0, 2 * np.pi, 61)
    right, up = view.rotation()[:, 0], view.rotation()[:, 1]
    circle = np.outer(np.cos(turn), right) + np.outer(np.sin(turn), up)
    _line(pen, GOAL_POSITION + SUCCESS_TOLERANCE_M * circle, _GOAL)
    return image


def _eyes(spec: ObjectSpec) -> list[Image.Image]:
    rgb, _ = StereoRenderer(1, STEREO_RIG).render(scene_with(spec, STEREO_RIG))
    height = (OUTSIDE_VIEW.height - 32) // 2
    size = (height * STEREO_RIG.width // STEREO_RIG.height, height)
    return [Image.fromarray(eye).resize(size, Image.Resampling.NEAREST) for eye in rgb[0]]


def _sheet(seed: int, width: int) -> Image.Image:
    samples = sample_objects(seed)
    gap, caption = 4, 24
    view = replace(SHEET_VIEW, width=(width + gap) // len(samples) - gap)
    specs = [spec for members in samples.values() for spec in members]
    photos = iter(
        photograph([scene_with(spec, view, _SHEET_YAW_RAD, arm_aside=True) for spec in specs], view)
    )
    height = caption + SAMPLES_PER_FAMILY * (view.height + gap)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, (family, members) in enumerate(samples.items()):
        x = column * (view.width + gap)
        _write(pen, (x, 0), family + (" (held out)" if family in HELD_OUT_FAMILIES else ""))
        for row in range(len(members)):
            sheet.paste(Image.fromarray(next(photos)), (x, caption + row * (view.height + gap)))
    return sheet


def _frustum_corners(rig: StereoRig, position: np.ndarray, length_m: float) -> np.ndarray:
    """Corners (4, 3) of a camera's image at a distance along its axis, base frame."""
    half_height = np.tan(np.radians(rig.fovy_deg) / 2)
    half = np.array([half_height * rig.width / rig.height, half_height])
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return position + length_m * np.column_stack([signs * half, -np.ones(4)]) @ rig.rotation().T


def _pixels(points: ArrayLike) -> list[tuple[float, float]]:
    """Where the outside view sees points (n, 3) of the base frame [px]."""
    view = OUTSIDE_VIEW
    fx, fy, cx, cy = view.intrinsics()
    x, y, z = ((np.asarray(points) - view.positions()[0]) @ view.rotation()).T
    return list(zip((cx + fx * x / -z).tolist(), (cy - fy * y / -z).tolist(), strict=True))


def _line(pen: ImageDraw.ImageDraw, points: ArrayLike, colour: tuple[int, int, int] = _MARK) -> None:
    """A line through points (n, 3) of the base frame, as the outside view sees them."""
    pen.line(_pixels(points), fill=colour, width=2)


def _write(pen: ImageDraw.ImageDraw, corner: tuple[int, int], text: str) -> None:
    pen.text(corner, text, fill=_INK, font=ImageFont.load_default(17))
