"""Boards seen through known cameras: every pixel is the mean of rays traced exactly through lens and
plane."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from grasp_calibration.board import BoardConfig
from grasp_calibration.geometry import pose

BOARD = BoardConfig()
SUPERSAMPLING = 3
_TEXTURE_PX_PER_MM = 5.0
_BACKGROUND = 96.0


@dataclass(frozen=True, eq=False)
class Camera:
    """What is known of a camera whose calibration is to be found."""

    focal: float
    cx: float
    cy: float
    distortion: np.ndarray
    width: int = 640
    height: int = 480

    @property
    def k(self) -> np.ndarray:
        return np.array([[self.focal, 0, self.cx], [0, self.focal, self.cy], [0, 0, 1.0]])


@dataclass(frozen=True, eq=False)
class Rig:
    """Two cameras; ``right_from_left`` (4, 4) takes points of the left raw camera's frame to the right's."""

    left: Camera
    right: Camera
    right_from_left: np.ndarray
    _rays: dict = field(default_factory=dict)

    @property
    def baseline_m(self) -> float:
        return float(np.linalg.norm(self.right_from_left[:3, 3]))

    def rays(self, eye: int) -> np.ndarray:
        """Directions (H * s, W * s, 2) at z = 1 of the sub-pixels of one eye, lens undone."""
        if eye not in self._rays:
            self._rays[eye] = _rays((self.left, self.right)[eye])
        return self._rays[eye]

    def pair(self, left_from_board: np.ndarray, rng: np.random.Generator, **options) -> list[np.ndarray]:
        """Both eyes' images of a board in this pose."""
        poses = (left_from_board, self.right_from_left @ left_from_board)
        return [render(self.rays(eye), poses[eye], rng, **options) for eye in (0, 1)]


def random_rig(rng: np.random.Generator) -> Rig:
    """A rig as one might screw it together: no two alike, axes off by a degree or two, lenses distorting."""

    def camera() -> Camera:
        distortion = np.array(
            [rng.uniform(-0.15, 0.08), rng.uniform(-0.05, 0.1), *rng.uniform(-1e-3, 1e-3, 2), 0]
        )
        centre = np.array([319.5, 239.5]) + rng.uniform(-8, 8, 2)
        return Camera(rng.uniform(560, 700), *centre, distortion)

    translation = [-rng.uniform(0.09, 0.15), *rng.uniform(-0.003, 0.003, 2)]
    return Rig(camera(), camera(), pose(rng.uniform(-0.03, 0.03, 3), translation))


def _rays(camera: Camera) -> np.ndarray:
    s = SUPERSAMPLING
    u = (np.arange(camera.width * s) + 0.5) / s - 0.5
    v = (np.arange(camera.height * s) + 0.5) / s - 0.5
    u, v = np.meshgrid(((u - camera.cx) / camera.focal).astype(np.float32), (v - camera.cy) / camera.focal)
    v = v.astype(np.float32)
    k1, k2, p1, p2, _ = camera.distortion.astype(np.float32)
    x, y = u, v
    # The lens model of sensor_msgs/CameraInfo (plumb_bob) undone by fixed-point iteration, without OpenCV.
    for _ in range(8):
        r2 = x * x + y * y
        radial = 1.0 + r2 * (k1 + r2 * k2)
        xy = x * y
        dx = 2 * p1 * xy + p2 * (r2 + 2 * x * x)
        dy = p1 * (r2 + 2 * y * y) + 2 * p2 * xy
        x, y = (u - dx) / radial, (v - dy) / radial
    return np.stack([x, y], axis=-1)


def _texture() -> np.ndarray:
    """The board with a white margin of half a square, as it is printed."""
    picture = BOARD.picture(_TEXTURE_PX_PER_MM)
    margin = round(0.5 * BOARD.square_mm * _TEXTURE_PX_PER_MM)
    return cv2.copyMakeBorder(picture, *[margin] * 4, cv2.BORDER_CONSTANT, value=255).astype(np.float32)


_BOARD_TEXTURE = _texture()


def render(
    rays: np.ndarray,
    camera_from_board: np.ndarray,
    rng: np.random.Generator,
    *,
    noise: float = 2.0,
    blur_px: float = 0.4,
    contrast: float = 0.75,
    motion_px: int = 0,
) -> np.ndarray:
    """A grey image (H, W) uint8 of the board in a pose (4, 4), through a lens that blurs and a noisy
    sensor."""
    s = SUPERSAMPLING
    # The plane z = 0 of the board: a homography from rays to its x and y.
    homography = np.linalg.inv(camera_from_board[:3, [0, 1, 3]])
    x, y, w = (
        (row[0] * rays[..., 0] + row[1] * rays[..., 1] + row[2]).astype(np.float32) for row in homography
    )
    scale = 1e3 * _TEXTURE_PX_PER_MM
    offset = 0.5 * BOARD.square_mm * _TEXTURE_PX_PER_MM - 0.5
    near = np.where(w > 1e-6, w, np.nan)
    map_x, map_y = scale * x / near + offset, scale * y / near + offset
    fine = cv2.remap(
        _BOARD_TEXTURE,
        map_x,
        map_y,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=_BACKGROUND,
    )
    height, width = rays.shape[0] // s, rays.shape[1] // s
    image = fine.reshape(height, s, width, s).mean(axis=(1, 3))
    if motion_px:
        image = cv2.blur(image, (motion_px, 1))
    image = cv2.GaussianBlur(image, (0, 0), blur_px)
    image = 20.0 + contrast * image + rng.normal(0.0, noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def look_at_board(
    rng: np.random.Generator, distance: float, tilt_deg: float, spread: float = 0.2
) -> np.ndarray:
    """A pose (4, 4) of the board in the left camera: facing it, tilted, off the centre by up to
    ``spread``."""
    axis = rng.uniform(0, 2 * np.pi)
    tilt = np.radians(tilt_deg) * np.array([np.cos(axis), np.sin(axis), 0.0])
    roll = pose([0, 0, rng.uniform(-0.5, 0.5)], [0, 0, 0])
    centre = 0.5 * BOARD.square_m * np.array([BOARD.columns, BOARD.rows, 0.0])
    place = [*rng.uniform(-spread, spread, 2) * distance, distance]
    return pose([0, 0, 0], place) @ pose(tilt, [0, 0, 0]) @ roll @ pose([0, 0, 0], -centre)


def projected(camera: Camera, camera_from_board: np.ndarray) -> np.ndarray:
    """Where the board's corners (n, 2) are seen by one camera, px."""
    points = BOARD.corners() @ camera_from_board[:3, :3].T + camera_from_board[:3, 3]
    x, y = (points[:, :2] / points[:, 2:]).T
    k1, k2, p1, p2, _ = camera.distortion
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * k2)
    seen_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    seen_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return np.stack([camera.focal * seen_x + camera.cx, camera.focal * seen_y + camera.cy], axis=1)


def save(folder: Path, name: str, images: list[np.ndarray]) -> None:
    """Both eyes' images into a folder of views."""
    for eye, image in zip(("left", "right"), images, strict=True):
        path = folder / eye / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), image)
