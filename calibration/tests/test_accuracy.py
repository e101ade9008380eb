"""Against known cameras: focal length within 0.5 %, baseline within 0.5 mm, hand-eye within 1 mm and 0.1
degrees.

All 20 seeds run on corners projected exactly, with more noise than corners found in pictures have. The first
also runs on pictures rendered here, through lenses that distort, from pixels to result;
GRASP_CALIBRATION_SEEDS=20 renders them all (minutes). Pictures by MuJoCo, whose lenses are perfect, are in
test_accuracy_in_mujoco.py.
"""

import os

import numpy as np
import pytest
from rendered import BOARD, Rig, random_rig
from synthetic_views import (
    BASE_FROM_RAW_CAMERA,
    arm_views,
    seen_by_projection,
    seen_in_pictures,
    stereo_poses,
)

from grasp_calibration.geometry import angle_deg, inverse
from grasp_calibration.hand_eye import calibrate_hand_eye
from grasp_calibration.stereo import StereoResult, calibrate_stereo

SEEDS = range(20)
RENDERED_SEEDS = range(int(os.environ.get("GRASP_CALIBRATION_SEEDS", "1")))


def assert_stereo_is_found(result: StereoResult, rig: Rig) -> None:
    for found, true in zip(result.calibration.cameras, (rig.left, rig.right), strict=True):
        assert found.k[0, 0] == pytest.approx(true.focal, rel=0.005)
        assert found.k[1, 1] == pytest.approx(true.focal, rel=0.005)
    assert result.calibration.baseline_m == pytest.approx(rig.baseline_m, abs=0.0005)


def assert_hand_eye_is_found(base_from_camera: np.ndarray, result: StereoResult) -> None:
    raw_from_rectified = np.eye(4)
    raw_from_rectified[:3, :3] = result.calibration.left.r.T
    error = base_from_camera @ inverse(BASE_FROM_RAW_CAMERA @ raw_from_rectified)
    assert angle_deg(error[:3, :3]) < 0.1
    found = base_from_camera @ inverse(raw_from_rectified)
    assert np.linalg.norm(found[:3, 3] - BASE_FROM_RAW_CAMERA[:3, 3]) < 0.001


@pytest.mark.parametrize("seed", SEEDS)
def test_known_cameras_are_found_from_projected_corners(seed):
    rng = np.random.default_rng(seed)
    rig = random_rig(rng)
    stereo = calibrate_stereo(BOARD, seen_by_projection(rig, stereo_poses(rng), rng))
    assert_stereo_is_found(stereo, rig)
    boards, said = arm_views(rng)
    found = calibrate_hand_eye(BOARD, seen_by_projection(rig, boards, rng), stereo.calibration, said)
    assert_hand_eye_is_found(found.base_from_camera, stereo)


@pytest.mark.slow
@pytest.mark.parametrize("seed", RENDERED_SEEDS)
def test_known_cameras_are_found_from_rendered_pictures(seed):
    rng = np.random.default_rng(seed)
    rig = random_rig(rng)
    stereo = calibrate_stereo(BOARD, seen_in_pictures(rig, stereo_poses(rng), rng))
    assert_stereo_is_found(stereo, rig)
    boards, said = arm_views(rng)
    found = calibrate_hand_eye(BOARD, seen_in_pictures(rig, boards, rng), stereo.calibration, said)
    assert_hand_eye_is_found(found.base_from_camera, stereo)
    assert found.reprojection_rms_px < 0.3
