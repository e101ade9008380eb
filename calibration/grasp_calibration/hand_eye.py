"""Hand-eye calibration: the pose of the fixed stereo pair in the arm's base frame, from a board on the arm.

Unknown are X, the rectified left camera's optical frame in the base frame, and Z, the board in the frame of
the link that carries it. With A the link in the base frame (forward kinematics) and B the board in the camera
frame (from the images), every view says A Z = X B. The start is the closed form of Shah, "Solving the
Robot-World/Hand-Eye Calibration Problem Using the Kronecker Product", J. Mechanisms Robotics 5(3), 2013,
which is also OpenCV 4's ``calibrateRobotWorldHandEye`` (OpenCV 5.0 ships without that function). The result
then minimizes the reprojection error of all corners in both eyes over X and Z: the closed form weighs a metre
like a radian, and a far board like a near one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from grasp_calibration.board import BoardConfig
from grasp_calibration.errors import CalibrationRefusedError, Refusal
from grasp_calibration.geometry import inverse, minimized, nearest_rotation, pose, rotation_vector
from grasp_calibration.stereo import rectified_points
from grasp_calibration.views import Pair, PairViews
from grasp_camera.stereo_calibration import StereoCalibration

__all__ = ["HandEyeLimits", "HandEyeResult", "calibrate_hand_eye", "robot_world_hand_eye"]


@dataclass(frozen=True)
class HandEyeLimits:
    """What is asked of the views."""

    least_views: int = 10
    """Views that must be left after refusals."""
    least_turn_deg: float = 15.0
    """Degrees, least turn of the link about each of two axes between views: turns about one axis alone leave
    the camera's place along it open."""
    most_outlier_px: float = 3.0
    """px, largest RMS reprojection error of one view before it is taken for a mistake."""
    most_rms_px: float = 1.5
    """px, largest RMS reprojection error over all views."""
    most_position_error_mm: float = 1.0
    """mm, largest standard error of the camera's place."""
    most_rotation_error_deg: float = 0.1
    """Degrees, largest standard error of the camera's rotation."""


@dataclass(frozen=True, eq=False)
class HandEyeResult:
    """Where the left camera stands, and how well the views agree."""

    base_from_camera: np.ndarray
    """(4, 4) pose of the rectified left camera's optical frame in the base frame"""
    link_from_board: np.ndarray
    """(4, 4) pose of the board in the frame of the link that carries it"""
    views: int
    """views used"""
    reprojection_rms_px: float
    """px, over the corners in both rectified images"""
    position_error_mm: float
    """mm, largest standard error of the camera's position along any direction"""
    rotation_error_deg: float
    """degrees, the same for its rotation"""
    refusals: tuple[Refusal, ...]
    """views not used, and why"""


@dataclass(frozen=True, eq=False)
class _Sample:
    """One view, in rectified images."""

    name: str
    base_from_link: np.ndarray
    corners: tuple[np.ndarray, np.ndarray]
    points: tuple[np.ndarray, np.ndarray]
    camera_from_board: np.ndarray


def calibrate_hand_eye(
    board: BoardConfig,
    views: PairViews,
    calibration: StereoCalibration,
    base_from_link: Mapping[str, np.ndarray],
    limits: HandEyeLimits = HandEyeLimits(),
) -> HandEyeResult:
    """Calibrate from judged views of a board that the arm holds in front of the fixed cameras.

    Args:
        base_from_link: view's name -> pose (4, 4) of the link that carries the board, base frame.

    Raises:
        CalibrationRefusedError: the views are too few, the arm turned about too few axes, or images and poses
            contradict one another.
    """
    left = calibration.left
    if views.size != (left.width, left.height):
        raise CalibrationRefusedError(
            f"images are {views.size[0]}x{views.size[1]} px; the calibration is for "
            f"{left.width}x{left.height} px"
        )
    views = views.without(
        Refusal(pair.name, "there is no robot pose of that name")
        for pair in views.pairs
        if pair.name not in base_from_link
    )
    views.require(limits.least_views)
    samples = [_sample(board, pair, calibration, base_from_link[pair.name]) for pair in views.pairs]
    _check_turns(samples, limits, views)
    kept, refusals = _without_outliers(samples, calibration, limits)
    views = views.without(refusals)
    views.require(limits.least_views)
    _check_turns(kept, limits, views)
    return _result(kept, calibration, limits, views)


