"""Sees to the state machine's requests by services and motions, and says when each is over."""

import json
import time
from collections.abc import Callable

import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from grasp_description.robot import (
    ARM_JOINTS,
    HAND_JOINTS,
    HAND_OPEN,
    HOME_POSITION,
    JOINT_NAMES,
    joint_limits,
)
from grasp_task.calls import TriggerCaller
from grasp_task.events import Answered, Request
from grasp_task.lifecycle import LifecycleClient
from grasp_task.motion import MotionFollower, MotionLimits
from grasp_task.parameters import TaskParameters

_OPEN_HAND_GOAL = np.concatenate([np.full(len(ARM_JOINTS), np.nan), HAND_OPEN])
"""rad; nan: the arm stays where it is measured when the motion begins"""
_BIN_REST_S = 0.3
"""s of the node's clock that the arm stands over the bin before the hand opens: what hangs in it comes to
rest, and whoever judges sees it there"""
_HAND_AS_IT_IS = np.full(len(HAND_JOINTS), np.nan)

_ARM_AGAIN_S = 0.2
"""s of wall time between a refused arming and the next"""
_REST_S = 2.0
"""s of wall time after which arming is asked for even if the arm was not seen at rest"""
_REST_RAD_S = 0.1
"""rad/s, the arm is at rest when no joint is faster: the command node refuses to arm a robot in motion"""
_STREAMING = "streaming"
"""word of /camera/state while images are published"""
_CANNOT_BE_ARMED = ("unconfigured", "inactive")
"""words of a command node that can be without the service to disarm it"""
_HAND_SETTLES_S = 1.0
"""s of the node's clock that the fingers have to open after their last target"""


def motion_limits(parameters: TaskParameters) -> MotionLimits:
    """The limits of the task's own motions: a share of the joints' own."""
    limits, speed = joint_limits(), parameters.motion_speed
    arm, hand = parameters.arm_tolerance_rad, parameters.hand_tolerance_rad
    tolerance = np.array([arm] * len(ARM_JOINTS) + [hand] * len(HAND_JOINTS))
    return MotionLimits(speed * limits.velocity, speed * limits.acceleration, tolerance)


