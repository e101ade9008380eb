"""The Isaac Gym backend: Isaac Gym Preview 4 in a process of its own interpreter."""

import logging
from pathlib import Path

import mujoco
import numpy as np
import torch

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.object_shapes import quaternion_of
from grasp_description.objects import ObjectSpec
from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_description.scene import DEFAULT_SCENE, OBJECT_GEOMS, TABLE_GEOM, SceneConfig, build_model
from grasp_training.errors import GraspError
from grasp_training.rotations import rotation_from_quaternion
from grasp_training.runs import ConfigurationError
from grasp_training.simulators.base import LINKS, Appearance, ResetState, SimulatorState
from grasp_training.simulators.isaacgym.assets import coloured_bodies, held_objects, make_camera, make_scene
from grasp_training.simulators.isaacgym.config import IsaacGymConfig
from grasp_training.simulators.isaacgym.process import IsaacGymProcess

_log = logging.getLogger(__name__)

_RESET_ARRAYS = (
    "joint_position",
    "object_position",
    "object_quaternion",
    "mass_scale",
    "friction",
    "stiffness_scale",
)


class IsaacGymSimulator:
    """A batch of Isaac Gym simulations (see ``Simulator``), with tensors on the CPU.

    Args:
        num_envs: number of simulations.
        objects: the objects of the set; each simulation has ``objects_per_env`` of them.
        settings: where Isaac Gym is and how it simulates.
        substeps: physics steps a control step.
        images: whether ``render`` will be used.
        depth: whether ``render`` gives depth too, of the left camera.
        rgb: whether ``render`` gives colour.
        scene: gains; contacts are PhysX's own.
        rig: the cameras.
        depth_rig: the cameras with the size of depth images; that of colour, where both are given.
        first_object: index of the object from which the simulations take turns through the set, so that
            blocks of few simulations do not all have the same objects.

    Raises:
        ValueError: a number is out of range.
        ConfigurationError: colour and depth are to have different sizes.
        IsaacGymError: Isaac Gym is missing, or fails; also from every method.
    """

    device = torch.device("cpu")

    def __init__(
        self,
        num_envs: int,
        objects: tuple[ObjectSpec, ...],
        settings: IsaacGymConfig,
        substeps: int = 4,
        images: bool = False,
        depth: bool = False,
        rgb: bool = True,
        scene: SceneConfig = DEFAULT_SCENE,
        rig: StereoRig = STEREO_RIG,
        depth_rig: StereoRig | None = None,
        first_object: int = 0,
    ):
        if num_envs < 1:
            raise ValueError(f"IsaacGymSimulator got num_envs={num_envs}; expected at least 1")
        per_env = settings.objects_per_env
        if not 1 <= per_env <= len(objects):
            raise ValueError(
                f"task.isaacgym.objects_per_env is {per_env}; expected 1 to {len(objects)}, the objects"
            )
        rig = _one_size(rig, depth_rig or rig, rgb, depth)
        self.num_envs, self.objects, self.substeps = num_envs, objects, substeps
        held = held_objects(num_envs, per_env, len(objects), first_object)
        self.held_objects = torch.from_numpy(held)
        """(n, objects_per_env) int64, which objects each simulation has"""
        if held.size < len(objects):
            _log.warning(
                "%d environments of Isaac Gym with %d objects each have %d of the set's %d objects; the "
                "others are seen only where other blocks have them (more: --num-envs, "
                "--task.isaacgym.objects-per-env)",
                num_envs, per_env, held.size, len(objects),
            )  # fmt: skip
        self._model = build_model(scene, rig)
        self._data = mujoco.MjData(self._model)
        self._links = [self._model.body(name).id for name in LINKS]
        self._nominal_looks()
        self._images, self._rgb, self._depth = images, rgb, depth
        self._process = IsaacGymProcess(settings)
        camera = make_camera(rig, rgb, depth) if images else None
        folder = self._process.folder
        described = make_scene(folder, objects, num_envs, substeps, settings, scene, camera, held)
        self._arrays = self._process.start(described)
        self._place_links(np.arange(num_envs), np.tile(HOME_POSITION, (num_envs, 1)))
        if images:
            self._arrays["colour"][...] = self.nominal_rgba[:, :3]
            self._look_from(np.arange(num_envs), rig.positions(), rig.rotation())

    def _nominal_looks(self) -> None:
        model = self._model
        names = [int(model.body(body).geomadr[0]) for body in coloured_bodies()]
        geoms = [*names, model.geom(TABLE_GEOM).id, model.geom(OBJECT_GEOMS[0]).id]
        self.nominal_rgba = torch.tensor(model.geom_rgba[geoms])
        self.nominal_light = torch.tensor(model.light_pos[0], dtype=torch.float32)
        self.robot_geoms = torch.arange(len(geoms)) < len(names)

    @property
    def state(self) -> SimulatorState:
        """See ``Simulator``; the tensors are copies. Touch is the whole contact force, friction included."""
        arrays = {name: torch.from_numpy(self._arrays[name].copy()) for name in _STATE_ARRAYS}
        return SimulatorState(link_rotation=rotation_from_quaternion(arrays.pop("link_quaternion")), **arrays)

    def reset(self, env_ids: torch.Tensor, state: ResetState) -> None:
        """See ``Simulator``.

        Raises:
            ValueError: an object is asked for that the simulation does not have.
        """
        count = len(env_ids)
        if not count:
            return
        arrays = self._arrays
        arrays["reset_env"][:count] = env_ids.numpy()
        arrays["reset_slot"][:count] = self._slots(env_ids, state.object_index).numpy()
        for name in _RESET_ARRAYS:
            arrays["reset_" + name][:count] = getattr(state, name).numpy()
        self._process.ask("reset", count)
        self._place_links(env_ids.numpy(), state.joint_position.numpy())

    def step(self, joint_command: torch.Tensor) -> None:
        """See ``Simulator``."""
        self._arrays["joint_command"][...] = joint_command.numpy()
        self._process.ask("step")

    def randomize_appearance(self, env_ids: torch.Tensor, appearance: Appearance) -> None:
        """See ``Simulator``; lights stay, since Isaac Gym's light all environments alike."""
        self._must_have_images("randomize_appearance")
        count = len(env_ids)
        self._arrays["colour"][:count] = appearance.geom_rgba[..., :3].numpy()
        self._look_from(
            env_ids.numpy(), appearance.camera_position.numpy(), appearance.camera_rotation.numpy()
        )

    def render(
        self, object_pose: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """See ``Simulator``.

        Raises:
            GraspError: objects are to be drawn where they are not.
        """
        self._must_have_images("render")
        if object_pose is not None:
            cannot = "Isaac Gym draws objects where they are, so that there are no lessons in seeing"
            raise GraspError(f"{cannot}: set sight_iterations to 0, or distil with another simulator")
        self._process.ask("render")
        rgb, depth = (torch.from_numpy(self._arrays[name].copy()) for name in ("rgb", "depth"))
        return rgb if self._rgb else None, depth[:, :1] if self._depth else None

    def figures(self) -> dict[str, float]:
        """Nothing of a step is worth logging."""
        return {}

    @property
    def pid(self) -> int:
        """Number of Isaac Gym's process."""
        return self._process.pid

    @property
    def folder(self) -> Path:
        """Where that process has its assets and its output, while it runs."""
        return self._process.folder

    def close(self) -> None:
        """End Isaac Gym's process; it also ends with this object."""
        self._process.close()

    def _must_have_images(self, what: str) -> None:
        if not self._images:
            raise RuntimeError(f"{what}() of an IsaacGymSimulator that was made with images=False")

    def _slots(self, env_ids: torch.Tensor, object_index: torch.Tensor) -> torch.Tensor:
        """Which (k,) of its objects each simulation is to use."""
        same = self.held_objects[env_ids] == object_index[:, None]
        for row in torch.nonzero(~same.any(dim=1)).flatten().tolist():
            env, asked = int(env_ids[row]), self.objects[int(object_index[row])].name
            held = ", ".join(self.objects[index].name for index in self.held_objects[env].tolist())
            give_all = f"task.isaacgym.objects_per_env = {len(self.objects)} gives every one to each"
            raise ValueError(
                f"Simulation {env} was asked for the object {asked!r} and has only {held}: Isaac Gym cannot "
                f"add objects later; {give_all}"
            )
        return same.int().argmax(dim=1)

    def _place_links(self, envs: np.ndarray, joint_position: np.ndarray) -> None:
        """Write poses of links at joint positions (k, 23): Isaac Gym has them only after a physics step."""
        model, data, arrays = self._model, self._data, self._arrays
        for env, position in zip(envs, joint_position, strict=True):
            data.qpos[: len(JOINT_NAMES)] = position
            mujoco.mj_kinematics(model, data)
            arrays["link_position"][env] = data.xpos[self._links]
            arrays["link_quaternion"][env] = data.xquat[self._links]

    def _look_from(self, envs: np.ndarray, position: np.ndarray, rotation: np.ndarray) -> None:
        """Send colours and camera poses; rotations are of camera frames with x right, y up, z backward."""
        arrays, count = self._arrays, len(envs)
        arrays["look_env"][:count] = envs
        arrays["camera_position"][:count] = position
        # Isaac Gym's cameras look along x, y to the left and z up.
        forward = np.stack([-rotation[..., 2], -rotation[..., 0], rotation[..., 1]], axis=-1)
        forward = np.broadcast_to(forward, (count, 2, 3, 3)).astype(np.float64)
        arrays["camera_quaternion"][:count] = [[quaternion_of(side) for side in pair] for pair in forward]
        self._process.ask("look", count)


_STATE_ARRAYS = (
    "joint_position",
    "joint_velocity",
    "link_position",
    "link_quaternion",
    "object_position",
    "object_quaternion",
    "object_velocity",
    "touch",
)


def _one_size(rig: StereoRig, depth_rig: StereoRig, rgb: bool, depth: bool) -> StereoRig:
    """The cameras with the size of whatever images are wanted."""
    if rgb and depth and rig != depth_rig:
        size, other = (f"{each.width}×{each.height} px" for each in (rig, depth_rig))
        raise ConfigurationError(
            f"task.depth_image is {other}; Isaac Gym's cameras give depth of the size of task.image, {size}"
        )
    return rig if rgb else depth_rig
