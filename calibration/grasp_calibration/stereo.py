"""Stereo calibration: intrinsics of both eyes, their relative pose, rectification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from grasp_calibration.board import BoardConfig
from grasp_calibration.errors import CalibrationRefusedError, Refusal
from grasp_calibration.geometry import differences, pose, rotation_vector
from grasp_calibration.quality import QualityLimits, check_variety
from grasp_calibration.views import EYES, PairViews
from grasp_camera.camera_info import CameraCalibration
from grasp_camera.extrinsics import Transform
from grasp_camera.stereo_calibration import OPTICAL_FRAMES, StereoCalibration

__all__ = ["LENS_MODELS", "StereoResult", "calibrate_stereo", "rectified_points", "right_in_left"]

LENS_MODELS = {"plumb_bob": 0, "rational_polynomial": cv2.CALIB_RATIONAL_MODEL}
"""Distortion model -> OpenCV's flags for it."""
_CRITERIA = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 200, 1e-10)
_LENS_CRITERIA = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-9)
"""when a lens is undone: steps at most, and px that are near enough"""
CAMERA_NAMES = ("stereo_left", "stereo_right")


@dataclass(frozen=True)
class StereoResult:
    """A calibration, and how well the views agree with it."""

    calibration: StereoCalibration
    """both cameras, and the right one's pose in the left one's frame"""
    views: int
    """views used"""
    reprojection_rms_px: float
    """px, over both eyes' corners, in raw images"""
    epipolar_rms_px: float
    """px, difference of rows of the same corner in the two rectified images"""
    focal_error: float
    """largest standard error of a focal length, as a share of it"""
    baseline_error_mm: float
    """mm, standard error of the baseline"""
    refusals: tuple[Refusal, ...] = field(default=())
    """views not used, and why"""


@dataclass(frozen=True, eq=False)
class _Eye:
    """Intrinsics of one eye by itself."""

    k: np.ndarray
    d: np.ndarray
    focal_error: float
    rms_px: float
    view_rms_px: np.ndarray


@dataclass(frozen=True, eq=False)
class _Joint:
    """Both eyes together; R, t take points of the left raw camera's frame to the right's."""

    rms_px: float
    ks: tuple[np.ndarray, np.ndarray]
    ds: tuple[np.ndarray, np.ndarray]
    rotation: np.ndarray
    translation: np.ndarray
    view_rms_px: np.ndarray


def calibrate_stereo(
    board: BoardConfig,
    views: PairViews,
    limits: QualityLimits = QualityLimits(),
    lens: str = "plumb_bob",
) -> StereoResult:
    """Calibrate from judged views.

    Raises:
        CalibrationRefusedError: the views are too few, do not determine the cameras, contradict one another,
            or left and right are swapped.
    """
    if lens not in LENS_MODELS:
        raise ValueError(f"lens model is {lens!r}; expected {' or '.join(LENS_MODELS)}")
    views.require(limits.least_views)
    eyes = [_calibrate_eye(board, views, index, limits, LENS_MODELS[lens]) for index in (0, 1)]
    kept = views.without(
        _outliers(views, np.maximum(eyes[0].view_rms_px, eyes[1].view_rms_px), limits, "alone")
    )
    kept.require(limits.least_views)
    if len(kept.pairs) < len(views.pairs):
        eyes = [_calibrate_eye(board, kept, index, limits, LENS_MODELS[lens]) for index in (0, 1)]
    for index, eye in enumerate(eyes):
        _check_eye(eye, index, kept, limits, lens)
    steady = _simultaneous(board, kept, eyes, limits, LENS_MODELS[lens])
    joint = _calibrate_pair(board, steady, eyes, LENS_MODELS[lens] | cv2.CALIB_USE_INTRINSIC_GUESS)
    return _result(board, steady, eyes, joint, limits, lens)


def _simultaneous(
    board: BoardConfig, views: PairViews, eyes: Sequence[_Eye], limits: QualityLimits, flags: int
) -> PairViews:
    """Refuse, worst first, views whose two images do not show the same moment.

    With the intrinsics held fast: left free, they would bend until the bad view seems to fit.
    """
    while True:
        views.require(limits.least_views)
        joint = _calibrate_pair(board, views, eyes, flags | cv2.CALIB_FIX_INTRINSIC)
        refusals = _outliers(views, joint.view_rms_px, limits, "together")
        if not refusals:
            return views
        worst = int(np.argmax(joint.view_rms_px))
        views = views.without(one for one in refusals if one.name == views.pairs[worst].name)


