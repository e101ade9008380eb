"""Views of the board by known cameras, from pictures or from exact projection; and an arm that holds it."""

from __future__ import annotations

import numpy as np
from rendered import BOARD, Rig, look_at_board, projected

from grasp_calibration.board import Detection
from grasp_calibration.geometry import inverse, pose
from grasp_calibration.quality import QualityLimits
from grasp_calibration.views import Pair, PairViews, StereoImages, judged_views

BASE_FROM_RAW_CAMERA = pose([-1.9, 0.3, 0.2], [1.15, -0.5, 0.5])
"""where the left raw camera stands"""
CORNER_NOISE_PX = 0.08
"""of corners in either direction; twice what those found in rendered pictures have, and more"""


def stereo_poses(rng: np.random.Generator) -> list[np.ndarray]:
    return [look_at_board(rng, rng.uniform(0.35, 0.7), rng.uniform(10, 45), 0.3) for _ in range(30)]


def arm_views(rng: np.random.Generator) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Poses of the board in the camera, and what the arm says its link's are: off by its repeatability."""
    link_from_board = pose(rng.uniform(-1, 1, 3), rng.uniform(-0.05, 0.05, 3))
    boards = [look_at_board(rng, rng.uniform(0.6, 0.9), rng.uniform(5, 40), 0.2) for _ in range(20)]
    said = {}
    for index, board in enumerate(boards):
        wobble = pose(rng.normal(0, np.radians(0.01), 3), rng.normal(0, 5e-5, 3))
        said[f"{index}"] = BASE_FROM_RAW_CAMERA @ board @ inverse(link_from_board) @ wobble
    return boards, said


def seen_in_pictures(rig: Rig, boards: list[np.ndarray], rng: np.random.Generator) -> PairViews:
    images = ((str(index), rig.pair(board, rng)) for index, board in enumerate(boards))
    pairs = (StereoImages(name, (left, right)) for name, (left, right) in images)
    return judged_views(BOARD, QualityLimits(), pairs)


def seen_by_projection(rig: Rig, boards: list[np.ndarray], rng: np.random.Generator) -> PairViews:
    pairs = []
    for index, board in enumerate(boards):
        eyes = []
        for camera, place in ((rig.left, board), (rig.right, rig.right_from_left @ board)):
            points = projected(camera, place) + rng.normal(0, CORNER_NOISE_PX, (BOARD.corner_count, 2))
            inside = ((points > 3) & (points < np.array([camera.width, camera.height]) - 4)).all(axis=1)
            eyes.append(Detection(np.flatnonzero(inside), points[inside]))
        pair = Pair(str(index), (eyes[0], eyes[1]))
        if len(pair.common()[0]) >= QualityLimits().least_corners:
            pairs.append(pair)
    return PairViews((rig.left.width, rig.left.height), tuple(pairs), ())
