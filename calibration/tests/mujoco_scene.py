"""Known cameras, the robot with a board on its last link, and their pictures, all by MuJoCo.

The pictures are those of MuJoCo Warp's ray tracer, the arm's kinematics those of the URDF. Of the calibration
only the board's drawing and the plain algebra of transforms are used: a frame, a unit or a sign that it has
wrong shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import mujoco
import numpy as np
from rendered import BOARD

from grasp_calibration.geometry import inverse, pose
from grasp_description.cameras import STEREO_RIG
from grasp_description.urdf import urdf_text

SIZE = (640, 480)
LINK = "lbr_link_7"
ARM_JOINTS = tuple(f"lbr_A{number}" for number in range(1, 8))
_PIXEL_M = 1e-5
_TEXTURE_PX_PER_MM = 4.0
_NOISE = 2.0
# MuJoCo's cameras and planes are x right, y up; optical frames and the board x right, y down.
_Y_UP = pose([np.pi, 0, 0], [0, 0, 0])
_MARGIN_PX = 8


@dataclass(frozen=True, eq=False)
class KnownCameras:
    """Two pinhole cameras, left and right."""

    focal_px: tuple[float, float]
    """px, of each eye; pixels are square"""
    shift_px: np.ndarray
    """(2, 2) px, each eye's principal point from the image's middle: right, down"""
    base_from_eye: np.ndarray
    """(2, 4, 4) poses of the optical frames, base frame"""

    @property
    def baseline_m(self) -> float:
        return float(np.linalg.norm(self.base_from_eye[1, :3, 3] - self.base_from_eye[0, :3, 3]))

    def see(self, points: np.ndarray) -> bool:
        """Whether both see all points (n, 3), base frame."""
        for pose_of_eye, focal, shift in zip(self.base_from_eye, self.focal_px, self.shift_px, strict=True):
            x, y, z = (inverse(pose_of_eye) @ np.hstack([points, np.ones((len(points), 1))]).T)[:3]
            places = focal * np.stack([x, y]) / z + shift[:, None] + 0.5 * np.array(SIZE)[:, None]
            bounds = np.array(SIZE)[:, None] - _MARGIN_PX
            if not ((z > 0.1) & (places > _MARGIN_PX) & (places < bounds)).all():
                return False
        return True


def random_cameras(rng: np.random.Generator) -> KnownCameras:
    """Where the workcell has its cameras, as somebody's hands would put them there."""
    poses = np.tile(np.eye(4), (2, 1, 1))
    for index, position in enumerate(STEREO_RIG.positions()):
        poses[index, :3, :3] = STEREO_RIG.optical_rotation()
        poses[index, :3, 3] = position
        poses[index] = poses[index] @ pose(rng.uniform(-0.02, 0.02, 3), rng.uniform(-0.005, 0.005, 3))
    return KnownCameras(tuple(rng.uniform(560, 640, 2)), rng.uniform(-8, 8, (2, 2)), poses)


