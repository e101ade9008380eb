"""The calibrated cameras against the contract of a policy file. No ROS in it."""

from __future__ import annotations

from dataclasses import replace

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
        left_camera=_pose(spec.left_camera, calibration, OPTICAL_FRAMES[0]),
        right_camera=_pose(spec.right_camera, calibration, OPTICAL_FRAMES[1]),
    )
    check_contract(spec, robot)


def _pose(nominal: CameraPose, calibration: StereoCalibration, frame: str) -> CameraPose:
    if not has_hand_eye(calibration):
        return nominal
    matrix = chained(calibration.transforms, BASE_FRAME, frame)
    x, y, z = (float(value) for value in matrix[:3, 3])
    return CameraPose((x, y, z), quaternion_from_rotation(matrix[:3, :3]))
