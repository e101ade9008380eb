"""The command, from pictures that MuJoCo renders to files: focal length within 0.5 %, baseline within 0.5 mm,
hand-eye within 1 mm and 0.1 degrees.

The board is held by hand for the stereo calibration and by the arm for hand-eye, whose joints are off by what
they repeat to. One seed by default; GRASP_CALIBRATION_SEEDS=20 runs as many, and -s shows their errors.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from mujoco_scene import ARM_JOINTS, LINK, Arm, KnownCameras, Photographer, random_cameras
from rendered import look_at_board, save

from grasp_calibration.cli import main
from grasp_calibration.geometry import angle_deg, inverse, pose
from grasp_camera.extrinsics import chained
from grasp_camera.stereo_calibration import BASE_FRAME, OPTICAL_FRAMES, StereoCalibration, read_stereo

SEEDS = range(int(os.environ.get("GRASP_CALIBRATION_SEEDS", "1")))
HELD_BY_HAND, HELD_BY_ARM = 20, 12
JOINT_NOISE_RAD = 5e-5


def take_stereo_views(folder: Path, photographer: Photographer, rng: np.random.Generator) -> None:
    cameras = photographer.cameras
    for index in range(HELD_BY_HAND):
        board = look_at_board(rng, rng.uniform(0.33, 0.5), rng.uniform(20, 50), 0.25)
        save(folder, f"{index:02d}", photographer.pair(cameras.base_from_eye[0] @ board, rng))


def take_arm_views(folder: Path, photographer: Photographer, rng: np.random.Generator) -> None:
    mounted = pose([np.pi, *rng.uniform(-0.2, 0.2, 2)], [-0.13, 0.1, 0.08])
    arm = Arm(mounted)
    views = {}
    for index, positions in enumerate(arm.showing(photographer.cameras, HELD_BY_ARM, rng)):
        save(folder, f"{index:02d}", photographer.pair(arm.base_from_board(positions), rng))
        said = positions + rng.normal(0.0, JOINT_NOISE_RAD, len(positions))
        views[f"{index:02d}"] = {"joint_position_rad": dict(zip(ARM_JOINTS, said.tolist(), strict=True))}
    document = {"base": BASE_FRAME, "link": LINK, "views": views}
    (folder / "poses.yaml").write_text(yaml.safe_dump(document))


def base_from_raw_left(calibration: StereoCalibration) -> np.ndarray:
    """The raw left camera's pose (4, 4) by the files: the rectified frame turned back."""
    raw_from_rectified = np.eye(4)
    raw_from_rectified[:3, :3] = calibration.left.r.T
    return chained(calibration.transforms, BASE_FRAME, OPTICAL_FRAMES[0]) @ inverse(raw_from_rectified)


def calibrated(folder: Path, cameras: KnownCameras, rng: np.random.Generator) -> StereoCalibration:
    files, photographer = folder / "files", Photographer(cameras)
    for name, take in (("stereo", take_stereo_views), ("arm", take_arm_views)):
        (folder / name).mkdir()
        take(folder / name, photographer, rng)
    assert main(["stereo", str(folder / "stereo"), "--output", str(files)]) == 0
    assert main(["hand-eye", str(folder / "arm"), "--calibration", str(files)]) == 0
    return read_stereo(files)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_known_cameras_are_found_from_pictures_by_mujoco(seed, tmp_path):
    rng = np.random.default_rng(seed)
    cameras = random_cameras(rng)
    found = calibrated(tmp_path, cameras, rng)
    focal = max(
        abs(camera.k[axis, axis] / true - 1.0)
        for camera, true in zip(found.cameras, cameras.focal_px, strict=True)
        for axis in (0, 1)
    )
    error = inverse(cameras.base_from_eye[0]) @ base_from_raw_left(found)
    errors = {
        "% focal length": 100 * focal,
        "mm baseline": 1e3 * abs(found.baseline_m - cameras.baseline_m),
        "mm place": 1e3 * float(np.linalg.norm(error[:3, 3])),
        "degrees rotation": angle_deg(error[:3, :3]),
    }
    print(f"seed {seed}:", ", ".join(f"{value:.4f} {name}" for name, value in errors.items()))
    limits = (0.5, 0.5, 1.0, 0.1)
    beyond = {
        name: value for (name, value), limit in zip(errors.items(), limits, strict=True) if value > limit
    }
    assert beyond == {}
