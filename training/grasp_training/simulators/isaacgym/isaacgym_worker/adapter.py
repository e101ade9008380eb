"""The scene in Isaac Gym: state tensors in, state tensors out, images. Python 3.8.

Isaac Gym's conventions end here: quaternions x-y-z-w, its own order of joints, angular velocities in the
world frame, depth as negative distances. Nothing is read back between a reset and the next physics step:
Isaac Gym takes what was set when it simulates, and of several settings before that perhaps the last alone, so
that resets are gathered and set together.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from isaacgym_worker.protocol import Scene
from isaacgym_worker.world import World

gymapi: Any = importlib.import_module("isaacgym.gymapi")
gymtorch: Any = importlib.import_module("isaacgym.gymtorch")
# Isaac Gym refuses to be imported after torch.
torch: Any = importlib.import_module("torch")

_WXYZ = [3, 0, 1, 2]
_XYZW = [1, 2, 3, 0]
_FRICTION_STEP = 0.01
"""PhysX holds 64 000 materials at most; every friction that was ever set is one."""


class Adapter:
    """Simulates a scene, with its arrays as input and output (see ``protocol``)."""

    def __init__(self, scene: Scene, arrays: dict[str, np.ndarray]) -> None:
        self._scene, self._arrays = scene, arrays
        self._world = World(scene)
        self._gym, self._sim = self._world.gym, self._world.sim
        self._slot = np.zeros(scene.num_envs, np.int64)
        self._unset = np.zeros(scene.num_envs, bool)
        self._acquire()
        self._number()
        if scene.camera is not None:
            self._open_images()
        self._remember_masses()
        self._joints[:, self._order, 0] = self._tensor(np.array(scene.home, np.float32))
        self._joints[:, self._order, 1] = 0.0
        self._unset[:] = True
        self._tell_state()

    def _acquire(self) -> None:
        gym, sim, n = self._gym, self._sim, self._scene.num_envs
        self._dof_state = gymtorch.wrap_tensor(gym.acquire_dof_state_tensor(sim))
        self._root_state = gymtorch.wrap_tensor(gym.acquire_actor_root_state_tensor(sim))
        body_state = gymtorch.wrap_tensor(gym.acquire_rigid_body_state_tensor(sim))
        force = gymtorch.wrap_tensor(gym.acquire_net_contact_force_tensor(sim))
        self._refresh()
        self._joints = self._dof_state.view(n, -1, 2)
        self._bodies, self._forces = body_state.view(n, -1, 13), force.view(n, -1, 3)
        self._device = self._dof_state.device
        self._target = torch.zeros(self._joints.shape[:2], dtype=torch.float32, device=self._device)

    def _number(self) -> None:
        world, scene = self._world, self._scene
        self._order = world.joint_order()
        self._links = world.link_numbers(scene.links, gymapi.DOMAIN_ENV)
        self._tips = world.link_numbers(scene.fingertips, gymapi.DOMAIN_ENV)
        self._coloured = world.link_numbers(scene.bodies, gymapi.DOMAIN_ACTOR)
        envs = range(scene.num_envs)
        self._robot_rows = np.array([world.actor_number(env, world.robots[env]) for env in envs])
        self._object_rows = np.array(
            [[world.actor_number(env, handle) for handle in world.objects[env]] for env in envs]
        )
        self._on_shelf = np.zeros((*self._object_rows.shape, 13), np.float32)
        self._on_shelf[..., 6] = 1.0
        for env, handles in enumerate(world.objects):
            for slot in range(len(handles)):
                self._on_shelf[env, slot, :3] = world.shelf_place(env, slot)

    def _open_images(self) -> None:
        def tensors(kind: Any) -> Any:
            return [
                gymtorch.wrap_tensor(self._gym.get_camera_image_gpu_tensor(self._sim, env, camera, kind))
                for env, cameras in zip(self._world.envs, self._world.cameras)
                for camera in cameras
            ]

        camera = self._scene.camera
        assert camera is not None
        self._colours = tensors(gymapi.IMAGE_COLOR) if camera.rgb else []
        self._depths = tensors(gymapi.IMAGE_DEPTH) if camera.depth else []

    def _remember_masses(self) -> None:
        """Nominal masses and inertias of all objects, before any reset scales them."""
        self._masses = [
            [_mass_and_inertia(self._body(env, handle)[0]) for handle in handles]
            for env, handles in enumerate(self._world.objects)
        ]

    def _body(self, env: int, handle: int) -> Any:
        return self._gym.get_actor_rigid_body_properties(self._world.envs[env], handle)

    def reset(self, count: int) -> None:
        """Put the simulations of the first ``count`` rows of ``reset_*`` into the states given there."""
        rows = {name: self._arrays["reset_" + name][:count] for name in _RESET}
        envs = rows["env"]
        self._slot[envs] = rows["slot"]
        for row, env in enumerate(envs):
            self._set_parameters(int(env), row, rows)
        self._unset[envs] = True
        where = self._tensor(envs)
        self._joints[where[:, None], self._tensor(np.array(self._order)), 0] = self._tensor(
            rows["joint_position"]
        )
        self._joints[where, :, 1] = 0.0
        start = np.zeros((count, 13), np.float32)
        start[:, :3] = rows["object_position"]
        start[:, 3:7] = rows["object_quaternion"][:, _XYZW]
        # The objects that are not chosen go back on the shelf.
        self._root_state[self._tensor(self._object_rows[envs])] = self._tensor(self._on_shelf[envs])
        self._root_state[self._tensor(self._object_rows[envs, rows["slot"]])] = self._tensor(start)
        self._tell_starts(rows)

    def _set_parameters(self, env: int, row: int, rows: dict[str, np.ndarray]) -> None:
        world, slot = self._world, int(rows["slot"][row])
        handle = world.objects[env][slot]
        friction = round(float(rows["friction"][row]) / _FRICTION_STEP) * _FRICTION_STEP
        for actor in (world.robots[env], world.tables[env], handle):
            world.set_friction(env, actor, friction)
        drives = world.drives.copy()
        for name in ("stiffness", "damping"):
            drives[name][self._order] *= rows["stiffness_scale"][row]
        self._gym.set_actor_dof_properties(world.envs[env], world.robots[env], drives)
        self._set_mass(env, slot, handle, float(rows["mass_scale"][row]))

    def _set_mass(self, env: int, slot: int, handle: int, scale: float) -> None:
        if self._scene.gpu_pipeline:
            if scale != 1.0:
                asked = f"a mass_scale of {scale:g} was asked for in simulation {env}"
                raise ValueError(f"{asked}, but on the GPU pipeline masses cannot change")
            return
        bodies = self._body(env, handle)
        mass, inertia = self._masses[env][slot]
        bodies[0].mass = scale * mass
        scaled = gymapi.Mat33()
        scaled.x, scaled.y, scaled.z = (gymapi.Vec3(*(scale * value for value in row)) for row in inertia)
        bodies[0].inertia = scaled
        # The inertia is given: recomputing it would take it from the shapes.
        self._gym.set_actor_rigid_body_properties(self._world.envs[env], handle, bodies, False)

    def _tell_starts(self, rows: dict[str, np.ndarray]) -> None:
        """Write the state of simulations that were just reset, but for links: the other side knows those."""
        told, envs = self._arrays, rows["env"]
        for name in ("joint_position", "object_position", "object_quaternion"):
            told[name][envs] = rows[name]
        for name in ("joint_velocity", "object_velocity", "touch"):
            told[name][envs] = 0.0

    def step(self) -> None:
        """Simulate ``joint_command``, one position command a physics step."""
        gym, sim = self._gym, self._sim
        command = self._tensor(self._arrays["joint_command"])
        self._set_starts()
        for substep in range(self._scene.substeps):
            self._target[:, self._order] = command[:, substep]
            gym.set_dof_position_target_tensor(sim, gymtorch.unwrap_tensor(self._target))
            gym.simulate(sim)
            gym.fetch_results(sim, True)
        self._refresh()
        self._tell_state()

    def _set_starts(self) -> None:
        """Set what resets have written into the state tensors."""
        if not self._unset.any():
            return
        robots = self._tensor(self._robot_rows[self._unset].astype(np.int32))
        things = self._tensor(self._object_rows[self._unset].astype(np.int32).ravel())
        self._gym.set_dof_state_tensor_indexed(
            self._sim, gymtorch.unwrap_tensor(self._dof_state), gymtorch.unwrap_tensor(robots), len(robots)
        )
        self._gym.set_actor_root_state_tensor_indexed(
            self._sim, gymtorch.unwrap_tensor(self._root_state), gymtorch.unwrap_tensor(things), len(things)
        )
        # Isaac Gym keeps no reference to them, and reads them when it simulates.
        self._indices = robots, things
        self._unset[:] = False

    def _refresh(self) -> None:
        self._gym.refresh_dof_state_tensor(self._sim)
        self._gym.refresh_actor_root_state_tensor(self._sim)
        self._gym.refresh_rigid_body_state_tensor(self._sim)
        self._gym.refresh_net_contact_force_tensor(self._sim)

    def _tell_state(self) -> None:
        """Write the state of all simulations as the tensors have it."""
        joints = self._joints[:, self._order]
        links = self._bodies[:, self._links]
        rows = self._tensor(self._object_rows[np.arange(len(self._slot)), self._slot])
        thing = self._root_state[rows]
        spin = _into_frame(thing[:, 3:7], thing[:, 10:13])
        state = {
            "joint_position": joints[..., 0],
            "joint_velocity": joints[..., 1],
            "link_position": links[..., :3],
            "link_quaternion": links[..., 3:7][..., _WXYZ],
            "object_position": thing[:, :3],
            "object_quaternion": thing[:, 3:7][:, _WXYZ],
            "object_velocity": torch.cat([thing[:, 7:10], spin], dim=1),
            "touch": torch.linalg.norm(self._forces[:, self._tips], dim=-1),
        }
        for name, values in state.items():
            self._arrays[name][...] = values.cpu().numpy()

    def look(self, count: int) -> None:
        """Give the simulations of the first ``count`` rows of ``look_env`` other colours and camera poses."""
        arrays = self._arrays
        for row, env in enumerate(arrays["look_env"][:count]):
            if self._colours:
                self._paint(int(env), arrays["colour"][row].tolist())
            for side, camera in enumerate(self._world.cameras[env]):
                pose = gymapi.Transform()
                pose.p = gymapi.Vec3(*arrays["camera_position"][row, side].tolist())
                pose.r = gymapi.Quat(*arrays["camera_quaternion"][row, side, _XYZW].tolist())
                self._gym.set_camera_transform(camera, self._world.envs[env], pose)

    def _paint(self, env: int, colours: Any) -> None:
        world, robot = self._world, self._world.robots[env]
        table, thing = colours[-2:]
        surfaces = [(robot, body, colour) for body, colour in zip(self._coloured, colours)]
        surfaces.append((world.tables[env], 0, table))
        surfaces += [(handle, 0, thing) for handle in world.objects[env]]
        for actor, body, colour in surfaces:
            paint = gymapi.Vec3(*colour)
            self._gym.set_rigid_body_color(world.envs[env], actor, body, gymapi.MESH_VISUAL, paint)

    def render(self) -> None:
        """Draw the images into ``rgb`` and ``depth``."""
        gym, sim = self._gym, self._sim
        gym.step_graphics(sim)
        gym.render_all_camera_sensors(sim)
        gym.start_access_image_tensors(sim)
        if self._colours:
            rgb = self._arrays["rgb"]
            rgb[...] = torch.stack(self._colours)[..., :3].cpu().numpy().reshape(rgb.shape)
        if self._depths:
            depth = self._arrays["depth"]
            # Distances are negative, and minus infinity where nothing is; ours are 0 there.
            ahead = -torch.stack(self._depths)
            ahead = torch.where(torch.isfinite(ahead), ahead, torch.zeros_like(ahead))
            depth[...] = ahead.cpu().numpy().reshape(depth.shape)
        gym.end_access_image_tensors(sim)

    def _tensor(self, values: np.ndarray) -> Any:
        return torch.from_numpy(values).to(self._device)


_RESET = (
    "env",
    "slot",
    "joint_position",
    "object_position",
    "object_quaternion",
    "mass_scale",
    "friction",
    "stiffness_scale",
)


def _mass_and_inertia(body: Any) -> Any:
    rows = (body.inertia.x, body.inertia.y, body.inertia.z)
    return body.mass, [(row.x, row.y, row.z) for row in rows]


def _into_frame(quaternion: Any, vector: Any) -> Any:
    """Vectors (n, 3) of the world frame in the frames of quaternions (n, 4) x-y-z-w."""
    axis, w = -quaternion[:, :3], quaternion[:, 3:]
    turned = 2.0 * torch.cross(axis, vector, dim=1)
    return vector + w * turned + torch.cross(axis, turned, dim=1)
