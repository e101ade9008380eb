"""The fake's calls: each is written, with its arguments, as a line of JSON into FAKE_ISAACGYM_RECORD."""

import copy
import json
import os
import time
import xml.etree.ElementTree as ElementTree

import numpy as np

SIM_PHYSX = "SIM_PHYSX"
UP_AXIS_Z = "UP_AXIS_Z"
DOF_MODE_POS = 1
DOMAIN_ACTOR, DOMAIN_ENV, DOMAIN_SIM = "actor", "env", "sim"
IMAGE_COLOR, IMAGE_DEPTH = "color", "depth"
MESH_VISUAL = "visual"

NOTHING = (0, 0)
"""Pixel (row, column) of every depth image where nothing is."""


class Struct:
    """Attributes, as Isaac Gym's structures have."""

    def __init__(self, **values):
        self.__dict__.update(values)


class Vec3(Struct):
    def __init__(self, x=0.0, y=0.0, z=0.0):
        Struct.__init__(self, x=x, y=y, z=z)


class Quat(Struct):
    def __init__(self, x=0.0, y=0.0, z=0.0, w=1.0):
        Struct.__init__(self, x=x, y=y, z=z, w=w)


class Mat33(Struct):
    def __init__(self):
        Struct.__init__(self, x=Vec3(), y=Vec3(), z=Vec3())


class Transform(Struct):
    def __init__(self):
        Struct.__init__(self, p=Vec3(), r=Quat())


class SimParams(Struct):
    def __init__(self):
        Struct.__init__(self, physx=Struct())


class AssetOptions(Struct):
    pass


class CameraProperties(Struct):
    pass


def ContactCollection(number):  # noqa: N802
    return number


def _plain(value):
    if isinstance(value, Struct):
        return {name: _plain(item) for name, item in vars(value).items()}
    if isinstance(value, np.ndarray):
        return {name: value[name].tolist() for name in value.dtype.names}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _records(method):
    def call(gym, *arguments):
        with open(os.environ["FAKE_ISAACGYM_RECORD"], "a") as record:  # noqa: PTH123
            record.write(json.dumps([method.__name__, *map(_plain, arguments)]) + "\n")
        return method(gym, *arguments)

    return call


class Asset:
    """What a URDF file holds, or a box."""

    def __init__(self, root=None):
        links = [] if root is None else root.findall("link")
        self.bodies = [link.get("name") for link in links] or ["box"]
        self.shapes = [len(link.findall("collision")) for link in links] or [1]
        joints = [] if root is None else [j for j in root.findall("joint") if j.get("type") == "revolute"]
        self.joints = sorted((joint.get("name") for joint in joints), reverse=True)
        self.mass = float(links[0].find("inertial/mass").get("value")) if links else 1.0

    def tolist(self):
        return self.bodies[0]


class Env:
    def __init__(self, number):
        self.number, self.actors = number, []

    def tolist(self):
        return self.number


class Actor:
    def __init__(self, asset, pose, number, first_body):
        self.asset, self.number, self.first_body = asset, number, first_body
        self.start = [pose.p.x, pose.p.y, pose.p.z, pose.r.x, pose.r.y, pose.r.z, pose.r.w]
        self.shapes = [Struct(filter=0, friction=1.0) for _ in range(sum(asset.shapes))]
        inertia = Mat33()
        inertia.x.x, inertia.y.y, inertia.z.z = 1e-4, 2e-4, 3e-4
        self.bodies = [Struct(mass=asset.mass, inertia=inertia) for _ in asset.bodies]


