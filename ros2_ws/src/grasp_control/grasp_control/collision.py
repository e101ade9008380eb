"""How far the robot's links are from the table, from the walls of the workspace and from each other.

A copy of the workcell's model (``grasp_description``) without object, cameras and actuators answers for any
posture, by forward kinematics and collision detection alone.
"""

from dataclasses import dataclass

import mujoco
import numpy as np

from grasp_control.config import GuardConfig
from grasp_description.robot import ARM_JOINTS, JOINT_NAMES, PALM_LINK
from grasp_description.scene import OBJECT_BODY, TABLE_GEOM, build_spec

SELF_COLLISION_SEPARATION = 3
"""Links this many arm joints apart, or more, are checked against each other; nearer ones cannot meet, or
always touch."""
_TABLE_BIT = 1 << len(ARM_JOINTS) + 1


@dataclass(frozen=True)
class Clearances:
    """What is near in one posture: m entries, each a pair of geoms, or a geom and a wall.

    A gap is the distance beyond the required clearance in m; below 0 it is violated.
    """

    keys: np.ndarray
    """(m,) int, which pair or wall; equal keys in two postures mean the same pair"""
    gaps: np.ndarray
    """(m,) m"""
    points: np.ndarray
    """(m, 3) m, where"""
    normals: np.ndarray
    """(m, 3) unit vector along which the second geom moves away"""
    bodies: np.ndarray
    """(m, 2) int, body ids of the first and second geom; 0, the world, for a wall"""


class _Scene:
    """The guard's model and data with one detection distance; answers contacts and walls for a posture."""

    def __init__(self, config: GuardConfig, reach_m: float) -> None:
        margin = max(config.table_margin_m, config.self_margin_m) + reach_m
        self.model = _guard_model(margin)
        self.data = mujoco.MjData(self.model)
        self._reach_m = reach_m
        self._required = _required_clearance(self.model, config)
        moved = np.flatnonzero(_ancestor_joints(self.model).any(axis=1)).tolist()
        self.walled = np.array([g for g in range(self.model.ngeom) if self.model.geom_bodyid[g] in moved])
        radius = self.model.geom_rbound[self.walled, None]
        self._lower = np.array(config.workspace_lower_m) + radius
        self._upper = np.array(config.workspace_upper_m) - radius
        # Views: asking MjData for a field costs more than reading it.
        self._position, self._centres = self.data.qpos, self.data.geom_xpos

    def pose(self, position: np.ndarray) -> None:
        """Put the robot at joint positions (23,) in rad and find contacts."""
        self._position[:] = position
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_collision(self.model, self.data)

    def contacts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which contacts (k,) are within reach, their geoms (k, 2) and gaps (k,) in m."""
        if not self.data.ncon:
            return np.zeros(0, int), np.zeros((0, 2), int), np.zeros(0)
        contact = self.data.contact
        geoms = contact.geom
        gaps = contact.dist - self._required[geoms[:, 0], geoms[:, 1]]
        within = np.flatnonzero(gaps < self._reach_m)
        return within, geoms[within], gaps[within]

    def walls(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Walls within reach of the bounding spheres of moving geoms: wall (k,), geom (k,), gap (k,) in m.

        Walls 0 to 2 are the lower ones in x, y, z; 3 to 5 the upper ones. The geom is a place in ``walled``.
        """
        centres = self._centres[self.walled]
        below, above = centres - self._lower, self._upper - centres
        if below.min() >= self._reach_m and above.min() >= self._reach_m:
            return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
        gaps = np.concatenate([below.T, above.T])
        wall, geom = np.nonzero(gaps < self._reach_m)
        return wall, geom, gaps[wall, geom]

    def contact_keys(self, geoms: np.ndarray) -> np.ndarray:
        """Keys of pairs of geoms (k, 2)."""
        return geoms[:, 0] * self.model.ngeom + geoms[:, 1]

    def wall_keys(self, wall: np.ndarray, geom: np.ndarray) -> np.ndarray:
        """Keys of walls and geoms, after those of all pairs of geoms."""
        return self.model.ngeom**2 + wall * len(self.walled) + geom