class Photographer:
    """Takes pictures of a board."""

    def __init__(self, cameras: KnownCameras) -> None:
        import warp

        warp.config.log_level = warp.LOG_WARNING
        import mujoco_warp

        self.cameras, self._warp, self._mjw = cameras, warp, mujoco_warp
        model = _picture_model(cameras)
        with warp.ScopedDevice("cpu"):
            self._model, self._data = mujoco_warp.put_model(model), mujoco_warp.make_data(model)
            self._context = mujoco_warp.create_render_context(
                model,
                cam_res=SIZE,
                render_rgb=True,
                render_depth=False,
                samples_per_pixel=2,
                enable_specular=False,
                enable_emission=False,
            )
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        for name in ("cam_xpos", "cam_xmat", "geom_xpos", "geom_xmat", "light_xpos", "light_xdir"):
            array = getattr(self._data, name).numpy()
            array[:] = getattr(data, name).reshape(array.shape)

    def pair(self, base_from_board: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
        """Both eyes' noisy grey images (H, W) uint8 of the board in a pose (4, 4), base frame."""
        middle = 0.5 * BOARD.square_m * np.array([BOARD.columns, BOARD.rows, 0.0])
        plane = base_from_board @ pose([0, 0, 0], middle) @ _Y_UP
        self._data.geom_xpos.numpy()[0, 0] = plane[:3, 3]
        self._data.geom_xmat.numpy()[0, 0] = plane[:3, :3]
        with self._warp.ScopedDevice("cpu"):
            self._mjw.refit_bvh(self._model, self._data, self._context)
            self._mjw.render(self._model, self._data, self._context)
        packed = self._context.rgb_data.numpy().view(np.uint8).reshape(2, SIZE[1], SIZE[0], 4)
        # Red, green and blue are the same: the board and its light are grey.
        seen = 20.0 + 0.75 * packed[..., 0] + rng.normal(0.0, _NOISE, packed.shape[:3])
        return list(np.clip(seen, 0, 255).astype(np.uint8))


def _picture_model(cameras: KnownCameras) -> mujoco.MjModel:
    picture = BOARD.picture(_TEXTURE_PX_PER_MM)
    margin = round(0.5 * BOARD.square_mm * _TEXTURE_PX_PER_MM)
    picture = cv2.copyMakeBorder(picture, *[margin] * 4, cv2.BORDER_CONSTANT, value=255)
    spec = mujoco.MjSpec()
    spec.visual.headlight.ambient = [0.6, 0.6, 0.6]
    spec.visual.headlight.diffuse = [0.3, 0.3, 0.3]
    texture = spec.add_texture(
        name="board",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=picture.shape[1],
        height=picture.shape[0],
        nchannel=3,
    )
    texture.data = np.repeat(picture[..., None], 3, axis=2).tobytes()
    material = spec.add_material(name="board")
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "board"
    half = [5e-4 * BOARD.square_mm * (count + 1) for count in (BOARD.columns, BOARD.rows)]
    spec.worldbody.add_body().add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[*half, 0.01], material="board")
    for place, focal, shift in zip(cameras.base_from_eye, cameras.focal_px, cameras.shift_px, strict=True):
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, (place @ _Y_UP)[:3, :3].ravel())
        spec.worldbody.add_camera(
            pos=place[:3, 3],
            quat=quaternion,
            resolution=SIZE,
            sensor_size=_PIXEL_M * np.array(SIZE),
            focal_length=[_PIXEL_M * focal] * 2,
            # MuJoCo counts the shift of the image, not of the point in it.
            principal_length=-_PIXEL_M * shift,
        )
    return spec.compile()


class Arm:
    """The robot by its URDF, with a board on its last link."""

    def __init__(self, link_from_board: np.ndarray) -> None:
        spec = mujoco.MjSpec.from_string(urdf_text())
        spec.compiler.fusestatic = False
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, link_from_board[:3, :3].ravel())
        spec.body(LINK).add_body(name="board", pos=link_from_board[:3, 3], quat=quaternion)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._joints = [self._model.joint(name) for name in ARM_JOINTS]

    def base_from_board(self, positions: np.ndarray) -> np.ndarray:
        """Pose (4, 4) of the board with the arm's joints at these positions (7,), rad."""
        for joint, position in zip(self._joints, positions, strict=True):
            self._data.qpos[joint.qposadr] = position
        mujoco.mj_kinematics(self._model, self._data)
        base, board = (self._data.body(name) for name in ("lbr_link_0", "board"))
        poses = np.tile(np.eye(4), (2, 1, 1))
        for matrix, body in zip(poses, (base, board), strict=True):
            matrix[:3, :3], matrix[:3, 3] = body.xmat.reshape(3, 3), body.xpos
        return inverse(poses[0]) @ poses[1]

    def showing(self, cameras: KnownCameras, count: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Joint positions (7,), rad, that show the whole board to both cameras, near and not too oblique."""
        low, high = np.array([joint.range for joint in self._joints]).T
        found: list[np.ndarray] = []
        for _ in range(500_000):
            positions = rng.uniform(0.9 * low, 0.9 * high)
            board = self.base_from_board(positions)
            left_from_board = inverse(cameras.base_from_eye[0]) @ board
            near = 0.4 < left_from_board[2, 3] < 0.8 and left_from_board[2, 2] > np.cos(np.radians(45))
            corners = BOARD.corners() @ board[:3, :3].T + board[:3, 3]
            if near and cameras.see(corners):
                found.append(positions)
                if len(found) == count:
                    return found
        raise AssertionError(f"only {len(found)} of {count} positions show the board")
