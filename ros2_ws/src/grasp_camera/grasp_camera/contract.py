"""The calibrated cameras against the contract of a policy file. No ROS in it."""

from __future__ import annotations

from dataclasses import replace

from grasp_camera.errors import CalibrationFileError
from grasp_camera.extrinsics import chained
from grasp_camera.rectification import NominalView
from grasp_camera.stereo_calibration import BASE_FRAME, OPTICAL_FRAMES, StereoCalibration
from grasp_policy.policy_spec import CameraPose, PolicySpec, check_contract
from grasp_policy.workcell_contract import quaternion_from_rotation, workcell_contract

__all__ = ["check_cameras", "has_hand_eye"]


def has_hand_eye(calibration: StereoCalibration) -> bool:
    """Whether the cameras' place in the arm's base frame is known."""
    try:
        chained(calibration.transforms, BASE_FRAME, OPTICAL_FRAMES[0])
    except CalibrationFileError:
        return False
    return True


def check_cameras(spec: PolicySpec, calibration: StereoCalibration, view: NominalView) -> None:
    """Hold the calibrated pair against what a policy was trained with: image size, field of view, baseline,
    and the cameras' places where hand-eye calibration has told them.

    Raises:
        PolicyFileError: names the field that differs, its value in the policy and the calibrated one.
    """
    robot = replace(
        workcell_contract(),
        # What is no camera's business is the policy node's: here it agrees with itself.
        joint_names=spec.joint_names,
        joint_lower=spec.joint_lower,
        joint_upper=spec.joint_upper,
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
