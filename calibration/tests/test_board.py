"""Where the board's corners are found, against where they are."""

import numpy as np
import pytest
from rendered import BOARD, Camera, Rig, projected

from grasp_calibration.board import detect
from grasp_calibration.geometry import pose


@pytest.mark.parametrize("roll_deg", [0, 45, 90])
def test_corners_of_a_board_tilted_about_a_diagonal_are_not_drawn_to_the_markers(rig: Rig, roll_deg):
    rng = np.random.default_rng(roll_deg)
    centre = 0.5 * BOARD.square_m * np.array([BOARD.columns, BOARD.rows, 0.0])
    diagonal = np.radians(55) * np.array([np.sqrt(0.5), np.sqrt(0.5), 0.0])
    board = (
        pose([0, 0, np.radians(roll_deg)], [0.05, 0, 0.4])
        @ pose(diagonal, [0, 0, 0])
        @ pose([0, 0, 0], -centre)
    )
    for image, camera, place in zip(
        rig.pair(board, rng), (rig.left, rig.right), (board, rig.right_from_left @ board), strict=True
    ):
        assert_found(detect(BOARD, image), camera, place)


def assert_found(found, camera: Camera, board: np.ndarray) -> None:
    assert len(found.ids) > 20
    errors_px = np.linalg.norm(found.points - projected(camera, board)[found.ids], axis=1)
    assert np.sqrt(np.mean(errors_px**2)) < 0.12
    assert errors_px.max() < 0.4
