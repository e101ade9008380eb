"""Which views are good enough, and whether together they determine a camera. Refusals say which and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from grasp_calibration.board import BoardConfig, Detection, neighbours
from grasp_calibration.errors import CalibrationRefusedError, Refusal

__all__ = ["QualityLimits", "check_variety", "problem_of_view", "same_view"]

_COVERAGE_GRID = (4, 3)
"""cells across and down that coverage is counted in"""


@dataclass(frozen=True)
class QualityLimits:
    """What is asked of views."""

    least_views: int = 10
    """Views that must be left after refusals."""
    least_corners: int = 12
    """Corners that a view must show, in each eye and common to both."""
    least_square_px: float = 8.0
    """px, least side of a square in the image."""
    most_blur_px: float = 1.6
    """px, largest blur (standard deviation) of the board's edges, in either direction."""
    least_contrast: float = 30.0
    """Grey levels between the board's black and white."""
    least_tilt_spread_deg: float = 15.0
    """Degrees between the two most different orientations of the board's plane: parallel boards, however
    many, do not tell a camera's focal length from its distance."""
    least_coverage: float = 0.6
    """Share of 4 x 3 cells of each eye's image that corners were seen in: lens distortion is known only
    there."""
    most_outlier_px: float = 1.0
    """px, largest RMS reprojection error of one view before it is taken for a mistake."""
    most_rms_px: float = 0.7
    """px, largest RMS reprojection error over all views."""
    most_focal_error: float = 0.0025
    """Largest standard error of the focal lengths, as a share of them."""
    most_baseline_error_mm: float = 0.25
    """mm, largest standard error of the baseline."""


def problem_of_view(
    board: BoardConfig, limits: QualityLimits, image: np.ndarray, found: Detection
) -> str | None:
    """What is wrong with one eye's view, in words; None if nothing is.

    Args:
        image: uint8, grey (H, W).
        found: the board's corners in it.
    """
    count = len(found.ids)
    if count == 0:
        return "no board found (another board, hidden, too blurred or too dark)"
    if count < limits.least_corners:
        return f"{count} of {board.corner_count} corners found; expected at least {limits.least_corners}"
    spread = np.linalg.svd(_centred(board.corners()[found.ids][:, :2]), compute_uv=False)
    if spread[1] < 0.7 * board.square_m:
        return f"the {count} corners found lie in one line; expected two rows or more"
    edges = neighbours(board, found.ids, found.points)
    sides = [float(np.median(np.linalg.norm(b - a, axis=1))) for a, b in edges if len(a)]
    if not sides or min(sides) < limits.least_square_px:
        side = min(sides, default=0.0)
        wanted = f"{limits.least_square_px:g} px (nearer, or less oblique)"
        return f"squares are {side:.1f} px wide; expected {wanted}"
    return _problem_of_picture(limits, image, found, edges)


def _problem_of_picture(
    limits: QualityLimits,
    image: np.ndarray,
    found: Detection,
    edges: Sequence[tuple[np.ndarray, np.ndarray]],
) -> str | None:
    left, top = np.floor(found.points.min(axis=0)).astype(int).clip(0)
    right, bottom = np.ceil(found.points.max(axis=0)).astype(int) + 1
    dark, light = np.percentile(image[top:bottom, left:right], (5, 95))
    if light - dark < limits.least_contrast:
        return (
            f"black and white differ by {light - dark:.0f} grey levels; expected {limits.least_contrast:g} "
            "or more (more light, or longer exposure)"
        )
    blur = max(_blur_px(image, a, b, light - dark) for a, b in edges if len(a))
    if blur > limits.most_blur_px:
        return (
            f"edges are blurred by {blur:.1f} px; expected {limits.most_blur_px:g} px at most (hold the "
            "board still, focus, shorter exposure)"
        )
    return None


def _blur_px(image: np.ndarray, starts: np.ndarray, ends: np.ndarray, contrast: float) -> float:
    """px, median standard deviation of the blur across edges: a Gaussian edge of height c has the greatest
    slope c / (sigma sqrt(2 pi))."""
    middle, along = 0.5 * (starts + ends), ends - starts
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    offsets = np.arange(-3.0, 3.01, 0.5)
    points = (middle[:, None] + offsets[None, :, None] * normal[:, None]).astype(np.float32)
    profiles = cv2.remap(image.astype(np.float32), points[..., 0], points[..., 1], cv2.INTER_LINEAR)
    # Over a whole pixel: noise in a half pixel's difference would pass for sharpness.
    slopes = np.abs(profiles[:, 2:] - profiles[:, :-2]).max(axis=1)
    return float(np.median(contrast / (np.maximum(slopes, 1e-3) * np.sqrt(2 * np.pi))))


def _centred(points: np.ndarray) -> np.ndarray:
    return points - points.mean(axis=0)


def same_view(one: Detection, other: Detection, nearer_px: float = 4.0) -> bool:
    """Whether two views show the board in the same place: the second tells nothing new."""
    _, a, b = np.intersect1d(one.ids, other.ids, return_indices=True)
    if len(a) < 0.8 * max(len(one.ids), len(other.ids)):
        return False
    return bool(np.median(np.linalg.norm(one.points[a] - other.points[b], axis=1)) < nearer_px)


def check_variety(
    limits: QualityLimits,
    eye: str,
    size: tuple[int, int],
    points: Sequence[np.ndarray],
    rotations: Sequence[np.ndarray],
    refusals: Sequence[Refusal],
) -> None:
    """Whether the views of one eye determine its intrinsics.

    Args:
        size: width, height of the images, px.
        points: (n, 2) px of each view.
        rotations: (3, 3) of the board to the camera in each view.

    Raises:
        CalibrationRefusedError: the board was always parallel to itself, or much of the image never saw it.
    """
    normals = np.stack([rotation[:, 2] for rotation in rotations])
    spread = float(np.degrees(np.arccos(np.clip(normals @ normals.T, -1, 1).min())))
    if spread < limits.least_tilt_spread_deg:
        raise CalibrationRefusedError(
            f"{eye}: the board's plane turned by {spread:.1f} degrees at most between views; expected "
            f"{limits.least_tilt_spread_deg:g}: tilt it towards and away from the camera, left and right",
            refusals,
        )
    cells = np.array(_COVERAGE_GRID) / np.array(size)
    seen = {tuple(cell) for view in points for cell in (view * cells).astype(int)}
    share = len(seen) / np.prod(_COVERAGE_GRID)
    if share < limits.least_coverage:
        missing = [
            f"{['left', 'middle-left', 'middle-right', 'right'][x]} {['top', 'middle', 'bottom'][y]}"
            for x in range(4)
            for y in range(3)
            if (x, y) not in seen
        ]
        raise CalibrationRefusedError(
            f"{eye}: the board covered {100 * share:.0f} % of the image; expected "
            f"{100 * limits.least_coverage:.0f} %. "
            f"Never seen: {', '.join(missing)}",
            refusals,
        )