def robot_world_hand_eye(
    base_from_link: np.ndarray, camera_from_board: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Closed-form X, Z of A Z = X B.

    Args:
        base_from_link: A, (n, 4, 4).
        camera_from_board: B, (n, 4, 4).

    Returns:
        base_from_camera X and link_from_board Z, (4, 4) each.
    """
    # vec(A Z B^T) = (B kron A) vec(Z), columns stacked: X and Z are the top pair of singular vectors.
    total = sum(np.kron(b[:3, :3], a[:3, :3]) for a, b in zip(base_from_link, camera_from_board, strict=True))
    u, _, v = np.linalg.svd(np.asarray(total))
    x, z = np.eye(4), np.eye(4)
    x[:3, :3] = nearest_rotation(u[:, 0].reshape(3, 3, order="F"))
    z[:3, :3] = nearest_rotation(v[0].reshape(3, 3, order="F"))
    # A's rotation times t_Z, less t_X, is X's rotation times t_B, less t_A.
    rows = np.concatenate([np.hstack([a[:3, :3], -np.eye(3)]) for a in base_from_link])
    right = np.concatenate(
        [x[:3, :3] @ b[:3, 3] - a[:3, 3] for a, b in zip(base_from_link, camera_from_board, strict=True)]
    )
    solved = np.linalg.lstsq(rows, right, rcond=None)[0]
    z[:3, 3], x[:3, 3] = solved[:3], solved[3:]
    return x, z


def _sample(
    board: BoardConfig, pair: Pair, calibration: StereoCalibration, base_from_link: np.ndarray
) -> _Sample:
    corners = board.corners()
    points = [
        rectified_points(camera, found.points)
        for camera, found in zip(calibration.cameras, pair.eyes, strict=True)
    ]
    left = pair.eyes[0].ids
    _, rotation, translation = cv2.solvePnP(
        corners[left], points[0], np.ascontiguousarray(calibration.left.p[:, :3]), np.zeros(5)
    )
    return _Sample(
        pair.name,
        np.asarray(base_from_link, float),
        (corners[left], corners[pair.eyes[1].ids]),
        (points[0], points[1]),
        pose(rotation, translation),
    )


def _check_turns(samples: list[_Sample], limits: HandEyeLimits, views: PairViews) -> None:
    first = samples[0].base_from_link[:3, :3]
    turns = np.stack([rotation_vector(first.T @ one.base_from_link[:3, :3]) for one in samples])
    turns -= turns.mean(axis=0)
    # The two widest directions of the turns' scatter, as ranges.
    directions = np.linalg.svd(turns)[2][:2]
    ranges = np.degrees(np.ptp(turns @ directions.T, axis=0))
    if ranges[1] < limits.least_turn_deg:
        raise CalibrationRefusedError(
            f"the link turned by {ranges[0]:.1f} degrees about one axis and {ranges[1]:.1f} about another; "
            f"expected {limits.least_turn_deg:g} about each of two: turn the wrist in more directions",
            views.refusals,
        )


def _without_outliers(
    samples: list[_Sample], calibration: StereoCalibration, limits: HandEyeLimits
) -> tuple[list[_Sample], list[Refusal]]:
    """Leave out, worst first, views whose images contradict their robot pose."""
    kept, refusals = list(samples), []
    while len(kept) >= limits.least_views:
        x, z, _ = _refined(kept, calibration)
        errors = np.array([_rms(_residuals(one, x, z, calibration)) for one in kept])
        bound = max(limits.most_outlier_px, 4.0 * float(np.median(errors)))
        worst = int(np.argmax(errors))
        if errors[worst] <= bound:
            break
        reason = (
            f"RMS error {errors[worst]:.2f} px where the limit is {bound:.2f} px (image and robot pose do "
            "not belong together, or the arm still moved)"
        )
        refusals.append(Refusal(kept.pop(worst).name, reason))
    return kept, refusals


def _refined(
    samples: list[_Sample], calibration: StereoCalibration
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X, Z, and the covariance (12, 12) of their parameters for residuals of unit variance."""
    x, z = robot_world_hand_eye(
        np.stack([one.base_from_link for one in samples]),
        np.stack([one.camera_from_board for one in samples]),
    )

    def residuals(parameters: np.ndarray) -> np.ndarray:
        new_x, new_z = _moved(x, parameters[:6]), _moved(z, parameters[6:])
        return np.concatenate([_residuals(one, new_x, new_z, calibration) for one in samples])

    parameters, covariance = minimized(residuals, np.zeros(12))
    return _moved(x, parameters[:6]), _moved(z, parameters[6:]), covariance


def _moved(matrix: np.ndarray, step: np.ndarray) -> np.ndarray:
    """A pose turned and shifted a little: about and along the axes of the frame it is given in."""
    found = matrix.copy()
    found[:3, :3] = pose(step[:3], np.zeros(3))[:3, :3] @ matrix[:3, :3]
    found[:3, 3] += step[3:]
    return found


def _residuals(one: _Sample, x: np.ndarray, z: np.ndarray, calibration: StereoCalibration) -> np.ndarray:
    """px, differences of the corners' places in both rectified images."""
    camera_from_board = inverse(x) @ one.base_from_link @ z
    found = []
    for camera, corners, points in zip(calibration.cameras, one.corners, one.points, strict=True):
        seen = corners @ camera_from_board[:3, :3].T + camera_from_board[:3, 3]
        projected = np.hstack([seen, np.ones((len(seen), 1))]) @ camera.p.T
        found.append((projected[:, :2] / projected[:, 2:] - points).ravel())
    return np.concatenate(found)


def _rms(residuals: np.ndarray) -> float:
    """px, of the points, each with two residuals."""
    return float(np.sqrt(2.0 * np.mean(residuals**2)))


def _result(
    samples: list[_Sample], calibration: StereoCalibration, limits: HandEyeLimits, views: PairViews
) -> HandEyeResult:
    x, z, covariance = _refined(samples, calibration)
    errors = [_residuals(one, x, z, calibration) for one in samples]
    # Corners of one view share that view's error of the robot's pose: count views, not corners.
    shared = np.concatenate([np.full(len(one), np.sqrt(len(one) / 12.0)) for one in errors]).mean()
    deviation = _rms(np.concatenate(errors)) / np.sqrt(2.0) * max(shared, 1.0)
    position = 1e3 * deviation * np.sqrt(np.linalg.eigvalsh(covariance[3:6, 3:6]).max())
    rotation = np.degrees(deviation * np.sqrt(np.linalg.eigvalsh(covariance[:3, :3]).max()))
    rms = _rms(np.concatenate(errors))
    if rms > limits.most_rms_px:
        raise CalibrationRefusedError(
            f"corners are off by {rms:.2f} px RMS; expected {limits.most_rms_px:g} at most: wrong square "
            "size, wrong link, a board that slips, or robot poses in another order than the images",
            views.refusals,
        )
    if position > limits.most_position_error_mm or rotation > limits.most_rotation_error_deg:
        raise CalibrationRefusedError(
            f"the camera's pose is known to {position:.2f} mm and {rotation:.3f} degrees only; expected "
            f"{limits.most_position_error_mm:g} mm and {limits.most_rotation_error_deg:g}: more views, "
            "nearer, and more turned",
            views.refusals,
        )
    return HandEyeResult(x, z, len(samples), rms, float(position), float(rotation), views.refusals)