def parse_reset(message: str) -> tuple[str, str]:
    """Name and family of the object that a reset service's answer tells of.

    Raises:
        ValueError: the message is not JSON with "object" and "family".
    """
    try:
        told = json.loads(message)
        return str(told["object"]), str(told["family"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f'reset answered {message!r}; expected JSON with "object" and "family"') from error


class RequestDesk:
    """One request at a time: the services and the motion behind it, without ever blocking.

    Args:
        node: the node whose executor carries the calls
        parameters: names of nodes and services, speeds and tolerances
        answer: called when a request is over

    Attributes:
        object_told: name and family of the object that the last reset told of
        handed_over: the policy's latest target, from which the task goes on with its own
    """

    def __init__(self, node: Node, parameters: TaskParameters, answer: Callable[[Answered], None]) -> None:
        self._answer = answer
        self._control = LifecycleClient(node, parameters.control_node)
        self._policy = LifecycleClient(node, parameters.policy_node)
        self._camera = LifecycleClient(node, parameters.camera_node) if parameters.camera_node else None
        self._camera_word, self._camera_active = "", False
        if self._camera is not None:
            latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
            node.create_subscription(String, "/camera/state", self._on_camera_state, latched)
        self._arm = TriggerCaller(node, f"{parameters.control_node}/arm")
        self._disarm = TriggerCaller(node, f"{parameters.control_node}/disarm")
        self._reset = TriggerCaller(node, parameters.reset_service) if parameters.reset_service else None
        self._motion = MotionFollower(motion_limits(parameters), parameters.target_rate_hz)
        self._request: Request | None = None
        self._refusal, self._ask_again_s = "", 0.0
        self._parts: dict[str, tuple[bool, str]] = {}
        self.object_told = ("unknown", "unknown")
        self.handed_over: np.ndarray | None = None
        bin_arm = parameters.picking.bin_arm_rad if parameters.picking is not None else ()
        self._bin_arm = np.array(bin_arm)

    @property
    def watching(self) -> bool:
        """Whether joint states are wanted now."""
        return self._motion.active or self._request in (Request.AWAIT_ROBOT, Request.ARM)

    @property
    def motion_s(self) -> float:
        """s that the motion under way is to take; 0 where there is none."""
        return self._motion.planned_s

    def take(self, request: Request, control_word: str = "") -> None:
        """See to ``request``; it replaces whatever was under way.

        Args:
            request: what is asked
            control_word: last word of /control/state
        """
        for one in self._callers():
            one.cancel()
        self._motion.cancel()
        self._request, self._refusal = request, ""
        match request:
            # AWAIT_ROBOT is answered by `follow`.
            case Request.PREPARE_CAMERA:
                self._prepare_camera()
            case Request.PREPARE_CONTROL:
                self._control.drive("active", self._done)
            case Request.PREPARE_POLICY | Request.PAUSE_POLICY:
                self._policy.drive("inactive", self._done)
            case Request.START_POLICY:
                self._policy.drive("active", self._done)
            case Request.ARM:
                self._ask_again_s = time.monotonic() + _REST_S
            case Request.DISARM:
                self._disarm.call(self._done)
            case Request.RESET_WORLD:
                self._reset_world()
            case Request.MOVE_HOME | Request.CARRY | Request.OPEN_HAND:
                self._begin_motion(request)
            case Request.STAND_DOWN:
                self._stand_down(control_word)

    def poll(self) -> None:
        """To be called every few hundredths of a second: sends what waits, asks again what was refused."""
        for one in self._callers():
            one.poll()
        if self._request is Request.ARM and time.monotonic() >= self._ask_again_s:
            self._call_arm()

    def follow(self, position: np.ndarray, velocity: np.ndarray, now_s: float) -> np.ndarray | None:
        """Take where the robot is; gives the target (23,) in rad to publish, if one is due.

        Args:
            position: (23,) rad, measured
            velocity: (23,) rad/s, measured; empty if the robot does not say
            now_s: s, their stamp
        """
        arm_speed = np.abs(velocity[: len(ARM_JOINTS)]).max(initial=0.0)
        if self._request is Request.ARM and not self._refusal and arm_speed <= _REST_RAD_S:
            self._call_arm()
        target, arrived = self._motion.update(position, now_s)
        if arrived or self._request is Request.AWAIT_ROBOT:
            self._done(True, "")
        return target

    def waiting_for(self) -> str:
        """What the request under way still lacks, in words, for messages."""
        if self._refusal:
            return f"refused: {self._refusal}"
        awaited = [f"awaiting {one.waiting_for}" for one in self._callers() if one.waiting_for]
        if self._request is Request.PREPARE_CAMERA and not awaited:
            awaited.append(f"/camera/state says {self._camera_word!r}, not {_STREAMING!r}")
        if self._request is Request.AWAIT_ROBOT:
            awaited.append("no complete message on /joint_states")
        return "; ".join(awaited) or self._motion.waiting_for(JOINT_NAMES)

    def _callers(self) -> list[LifecycleClient | TriggerCaller]:
        optional = [one for one in (self._camera, self._reset) if one is not None]
        return [self._control, self._policy, self._arm, self._disarm, *optional]

    def _done(self, ok: bool, message: str) -> None:
        if self._request is not None:
            request, self._request = self._request, None
            self._answer(Answered(request, ok, message))

    def _begin_motion(self, request: Request) -> None:
        if request is Request.MOVE_HOME:
            self._motion.begin(HOME_POSITION)
        elif request is Request.OPEN_HAND:
            # An object between the fingers may keep one from opening; lifting the hand frees it.
            self._motion.begin(_OPEN_HAND_GOAL, _HAND_SETTLES_S)
        else:
            # From target to target: the fingers go on pressing, and the arm does not start with a step.
            goal = np.concatenate([self._bin_arm, _HAND_AS_IT_IS])
            self._motion.begin(goal, start=self.handed_over, dwell_s=_BIN_REST_S)

    def _prepare_camera(self) -> None:
        """Open the cameras, if a node of ours has them; over once they stream."""
        if self._camera is None:
            self._done(True, "")
        else:
            self._camera_active = False
            self._camera.drive("active", self._camera_opened)

    def _camera_opened(self, ok: bool, message: str) -> None:
        self._camera_active = ok
        if not ok:
            self._done(False, message)
        self._check_camera()

    def _on_camera_state(self, message: String) -> None:
        self._camera_word = message.data
        self._check_camera()

    def _check_camera(self) -> None:
        streaming = self._camera_active and self._camera_word == _STREAMING
        if streaming and self._request is Request.PREPARE_CAMERA:
            self._done(True, "")

    def _call_arm(self) -> None:
        if not self._arm.waiting_for:
            self._arm.call(self._armed)

    def _armed(self, ok: bool, message: str) -> None:
        # A refusal is asked again until the machine's limit: the robot may still be coming to rest.
        self._refusal = "" if ok else message or "no reason given"
        self._ask_again_s = time.monotonic() + _ARM_AGAIN_S
        if ok:
            self._done(True, "")

    def _reset_world(self) -> None:
        if self._reset is None:
            self.object_told = ("unknown", "unknown")
            self._done(True, "")
            return

        def then(ok: bool, message: str) -> None:
            if ok:
                try:
                    self.object_told = parse_reset(message)
                except ValueError as error:
                    ok, message = False, str(error)
            self._done(ok, message)

        self._reset.call(then)

    def _stand_down(self, control_word: str) -> None:
        """Disarm, and take the policy node out of its active state: both at once, as either may be dead."""
        self._parts = {}
        if control_word in _CANNOT_BE_ARMED and not self._disarm.is_there:
            self._stood_down("disarm", True, "")
        else:
            self._disarm.call(lambda ok, message: self._stood_down("disarm", ok, message))
        self._policy.drive("not active", lambda ok, message: self._stood_down("policy", ok, message))

    def _stood_down(self, part: str, ok: bool, message: str) -> None:
        self._parts[part] = (ok, message)
        if len(self._parts) == 2:
            complaints = [text for good, text in self._parts.values() if not good]
            self._done(not complaints, "; ".join(complaints))
