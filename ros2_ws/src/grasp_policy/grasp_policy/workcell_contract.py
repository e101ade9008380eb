"""The contract of this stack's own robot and workcell, as `grasp_description` states them. No ROS in it."""

from __future__ import annotations

import numpy as np

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.robot import JOINT_NAMES, joint_limits
from grasp_description.workcell import CONTROL_RATE_HZ, GOAL_POSITION
from grasp_policy.policy_spec import CameraPose, RobotContract

__all__ = ["camera_poses", "quaternion_from_rotation", "workcell_contract"]


def workcell_contract(rig: StereoRig = STEREO_RIG) -> RobotContract:
    """What a policy for this robot has to match; `rig` is the camera pair as it stands."""
    limits = joint_limits()
    left, right = camera_poses(rig)
    return RobotContract(
        joint_names=tuple(JOINT_NAMES),
        joint_lower=_floats(limits.lower),
        joint_upper=_floats(limits.upper),
        control_rate_hz=float(CONTROL_RATE_HZ),
        image_width=rig.width,
        image_height=rig.height,
        fovy_deg=float(rig.fovy_deg),
        baseline_m=float(rig.baseline_m),
        left_camera=left,
        right_camera=right,
        goal_position=_floats(GOAL_POSITION),
    )


def camera_poses(rig: StereoRig = STEREO_RIG) -> tuple[CameraPose, CameraPose]:
    """Poses of the left and right optical frames in the arm's base frame."""
    quaternion = quaternion_from_rotation(rig.optical_rotation())
    left, right = (CameraPose(_floats(position), quaternion) for position in rig.positions())
    return left, right


def quaternion_from_rotation(rotation: np.ndarray) -> tuple[float, ...]:
    """Unit quaternion w-x-y-z, w not negative, of a rotation matrix (3, 3).

    The eigenvector of the symmetric matrix K of Bar-Itzhack, "New Method for Extracting the Quaternion from a
    Rotation Matrix", J. Guidance 23(6), 2000: no case distinctions, and exact for every angle.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.asarray(rotation, np.float64)
    matrix = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, xy + yx, xz + zx],
            [xz - zx, xy + yx, yy - xx - zz, yz + zy],
            [yx - xy, xz + zx, yz + zy, zz - xx - yy],
        ]
    )
    quaternion = np.linalg.eigh(matrix)[1][:, -1]
    return _floats(-quaternion if quaternion[0] < 0 else quaternion)


def _floats(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
