"""One simulated workcell: the robot on its servos, one object on the table. No ROS in it.

The state after a given number of ticks depends on the configuration, the commands and the ticks of the resets
alone; rendering and looking do not change it.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.rendering import SceneState, nominal_scene
from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_description.scene import OBJECT_BODY, OBJECT_GEOMS, OBJECT_JOINT, apply_object, build_model
from grasp_description.workcell import REACH_LOWER, REACH_UPPER
from grasp_sim.spawning import Spawn, SpawnSequence
from grasp_sim.timing import tick_time_ns

__all__ = ["PlacementRefusedError", "World", "WorldConfig", "WorldDivergedError"]

_JOINTS = len(JOINT_NAMES)
_DIVERGENCE = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)


class PlacementRefusedError(RuntimeError):
    """No pose of the spawn region was free of the robot; the object stays as it was."""


class WorldDivergedError(RuntimeError):
    """The physics gave numbers that are not finite or are huge; the state is of no use any more."""


@dataclass(frozen=True)
class WorldConfig:
    """What stands on the table, and how it is placed."""

    objects: str = "held-out"
    """object set that the sequence runs through, training or held-out"""
    seed: int = 0
    """of the sequence of objects and of their poses; the objects themselves do not depend on it"""
    clearance_m: float = 0.01
    """m, an object is never placed nearer to any part of the robot"""
    placement_attempts: int = 50
    """poses tried for one object before a reset is refused"""
    supply_patience: int = 5
    """times in a row that an object within reach is left there when one is asked for"""


class World:
    """A MuJoCo model and its state, moved on one physics tick at a time.

    The first object of the sequence stands on the table from the start; the first reset places that same
    object at that same pose again, every further one the next.
    """

    def __init__(self, config: WorldConfig = WorldConfig(), rig: StereoRig = STEREO_RIG) -> None:
        self.config, self.rig = config, rig
        self.model = build_model(rig=rig)
        # A diverged state has to be seen, not silently replaced by the initial one.
        self.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self.data = mujoco.MjData(self.model)
        self._probe = mujoco.MjData(self.model)
        self._sequence = SpawnSequence(config.objects, config.seed)
        self._resets = self._kept = 0
        self._object = self.model.body(OBJECT_BODY).id
        joint = self.model.joint(OBJECT_JOINT)
        self._object_qpos = slice(joint.qposadr[0], joint.qposadr[0] + 7)
        self._object_qvel = slice(joint.dofadr[0], joint.dofadr[0] + 6)
        self._slots = [self.model.geom(name).id for name in OBJECT_GEOMS]
        self._robot_geoms = [
            geom for geom in range(self.model.ngeom) if self.model.geom_bodyid[geom] not in (0, self._object)
        ]
        self.tick = 0
        self.spawn = self._place(0, robot_home=True)

    @property
    def time_ns(self) -> int:
        """Time of the current tick, ns."""
        return tick_time_ns(self.tick)

    @property
    def joint_position(self) -> np.ndarray:
        """Measured joint positions (23,), rad, canonical order."""
        return self.data.qpos[:_JOINTS].copy()

    @property
    def joint_velocity(self) -> np.ndarray:
        """Measured joint velocities (23,), rad/s."""
        return self.data.qvel[:_JOINTS].copy()

    @property
    def joint_effort(self) -> np.ndarray:
        """Torques of the drives (23,), N m, gravity compensation included, of the tick before."""
        return self.data.qfrc_actuator[:_JOINTS].copy()

    @property
    def object_position(self) -> np.ndarray:
        """The object's centre of mass (3,), m, base frame. Privileged: the policy must not see it."""
        return self.data.qpos[self._object_qpos][:3].copy()

    @property
    def object_quaternion(self) -> np.ndarray:
        """The object's orientation (4,), w-x-y-z, base frame. Privileged as well."""
        return self.data.qpos[self._object_qpos][3:].copy()

    def step(self, command: np.ndarray) -> None:
        """Move on by one physics tick.

        Args:
            command: position targets of the servos (23,), rad, canonical order; beyond a joint's range the
                servo goes to the range's end.

        Raises:
            ValueError: the command has another shape or a number that is not finite.
            WorldDivergedError: the physics blew up.
        """
        command = np.asarray(command, dtype=float)
        if command.shape != (_JOINTS,):
            raise ValueError(f"World.step got a command of shape {command.shape}; expected ({_JOINTS},)")
        if not np.all(np.isfinite(command)):
            bad = int(np.flatnonzero(~np.isfinite(command))[0])
            raise ValueError(
                f"World.step got command {command[bad]} for joint {JOINT_NAMES[bad]!r}; expected a number"
            )
        self.data.ctrl[:] = command
        mujoco.mj_step(self.model, self.data)
        self.tick += 1
        for warning in _DIVERGENCE:
            if self.data.warning[warning].number:
                raise WorldDivergedError(
                    f"MuJoCo reported {warning.name} at tick {self.tick} with object "
                    f"{self.spawn.spec.name!r}; expected a finite state"
                )

    def stand(self) -> None:
        """Move time on by one physics tick in which nothing moves."""
        self.tick += 1

    def reset_object(self, robot_home: bool = False) -> Spawn:
        """Place the next object of the sequence at rest.

        Args:
            robot_home: also put the robot at home, at rest, as training begins an episode: the state then
                depends on configuration and sequence alone. Else the robot is left as it is.

        Raises:
            PlacementRefusedError: the robot is in the way at every pose tried. Nothing has changed then,
                and the next call tries the same object again.
        """
        try:
            spawn = self._place(self._resets, robot_home)
        except PlacementRefusedError:
            apply_object(self.model, self.spawn.spec)
            raise
        self._resets += 1
        self._kept = 0
        self.spawn = spawn
        return spawn

    def supply_object(self) -> Spawn:
        """See to it that an object lies within reach, as a person would: the robot is left as it is.

        The object at hand stays if it is within reach, but not for ever: nobody watches the same object being
        missed again and again.

        Raises:
            PlacementRefusedError: as `reset_object`.
        """
        position = self.object_position
        in_reach = bool(np.all(position >= REACH_LOWER) and np.all(position <= REACH_UPPER))
        if not in_reach or self._kept >= self.config.supply_patience:
            return self.reset_object()
        self._kept += 1
        # The first object stands there from the start: a reset must not bring it once more.
        self._resets = max(self._resets, 1)
        return self.spawn

    def scene_state(self) -> SceneState:
        """What the cameras see now, one world; arrays are views of the world's own."""
        # A step leaves the geoms' poses where they were before it.
        mujoco.mj_kinematics(self.model, self.data)
        return nominal_scene(self.model, self.data, self.rig)

    def _place(self, index: int, robot_home: bool) -> Spawn:
        first = self._sequence.spawn(index)
        joints = HOME_POSITION if robot_home else self.joint_position
        apply_object(self.model, first.spec)
        obstacle = ""
        for attempt in range(self.config.placement_attempts):
            spawn = first if attempt == 0 else self._sequence.spawn(index, attempt)
            obstacle = self._obstacle(spawn, joints)
            if not obstacle:
                if robot_home:
                    self._put_robot_home()
                self._put(spawn)
                return spawn
        config = self.config
        raise PlacementRefusedError(
            f"Object {first.spec.name!r} was not placed: at all {config.placement_attempts} poses tried the "
            f"robot was within {config.clearance_m} m, at the last its link {obstacle!r}; "
            f"expected the spawn region to be free"
        )

    def _obstacle(self, spawn: Spawn, joints: np.ndarray) -> str:
        """Name of a link that the object would touch or come too near to; empty where there is none.

        Args:
            spawn: the object where it would be put
            joints: the robot's (23,), rad
        """
        probe = self._probe
        probe.qpos[:_JOINTS] = joints
        probe.qpos[self._object_qpos] = spawn.pose
        mujoco.mj_kinematics(self.model, probe)
        for slot in self._slots:
            if not self.model.geom_contype[slot]:
                continue
            for geom in self._robot_geoms:
                gap = mujoco.mj_geomDistance(self.model, probe, slot, geom, self.config.clearance_m, None)
                if gap < self.config.clearance_m:
                    return self.model.body(self.model.geom_bodyid[geom]).name
        return ""

    def _put_robot_home(self) -> None:
        # All of the state, what the solver and the drives remember included.
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:_JOINTS] = HOME_POSITION
        self.data.ctrl[:] = HOME_POSITION

    def _put(self, spawn: Spawn) -> None:
        self.data.qpos[self._object_qpos] = spawn.pose
        self.data.qvel[self._object_qvel] = 0.0
        # What the solver remembers of the object before would make the first step depend on it.
        self.data.qacc_warmstart[:] = 0.0
