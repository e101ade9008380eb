"""Creates the simulation: assets, environments, actors and cameras. Python 3.8.

Facts about Isaac Gym Preview 4 are from its documentation (docs/programming in NVIDIA's download) and from
the environments that NVIDIA publishes for it (github.com/isaac-sim/IsaacGymEnvs); PhysX's figures are those
of its cfg/task/AllegroKuka.yaml, the same arm and hand.
"""

from __future__ import annotations

import importlib
from typing import Any

from isaacgym_worker.protocol import Scene

gymapi: Any = importlib.import_module("isaacgym.gymapi")

_CELL_M = 2.0
"""Half side of an environment's cell. Poses in tensors are relative to the cell; cameras see their own
environment only."""


class World:
    """The simulation and handles of what is in it, by environment.

    Raises RuntimeError, naming what is missing, where the robot's description and the scene do not agree.
    """

    def __init__(self, scene: Scene) -> None:
        self.gym = gymapi.acquire_gym()
        self.scene = scene
        self.sim = _simulation(self.gym, scene)
        self.envs: list[Any] = []
        self.robots: list[int] = []
        self.tables: list[int] = []
        self.objects: list[list[int]] = []
        self.cameras: list[list[int]] = []
        self._load()
        per_row = max(1, int(scene.num_envs**0.5))
        for index in range(scene.num_envs):
            self._create_env(index, per_row)
        self.gym.prepare_sim(self.sim)

    def joint_order(self) -> list[int]:
        """Isaac Gym's number of each joint of the canonical order."""
        names = list(self.gym.get_asset_dof_names(self._robot))
        if sorted(names) != sorted(self.scene.joints):
            different = sorted(set(names) ^ set(self.scene.joints))
            raise RuntimeError(f"the robot as loaded and the scene differ in the joints {different}")
        return [names.index(joint) for joint in self.scene.joints]

    def link_numbers(self, names: list[str], domain: Any) -> list[int]:
        """Numbers of the robot's links, within an environment (DOMAIN_ENV) or the actor (DOMAIN_ACTOR)."""
        env, robot = self.envs[0], self.robots[0]
        found = [self.gym.find_actor_rigid_body_index(env, robot, name, domain) for name in names]
        missing = [name for name, number in zip(names, found) if number < 0]
        if missing:
            raise RuntimeError(f"the robot as loaded has no links {missing}")
        return found

    def actor_number(self, env: int, handle: int) -> int:
        """The actor's row in the root state tensor."""
        return self.gym.get_actor_index(self.envs[env], handle, gymapi.DOMAIN_SIM)

    def set_friction(self, env: int, handle: int, friction: float) -> None:
        """Set sliding friction of all of an actor's shapes."""
        shapes = self.gym.get_actor_rigid_shape_properties(self.envs[env], handle)
        for shape in shapes:
            shape.friction = friction
        self.gym.set_actor_rigid_shape_properties(self.envs[env], handle, shapes)

    def _load(self) -> None:
        gym, sim, scene = self.gym, self.sim, self.scene
        robot = gymapi.AssetOptions()
        robot.fix_base_link = True
        # The drives compensate gravity.
        robot.disable_gravity = True
        # Palm and fingertips hang on fixed joints, and their poses are asked for.
        robot.collapse_fixed_joints = False
        # The URDF's knuckles are cylinders, for want of capsules.
        robot.replace_cylinder_with_capsule = True
        robot.default_dof_drive_mode = gymapi.DOF_MODE_POS
        self._robot = gym.load_asset(sim, scene.assets, scene.robot, robot)
        thing = gymapi.AssetOptions()
        # By default Isaac Gym slows rotations down.
        thing.angular_damping = 0.0
        thing.linear_damping = 0.0
        self._things = [gym.load_asset(sim, scene.assets, file, thing) for file in scene.objects]
        fixed = gymapi.AssetOptions()
        fixed.fix_base_link = True
        self._table = gym.create_box(sim, *scene.table_size, fixed)
        self._shelf = gym.create_box(sim, *scene.table_size, fixed)
        self.drives = gym.get_asset_dof_properties(self._robot)
        order = self.joint_order()
        self.drives["driveMode"].fill(gymapi.DOF_MODE_POS)
        for name in ("stiffness", "damping", "effort", "armature"):
            self.drives[name][order] = getattr(scene, name)

    def _create_env(self, index: int, per_row: int) -> None:
        gym, scene = self.gym, self.scene
        lower, upper = gymapi.Vec3(-_CELL_M, -_CELL_M, 0.0), gymapi.Vec3(_CELL_M, _CELL_M, _CELL_M)
        env = gym.create_env(self.sim, lower, upper, per_row)
        self.envs.append(env)
        # Actors of the same group collide, so that every environment needs one of its own.
        robot = gym.create_actor(env, self._robot, _pose([0.0, 0.0, 0.0]), "robot", index, 0)
        self.robots.append(robot)
        gym.set_actor_dof_properties(env, robot, self.drives)
        self._filter_collisions(env, robot)
        self.tables.append(gym.create_actor(env, self._table, _pose(scene.table_centre), "table", index, 0))
        if len(scene.held[index]) > 1:
            under = [*scene.table_centre[:2], scene.shelf_top_m - 0.5 * scene.table_size[2]]
            gym.create_actor(env, self._shelf, _pose(under), "shelf", index, 0)
        handles = []
        for slot, thing in enumerate(scene.held[index]):
            place = [*scene.spawn, scene.rest_height_m[thing]] if slot == 0 else self.shelf_place(index, slot)
            handles.append(
                gym.create_actor(env, self._things[thing], _pose(place), f"object_{slot}", index, 0)
            )
        self.objects.append(handles)
        if scene.camera is not None:
            self.cameras.append([self._create_camera(env) for _ in range(scene.camera.count)])

    def shelf_place(self, env: int, slot: int) -> list[float]:
        """Where (m) the object of a slot lies while another one is on the table."""
        height = self.scene.shelf_top_m + self.scene.rest_height_m[self.scene.held[env][slot]]
        return [*self.scene.shelf_places[slot], height]

    def _filter_collisions(self, env: Any, robot: int) -> None:
        shapes = self.gym.get_actor_rigid_shape_properties(env, robot)
        ranges = self.gym.get_asset_rigid_body_shape_indices(self._robot)
        for name, span in zip(self.gym.get_asset_rigid_body_names(self._robot), ranges):
            for shape in shapes[span.start : span.start + span.count]:
                shape.filter = self.scene.filters[name]
        self.gym.set_actor_rigid_shape_properties(env, robot, shapes)

    def _create_camera(self, env: Any) -> int:
        camera = self.scene.camera
        assert camera is not None
        properties = gymapi.CameraProperties()
        properties.width, properties.height = camera.width, camera.height
        # Degrees, whatever the documentation says: its own examples give 75.
        properties.horizontal_fov = camera.horizontal_fov_deg
        properties.near_plane, properties.far_plane = camera.near_m, camera.far_m
        properties.enable_tensors = True
        return self.gym.create_camera_sensor(env, properties)


