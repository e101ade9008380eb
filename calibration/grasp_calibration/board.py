"""The ChArUco board: its measures, its picture, and finding it in an image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

__all__ = ["BoardConfig", "Detection", "detect", "neighbours"]

_FINER = 1.5
"""pixels of the flat picture that corners are refined in, for one of the image"""
_MOST_FLAT_PX = 5000
"""of that picture's sides together; a board so near is sampled coarser"""
_MOST_WINDOW_PX = 15
"""half side of the windows that corners are refined in"""


@dataclass(frozen=True)
class BoardConfig:
    """A ChArUco board. Its frame: origin in the corner of the first square, x along the columns, y along the
    rows, z into the board, as OpenCV defines it."""

    columns: int = 9
    """Squares along x."""
    rows: int = 7
    """Squares along y."""
    square_mm: float = 30.0
    """mm, side of a square, measured on the printed board: every length in the result scales with it."""
    marker_mm: float = 22.0
    """mm, side of a marker."""
    dictionary: str = "DICT_5X5_100"
    """OpenCV's name of the markers' dictionary."""
    legacy: bool = False
    """Pattern of OpenCV before 4.6: other than today's where the number of rows is even."""

    def __post_init__(self) -> None:
        if self.columns < 3 or self.rows < 3:
            raise ValueError(f"board has {self.columns}x{self.rows} squares; expected at least 3x3")
        if not 0.0 < self.marker_mm < self.square_mm:
            raise ValueError(
                f"board has markers of {self.marker_mm} mm in squares of {self.square_mm} mm; expected "
                "smaller ones"
            )
        if not hasattr(cv2.aruco, self.dictionary) or not self.dictionary.startswith("DICT_"):
            raise ValueError(f"dictionary is {self.dictionary!r}; expected a name such as DICT_5X5_100")

    @property
    def square_m(self) -> float:
        """m, side of a square."""
        return 1e-3 * self.square_mm

    @property
    def corner_count(self) -> int:
        """Corners between four squares: what is found and measured."""
        return (self.columns - 1) * (self.rows - 1)

    def corners(self) -> np.ndarray:
        """Positions (n, 3) of the inner corners by their ids, m, board frame."""
        x, y = np.meshgrid(np.arange(1, self.columns), np.arange(1, self.rows))
        flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
        return self.square_m * flat

    def picture(self, px_per_mm: float = 11.811) -> np.ndarray:
        """The board as a grey image (H, W) uint8 to print; 11.811 px/mm are 300 dpi."""
        pixels = (
            round(self.columns * self.square_mm * px_per_mm),
            round(self.rows * self.square_mm * px_per_mm),
        )
        return _opencv_board(self).generateImage(pixels, marginSize=0)


@dataclass(frozen=True, eq=False)
class Detection:
    """The board's corners in one image."""

    ids: np.ndarray
    """(n,) ids of corners, ascending"""
    points: np.ndarray
    """(n, 2) their places, px, pixel centres at integer coordinates"""


@cache
def _opencv_board(config: BoardConfig) -> cv2.aruco.CharucoBoard:
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, config.dictionary))
    size = (config.columns, config.rows)
    board = cv2.aruco.CharucoBoard(size, config.square_m, 1e-3 * config.marker_mm, dictionary)
    board.setLegacyPattern(config.legacy)
    return board


@cache
def _detector(config: BoardConfig) -> cv2.aruco.CharucoDetector:
    return cv2.aruco.CharucoDetector(_opencv_board(config))


def detect(config: BoardConfig, image: np.ndarray) -> Detection:
    """Find the board's corners in an image.

    Args:
        image: uint8, grey (H, W) or colour (H, W, 3).

    Returns:
        What was found; without corners if there is no such board.
    """
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    corners, ids, _, _ = _detector(config).detectBoard(grey)
    if ids is None or len(ids) == 0:
        return Detection(np.zeros(0, int), np.zeros((0, 2)))
    ids = np.asarray(ids).reshape(-1).astype(int)
    points = _refined(config, grey, ids, np.asarray(corners, np.float32).reshape(-1, 2))
    order = np.argsort(ids)
    return Detection(ids[order], points[order].astype(float))