def _outliers(views: PairViews, rms_px: np.ndarray, limits: QualityLimits, how: str) -> list[Refusal]:
    """Views that agree with the others far less than these among themselves."""
    bound = max(limits.most_outlier_px, 4.0 * float(np.median(rms_px)))
    cause = {
        "alone": "bent or half hidden board, motion blur",
        "together": "the two images were not taken at the same moment, or the board moved",
    }[how]
    return [
        Refusal(pair.name, f"RMS error {error:.2f} px where the limit is {bound:.2f} px ({cause})")
        for pair, error in zip(views.pairs, rms_px, strict=True)
        if error > bound
    ]


def _calibrate_eye(
    board: BoardConfig, views: PairViews, index: int, limits: QualityLimits, flags: int
) -> _Eye:
    corners = board.corners()
    objects = [corners[pair.eyes[index].ids].astype(np.float32) for pair in views.pairs]
    points = [pair.eyes[index].points.astype(np.float32) for pair in views.pairs]
    try:
        rms, k, d, rotations, _, errors, _, view_rms = cv2.calibrateCameraExtended(
            objects, points, views.size, np.eye(3), np.zeros(5), flags=flags, criteria=_CRITERIA
        )
    except cv2.error as error:
        raise CalibrationRefusedError(
            f"{EYES[index]}: the views do not determine a camera: {error.err}", views.refusals
        ) from error
    matrices = [cv2.Rodrigues(rotation)[0] for rotation in rotations]
    check_variety(limits, EYES[index], views.size, points, matrices, views.refusals)
    share = float(np.max(np.ravel(errors)[:2] / np.array([k[0, 0], k[1, 1]])))
    return _Eye(k, np.ravel(d), share, float(rms), np.ravel(view_rms))


def _check_eye(eye: _Eye, index: int, views: PairViews, limits: QualityLimits, lens: str) -> None:
    """Whether one eye's intrinsics are good; only once the views that contradict the others are gone."""
    if not eye.rms_px <= limits.most_rms_px:
        raise CalibrationRefusedError(
            f"{EYES[index]}: corners are off by {eye.rms_px:.2f} px RMS over all views; expected "
            f"{limits.most_rms_px:g} px at most: a board that is not flat, or a lens that {lens} does not "
            "describe",
            views.refusals,
        )
    if not eye.focal_error <= limits.most_focal_error:
        raise CalibrationRefusedError(
            f"{EYES[index]}: the focal length is known to {100 * eye.focal_error:.2f} % only; expected "
            f"{100 * limits.most_focal_error:.2f} %: more views, nearer, and more tilted",
            views.refusals,
        )


def _calibrate_pair(board: BoardConfig, views: PairViews, eyes: Sequence[_Eye], flags: int) -> _Joint:
    corners = board.corners()
    common = [pair.common() for pair in views.pairs]
    found = cv2.stereoCalibrateExtended(
        [corners[ids].astype(np.float32) for ids, _, _ in common],
        [left.astype(np.float32) for _, left, _ in common],
        [right.astype(np.float32) for _, _, right in common],
        eyes[0].k.copy(),
        eyes[0].d.copy(),
        eyes[1].k.copy(),
        eyes[1].d.copy(),
        views.size,
        np.eye(3),
        np.zeros((3, 1)),
        flags=flags,
        criteria=_CRITERIA,
    )
    rms, k_left, d_left, k_right, d_right, rotation, translation = found[:7]
    view_rms = np.asarray(found[-1], float).reshape(len(views.pairs), 2).max(axis=1)
    distortions = (np.ravel(d_left), np.ravel(d_right))
    return _Joint(float(rms), (k_left, k_right), distortions, rotation, np.ravel(translation), view_rms)


def _result(
    board: BoardConfig,
    views: PairViews,
    eyes: Sequence[_Eye],
    joint: _Joint,
    limits: QualityLimits,
    lens: str,
) -> StereoResult:
    if joint.translation[0] > 0 or abs(joint.translation[0]) < np.abs(joint.translation[1:]).max():
        x, y, z = 1e3 * joint.translation
        raise CalibrationRefusedError(
            f"the left camera lies at ({x:.0f}, {y:.0f}, {z:.0f}) mm in the right camera's frame; expected "
            "it to the left, x negative: are left and right swapped, or is a camera upside down?",
            views.refusals,
        )
    if not joint.rms_px <= limits.most_rms_px:
        raise CalibrationRefusedError(
            f"corners are off by {joint.rms_px:.2f} px RMS in both eyes together, by "
            f"{max(eye.rms_px for eye in eyes):.2f} px in one alone; expected {limits.most_rms_px:g} px at "
            "most: the two images of a view were not taken at the same moment, or the board moved",
            views.refusals,
        )
    calibration = _rectified(views.size, joint, lens)
    rows = [_row_differences(calibration, pair.common()) for pair in views.pairs]
    error_mm = _baseline_error_mm(board, views, joint)
    if error_mm > limits.most_baseline_error_mm:
        raise CalibrationRefusedError(
            f"the baseline is known to {error_mm:.2f} mm only; expected {limits.most_baseline_error_mm:g} "
            "mm: more views, and nearer",
            views.refusals,
        )
    return StereoResult(
        calibration=calibration,
        views=len(views.pairs),
        reprojection_rms_px=joint.rms_px,
        epipolar_rms_px=float(np.sqrt(np.mean(np.concatenate(rows) ** 2))),
        focal_error=max(eye.focal_error for eye in eyes),
        baseline_error_mm=error_mm,
        refusals=views.refusals,
    )


