"""Rendered once for all tests: a rig, good views of the board, and the calibration that they give."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rendered import BOARD, Camera, Rig, look_at_board, save

from grasp_calibration.geometry import pose
from grasp_calibration.quality import QualityLimits
from grasp_calibration.stereo import calibrate_stereo
from grasp_calibration.views import judged_views, read_pairs


@pytest.fixture(scope="session")
def rig() -> Rig:
    left = Camera(620.0, 322.0, 236.0, np.array([-0.08, 0.03, 5e-4, -4e-4, 0]))
    right = Camera(612.0, 316.0, 243.0, np.array([-0.06, 0.02, -3e-4, 6e-4, 0]))
    return Rig(left, right, pose([0.01, -0.02, 0.015], [-0.12, 0.002, -0.001]))


@pytest.fixture(scope="session")
def good_poses() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    # Three rows by four columns of places, so that every part of both images sees the board.
    places = [(x, y) for y in (-0.18, 0.0, 0.18) for x in (-0.22, -0.07, 0.09, 0.24)]
    poses = []
    for x, y in places:
        board = look_at_board(rng, 0.5, rng.uniform(20, 40), 0.0)
        board[:2, 3] += 0.5 * np.array([x, y]) + (0.03, 0.0)
        poses.append(board)
    return poses


@pytest.fixture(scope="session")
def good_folder(rig, good_poses, tmp_path_factory) -> Path:
    """Twelve good views on disk; not to be written to."""
    folder = tmp_path_factory.mktemp("views")
    rng = np.random.default_rng(8)
    for index, board in enumerate(good_poses):
        save(folder, f"good_{index:02d}", rig.pair(board, rng))
    return folder


@pytest.fixture(scope="session")
def good_views(good_folder):
    return judged_views(BOARD, QualityLimits(), read_pairs(good_folder))


@pytest.fixture(scope="session")
def good_result(good_views):
    return calibrate_stereo(BOARD, good_views)
