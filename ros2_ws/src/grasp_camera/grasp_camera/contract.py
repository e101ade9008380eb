"""The calibrated cameras against the contract of a policy file. No ROS in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from grasp_camera.errors import CalibrationFileError
from grasp_camera.extrinsics import chained
from grasp_camera.rectification import NominalView
from grasp_camera.stereo_calibration import BASE_FRAME, EXTRINSICS_FILE, OPTICAL_FRAMES, StereoCalibration
from grasp_policy.errors import PolicyFileError
from grasp_policy.policy_spec import CameraPose, PolicySpec, check_contract
from grasp_policy.workcell_contract import quaternion_from_rotation, workcell_contract

__all__ = ["check_cameras", "has_hand_eye"]

_RATE_TOLERANCE = 0.01
"""share of the policy's rate by which the cameras' may differ: 29.97 Hz is 30 Hz"""


def has_hand_eye(calibration: StereoCalibration) -> bool:
    """Whether the cameras' place in the arm's base frame is known.

    Raises:
        CalibrationFileError: their place is known in another frame, which does not hang on the arm's base, or
            hangs on itself.
    """
    roots = {_root(calibration, frame) for frame in OPTICAL_FRAMES}
    strange = sorted(roots - {BASE_FRAME, *OPTICAL_FRAMES})
    if strange:
        raise CalibrationFileError(
            f"{EXTRINSICS_FILE}: the cameras' place is given in {strange[0]!r}; expected the arm's base "
            f"frame, {BASE_FRAME!r}, or no place"
        )
    return BASE_FRAME in roots


def _root(calibration: StereoCalibration, frame: str) -> str:
    """The frame that a frame's place is given in at last; the arm's base where that is on the way."""
    above = {one.child: one.parent for one in calibration.transforms}
    for _ in above:
        if frame == BASE_FRAME or frame not in above:
            return frame
        frame = above[frame]
    if frame in above:
        raise CalibrationFileError(f"{EXTRINSICS_FILE}: frame {frame!r} hangs on itself; expected no loop")
    return frame


def check_cameras(
    spec: PolicySpec, calibration: StereoCalibration, view: NominalView, rate_hz: float
) -> None:
    """Hold the calibrated pair against what a policy was trained with: image size, field of view, baseline,
    rate, and the cameras' places where hand-eye calibration has told them.

    Args:
        rate_hz: pairs a second that the cameras are asked for; the policy steps once a pair.

    Raises:
        PolicyFileError: names the field that differs, its value in the policy and the calibrated one.
        CalibrationFileError: the cameras' place is given in another frame than the arm's base.
    """
    if not abs(rate_hz - spec.control_rate_hz) <= _RATE_TOLERANCE * spec.control_rate_hz:
        raise PolicyFileError.mismatch(
            "control_rate_hz",
            f"{spec.control_rate_hz:g} Hz",
            f"{rate_hz:g} Hz",
            note="the cameras' rate_hz; the policy steps once a pair of images",
        )
    left, right = spec.left_camera, spec.right_camera
    if has_hand_eye(calibration):
        left, right = (_pose(matrix) for matrix in _places(calibration))
    robot = replace(
        workcell_contract(),
        # What is no camera's business is the policy node's: here it agrees with itself.
        joint_names=spec.joint_names,
        joint_lower=spec.joint_lower,
        joint_upper=spec.joint_upper,
        # The cameras' own rate was compared above, with its tolerance.
        control_rate_hz=spec.control_rate_hz,
        goal_position=spec.goal_position,
        image_width=view.width,
        image_height=view.height,
        fovy_deg=view.fovy_deg,
        baseline_m=calibration.baseline_m,
        left_camera=left,
        right_camera=right,
    )
    check_contract(spec, robot)


def _places(calibration: StereoCalibration) -> tuple[np.ndarray, np.ndarray]:
    """Poses (4, 4) of the optical frames in the arm's base, left and right; one at least is known.

    The rectified pair's axes are parallel, and the right eye stands the baseline of its P along x: where one
    eye has no place of its own, that gives it.
    """
    step = np.eye(4)
    step[0, 3] = calibration.baseline_m
    left, right = (
        chained(calibration.transforms, BASE_FRAME, frame)
        if _root(calibration, frame) == BASE_FRAME
        else None
        for frame in OPTICAL_FRAMES
    )
    if left is None:
        assert right is not None
        left = right @ np.linalg.inv(step)
    return left, left @ step if right is None else right


def _pose(matrix: np.ndarray) -> CameraPose:
    x, y, z = (float(value) for value in matrix[:3, 3])
    return CameraPose((x, y, z), quaternion_from_rotation(matrix[:3, :3]))