def _baseline_error_mm(board: BoardConfig, views: PairViews, joint: _Joint) -> float:
    """mm, standard error of the baseline, the intrinsics taken for known: from the normal equations of the
    relative pose, with the poses of the boards eliminated."""
    information = np.zeros((6, 6))
    relative = np.concatenate([rotation_vector(joint.rotation), joint.translation])
    for pair in views.pairs:
        ids, left, _ = pair.common()
        corners = board.corners()[ids]
        _, rotation, translation = cv2.solvePnP(corners, left, joint.ks[0], joint.ds[0])
        start = np.concatenate([relative, np.ravel(rotation), np.ravel(translation)])
        jacobian = differences(lambda values, corners=corners: _projected(joint, corners, values), start)
        common, own = jacobian[:, :6], jacobian[:, 6:]
        information += common.T @ (common - own @ np.linalg.lstsq(own, common, rcond=None)[0])
    along = joint.translation / np.linalg.norm(joint.translation)
    variance = along @ np.linalg.inv(information)[3:, 3:] @ along
    return float(1e3 * joint.rms_px / np.sqrt(2.0) * np.sqrt(variance))


def _projected(joint: _Joint, corners: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Corners' places in both eyes, one after another, px; values: relative pose (6), the board's pose
    (6)."""
    camera_from_board = pose(values[6:9], values[9:])
    places = []
    for k, d, matrix in zip(joint.ks, joint.ds, (np.eye(4), pose(values[:3], values[3:6])), strict=True):
        seen = matrix @ camera_from_board
        places.append(cv2.projectPoints(corners, rotation_vector(seen[:3, :3]), seen[:3, 3], k, d)[0].ravel())
    return np.concatenate(places)


def _rectified(size: tuple[int, int], joint: _Joint, lens: str) -> StereoCalibration:
    r_left, r_right, p_left, p_right, *_ = cv2.stereoRectify(
        joint.ks[0],
        joint.ds[0],
        joint.ks[1],
        joint.ds[1],
        size,
        joint.rotation,
        joint.translation.reshape(3, 1),
        flags=cv2.CALIB_ZERO_DISPARITY,
        alpha=0,
    )
    cameras = [
        CameraCalibration(name, *size, lens, d, k, r, p)
        for name, d, k, r, p in zip(
            CAMERA_NAMES, joint.ds, joint.ks, (r_left, r_right), (p_left, p_right), strict=True
        )
    ]
    return StereoCalibration(cameras[0], cameras[1], (right_in_left(cameras[1]),))


def right_in_left(right: CameraCalibration) -> Transform:
    """Where the right camera lies in the left one's frame: rectified, they differ by the baseline alone."""
    matrix = np.eye(4)
    matrix[0, 3] = right.baseline_m
    return Transform.from_matrix(*OPTICAL_FRAMES, matrix)


def rectified_points(camera: CameraCalibration, points: np.ndarray) -> np.ndarray:
    """Where points (n, 2) of the raw image lie in the rectified one, px."""
    raw = np.asarray(points, float).reshape(-1, 1, 2)
    return _undistorted(raw, camera.k, camera.d, camera.r, camera.p[:, :3]).reshape(-1, 2)


def _undistorted(
    points: np.ndarray, k: np.ndarray, d: np.ndarray, r: np.ndarray, p: np.ndarray
) -> np.ndarray:
    """Points (n, 1, 2) through the lens backwards, then through R (3, 3) and P (3, 3), px.

    OpenCV iterates; its five steps by default leave several pixels at the edge of a wide lens. OpenCV 4 takes
    more in a function of its own, which OpenCV 5 is without.
    """
    if hasattr(cv2, "undistortPointsIter"):
        return cv2.undistortPointsIter(points, k, d, r, p, _LENS_CRITERIA)
    undistort: Any = cv2.undistortPoints  # OpenCV 4's types know no criteria
    return undistort(points, k, d, R=r, P=p, criteria=_LENS_CRITERIA)


def _row_differences(
    calibration: StereoCalibration, common: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    _, left, right = common
    return rectified_points(calibration.left, left)[:, 1] - rectified_points(calibration.right, right)[:, 1]
