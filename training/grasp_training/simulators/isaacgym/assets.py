"""The scene as Isaac Gym loads it: URDF files in a folder, and what the worker is told about them."""

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from grasp_description.cameras import StereoRig
from grasp_description.object_shapes import Part, rotation_matrix
from grasp_description.objects import ObjectSpec
from grasp_description.robot import ARM_JOINTS, FINGERTIP_LINKS, HOME_POSITION, JOINT_NAMES, joint_limits
from grasp_description.scene import SceneConfig
from grasp_description.urdf import urdf_text
from grasp_description.workcell import PHYSICS_RATE_HZ, SPAWN_REGION
from grasp_training.simulators.base import LINKS
from grasp_training.simulators.isaacgym.config import IsaacGymConfig
from grasp_training.simulators.isaacgym.isaacgym_worker.protocol import Camera, Scene

# Collision filters: bodies that share a bit do not collide. As in MuJoCo's scene: thumb with fingers, and
# everything with the table and the object, whose filter is 0.
_FINGER, _THUMB = 1, 2

_TABLE_SIZE_M = (2.4, 2.4, 0.1)
_TABLE_CENTRE_M = (0.5, 0.0, -0.05)
"""As wide as MuJoCo's table is drawn."""
_SHELF_TOP_M = -2.0
"""Below the table, which hides it from the cameras."""
_SHELF_STEP_M = 0.25
"""More than any object's longest extent."""
_NEAR_M, _FAR_M = 0.05, 10.0
_RINGS, _SEGMENTS = 5, 12
"""Of an ellipsoid's mesh, poles aside: 62 points, within the 64 of PhysX's convex hulls on a GPU."""


def make_scene(
    folder: Path,
    objects: tuple[ObjectSpec, ...],
    num_envs: int,
    substeps: int,
    settings: IsaacGymConfig,
    scene: SceneConfig,
    camera: Camera | None,
    held: np.ndarray,
) -> Scene:
    """Write the assets into a folder and describe the scene for the worker.

    `held` (n, objects_per_env) says which objects the environments have.
    """
    (folder / "robot.urdf").write_text(urdf_text(), encoding="utf-8")
    files = [_write_object(folder, number, spec) for number, spec in enumerate(objects)]
    arm = np.arange(len(JOINT_NAMES)) < len(ARM_JOINTS)
    stiffness = np.where(arm, scene.arm_stiffness, scene.hand_stiffness)
    damping = stiffness * np.where(arm, scene.damping_ratio, scene.hand_damping_ratio)
    links = ElementTree.fromstring(urdf_text()).findall("link")
    return Scene(
        num_envs=num_envs,
        substeps=substeps,
        physics_rate_hz=PHYSICS_RATE_HZ,
        gpu=settings.own_gpu,
        gpu_pipeline=settings.gpu_pipeline,
        position_iterations=settings.position_iterations,
        contact_offset_m=settings.contact_offset_m,
        assets=str(folder),
        robot="robot.urdf",
        objects=files,
        rest_height_m=[spec.rest_height_m for spec in objects],
        held=held.tolist(),
        spawn=list(SPAWN_REGION.centre),
        shelf_top_m=_SHELF_TOP_M,
        shelf_places=_shelf_places(settings.objects_per_env),
        joints=list(JOINT_NAMES),
        home=HOME_POSITION.tolist(),
        stiffness=stiffness.tolist(),
        damping=damping.tolist(),
        effort=joint_limits().effort.tolist(),
        armature=np.where(arm, scene.arm_armature, scene.hand_armature).tolist(),
        links=list(LINKS),
        fingertips=list(FINGERTIP_LINKS),
        bodies=coloured_bodies(),
        filters={link.attrib["name"]: _filter(link.attrib["name"]) for link in links},
        table_size=list(_TABLE_SIZE_M),
        table_centre=list(_TABLE_CENTRE_M),
        camera=camera,
    )


def held_objects(num_envs: int, per_env: int, objects: int, first: int = 0) -> np.ndarray:
    """Which objects (n, per_env) of a set the environments have: they take turns, from `first` on."""
    return (first + np.arange(num_envs * per_env)).reshape(num_envs, per_env) % objects


def coloured_bodies() -> list[str]:
    """The robot's links that can be seen, in the order of the URDF."""
    links = ElementTree.fromstring(urdf_text()).findall("link")
    return [link.attrib["name"] for link in links if link.find("visual") is not None]


def make_camera(rig: StereoRig, rgb: bool, depth: bool) -> Camera:
    """The rig's cameras as the worker is told about them."""
    half_height = np.tan(0.5 * np.radians(rig.fovy_deg))
    horizontal_fov_deg = 2.0 * np.degrees(np.arctan(half_height * rig.width / rig.height))
    return Camera(rig.width, rig.height, float(horizontal_fov_deg), _NEAR_M, _FAR_M, rgb, depth)


def _filter(link: str) -> int:
    if link.startswith("thumb"):
        return _THUMB
    return _FINGER if link.startswith(("index", "middle", "ring")) else _FINGER | _THUMB