class CollisionModel:
    """Clearances of a posture, and how they change with the joints.

    Args:
        config: clearances and workspace.
    """

    def __init__(self, config: GuardConfig) -> None:
        self._near, self._strict = _Scene(config, config.activation_m), _Scene(config, 0.0)
        model = self._near.model
        self._joints = _joint_ids(model)
        self._ancestors = _ancestor_joints(model)
        self.reach_m = _reach(model)
        """(23,) m, no point that a joint moves is further from its axis"""

    def violations(self, position: np.ndarray) -> dict[int, float]:
        """Gaps in m of all violated clearances by key, at joint positions (23,) in rad; mostly empty."""
        scene, worst = self._strict, {}
        scene.pose(position)
        _, geoms, gaps = scene.contacts()
        wall, geom, wall_gaps = scene.walls()
        if len(gaps) or len(wall_gaps):
            keys = np.concatenate([scene.contact_keys(geoms), scene.wall_keys(wall, geom)])
            for key, gap in zip(keys.tolist(), np.concatenate([gaps, wall_gaps]).tolist(), strict=True):
                worst[key] = min(gap, worst.get(key, 0.0))
        return worst

    def clearances(self, position: np.ndarray) -> Clearances:
        """Everything nearer than ``activation_m`` beyond its clearance, at joint positions (23,) in rad."""
        scene = self._near
        scene.pose(position)
        wall, geom, wall_gaps = scene.walls()
        within, geoms, gaps = scene.contacts()
        normals = np.zeros((len(wall), 3))
        normals[np.arange(len(wall)), wall % 3] = np.where(wall < 3, 1.0, -1.0)
        moved = scene.walled[geom]
        bodies = scene.model.geom_bodyid
        contact = scene.data.contact
        return Clearances(
            keys=np.concatenate([scene.contact_keys(geoms), scene.wall_keys(wall, geom)]),
            gaps=np.concatenate([gaps, wall_gaps]),
            points=np.concatenate([contact.pos[within], scene.data.geom_xpos[moved]]),
            normals=np.concatenate([contact.frame[within, :3], normals]),
            bodies=np.concatenate([bodies[geoms], np.stack([np.zeros_like(moved), bodies[moved]], axis=1)]),
        )

    def gradients(self, clearances: Clearances) -> np.ndarray:
        """(m, 23) change of each gap with the joints, m/rad, at the posture last given to ``clearances``."""
        data = self._near.data
        axes, anchors = data.xaxis[self._joints], data.xanchor[self._joints]
        # normal . (axis x (point - anchor)), the triple product taken apart: no (m, 23, 3) array is needed.
        along = _cross(clearances.points, clearances.normals) @ axes.T
        along -= clearances.normals @ _cross(axes, anchors).T
        moves = self._ancestors[clearances.bodies].astype(float)
        return along * (moves[:, 1] - moves[:, 0])

    def describe(self, key: int) -> str:
        """Names of the geoms, or geom and wall, behind a key."""
        model, walled = self._near.model, self._near.walled
        if key < model.ngeom**2:
            first, second = divmod(key, model.ngeom)
            return f"{model.geom(first).name} and {model.geom(second).name}"
        wall, geom = divmod(key - model.ngeom**2, len(walled))
        side = ("lower", "upper")[wall // 3]
        return f"{model.geom(walled[geom]).name} and the workspace's {side} {'xyz'[wall % 3]} wall"


def _guard_model(margin_m: float) -> mujoco.MjModel:
    """The workcell without object and actuators; contact bits say which geoms are checked against which.

    A geom's contype is the bit of its place in the arm's chain (0 the base; the hand counts with the last
    link), its conaffinity the bits of all links far enough down the chain, and of the table for links that
    can reach it.
    """
    spec = build_spec()
    spec.delete(spec.body(OBJECT_BODY))
    for item in [*spec.keys, *spec.actuators, *spec.cameras, *spec.lights]:
        spec.delete(item)
    for body in spec.bodies:
        place = _place_in_chain(body)
        for geom in body.geoms:
            geom.margin = margin_m
            if geom.name == TABLE_GEOM:
                geom.contype, geom.conaffinity = _TABLE_BIT, 0
                continue
            below = (1 << max(place - SELF_COLLISION_SEPARATION + 1, 0)) - 1
            geom.contype, geom.conaffinity = 1 << place, below | (_TABLE_BIT if place >= 2 else 0)
    model = spec.compile()
    if not np.array_equal(model.jnt_qposadr[_joint_ids(model)], np.arange(model.nq)):
        raise ValueError(
            f"The workcell's joints are not the robot's in canonical order; expected {JOINT_NAMES}"
        )
    return model


def _joint_ids(model: mujoco.MjModel) -> np.ndarray:
    return np.array([model.joint(name).id for name in JOINT_NAMES])


def _place_in_chain(body: mujoco.MjsBody) -> int:
    """Number of arm joints between the base and a body."""
    count = 0
    while body is not None and body.name != "world":
        count += sum(joint.name in ARM_JOINTS for joint in body.joints)
        body = body.parent
    return count


def _required_clearance(model: mujoco.MjModel, config: GuardConfig) -> np.ndarray:
    """(ngeom, ngeom) clearance that each pair of geoms must keep in m."""
    required = np.full((model.ngeom, model.ngeom), config.self_margin_m)
    table = model.geom(TABLE_GEOM).id
    for geom in range(model.ngeom):
        name = model.body(model.geom_bodyid[geom]).name
        finger = not (name.startswith("lbr_") or name == PALM_LINK)
        required[table, geom] = -config.finger_table_depth_m if finger else config.table_margin_m
    required[:, table] = required[table]
    return required


def _reach(model: mujoco.MjModel) -> np.ndarray:
    """(23,) length of the longest chain of links beyond each joint, the outermost geom's size included."""
    reach = np.zeros(model.nbody)
    for geom in range(model.ngeom):
        size = float(np.linalg.norm(model.geom_pos[geom])) + float(model.geom_rbound[geom])
        body = model.geom_bodyid[geom]
        while body > 0:
            reach[body] = max(reach[body], size)
            size += float(np.linalg.norm(model.body_pos[body]))
            body = model.body_parentid[body]
    return reach[model.jnt_bodyid[_joint_ids(model)]]


def _ancestor_joints(model: mujoco.MjModel) -> np.ndarray:
    """(nbody, 23) whether a joint moves a body."""
    joints = _joint_ids(model)
    moves = np.zeros((model.nbody, len(joints)), bool)
    for body in range(1, model.nbody):
        moves[body] = moves[model.body_parentid[body]] | (model.jnt_bodyid[joints] == body)
    return moves


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products of rows; numpy's own takes several times as long on a few rows."""
    product = np.empty_like(a)
    product[:, 0] = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
    product[:, 1] = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    product[:, 2] = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return product