class Gym:
    """One simulation."""

    def __init__(self):
        self.envs, self.actors, self.cameras, self.moved = [], [], [], {}

    @_records
    def create_sim(self, compute, graphics, engine, params):
        self.dt = params.dt
        return None if os.environ.get("FAKE_ISAACGYM_FAULT") == "no-sim" else "sim"

    @_records
    def load_asset(self, sim, folder, file, options):
        return Asset(ElementTree.parse(os.path.join(folder, file)).getroot())  # noqa: PTH118

    @_records
    def create_box(self, sim, x, y, z, options):
        return Asset()

    def get_asset_dof_names(self, asset):
        return asset.joints

    def get_asset_dof_properties(self, asset):
        kinds = [(name, "f4") for name in ("stiffness", "damping", "velocity", "effort", "armature")]
        return np.zeros(len(asset.joints), [("driveMode", "i4"), *kinds])

    def get_asset_rigid_body_names(self, asset):
        return asset.bodies

    def get_asset_rigid_body_shape_indices(self, asset):
        starts = np.cumsum([0, *asset.shapes])
        return [Struct(start=int(start), count=count) for start, count in zip(starts, asset.shapes)]  # noqa: B905

    @_records
    def create_env(self, sim, lower, upper, per_row):
        self.envs.append(Env(len(self.envs)))
        return self.envs[-1]

    @_records
    def create_actor(self, env, asset, pose, name, group, filter):  # noqa: A002
        first_body = sum(len(actor.asset.bodies) for actor in env.actors)
        env.actors.append(Actor(asset, pose, len(self.actors), first_body))
        self.actors.append(env.actors[-1])
        return len(env.actors) - 1

    @_records
    def set_actor_dof_properties(self, env, handle, properties):
        return True

    def get_actor_rigid_shape_properties(self, env, handle):
        return copy.deepcopy(env.actors[handle].shapes)

    @_records
    def set_actor_rigid_shape_properties(self, env, handle, shapes):
        env.actors[handle].shapes = copy.deepcopy(shapes)

    def get_actor_rigid_body_properties(self, env, handle):
        return copy.deepcopy(env.actors[handle].bodies)

    @_records
    def set_actor_rigid_body_properties(self, env, handle, bodies, recompute):
        env.actors[handle].bodies = copy.deepcopy(bodies)

    def get_actor_index(self, env, handle, domain):
        assert domain == DOMAIN_SIM
        return env.actors[handle].number

    def find_actor_rigid_body_index(self, env, handle, name, domain):
        actor = env.actors[handle]
        if name not in actor.asset.bodies:
            return -1
        return actor.asset.bodies.index(name) + (actor.first_body if domain == DOMAIN_ENV else 0)

    @_records
    def create_camera_sensor(self, env, properties):
        self.cameras.append(properties)
        return len(self.cameras) - 1

    @_records
    def set_camera_transform(self, camera, env, transform):
        pass

    @_records
    def set_rigid_body_color(self, env, handle, body, mesh, colour):
        pass

    @_records
    def prepare_sim(self, sim):
        import torch

        n, robot = len(self.envs), self.envs[0].actors[0]
        self.dof = torch.zeros(n * len(robot.asset.joints), 2)
        self.true_dof, self.target = self.dof.clone(), self.dof[:, 0].clone()
        roots = [[*actor.start, *[0.0] * 6] for actor in self.actors]
        self.root = torch.tensor(roots)
        self.true_root = self.root.clone()
        bodies = sum(len(actor.asset.bodies) for actor in self.envs[0].actors)
        self.body, self.force = torch.zeros(n * bodies, 13), torch.zeros(n * bodies, 3)
        number = torch.arange(n * bodies, dtype=torch.float32)
        # Body b of environment e is at (e, b, 0) and turned a third about the space diagonal.
        self.body[:, 0], self.body[:, 1] = number // bodies, number % bodies
        self.body[:, 3:7] = 0.5
        self.force[:, 0], self.force[:, 2] = 3.0 * (number % bodies), -4.0 * (number % bodies)

    @_records
    def acquire_dof_state_tensor(self, sim):
        return self.dof

    @_records
    def acquire_actor_root_state_tensor(self, sim):
        return self.root

    @_records
    def acquire_rigid_body_state_tensor(self, sim):
        return self.body

    @_records
    def acquire_net_contact_force_tensor(self, sim):
        return self.force

    @_records
    def set_dof_state_tensor_indexed(self, sim, state, actors, count):
        assert len(actors) == count
        self.moved["dof"] = state.clone(), actors.tolist()
        return True

    @_records
    def set_actor_root_state_tensor_indexed(self, sim, state, actors, count):
        assert len(actors) == count
        self.moved["root"] = state.clone(), actors.tolist()
        return True

    @_records
    def set_dof_position_target_tensor(self, sim, target):
        self.target = target.flatten().clone()
        return True

    @_records
    def simulate(self, sim):
        fault = os.environ.get("FAKE_ISAACGYM_FAULT")
        if fault == "die":
            os.abort()
        if fault == "stall":
            time.sleep(600.0)
        if fault == "raise":
            print("PhysX said something before")
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        joints = len(self.envs[0].actors[0].asset.joints)
        if "dof" in self.moved:
            state, actors = self.moved.pop("dof")
            for env in self.envs:
                if env.actors[0].number in actors:
                    rows = slice(env.number * joints, (env.number + 1) * joints)
                    self.true_dof[rows] = state[rows]
        if "root" in self.moved:
            state, actors = self.moved.pop("root")
            self.true_root[actors] = state[actors]
        self.true_dof[:, 1] = (self.target - self.true_dof[:, 0]) / self.dt
        self.true_dof[:, 0] = self.target
        for column in range(6):
            self.true_root[:, 7 + column] = 1.0 + column

    @_records
    def fetch_results(self, sim, wait):
        pass

    def refresh_dof_state_tensor(self, sim):
        self.dof.copy_(self.true_dof)

    def refresh_actor_root_state_tensor(self, sim):
        self.root.copy_(self.true_root)

    def refresh_rigid_body_state_tensor(self, sim):
        pass

    def refresh_net_contact_force_tensor(self, sim):
        pass

    def get_camera_image_gpu_tensor(self, sim, env, camera, kind):
        import torch

        properties = self.cameras[camera]
        shape = (properties.height, properties.width)
        if kind == IMAGE_DEPTH:
            image = torch.full(shape, -1.0 - 0.25 * camera)
            image[NOTHING] = -float("inf")
            return image
        colour = (
            torch.tensor([10, 20, 30, 255], dtype=torch.uint8) + torch.tensor([1, 1, 1, 0]).byte() * camera
        )
        return colour.expand(*shape, 4).contiguous()

    @_records
    def step_graphics(self, sim):
        pass

    @_records
    def render_all_camera_sensors(self, sim):
        pass

    @_records
    def start_access_image_tensors(self, sim):
        pass

    @_records
    def end_access_image_tensors(self, sim):
        pass


def acquire_gym():
    return Gym()
