"""Rigid transforms as homogeneous matrices (4, 4), and least squares on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

__all__ = ["angle_deg", "differences", "inverse", "minimized", "nearest_rotation", "pose", "rotation_vector"]


def pose(
    rotation_vector: Sequence[float] | np.ndarray, translation: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Transform (4, 4) of a rotation vector (3,) in rad and a translation (3,) in m."""
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.asarray(rotation_vector, float).reshape(3, 1))[0]
    matrix[:3, 3] = np.asarray(translation, float).reshape(3)
    return matrix


def inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of rigid transforms (…, 4, 4)."""
    found = np.zeros_like(matrix)
    found[..., :3, :3] = np.swapaxes(matrix[..., :3, :3], -1, -2)
    found[..., :3, 3] = -np.einsum("...ij,...j->...i", found[..., :3, :3], matrix[..., :3, 3])
    found[..., 3, 3] = 1.0
    return found


def rotation_vector(rotation: np.ndarray) -> np.ndarray:
    """Rotation vector (3,) in rad of a rotation (3, 3)."""
    return cv2.Rodrigues(np.ascontiguousarray(rotation, float))[0].reshape(3)


def angle_deg(rotation: np.ndarray) -> float:
    """Angle of a rotation (3, 3), degrees."""
    return float(np.degrees(np.linalg.norm(rotation_vector(rotation))))


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) nearest to a matrix that is one up to scale, sign and noise."""
    u, _, v = np.linalg.svd(matrix * np.sign(np.linalg.det(matrix)))
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v


def minimized(
    residuals: Callable[[np.ndarray], np.ndarray], start: np.ndarray, iterations: int = 50
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares by Levenberg and Marquardt, with differences for derivatives.

    Args:
        residuals: parameters (p,) -> residuals (n,), n of p or more.
        start: parameters (p,) to start from, scaled so that steps of 1e-6 are small.

    Returns:
        The parameters (p,), and their covariance (p, p) for residuals of unit variance: multiply with theirs.
    """
    parameters, damping = np.asarray(start, float).copy(), 1e-3
    current = residuals(parameters)
    normal = np.eye(len(parameters))
    for _ in range(iterations):
        jacobian = differences(residuals, parameters)
        normal, gradient = jacobian.T @ jacobian, jacobian.T @ current
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), -gradient)
        tried = residuals(parameters + step)
        if tried @ tried < current @ current:
            gain = current @ current - tried @ tried
            parameters, current, damping = parameters + step, tried, 0.3 * damping
            if gain < 1e-12 * (current @ current + 1e-12):
                break
        elif damping > 1e8:
            break
        else:
            damping *= 5.0
    return parameters, np.linalg.pinv(normal)


def differences(residuals: Callable[[np.ndarray], np.ndarray], parameters: np.ndarray) -> np.ndarray:
    """Derivatives (n, p) of residuals (n,) by parameters (p,), from central differences of 1e-6."""
    columns = []
    for index in range(len(parameters)):
        step = np.zeros_like(parameters)
        step[index] = 1e-6
        columns.append((residuals(parameters + step) - residuals(parameters - step)) / 2e-6)
    return np.stack(columns, axis=1)