def _refined(config: BoardConfig, grey: np.ndarray, ids: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Corners to a few hundredths of a pixel.

    Refined in a picture in which the board lies flat, turned by 45 degrees: there the corners of the markers,
    which would draw a corner towards them, lie above, below and beside it, so that the largest window clear
    of them is an upright square, the same for all. In the camera's image a board tilted about a diagonal
    brings them far nearer than its squares' sides tell.
    """
    corners = config.corners()[ids, :2]
    if np.linalg.matrix_rank(corners - corners.mean(axis=0), tol=1e-6) < 2:
        return points
    found = cv2.findHomography(corners, points)[0] if len(ids) >= 4 else None
    if found is None or np.linalg.matrix_rank(found) < 3:
        return points
    corner, scale = _turned(config, _px_per_m(config, ids, found))
    image_from_flat = found @ np.linalg.inv(corner)
    marker_m = np.sqrt(0.5) * (config.square_m - 1e-3 * config.marker_mm)
    # A pixel of the image less, since markers are blurred too.
    half = int(np.clip(np.floor(marker_m * scale - _FINER), 2, _MOST_WINDOW_PX))
    side = round(np.sqrt(0.5) * scale * config.square_m * (config.columns + config.rows))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    flat = cv2.warpPerspective(
        grey, image_from_flat, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 60, 1e-4)
    start = _mapped(np.linalg.inv(image_from_flat), points).astype(np.float32)
    if not ((start >= 0) & (start < side)).all():
        # These are not the corners of one plane.
        return points
    refined = cv2.cornerSubPix(flat, start.reshape(-1, 1, 2), (half, half), (-1, -1), criteria)
    return _mapped(image_from_flat, refined)


def _turned(config: BoardConfig, px_per_m: float) -> tuple[np.ndarray, float]:
    """From the board's plane (m) to the flat picture (px), turned by 45 degrees; and that picture's px/m."""
    width, height = config.square_m * config.columns, config.square_m * config.rows
    scale = min(_FINER * px_per_m, _MOST_FLAT_PX / (width + height))
    part = np.sqrt(0.5) * scale
    return np.array([[part, -part, part * height], [part, part, 0.0], [0.0, 0.0, 1.0]]), scale


def _px_per_m(config: BoardConfig, ids: np.ndarray, image_from_board: np.ndarray) -> float:
    """The finest scale that the image shows the board in, at any corner and in any of four directions."""
    corners, step_m = config.corners()[ids, :2], 1e-3
    steps = step_m * np.array([(1.0, 0.0), (0.0, 1.0), (0.7, 0.7), (0.7, -0.7)])
    middle = _mapped(image_from_board, corners)
    lengths = [np.linalg.norm(_mapped(image_from_board, corners + step) - middle, axis=1) for step in steps]
    return float(np.max(lengths)) / step_m


def _mapped(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (n, 2) through a homography (3, 3)."""
    return cv2.perspectiveTransform(np.asarray(points, float).reshape(-1, 1, 2), homography).reshape(-1, 2)


def neighbours(
    config: BoardConfig, ids: np.ndarray, points: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Both ends (m, 2), (m, 2) of the edges between neighbouring corners: along the rows, along the
    columns."""
    places = {int(one): point for one, point in zip(ids, points, strict=True)}
    width = config.columns - 1
    found = []
    for step in (1, width):
        pairs = [
            (places[one], places[one + step])
            for one in places
            if one + step in places and (step > 1 or (one % width) + 1 < width)
        ]
        ends = np.array(pairs, float).reshape(-1, 2, 2)
        found.append((ends[:, 0], ends[:, 1]))
    return found
