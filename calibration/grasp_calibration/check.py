"""Judging a calibration by views, old or new: reprojection, epipolar error, lengths, and a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from grasp_calibration.board import BoardConfig
from grasp_calibration.errors import CalibrationRefusedError, Refusal
from grasp_calibration.stereo import rectified_points
from grasp_calibration.views import Pair, PairViews, StereoImages
from grasp_camera.stereo_calibration import StereoCalibration

__all__ = ["CheckLimits", "CheckResult", "ViewCheck", "check_calibration", "draw_check"]

_RED, _GREEN, _YELLOW = (0, 0, 255), (0, 200, 0), (0, 255, 255)
_LINES = 12
_MAGNIFIED = 20.0
"""how much errors are enlarged in the picture"""


@dataclass(frozen=True)
class CheckLimits:
    """From where on a calibration fails the check."""

    most_reprojection_px: float = 0.5
    """px, RMS over all corners of both eyes."""
    most_epipolar_px: float = 0.5
    """px, RMS difference of rows of the same corner in the two rectified images."""
    most_length_error: float = 0.005
    """Largest median error of triangulated distances between corners, as a share of them."""
    least_views: int = 3
    """Views needed to judge."""


@dataclass(frozen=True)
class ViewCheck:
    """One view's errors."""

    name: str
    """the view"""
    reprojection_px: float
    """px, RMS of the corners in both rectified images, the board's pose fitted to both"""
    epipolar_px: float
    """px, RMS difference of rows"""
    length_error: float
    """mean error of the triangulated distances between corners, as a share; positive: too long"""


@dataclass(frozen=True)
class CheckResult:
    """All views' errors."""

    views: tuple[ViewCheck, ...]
    """by name"""
    refusals: tuple[Refusal, ...]
    """views without a usable board"""

    @property
    def reprojection_px(self) -> float:
        """px, RMS over the views."""
        return float(np.sqrt(np.mean([one.reprojection_px**2 for one in self.views])))

    @property
    def epipolar_px(self) -> float:
        """px, RMS over the views."""
        return float(np.sqrt(np.mean([one.epipolar_px**2 for one in self.views])))

    @property
    def length_error(self) -> float:
        """Median over the views, as a share; positive: lengths come out too long."""
        return float(np.median([one.length_error for one in self.views]))

    def failures(self, limits: CheckLimits) -> list[str]:
        """What is beyond its limit, in words."""
        judged = (
            ("reprojection error", self.reprojection_px, limits.most_reprojection_px, "px"),
            ("epipolar error", self.epipolar_px, limits.most_epipolar_px, "px"),
            ("error of lengths", 100 * abs(self.length_error), 100 * limits.most_length_error, "%"),
        )
        return [
            f"{what} is {found:.2f} {unit}; expected {limit:g} {unit} at most"
            for what, found, limit, unit in judged
            if not found <= limit
        ]


def check_calibration(
    board: BoardConfig,
    views: PairViews,
    calibration: StereoCalibration,
    limits: CheckLimits = CheckLimits(),
) -> CheckResult:
    """Measure the errors of every view.

    Raises:
        CalibrationRefusedError: too few views, or images of another size than the calibration's.
    """
    size = (calibration.left.width, calibration.left.height)
    if views.size != size:
        raise CalibrationRefusedError(
            f"images are {views.size[0]}x{views.size[1]} px; the calibration is for {size[0]}x{size[1]} px"
        )
    views.require(limits.least_views)
    checks = tuple(_check(board, pair, calibration) for pair in views.pairs)
    return CheckResult(checks, views.refusals)


def _check(board: BoardConfig, pair: Pair, calibration: StereoCalibration) -> ViewCheck:
    ids, left, right = _rectified_common(pair, calibration)
    corners = board.corners()[ids]
    found = _triangulated(left, right, calibration)
    fitted = _fitted(corners, found)
    errors = [
        _projected(fitted, camera.p) - points
        for camera, points in zip(calibration.cameras, (left, right), strict=True)
    ]
    lengths = np.linalg.norm(found[:, None] - found[None], axis=-1)
    true = np.linalg.norm(corners[:, None] - corners[None], axis=-1)
    # Over the board's length rather than from corner to corner, where noise would add to every side.
    return ViewCheck(
        pair.name,
        float(np.sqrt(np.mean(np.sum(np.concatenate(errors) ** 2, axis=1)))),
        float(np.sqrt(np.mean((left[:, 1] - right[:, 1]) ** 2))),
        float(lengths.sum() / true.sum() - 1.0),
    )


