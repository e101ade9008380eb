"""The stereo rig: image size, field of view, baseline and poses of the two colour cameras, in the arm's base
frame.

Camera frames follow MuJoCo: x right, y up, looking along -z. ``optical_rotation`` gives the ROS optical frame
(x right, y down, z forward).
"""

from dataclasses import dataclass

import numpy as np

CAMERA_NAMES = ("stereo_left", "stereo_right")


@dataclass(frozen=True)
class StereoRig:
    """A rectified pair of pinhole cameras with parallel axes."""

    width: int = 64
    """px"""
    height: int = 48
    """px"""
    fovy_deg: float = 28.0
    """degrees, vertical field of view"""
    baseline_m: float = 0.12
    """m, distance of the two centres of projection along the image rows"""
    position: tuple[float, float, float] = (1.15, -0.5, 0.5)
    """m, midpoint of the two centres of projection, base frame"""
    target: tuple[float, float, float] = (0.62, 0.0, 0.14)
    """m, point that the midpoint looks at, base frame"""
    position_tolerance_m: float = 0.02
    """m, how far a camera may stand from its nominal pose for a policy trained with it"""
    rotation_tolerance_deg: float = 1.0
    """degrees, the same for its rotation"""

    def rotation(self) -> np.ndarray:
        """Rotation (3, 3) from the camera frame (x right, y up, z backward) to the base frame, shared by
        both."""
        backward = np.asarray(self.position) - np.asarray(self.target)
        backward /= np.linalg.norm(backward)
        right = np.cross([0.0, 0.0, 1.0], backward)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(backward, right), backward], axis=1)

    def optical_rotation(self) -> np.ndarray:
        """Rotation (3, 3) from the ROS optical frame (x right, y down, z forward) to the base frame."""
        return self.rotation() * np.array([1.0, -1.0, -1.0])

    def positions(self) -> np.ndarray:
        """Centres of projection (2, 3) in m, base frame: left, right."""
        half = 0.5 * self.baseline_m * self.rotation()[:, 0]
        return np.asarray(self.position) + np.stack([-half, half])

    def intrinsics(self) -> tuple[float, float, float, float]:
        """fx, fy, cx, cy in px (square pixels; pixel centres at integer coordinates, as in camera_info)."""
        focal = 0.5 * self.height / np.tan(0.5 * np.radians(self.fovy_deg))
        return focal, focal, 0.5 * (self.width - 1), 0.5 * (self.height - 1)


STEREO_RIG = StereoRig()
