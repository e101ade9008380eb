"""The MuJoCo scene: the URDF's robot with position servos and gravity compensation, table, stereo cameras and
one object.

World frame = arm base frame. The object is one body of ``MAX_PARTS`` geom slots; an unused slot is tiny and
collides with nothing.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from grasp_description.cameras import CAMERA_NAMES, STEREO_RIG, StereoRig
from grasp_description.objects import MAX_PARTS, ObjectPack, ObjectSpec, pack
from grasp_description.robot import (
    ARM_JOINTS,
    FINGERTIP_LINKS,
    HOME_POSITION,
    JOINT_NAMES,
    PALM_LINK,
    joint_limits,
)
from grasp_description.urdf import urdf_text
from grasp_description.workcell import PHYSICS_RATE_HZ, SPAWN_REGION

OBJECT_BODY = "object"
OBJECT_JOINT = "object_joint"
OBJECT_GEOMS = tuple(f"object_{slot}" for slot in range(MAX_PARTS))
TABLE_GEOM = "table"
TOUCH_SENSORS = tuple(f"{link}_touch" for link in FINGERTIP_LINKS)
"""Normal force in N on each fingertip."""

# Collision bits. Contacts: object with table, hand and arm; hand and arm with the table; thumb with the
# fingers.
_TABLE, _OBJECT, _FINGER, _THUMB, _ARM = 1, 2, 4, 8, 16

TABLE_RGBA = (0.62, 0.55, 0.46, 1.0)
DEFAULT_OBJECT_RGBA = (0.8, 0.25, 0.2, 1.0)
_ARM_RGBA = (0.85, 0.5, 0.2, 1.0)
_HAND_RGBA = (0.2, 0.2, 0.22, 1.0)
_OBLIQUE = (0.8, 0.2, 0.4, 0.4)


@dataclass(frozen=True)
class SceneConfig:
    """Gains and contact settings of the scene."""

    arm_stiffness: float = 1500.0
    """N m/rad, position gain of the arm's servos; the iiwa's joint position control is stiffer still (not
    published)"""
    hand_stiffness: float = 3.0
    """N m/rad, position gain of the hand's servos, of the order of the PD gains that the Allegro's driver
    ships"""
    damping_ratio: float = 0.1
    """s, derivative gain over position gain, arm"""
    hand_damping_ratio: float = 0.05
    """s, the same, hand"""
    arm_armature: float = 0.3
    """kg m², reflected inertia of an arm joint's drive (order of magnitude; not published)"""
    hand_armature: float = 0.002
    """kg m², the same for a hand joint"""
    friction: tuple[float, float, float] = (0.9, 0.01, 0.0005)
    """sliding (1), torsional (m), rolling (m) friction of object against hand and table"""
    impratio: float = 5.0
    """ratio of frictional to normal constraint impedance; at 1 an object creeps out of a grasp that stands
    still (of 47 objects held, 8 were lost within 1.8 s; at 5, 3 were; larger values make first contacts stiff
    enough to knock objects over)"""
    iterations: int = 12
    """largest number of constraint solver iterations a step"""
    ls_iterations: int = 8
    """largest number of line search iterations of a solver iteration"""


DEFAULT_SCENE = SceneConfig()


def build_spec(config: SceneConfig = DEFAULT_SCENE, rig: StereoRig = STEREO_RIG) -> mujoco.MjSpec:
    """The scene as an editable MjSpec, its object slots empty."""
    spec = mujoco.MjSpec.from_string(urdf_text())
    spec.compiler.fusestatic = False
    option = spec.option
    option.timestep = 1.0 / PHYSICS_RATE_HZ
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_PYRAMIDAL
    # Bounding volume trees of bodies would go stale when an object is written into the slots; a body has few
    # geoms anyway.
    option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    option.impratio = config.impratio
    option.iterations, option.ls_iterations = config.iterations, config.ls_iterations
    _finish_robot(spec, config)
    _add_actuators(spec, config)
    _add_workcell(spec, config, rig)
    key = np.concatenate([HOME_POSITION, [*SPAWN_REGION.centre, 0.05, 1.0, 0.0, 0.0, 0.0]])
    spec.add_key(name="home", qpos=key, ctrl=HOME_POSITION)
    return spec


def build_model(config: SceneConfig = DEFAULT_SCENE, rig: StereoRig = STEREO_RIG) -> mujoco.MjModel:
    """The compiled scene. ``ctrl[i]`` is the position target of ``JOINT_NAMES[i]`` in rad; qpos = 23 joints,
    object pose (7)."""
    return build_spec(config, rig).compile()


def object_fields(objects: ObjectPack) -> dict[str, np.ndarray]:
    """MjModel fields of the object's geom slots and body for n objects.

    Returns:
        ``geom_*`` arrays of shape (n, MAX_PARTS, ...) for the geoms ``OBJECT_GEOMS`` and ``body_*`` arrays
        (n, ...) for the body.
    """
    return {
        "geom_type": objects.geom_type,
        "geom_size": objects.geom_size,
        "geom_pos": objects.geom_position,
        "geom_quat": objects.geom_quaternion,
        "geom_contype": np.where(objects.active, _OBJECT, 0),
        "geom_conaffinity": np.where(objects.active, _TABLE, 0),
        "geom_rbound": objects.geom_bounding_radius,
        "body_mass": objects.mass,
        "body_ipos": np.zeros((len(objects.mass), 3)),
        "body_inertia": objects.inertia,
        "body_iquat": objects.inertia_quaternion,
    }


