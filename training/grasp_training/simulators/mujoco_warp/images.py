"""Images of all worlds by MuJoCo Warp's ray tracer, straight from the arrays that physics steps."""

from typing import Any

import mujoco
import mujoco_warp
import torch
import warp

from grasp_description.cameras import CAMERA_NAMES, StereoRig
from grasp_description.slots import SlotModel
from grasp_training.rotations import rotation_from_quaternion
from grasp_training.simulators.base import Appearance
from grasp_training.simulators.mujoco_warp.devices import WarpDevice

VARIED_FIELDS = ("geom_rgba", "light_diffuse")
"""Fields of MuJoCo Warp's model that each world needs for itself to look like no other."""


class WorldImages:
    """Renders colour of both cameras, or depth of the left one.

    To be made and used within ``WarpDevice.active``.

    Args:
        device: where the worlds are.
        scene: the scene.
        worlds: MuJoCo Warp's model and data; the model has the ``VARIED_FIELDS`` by world.
        geoms: (s,) the object's geoms.
        rig: the cameras.
        depth: whether to give depth, instead of colour.
    """

    def __init__(
        self,
        device: WarpDevice,
        scene: SlotModel,
        worlds: tuple[Any, Any],
        geoms: torch.Tensor,
        rig: StereoRig,
        depth: bool = False,
    ):
        self._device, self._rig, self._geoms = device, rig, geoms
        self._model, self._data = worlds
        self._source = torch.as_tensor(scene.source, device=device.device)
        self._context = mujoco_warp.create_render_context(
            scene.model,
            nworld=self._data.nworld,
            cam_res=(rig.width, rig.height),
            render_rgb=not depth,
            render_depth=depth,
            cam_active=[0] if depth else [0, 1],
            use_textures=False,
            use_shadows=False,
            enabled_geom_groups=list(range(mujoco.mjNGROUP)),
        )
        self._drawn = warp.to_torch(self._context.depth_data if depth else self._context.rgb_data)
        self._is_depth = depth
        model, data = self._model, self._data
        self._rgba, self._diffuse = warp.to_torch(model.geom_rgba), warp.to_torch(model.light_diffuse)
        self._slot_position = warp.to_torch(model.geom_pos)
        self._slot_quaternion = warp.to_torch(model.geom_quat)
        self._position, self._rotation = warp.to_torch(data.geom_xpos), warp.to_torch(data.geom_xmat)
        self._shown = {
            name: warp.to_torch(getattr(data, name))
            for name in ("cam_xpos", "cam_xmat", "light_xpos", "light_xdir")
        }
        # Physics writes nominal cameras and lights into its data each step; what is to be seen is kept here.
        self._wanted = {name: tensor.clone() for name, tensor in self._shown.items()}
        self._nominal(scene.model)
        self._trace()
        self._run = device.captured(self._trace)

    def _nominal(self, model: mujoco.MjModel) -> None:
        device, rig, wanted = self._device.device, self._rig, self._wanted
        for name, value in (
            ("cam_xpos", rig.positions()),
            ("cam_xmat", rig.rotation()),
            ("light_xpos", model.light_pos),
            ("light_xdir", model.light_dir),
        ):
            wanted[name][:] = torch.as_tensor(value, dtype=torch.float32, device=device)

    def _trace(self) -> None:
        mujoco_warp.refit_bvh(self._model, self._data, self._context)
        mujoco_warp.render(self._model, self._data, self._context)

    def randomize(self, env_ids: torch.Tensor, looks: Appearance) -> None:
        """As ``Simulator.randomize_appearance``."""
        self._rgba[env_ids] = looks.geom_rgba[:, self._source]
        self._diffuse[env_ids, 0] = looks.light_diffuse
        self._wanted["cam_xpos"][env_ids] = looks.camera_position
        self._wanted["cam_xmat"][env_ids] = looks.camera_rotation
        self._wanted["light_xpos"][env_ids, 0] = looks.light_position
        self._wanted["light_xdir"][env_ids, 0] = looks.light_direction

    def render(self, object_pose: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
        """Colour or depth as of ``Simulator.render``; poses of geoms are current. The tensor is a copy."""
        for name, tensor in self._wanted.items():
            self._shown[name].copy_(tensor)
        if object_pose is None:
            self._draw()
        else:
            self._draw_elsewhere(*object_pose)
        n, height, width = self._data.nworld, self._rig.height, self._rig.width
        if self._is_depth:
            return self._drawn.view(n, 1, height, width).clone()
        # Each pixel is one number 0xAARRGGBB, least significant byte first.
        bytes_of = self._drawn.view(torch.uint8).view(n, len(CAMERA_NAMES), height, width, 4)
        return bytes_of[..., :3].flip(-1)

    def _draw(self) -> None:
        with self._device.active():
            self._run()

    def _draw_elsewhere(self, position: torch.Tensor, quaternion: torch.Tensor) -> None:
        """Draw with the objects at other poses, and put them back."""
        geoms, rotation = self._geoms, rotation_from_quaternion(quaternion)[:, None]
        place = self._slot_position[:, geoms]
        turn = rotation_from_quaternion(self._slot_quaternion[:, geoms])
        before = self._position[:, geoms], self._rotation[:, geoms]
        self._position[:, geoms] = position[:, None] + (rotation @ place[..., None])[..., 0]
        self._rotation[:, geoms] = rotation @ turn
        self._draw()
        self._position[:, geoms], self._rotation[:, geoms] = before
