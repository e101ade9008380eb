"""The default backend: ``mujoco.batch`` on a thread pool, images by MuJoCo Warp's ray tracer on the CPU."""

import dataclasses

import mujoco
import numpy as np
import torch
from mujoco.batch import Batch

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.objects import ObjectSpec, pack
from grasp_description.rendering import SceneState, StereoRenderer
from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_description.scene import (
    DEFAULT_SCENE,
    OBJECT_BODY,
    OBJECT_GEOMS,
    TABLE_GEOM,
    TOUCH_SENSORS,
    SceneConfig,
    build_model,
    object_fields,
)
from grasp_training.rotations import rotation_from_quaternion
from grasp_training.simulators.base import LINKS, Appearance, ResetState, SimulatorState

_JOINTS = len(JOINT_NAMES)


class MujocoSimulator:
    """A batch of MuJoCo simulations (see ``Simulator``); results do not depend on the number of threads.

    Args:
        num_envs: number of simulations.
        objects: the objects that resets choose from.
        substeps: physics steps a control step.
        images: whether ``render`` will be used; keeps the poses of all geoms at hand.
        depth: whether ``render`` gives depth too, of the left camera.
        rgb: whether ``render`` gives colour.
        threads: threads of physics and of rendering.
        rig: the cameras.
        depth_rig: the cameras with the size of depth images, where it is another.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        num_envs: int,
        objects: tuple[ObjectSpec, ...],
        substeps: int = 4,
        images: bool = False,
        depth: bool = False,
        rgb: bool = True,
        threads: int = 2,
        scene: SceneConfig = DEFAULT_SCENE,
        rig: StereoRig = STEREO_RIG,
        depth_rig: StereoRig | None = None,
    ):
        if num_envs < 1:
            raise ValueError(f"MujocoSimulator got num_envs={num_envs}; expected at least 1")
        self.num_envs, self.objects, self.substeps = num_envs, objects, substeps
        self.model = build_model(scene, rig)
        self._rig = rig
        self._batch = Batch(self.model, nsim=num_envs, nthread=threads, persistent=True)
        self._qpos, self._qvel, self._ctrl = (self._batch.bind(name) for name in ("qpos", "qvel", "ctrl"))
        self._xpos, self._xmat, self._sensors = (
            self._batch.bind(name) for name in ("xpos", "xmat", "sensordata")
        )
        self._links = [self.model.body(name).id for name in LINKS]
        self._touch = [self.model.sensor(name).adr[0] for name in TOUCH_SENSORS]
        self._slots = [self.model.geom(name).id for name in OBJECT_GEOMS]
        self._body = self.model.body(OBJECT_BODY).id
        self._fields = object_fields(pack(objects))
        self._expanded = {name: self._batch.expand(name) for name in self._fields}
        self._friction = self._batch.expand("geom_friction")
        self._gain, self._bias = (
            self._batch.expand("actuator_gainprm"),
            self._batch.expand("actuator_biasprm"),
        )
        self._object_index = np.zeros(num_envs, np.int64)
        self._images = images
        self.nominal_rgba = torch.tensor(self.model.geom_rgba)
        self.nominal_light = torch.tensor(self.model.light_pos[0], dtype=torch.float32)
        free = (*self._slots, self.model.geom(TABLE_GEOM).id)
        self.robot_geoms = torch.tensor([geom not in free for geom in range(self.model.ngeom)])
        if images:
            self._start_images()
            self._stereo = StereoRenderer(num_envs, rig, threads) if rgb else None
            seen = depth_rig or rig
            self._depth = StereoRenderer(num_envs, seen, threads, depth=True, rgb=False) if depth else None
        self._qpos[:, :_JOINTS] = HOME_POSITION
        self._ctrl[:] = HOME_POSITION

    @property
    def state(self) -> SimulatorState:
        """See ``Simulator``; the tensors are copies."""

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))

        links = self._links
        return SimulatorState(
            joint_position=tensor(self._qpos[:, :_JOINTS]),
            joint_velocity=tensor(self._qvel[:, :_JOINTS]),
            link_position=tensor(self._xpos[:, links]),
            link_rotation=tensor(self._xmat[:, links].reshape(self.num_envs, len(links), 3, 3)),
            object_position=tensor(self._qpos[:, _JOINTS : _JOINTS + 3]),
            object_quaternion=tensor(self._qpos[:, _JOINTS + 3 : _JOINTS + 7]),
            object_velocity=tensor(self._qvel[:, _JOINTS : _JOINTS + 6]),
            touch=tensor(self._sensors[:, self._touch]),
        )

    def reset(self, env_ids: torch.Tensor, state: ResetState) -> None:
        """See ``Simulator``."""
        ids = env_ids.numpy()
        if not len(ids):
            return
        chosen = state.object_index.numpy()
        self._object_index[ids] = chosen
        self._write_parameters(ids, chosen, state)
        self._batch.set_const(ids)
        self._batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        position = state.joint_position.numpy()
        self._qpos[ids] = np.concatenate(
            [position, state.object_position.numpy(), state.object_quaternion.numpy()], axis=1
        )
        self._qvel[ids] = 0.0
        self._ctrl[ids] = position
        self._batch.forward(ids)

    def step(self, joint_command: torch.Tensor) -> None:
        """See ``Simulator``."""
        command = joint_command.numpy()
        for substep in range(self.substeps):
            self._ctrl[:] = command[:, substep]
            last = substep == self.substeps - 1
            self._batch.step(stage=mujoco.mjtStage.mjSTAGE_VEL if last else mujoco.mjtStage.mjSTAGE_NONE)

    def figures(self) -> dict[str, float]:
        """See ``Simulator``; there are none: contacts and constraints have room as they come."""
        return {}

    def _write_parameters(self, ids: np.ndarray, chosen: np.ndarray, state: ResetState) -> None:
        for name, values in self._fields.items():
            target = self._expanded[name]
            if name.startswith("geom"):
                target[np.ix_(ids, self._slots)] = values[chosen]
            else:
                target[ids, self._body] = values[chosen]
        scale = state.mass_scale.numpy()
        self._expanded["body_mass"][ids, self._body] *= scale
        self._expanded["body_inertia"][ids, self._body] *= scale[:, None]
        self._friction[ids, :, 0] = state.friction.numpy()[:, None]
        stiffness = state.stiffness_scale.numpy()
        self._gain[ids, :, 0] = self.model.actuator_gainprm[:, 0] * stiffness
        self._bias[ids, :, 1:3] = self.model.actuator_biasprm[:, 1:3] * stiffness[..., None]

    def _start_images(self) -> None:
        n, rig = self.num_envs, self._rig
        self._geom_xpos, self._geom_xmat = self._batch.bind("geom_xpos"), self._batch.bind("geom_xmat")
        self._rgba = np.tile(self.model.geom_rgba, (n, 1, 1))
        self._camera_position = np.tile(rig.positions(), (n, 1, 1))
        self._camera_rotation = np.tile(rig.rotation(), (n, 2, 1, 1))
        self._light_position = np.tile(self.model.light_pos[0], (n, 1))
        self._light_direction = np.tile(self.model.light_dir[0], (n, 1))
        self._light_diffuse = np.tile(self.model.light_diffuse[0], (n, 1))

    def randomize_appearance(self, env_ids: torch.Tensor, appearance: Appearance) -> None:
        """See ``Simulator``."""
        ids = env_ids.numpy()
        self._rgba[ids] = appearance.geom_rgba.numpy()
        self._camera_position[ids] = appearance.camera_position.numpy()
        self._camera_rotation[ids] = appearance.camera_rotation.numpy()
        self._light_position[ids] = appearance.light_position.numpy()
        self._light_direction[ids] = appearance.light_direction.numpy()
        self._light_diffuse[ids] = appearance.light_diffuse.numpy()

    def render(
        self, object_pose: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """See ``Simulator``."""
        if not self._images:
            raise RuntimeError("render() of a MujocoSimulator that was made with images=False")
        scene = self._scene()
        depth = None if self._depth is None else self._depth.render(scene)[1]
        if object_pose is not None:
            xpos, xmat = self._move_objects(*object_pose)
            scene = dataclasses.replace(scene, geom_xpos=xpos, geom_xmat=xmat)
        rgb = None if self._stereo is None else self._stereo.render(scene)[0]
        return _tensor(rgb), _tensor(depth)

    def _scene(self) -> SceneState:
        fields = self._fields
        return SceneState(
            geom_xpos=self._geom_xpos,
            geom_xmat=self._geom_xmat,
            object_type=fields["geom_type"][self._object_index],
            object_size=fields["geom_size"][self._object_index],
            geom_rgba=self._rgba,
            camera_position=self._camera_position,
            camera_rotation=self._camera_rotation,
            light_position=self._light_position,
            light_direction=self._light_direction,
            light_diffuse=self._light_diffuse,
        )

    def _move_objects(
        self, position: torch.Tensor, quaternion: torch.Tensor
    ) -> tuple[np.ndarray, np.ndarray]:
        """Poses of all geoms, as in ``SceneState``, were the objects at other poses."""
        xpos, xmat = self._geom_xpos.copy(), self._geom_xmat.reshape(self.num_envs, -1, 3, 3).copy()
        rotation = rotation_from_quaternion(quaternion).numpy()[:, None]
        place, slots = (self._fields[name][self._object_index] for name in ("geom_pos", "geom_quat"))
        turn = rotation_from_quaternion(torch.from_numpy(slots)).numpy()
        xpos[:, self._slots] = position.numpy()[:, None] + (rotation @ place[..., None])[..., 0]
        xmat[:, self._slots] = rotation @ turn
        return xpos, xmat


def _tensor(images: np.ndarray | None) -> torch.Tensor | None:
    return None if images is None else torch.from_numpy(images)
