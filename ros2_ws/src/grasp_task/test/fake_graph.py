"""Small stand-ins for the other nodes, in the same process, which obey or fail on demand."""

import gc
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PointStamped, PoseStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_description.workcell import GOAL_POSITION
from grasp_task.task_node import TaskNode

DOMAIN = 1 + os.getpid() % 100
"""Another in every process: tests that run side by side must not hear each other. Up to 101 all are safe."""
STEPS_BEFORE_LIFT = 6
_BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class FakeRobot(Node):
    """Follows every accepted target at once; its object rises to the goal while the policy acts, and goes
    where the arm turns."""

    def __init__(self, context: Context) -> None:
        super().__init__("fake_robot", context=context)
        self.position = HOME_POSITION + 0.2
        self.object_height = 0.04
        self.resets = 0
        self.reset_answer = json.dumps({"object": "mug_001", "family": "mug", "index": 0})
        self.slipped = False
        self._joints = self.create_publisher(JointState, "/joint_states", _BEST_EFFORT)
        self._pose = self.create_publisher(PoseStamped, "/sim/object_pose", 10)
        self.create_service(Trigger, "/sim/reset", self._reset)
        self.create_timer(0.01, self._publish)

    @property
    def object_position(self) -> tuple[float, float, float]:
        """m; turned with the arm's first joint, unless it has slipped out of the hand."""
        x, y = GOAL_POSITION[:2].tolist()
        turned = 0.0 if self.slipped or self.object_height < GOAL_POSITION[2] else self.position[0]
        cos, sin = np.cos(turned), np.sin(turned)
        return x * cos - y * sin, x * sin + y * cos, self.object_height

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.resets += 1
        self.object_height = 0.04
        response.success, response.message = True, self.reset_answer
        return response

    def _publish(self) -> None:
        now = self.get_clock().now().to_msg()
        joints = JointState(name=list(JOINT_NAMES), position=self.position.tolist())
        joints.header.stamp = now
        self._joints.publish(joints)
        pose = PoseStamped()
        pose.header.stamp = now
        place = pose.pose.position
        place.x, place.y, place.z = self.object_position
        self._pose.publish(pose)