def apply_object(model: mujoco.MjModel, spec: ObjectSpec) -> None:
    """Write one object, with its nominal colours, into the slots of a compiled scene, in place."""
    objects = pack([spec])
    slots = [model.geom(name).id for name in OBJECT_GEOMS]
    body = model.body(OBJECT_BODY).id
    for name, value in (object_fields(objects) | {"geom_rgba": objects.geom_rgba}).items():
        getattr(model, name)[slots if name.startswith("geom") else body] = value[0]
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _collision_bits(body: str) -> tuple[int, int]:
    """contype and conaffinity of a robot link's geoms."""
    if body.startswith(("index", "middle", "ring")):
        return _FINGER, _TABLE | _OBJECT
    if body.startswith("thumb"):
        return _THUMB, _TABLE | _OBJECT | _FINGER
    return _ARM, _TABLE | _OBJECT


def _finish_robot(spec: mujoco.MjSpec, config: SceneConfig) -> None:
    limits = joint_limits()
    for index, name in enumerate(JOINT_NAMES):
        joint = spec.joint(name)
        arm = index < len(ARM_JOINTS)
        joint.armature = config.arm_armature if arm else config.hand_armature
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_TRUE
        joint.actfrcrange = [-limits.effort[index], limits.effort[index]]
        # The drives compensate gravity beside the position servo, within the same effort limit.
        joint.actgravcomp = True
    for body in spec.bodies:
        if body.name == "world":
            continue
        body.gravcomp = 1.0
        contype, conaffinity = _collision_bits(body.name)
        for slot, geom in enumerate(body.geoms):
            geom.name = f"{body.name}_geom_{slot}"
            geom.contype, geom.conaffinity = contype, conaffinity
            hand = contype in (_FINGER, _THUMB) or body.name == PALM_LINK
            geom.condim = 4 if hand else 3
            geom.friction = config.friction
            geom.rgba = _HAND_RGBA if hand else _ARM_RGBA
            geom.group = 2 if hand else 1
            if hand and geom.type == mujoco.mjtGeom.mjGEOM_CYLINDER and body.name != PALM_LINK:
                # URDF knows no capsule; round ends fill the knuckles and collide faster than a cylinder's
                # edge.
                geom.type = mujoco.mjtGeom.mjGEOM_CAPSULE
    for link, sensor in zip(FINGERTIP_LINKS, TOUCH_SENSORS, strict=True):
        spec.body(link).add_site(
            name=sensor, type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.016] * 3, rgba=[0.0] * 4
        )
        spec.add_sensor(
            name=sensor, type=mujoco.mjtSensor.mjSENS_TOUCH, objtype=mujoco.mjtObj.mjOBJ_SITE, objname=sensor
        )


def _add_actuators(spec: mujoco.MjSpec, config: SceneConfig) -> None:
    limits = joint_limits()
    for index, name in enumerate(JOINT_NAMES):
        arm = index < len(ARM_JOINTS)
        stiffness = config.arm_stiffness if arm else config.hand_stiffness
        damping = stiffness * (config.damping_ratio if arm else config.hand_damping_ratio)
        actuator = spec.add_actuator(name=name, trntype=mujoco.mjtTrn.mjTRN_JOINT, target=name)
        actuator.set_to_position(kp=stiffness, kv=damping)
        actuator.ctrllimited = mujoco.mjtLimited.mjLIMITED_TRUE
        actuator.ctrlrange = [limits.lower[index], limits.upper[index]]


def _add_workcell(spec: mujoco.MjSpec, config: SceneConfig, rig: StereoRig) -> None:
    world = spec.worldbody
    world.add_geom(
        name=TABLE_GEOM,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        size=[1.2, 1.2, 0.1],
        pos=[0.5, 0.0, 0.0],
        contype=_TABLE,
        conaffinity=0,
        friction=config.friction,
        rgba=TABLE_RGBA,
    )
    world.add_light(name="key", pos=[0.8, -0.6, 1.6], dir=[-0.15, 0.35, -0.9], castshadow=True)
    body = world.add_body(name=OBJECT_BODY, pos=[*SPAWN_REGION.centre, 0.05])
    body.add_joint(name=OBJECT_JOINT, type=mujoco.mjtJoint.mjJNT_FREE)
    # Oblique frames keep the compiler from marking frames as coinciding or the body as simple: objects are
    # written in later.
    body.simple = False
    body.explicitinertial = True
    body.mass, body.inertia = 0.1, [1e-4, 1.2e-4, 1.4e-4]
    body.ipos, body.iquat = [1e-3, 2e-3, 3e-3], _OBLIQUE
    for name in OBJECT_GEOMS:
        body.add_geom(
            name=name,
            type=mujoco.mjtGeom.mjGEOM_SPHERE,
            size=[0.02, 0.02, 0.02],
            pos=[1e-3, 2e-3, 3e-3],
            quat=_OBLIQUE,
            contype=_OBJECT,
            conaffinity=_TABLE,
            friction=config.friction,
            rgba=DEFAULT_OBJECT_RGBA,
        )
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, rig.rotation().flatten())
    for name, position in zip(CAMERA_NAMES, rig.positions(), strict=True):
        world.add_camera(
            name=name, pos=position, quat=quaternion, fovy=rig.fovy_deg, resolution=[rig.width, rig.height]
        )