def _shelf_places(count: int) -> list[list[float]]:
    """x and y (m) of places in a square under the table."""
    side = int(np.ceil(np.sqrt(count)))
    offset = 0.5 * (side - 1)
    return [
        [
            _TABLE_CENTRE_M[0] + _SHELF_STEP_M * (number % side - offset),
            _TABLE_CENTRE_M[1] + _SHELF_STEP_M * (number // side - offset),
        ]
        for number in range(count)
    ]


def _write_object(folder: Path, number: int, spec: ObjectSpec) -> str:
    """Write the object as a URDF of one link, and return its file's name."""
    robot = Element("robot", name=f"object_{number}")
    link = SubElement(robot, "link", name="object")
    inertial = SubElement(link, "inertial")
    SubElement(inertial, "origin", xyz="0 0 0", rpy="0 0 0")
    SubElement(inertial, "mass", value=_text(spec.mass_kg))
    inertia = spec.inertia_matrix()
    entries = {"ixx": (0, 0), "ixy": (0, 1), "ixz": (0, 2), "iyy": (1, 1), "iyz": (1, 2), "izz": (2, 2)}
    SubElement(inertial, "inertia", {name: _text(inertia[place]) for name, place in entries.items()})
    for slot, part in enumerate(spec.parts):
        mesh = f"object_{number}_{slot}.obj"
        if part.shape == "ellipsoid":
            (folder / mesh).write_text(_ellipsoid_mesh(np.array(part.size)), encoding="utf-8")
        for kind in ("visual", "collision"):
            for position, geometry in _shapes(part, mesh):
                element = SubElement(link, kind)
                SubElement(element, "origin", xyz=_text(*position), rpy=_text(*_roll_pitch_yaw(part)))
                SubElement(element, "geometry").append(geometry)
    file = f"object_{number}.urdf"
    ElementTree.ElementTree(robot).write(folder / file, encoding="utf-8", xml_declaration=True)
    return file


def _shapes(part: Part, mesh: str) -> list[tuple[np.ndarray, Element]]:
    """Positions (3,) in m and URDF geometries that make a part; all are oriented as the part is."""
    centre, (a, b, c) = np.array(part.position), part.size
    if part.shape == "box":
        return [(centre, Element("box", size=_text(2 * a, 2 * b, 2 * c)))]
    if part.shape == "ellipsoid":
        return [(centre, Element("mesh", filename=mesh))]
    shapes = [(centre, Element("cylinder", radius=_text(a), length=_text(2 * b)))]
    if part.shape == "capsule":
        # URDF knows no capsules.
        ends = (centre + sign * b * rotation_matrix(part.quaternion)[:, 2] for sign in (-1.0, 1.0))
        shapes += [(end, Element("sphere", radius=_text(a))) for end in ends]
    return shapes


def _roll_pitch_yaw(part: Part) -> tuple[float, float, float]:
    """URDF's angles in rad: rotation about the fixed x, then y, then z axis."""
    rotation = rotation_matrix(part.quaternion)
    pitch = np.arcsin(np.clip(-rotation[2, 0], -1.0, 1.0))
    if abs(rotation[2, 0]) > 1.0 - 1e-9:
        # Roll and yaw turn about the same axis here: all of it is put into yaw.
        return 0.0, pitch, np.arctan2(-rotation[0, 1], rotation[1, 1])
    return np.arctan2(rotation[2, 1], rotation[2, 2]), pitch, np.arctan2(rotation[1, 0], rotation[0, 0])


def _ellipsoid_mesh(semi_axes: np.ndarray) -> str:
    """A convex mesh (OBJ) whose points lie on an ellipsoid of semi-axes (3,) in m."""
    polar = np.pi * np.arange(1, _RINGS + 1) / (_RINGS + 1)
    turn = 2.0 * np.pi * np.arange(_SEGMENTS) / _SEGMENTS
    height, across = np.cos(polar), np.sin(polar)
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points = [
        [0.0, 0.0, 1.0],
        *([*(across[i] * xy), height[i]] for i in range(_RINGS) for xy in ring),
        [0.0, 0.0, -1.0],
    ]
    last = len(points)
    faces = []
    for i in range(_SEGMENTS):
        following = (i + 1) % _SEGMENTS
        faces.append((1, 2 + i, 2 + following))
        faces.append((last, last - _SEGMENTS + following, last - _SEGMENTS + i))
        for lower in range(_RINGS - 1):
            top, under = 2 + lower * _SEGMENTS, 2 + (lower + 1) * _SEGMENTS
            faces.append((top + i, under + i, under + following))
            faces.append((top + i, under + following, top + following))
    lines = [f"v {_text(*(np.array(point) * semi_axes))}" for point in points]
    return "\n".join([*lines, *(f"f {a} {b} {c}" for a, b, c in faces), ""])


def _text(*values: float) -> str:
    return " ".join(f"{float(value):.9g}" for value in values)