def _simulation(gym: Any, scene: Scene) -> Any:
    params = gymapi.SimParams()
    params.dt, params.substeps = 1.0 / scene.physics_rate_hz, 1
    params.up_axis, params.gravity = gymapi.UP_AXIS_Z, gymapi.Vec3(0.0, 0.0, -9.81)
    params.use_gpu_pipeline = scene.gpu_pipeline
    physx = params.physx
    physx.use_gpu = True
    physx.solver_type = 1  # temporal Gauss-Seidel
    physx.num_position_iterations, physx.num_velocity_iterations = scene.position_iterations, 0
    physx.contact_offset, physx.rest_offset = scene.contact_offset_m, 0.0
    physx.bounce_threshold_velocity, physx.max_depenetration_velocity = 0.2, 1000.0
    physx.max_gpu_contact_pairs, physx.default_buffer_size_multiplier = 8 * 1024 * 1024, 25.0
    physx.contact_collection = gymapi.ContactCollection(1)  # of the last substep; all substeps is broken
    graphics = -1 if scene.camera is None else scene.gpu
    sim = gym.create_sim(scene.gpu, graphics, gymapi.SIM_PHYSX, params)
    if sim is None:
        raise RuntimeError(f"Isaac Gym's create_sim made no simulation on GPU {scene.gpu}")
    return sim


def _pose(position: list[float]) -> Any:
    pose = gymapi.Transform()
    pose.p = gymapi.Vec3(*position)
    return pose
