"""Stereo and hand-eye calibration from views of a ChArUco board; the command `grasp-calibrate`."""

from grasp_calibration.board import BoardConfig
from grasp_calibration.errors import CalibrationRefusedError
from grasp_calibration.hand_eye import HandEyeResult, calibrate_hand_eye
from grasp_calibration.stereo import StereoResult, calibrate_stereo

__all__ = [
    "BoardConfig",
    "CalibrationRefusedError",
    "HandEyeResult",
    "StereoResult",
    "calibrate_hand_eye",
    "calibrate_stereo",
]