def _rectified_common(
    pair: Pair, calibration: StereoCalibration
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ids, left, right = pair.common()
    return ids, rectified_points(calibration.left, left), rectified_points(calibration.right, right)


def _triangulated(left: np.ndarray, right: np.ndarray, calibration: StereoCalibration) -> np.ndarray:
    """Points (n, 3) in the rectified left camera's frame, m."""
    p = calibration.left.p
    depth = p[0, 0] * calibration.baseline_m / (left[:, 0] - right[:, 0])
    row = 0.5 * (left[:, 1] + right[:, 1])
    return (
        np.stack([(left[:, 0] - p[0, 2]) / p[0, 0], (row - p[1, 2]) / p[1, 1], np.ones_like(row)], 1)
        * depth[:, None]
    )


def _fitted(corners: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The board's corners (n, 3), moved rigidly onto the points found (Kabsch's least squares)."""
    a, b = corners - corners.mean(axis=0), found - found.mean(axis=0)
    u, _, v = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    return a @ turn + found.mean(axis=0)


def _projected(points: np.ndarray, projection: np.ndarray) -> np.ndarray:
    homogeneous = np.hstack([points, np.ones((len(points), 1))]) @ projection.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


def draw_check(
    images: Iterable[StereoImages],
    views: PairViews,
    calibration: StereoCalibration,
    path: Path,
    most_views: int = 6,
) -> None:
    """Write a picture: rectified pairs side by side, rows of the same height in green, corners in yellow, and
    their errors of height, 20 times enlarged, in red.

    Raises:
        CalibrationRefusedError: the picture cannot be written.
    """
    chosen = {pair.name: pair for pair in _spread(views.pairs, most_views)}
    rows = [
        _drawn(one.images, chosen[one.name], calibration)
        for one in images
        if one.images is not None and one.name in chosen
    ]
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if not rows or not cv2.imwrite(str(path), np.vstack(rows)):
        raise CalibrationRefusedError(
            f"{path}: the picture cannot be written; expected a name such as check.png"
        )


def _spread(pairs: Sequence[Pair], count: int) -> list[Pair]:
    indices = np.unique(np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int))
    return [pairs[index] for index in indices]


def _drawn(images: tuple[np.ndarray, np.ndarray], pair: Pair, calibration: StereoCalibration) -> np.ndarray:
    _, *points = _rectified_common(pair, calibration)
    difference = points[0][:, 1] - points[1][:, 1]
    eyes = []
    for image, camera, places, sign in zip(images, calibration.cameras, points, (1, -1), strict=True):
        maps = cv2.initUndistortRectifyMap(
            camera.k, camera.d, camera.r, camera.p[:, :3], (camera.width, camera.height), cv2.CV_32FC1
        )
        canvas = cv2.cvtColor(cv2.remap(image, *maps, cv2.INTER_LINEAR), cv2.COLOR_GRAY2BGR)
        for place, error in zip(places, difference, strict=True):
            start = tuple(int(value) for value in place.round())
            end = (start[0], round(start[1] + sign * _MAGNIFIED * float(error)))
            cv2.circle(canvas, start, 3, _YELLOW, 1, cv2.LINE_AA)
            cv2.line(canvas, start, end, _RED, 1, cv2.LINE_AA)
        eyes.append(canvas)
    both = np.hstack(eyes)
    for y in np.linspace(0, both.shape[0] - 1, _LINES + 2)[1:-1].round().astype(int):
        cv2.line(both, (0, int(y)), (both.shape[1] - 1, int(y)), _GREEN, 1)
    text = f"{pair.name}: rows differ by {np.sqrt(np.mean(difference**2)):.2f} px RMS"
    cv2.putText(both, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _YELLOW, 1, cv2.LINE_AA)
    return both