class FakeControl(LifecycleNode):
    """Accepts targets while armed; holds when told to."""

    def __init__(self, context: Context, robot: FakeRobot) -> None:
        super().__init__("grasp_control", context=context)
        self._robot = robot
        self.targets: list[tuple[str, JointTrajectory]] = []
        self.refuse_arming = ""
        self.policy_active: Callable[[], bool] = lambda: False
        self._state = self.create_publisher(String, "/control/state", _LATCHED)
        self._accepted = self.create_publisher(Header, "/control/accepted_target", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(JointTrajectory, "/policy/joint_target", self._take, 10)
        self.create_service(Trigger, "~/arm", self._on_arm)
        self._disarm = self.create_service(Trigger, "~/disarm", self._on_disarm)
        self.say("unconfigured")

    def destroy_disarm(self) -> None:
        """Offer no service to disarm."""
        self.destroy_service(self._disarm)

    def say(self, word: str, reason: str = "") -> None:
        """Go to a state."""
        self.word = word
        self._state.publish(String(data=word))
        values = [KeyValue(key="state", value=word), KeyValue(key="reason", value=reason)]
        status = DiagnosticStatus(name="grasp_control: command", message=f"{word}: {reason}", values=values)
        self._diagnostics.publish(DiagnosticArray(status=[status]))

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        self.say("inactive")
        return super().on_configure(state)

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        self.say("disarmed")
        return super().on_activate(state)

    def _take(self, message: JointTrajectory) -> None:
        if self.word != "armed":
            return
        self.targets.append(("policy" if self.policy_active() else "task", message))
        self._robot.position = np.array(message.points[0].positions)
        self._accepted.publish(message.header)

    def _on_arm(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = not self.refuse_arming, self.refuse_arming
        if response.success:
            self.say("armed")
        return response

    def _on_disarm(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self.say("disarmed")
        response.success = True
        return response


class FakePolicy(LifecycleNode):
    """Sends targets and estimates while active, and lifts the object if the targets are taken."""

    def __init__(self, context: Context, robot: FakeRobot) -> None:
        super().__init__("grasp_policy", context=context)
        self._robot = robot
        self.active, self.mute, self.refuse = False, False, False
        self.activations, self._steps = 0, 0
        self.armed: Callable[[], bool] = lambda: True
        self.sees_object = True
        self._targets = self.create_publisher(JointTrajectory, "/policy/joint_target", 1)
        self._estimates = self.create_publisher(PointStamped, "/policy/object_position", 1)
        self.create_timer(1 / 30, self._step)

    def on_configure(self, state: Any) -> TransitionCallbackReturn:
        return TransitionCallbackReturn.FAILURE if self.refuse else super().on_configure(state)

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        self.active, self._steps = True, 0
        self.activations += 1
        return super().on_activate(state)

    def on_deactivate(self, state: Any) -> TransitionCallbackReturn:
        self.active = False
        return super().on_deactivate(state)

    def _step(self) -> None:
        if not self.active or self.mute:
            return
        self._steps += self.armed()
        if self._steps > STEPS_BEFORE_LIFT:
            self._robot.object_height = float(GOAL_POSITION[2])
        message = JointTrajectory(joint_names=list(JOINT_NAMES))
        message.header.stamp = self.get_clock().now().to_msg()
        message.points = [JointTrajectoryPoint(positions=self._robot.position.tolist())]
        self._targets.publish(message)
        estimate = PointStamped(header=message.header)
        estimate.point.x, estimate.point.y, estimate.point.z = self._robot.object_position
        estimate.point.z += 0.0 if self.sees_object else 0.1
        self._estimates.publish(estimate)


class FakeCamera(LifecycleNode):
    """Streams some time after it was activated: when told to."""

    def __init__(self, context: Context) -> None:
        super().__init__("grasp_camera", context=context)
        self.active = False
        self._state = self.create_publisher(String, "/camera/state", _LATCHED)

    def on_activate(self, state: Any) -> TransitionCallbackReturn:
        self.active = True
        self.say("connecting")
        return super().on_activate(state)

    def say(self, word: str) -> None:
        """Publish a state word."""
        self._state.publish(String(data=word))


class FakeGraph:
    """The task node among stand-ins, all in this thread.

    Args:
        parameters: of the task node
    """

    def __init__(self, **parameters: Any) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.robot = FakeRobot(self.context)
        self.control = FakeControl(self.context, self.robot)
        self.policy = FakePolicy(self.context, self.robot)
        self.camera = FakeCamera(self.context)
        self.control.policy_active = lambda: self.policy.active
        self.policy.armed = lambda: self.control.word == "armed"
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.task = TaskNode(context=self.context, parameter_overrides=overrides)
        self.operator = rclpy.create_node("operator", context=self.context)
        self.words: list[str] = []
        every_word = QoSProfile(depth=20, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.operator.create_subscription(String, "/grasp/state", self._on_state, every_word)
        self.nodes: list[Node] = [self.robot, self.camera, self.control, self.policy]
        self.nodes += [self.task, self.operator]
        self._executor = SingleThreadedExecutor(context=self.context)
        for node in self.nodes:
            self._executor.add_node(node)

    def _on_state(self, message: String) -> None:
        self.words.append(message.data)

    @property
    def report(self) -> dict[str, Any]:
        """The task node's report, as it stands in its file."""
        return json.loads(Path(self.task.parameters.report).read_text(encoding="utf-8"))

    def spin_until(self, what: Callable[[], bool], why: str, limit_s: float = 30.0) -> None:
        """Let all nodes work until something holds; fails with ``why`` if it never does."""
        deadline = time.monotonic() + limit_s
        while not what():
            state = self.task.state
            assert time.monotonic() < deadline, f"timed out waiting: {why}; {state.reason}; {state}"
            self._executor.spin_once(timeout_sec=0.05)

    def word(self, word: str) -> None:
        """Spin until /grasp/state says ``word``."""
        self.spin_until(lambda: bool(self.words) and self.words[-1] == word, f"state {word!r}")

    def call(self, service: str) -> Trigger.Response:
        """What an operator gets who calls a service of the task node's."""
        client = self.operator.create_client(Trigger, service)
        self.spin_until(client.service_is_ready, f"service {service}")
        future = client.call_async(Trigger.Request())
        self.spin_until(future.done, f"answer of {service}")
        self.operator.destroy_client(client)
        answer = future.result()
        assert answer is not None
        return answer

    def kill(self, node: Node) -> None:
        """Take a node away, as if its process had died."""
        self._executor.remove_node(node)
        self.nodes.remove(node)
        node.destroy_node()

    def close(self) -> None:
        """End all. The graph is of no use afterwards."""
        for node in self.nodes:
            self._executor.remove_node(node)
            node.destroy_node()
        context = self.context
        # A destroyed lifecycle node lives on until its state machine is collected: not into the next test.
        self.__dict__.clear()
        gc.collect()
        rclpy.shutdown(context=context)


def with_parameters(**parameters: Any) -> pytest.MarkDecorator:
    """Give the fixture `graph` parameters of the task node."""
    return pytest.mark.parametrize("graph", [parameters], indirect=True, ids=["-".join(parameters)])
