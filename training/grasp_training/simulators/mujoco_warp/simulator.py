"""The simulator `mujoco_warp`: physics and images of all worlds on one CUDA device, or a few on the CPU."""

from typing import Any

import mujoco_warp
import torch
import warp

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.objects import ObjectSpec
from grasp_description.rendering import generating_kernels
from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_description.scene import (
    DEFAULT_SCENE,
    OBJECT_GEOMS,
    TABLE_GEOM,
    TOUCH_SENSORS,
    SceneConfig,
    build_model,
)
from grasp_description.slots import SlotModel, build_slot_model
from grasp_training.simulators.base import LINKS, Appearance, ResetState, SimulatorState
from grasp_training.simulators.config import WarpConfig
from grasp_training.simulators.mujoco_warp import objects as varied
from grasp_training.simulators.mujoco_warp.capacity import Capacity, OverflowCount
from grasp_training.simulators.mujoco_warp.demand import Demand, demand_of
from grasp_training.simulators.mujoco_warp.devices import WarpDevice, simulation_device
from grasp_training.simulators.mujoco_warp.images import VARIED_FIELDS, WorldImages

_JOINTS = len(JOINT_NAMES)
_PARAMETERS = ("geom_friction", "actuator_gainprm", "actuator_biasprm")


class MujocoWarpSimulator:
    """A batch of simulations in MuJoCo Warp (see ``Simulator``).

    A control step is one CUDA graph, and so are the images; Torch's tensors are views of Warp's memory.
    On the CPU it is the same code without the graphs.

    Args:
        num_envs: number of simulations.
        objects: the objects that resets choose from.
        substeps: physics steps a control step.
        images: whether ``render`` will be used.
        depth: whether ``render`` gives depth too, of the left camera.
        rgb: whether ``render`` gives colour.
        config: where it runs and what memory it reserves.
        rig: the cameras.
        depth_rig: the cameras with the size of depth images, where it is another.

    Raises:
        ConfigurationError: the device is not there, or nothing is reserved.
    """

    def __init__(
        self,
        num_envs: int,
        objects: tuple[ObjectSpec, ...],
        substeps: int = 4,
        images: bool = False,
        depth: bool = False,
        rgb: bool = True,
        config: WarpConfig = WarpConfig(),
        scene: SceneConfig = DEFAULT_SCENE,
        rig: StereoRig = STEREO_RIG,
        depth_rig: StereoRig | None = None,
    ):
        if num_envs < 1:
            raise ValueError(f"MujocoWarpSimulator got num_envs={num_envs}; expected at least 1")
        self.num_envs, self.objects, self.substeps = num_envs, objects, substeps
        self.device = simulation_device(config.device)
        self.capacity = Capacity.of(config, num_envs)
        self._device = WarpDevice(self.device)
        self._describe(scene, rig)
        slots = build_slot_model(scene, rig)
        self._fields = varied.object_fields(objects, slots, self.device)
        self._stereo: WorldImages | None = None
        self._depth: WorldImages | None = None
        with generating_kernels, self._device.active():
            self._make_worlds(slots)
            self._view_worlds(slots)
            self._capture()
            if images:
                parts = self._device, slots, (self._model, self._data), self._fields.geoms
                self._stereo = WorldImages(*parts, rig) if rgb else None
                self._depth = WorldImages(*parts, depth_rig or rig, depth=True) if depth else None
        self._stand(slots)

    def _describe(self, scene: SceneConfig, rig: StereoRig) -> None:
        """What the task asks of the scene; its geoms are those of ``build_model``, in every simulator."""
        plain = build_model(scene, rig)
        free = {plain.geom(name).id for name in (*OBJECT_GEOMS, TABLE_GEOM)}
        self.nominal_rgba = torch.tensor(plain.geom_rgba, device=self.device)
        self.nominal_light = torch.tensor(plain.light_pos[0], dtype=torch.float32, device=self.device)
        self.robot_geoms = torch.tensor([geom not in free for geom in range(plain.ngeom)], device=self.device)

    def _make_worlds(self, scene: SlotModel) -> None:
        n, model = self.num_envs, scene.model
        by_object = (*varied.BY_GEOM, *varied.BY_BODY, *varied.BY_DOF)
        by_world: dict[str, int] = dict.fromkeys((*by_object, *_PARAMETERS, *VARIED_FIELDS), n)
        self._model = mujoco_warp.put_model(model, by_world)
        # Overflows are counted and told by OverflowCount, not printed by kernels each step.
        self._model.opt.warn_overflow = 0
        self._data: Any = mujoco_warp.make_data(
            model, nworld=n, naconmax=self.capacity.contacts, njmax=self.capacity.rows
        )
        self._commands = [warp.zeros((n, model.nu), dtype=float) for _ in range(self.substeps)]

    def _view_worlds(self, scene: SlotModel) -> None:
        """Torch's views of what is read and written."""
        model, data = scene.model, self._data

        def of_data(name: str) -> torch.Tensor:
            return warp.to_torch(getattr(data, name))

        self._qpos, self._qvel, self._warmstart = of_data("qpos"), of_data("qvel"), of_data("qacc_warmstart")
        self._xpos, self._xmat, self._sensors = of_data("xpos"), of_data("xmat"), of_data("sensordata")
        self._command = [warp.to_torch(command) for command in self._commands]
        self._varied = {
            name: warp.to_torch(getattr(self._model, name)) for name in (*self._fields.values, *_PARAMETERS)
        }
        self._links = torch.tensor([model.body(name).id for name in LINKS], device=self.device)
        self._touch = torch.tensor(
            [int(model.sensor(name).adr[0]) for name in TOUCH_SENSORS], device=self.device
        )
        self._gain = torch.tensor(model.actuator_gainprm[:, 0], dtype=torch.float32, device=self.device)
        self._bias = torch.tensor(model.actuator_biasprm[:, 1:3], dtype=torch.float32, device=self.device)
        self.overflows = OverflowCount(data, self.capacity)

    def _capture(self) -> None:
        # Once as it is: kernels are compiled and loaded, which a graph cannot record.
        self._advance()
        self._place()
        self._run_advance = self._device.captured(self._advance)
        self._run_place = self._device.captured(self._place)

    def _advance(self) -> None:
        for command in self._commands:
            warp.copy(self._data.ctrl, command)
            mujoco_warp.step(self._model, self._data)
        self._place()

    def _place(self) -> None:
        """Bring the poses of links and geoms up to date with the joints."""
        mujoco_warp.kinematics(self._model, self._data)

    def _stand(self, scene: SlotModel) -> None:
        """Put every world where the scene begins, as if nothing had run."""
        everything = torch.arange(self.num_envs, device=self.device)
        home = torch.tensor(HOME_POSITION, dtype=torch.float32, device=self.device)
        pose = torch.tensor(scene.model.key_qpos[0, _JOINTS:], dtype=torch.float32, device=self.device)
        self._put(everything, home, pose)

    @property
    def state(self) -> SimulatorState:
        """See ``Simulator``; the tensors are copies, on the simulator's device."""
        return SimulatorState(
            joint_position=self._qpos[:, :_JOINTS].clone(),
            joint_velocity=self._qvel[:, :_JOINTS].clone(),
            link_position=self._xpos[:, self._links],
            link_rotation=self._xmat[:, self._links],
            object_position=self._qpos[:, _JOINTS : _JOINTS + 3].clone(),
            object_quaternion=self._qpos[:, _JOINTS + 3 : _JOINTS + 7].clone(),
            object_velocity=self._qvel[:, _JOINTS : _JOINTS + 6].clone(),
            touch=self._sensors[:, self._touch],
        )

    def reset(self, env_ids: torch.Tensor, state: ResetState) -> None:
        """See ``Simulator``; touch is 0 until the next step."""
        if not len(env_ids):
            return
        self._write_object(env_ids, state)
        varied = self._varied
        varied["geom_friction"][env_ids, :, 0] = state.friction[:, None]
        varied["actuator_gainprm"][env_ids, :, 0] = self._gain * state.stiffness_scale
        varied["actuator_biasprm"][env_ids, :, 1:3] = self._bias * state.stiffness_scale[..., None]
        pose = torch.cat([state.object_position, state.object_quaternion], dim=1)
        self._put(env_ids, state.joint_position, pose)

    def _write_object(self, env_ids: torch.Tensor, state: ResetState) -> None:
        fields = self._fields
        for name, values in fields.values.items():
            chosen = values[state.object_index]
            scale = state.mass_scale.reshape(-1, *[1] * (chosen.dim() - 1))
            if name in varied.GROWS_WITH_MASS:
                chosen = chosen * scale
            elif name in varied.SHRINKS_WITH_MASS:
                chosen = chosen / scale
            if name in varied.BY_GEOM:
                self._varied[name][env_ids[:, None], fields.geoms] = chosen
            elif name in varied.BY_DOF:
                self._varied[name][env_ids, fields.dofs] = chosen
            else:
                self._varied[name][env_ids, fields.body] = chosen

    def _put(self, env_ids: torch.Tensor, joint_position: torch.Tensor, object_pose: torch.Tensor) -> None:
        """Worlds at rest in these positions, with nothing left of what was before."""
        self._qpos[env_ids, :_JOINTS] = joint_position
        self._qpos[env_ids, _JOINTS:] = object_pose
        for tensor in (self._qvel, self._warmstart, self._sensors):
            tensor[env_ids] = 0.0
        with self._device.active():
            self._run_place()

    def step(self, joint_command: torch.Tensor) -> None:
        """See ``Simulator``."""
        for substep, command in enumerate(self._command):
            command.copy_(joint_command[:, substep])
        with self._device.active():
            self._run_advance()
        self.overflows.take()

    def figures(self) -> dict[str, float]:
        """See ``Simulator``."""
        return {"simulator/overflows": float(self.overflows.last)}

    def demand(self) -> Demand:
        """How much room the last physics step wanted; slow, to choose capacities by."""
        with self._device.active():
            return demand_of(self._model, self._data)

    def randomize_appearance(self, env_ids: torch.Tensor, appearance: Appearance) -> None:
        """See ``Simulator``."""
        for images in self._images_asked_for():
            images.randomize(env_ids, appearance)

    def render(
        self, object_pose: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """See ``Simulator``."""
        self._images_asked_for()
        rgb = None if self._stereo is None else self._stereo.render(object_pose)
        return rgb, None if self._depth is None else self._depth.render()

    def _images_asked_for(self) -> list[WorldImages]:
        found = [images for images in (self._stereo, self._depth) if images is not None]
        if not found:
            raise RuntimeError("Images of a MujocoWarpSimulator that was made with images=False")
        return found
