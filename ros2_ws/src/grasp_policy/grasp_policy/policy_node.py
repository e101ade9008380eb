"""The inference node ``/grasp_policy``: a lifecycle node that moves messages between ROS and the policy."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections import Counter
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PointStamped
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from rclpy.utilities import ok as rclpy_ok
from rclpy.utilities import try_shutdown
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from grasp_policy.deciding import Decider, Decision
from grasp_policy.decision_record import DecisionRecord
from grasp_policy.decoding import ImageRefusedError, JointStateRefusedError
from grasp_policy.monitor import InferenceMonitor
from grasp_policy.pairing import PairingLimits, Reason
from grasp_policy.policy_file import PolicyFileError, PolicyInputError, PolicyOutputError, load_policy
from grasp_policy.workcell_contract import workcell_contract

__all__ = ["PolicyNode", "main"]

SENSOR_QOS = QoSProfile(depth=1, history=HistoryPolicy.KEEP_LAST, reliability=ReliabilityPolicy.BEST_EFFORT)
TARGET_QOS = QoSProfile(
    depth=1,
    history=HistoryPolicy.KEEP_LAST,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.VOLATILE,
)
LEFT_TOPIC = "/stereo/left/image_rect"
RIGHT_TOPIC = "/stereo/right/image_rect"
JOINT_TOPIC = "/joint_states"
TARGET_TOPIC = "/policy/joint_target"
OBJECT_TOPIC = "/policy/object_position"
DECISION_TOPIC = "/policy/decision"
LOG_PERIOD_S = 1.0
"""Refused messages may come at 30 a second: one line a second says it."""


class PolicyNode(LifecycleNode):
    """Loads a policy on configure, infers while active. README.md has its topics and parameters."""

    def __init__(self, **arguments) -> None:
        super().__init__("grasp_policy", **arguments)
        self._declare_parameters()
        self._decider: Decider | None = None
        self._active = False
        self._state = "unconfigured"
        self._monitor = InferenceMonitor()
        self._skipped_before: Counter[Reason] = Counter()
        self._target_publisher = self.create_lifecycle_publisher(JointTrajectory, TARGET_TOPIC, TARGET_QOS)
        self._object_publisher = self.create_lifecycle_publisher(PointStamped, OBJECT_TOPIC, 1)
        # A recorder may be behind: it is to miss none.
        self._decision_publisher = self.create_lifecycle_publisher(DiagnosticArray, DECISION_TOPIC, 10)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # They stand from the start: discovery would cost the first frames after activation.
        left = self.create_subscription(Image, LEFT_TOPIC, self._on_left, SENSOR_QOS)
        right = self.create_subscription(Image, RIGHT_TOPIC, self._on_right, SENSOR_QOS)
        joints = self.create_subscription(JointState, JOINT_TOPIC, self._on_joint_state, SENSOR_QOS)
        self._left_topic, self._right_topic, self._joint_topic = (
            subscription.topic_name for subscription in (left, right, joints)
        )
        # On the machine's own clock: a simulation that stands still must not silence the diagnostics.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0, self._publish_diagnostics, clock=steady)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the policy after all checks; FAILURE, with the reason in log and diagnostics, if one fails."""
        self._monitor.configuration_error = ""
        try:
            self._load()
        # Whatever else goes wrong in here rclpy would swallow without a word.
        except Exception as error:  # noqa: BLE001
            text = str(error) if isinstance(error, PolicyFileError) else f"{type(error).__name__}: {error}"
            self._forget_policy()
            self._monitor.configuration_error = text
            self._monitor.record_error("policy_refused", text)
            self.get_logger().error(f"policy refused: {text}")
            return TransitionCallbackReturn.FAILURE
        # A full collection of what the libraries have brought takes longer than a target may stay away.
        gc.collect()
        gc.freeze()
        self._state = "inactive"
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start an episode: memory zero, only images taken from now on."""
        assert self._decider is not None
        self._decider.start(self.get_clock().now().nanoseconds)
        self._active = True
        self._state = "active"
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop inferring."""
        self._active = False
        self._state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let go of the policy."""
        self._forget_policy()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and let go of the policy."""
        self._forget_policy()
        self._state = "finalized"
        return super().on_shutdown(state)

    def skipped(self) -> dict[str, int]:
        """What came in and was not used since the node started, by `Reason`."""
        counts = self._skipped_before + (self._decider.counts if self._decider is not None else Counter())
        return {reason.value: counts[reason] for reason in Reason}

    def _declare_parameters(self) -> None:
        self.declare_parameter(
            "policy", "", ParameterDescriptor(description="path of the policy file, NAME.onnx")
        )
        self.declare_parameter(
            "providers",
            ["CPUExecutionProvider"],
            ParameterDescriptor(description="ONNX Runtime's execution providers; each must be granted"),
        )
        self.declare_parameter(
            "threads",
            1,
            ParameterDescriptor(
                description="threads within an operator",
                integer_range=[IntegerRange(from_value=1, to_value=64, step=1)],
            ),
        )
        self._declare_number("max_image_age_periods", 2.0, 0.5, 10.0, "oldest images used, in frame periods")
        self._declare_number(
            "max_joint_skew_periods",
            1.0,
            0.05,
            2.0,
            "joint state's distance from the images, in frame periods",
        )
        self.declare_parameter(
            "base_frame", "lbr_link_0", ParameterDescriptor(description="frame of the object's position")
        )

    def _declare_number(self, name: str, value: float, least: float, most: float, description: str) -> None:
        bounds = [FloatingPointRange(from_value=least, to_value=most, step=0.0)]
        self.declare_parameter(
            name, value, ParameterDescriptor(description=description, floating_point_range=bounds)
        )

    def _value(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _load(self) -> None:
        path = self._value("policy")
        if not path:
            raise PolicyFileError("parameter 'policy' is empty; expected the path of a policy file")
        policy = load_policy(path, workcell_contract(), self._value("providers"), self._value("threads"))
        spec = policy.spec
        limits = PairingLimits(
            frame_period_ns=round(1e9 / spec.control_rate_hz),
            max_age_periods=self._value("max_image_age_periods"),
            max_joint_skew_periods=self._value("max_joint_skew_periods"),
        )
        self._decider = Decider(policy, limits)
        self.get_logger().info(
            f"policy {path} (sha256 {policy.sha256[:12]}, run {spec.run.run_name}, {spec.image_width}x"
            f"{spec.image_height} px, {spec.control_rate_hz:g} Hz) on {', '.join(policy.providers)}"
        )

    def _forget_policy(self) -> None:
        self._active = False
        self._state = "unconfigured"
        if self._decider is not None:
            self._skipped_before += self._decider.counts
        self._decider = None

    def _on_left(self, message: Image) -> None:
        self._on_image(0, self._left_topic, message)

    def _on_right(self, message: Image) -> None:
        self._on_image(1, self._right_topic, message)

    def _on_image(self, eye: int, topic: str, message: Image) -> None:
        self._monitor.record_arrival(topic)
        if not self._active or self._decider is None:
            return
        try:
            self._decider.take_image(eye, topic, message, self.get_clock().now().nanoseconds)
        except ImageRefusedError as error:
            self._report("image_refused", error)
            return
        self._decide_if_ready(self._decider)

    def _on_joint_state(self, message: JointState) -> None:
        self._monitor.record_arrival(self._joint_topic)
        if not self._active or self._decider is None:
            return
        try:
            now_ns = self.get_clock().now().nanoseconds
            self._decider.take_joint_state(self._joint_topic, message, now_ns)
        except JointStateRefusedError as error:
            self._report("joint_state_refused", error)
            return
        self._decide_if_ready(self._decider)

    def _decide_if_ready(self, decider: Decider) -> None:
        now_ns = self.get_clock().now().nanoseconds
        restarts = decider.restarts
        observation = decider.observation(now_ns)
        if decider.restarts != restarts:
            self.get_logger().warning("the clock stepped back: the policy starts anew with zero memory")
        if observation is None:
            return
        try:
            decision = decider.decide(observation)
        except PolicyOutputError as error:
            self._report("output_not_finite", error)
            return
        except PolicyInputError as error:
            self._report("input_refused", error)
            return
        self._monitor.record_inference(1e-9 * decision.inference_ns, 1e-9 * (now_ns - observation.stamp_ns))
        self._publish(decision)
        self._publish_decision(DecisionRecord.of(decision, decider.policy, self._value("policy"), now_ns))

    def _publish(self, decision: Decision) -> None:
        assert self._decider is not None
        output = decision.output
        stamp = Time(nanoseconds=decision.observation.stamp_ns).to_msg()
        point = JointTrajectoryPoint(positions=output.joint_target.astype(float).tolist())
        target = JointTrajectory(joint_names=list(self._decider.policy.spec.joint_names), points=[point])
        target.header.stamp = stamp
        self._target_publisher.publish(target)
        position = PointStamped()
        position.header.stamp = stamp
        position.header.frame_id = self._value("base_frame")
        position.point.x, position.point.y, position.point.z = output.object_position.astype(float).tolist()
        self._object_publisher.publish(position)

    def _publish_decision(self, record: DecisionRecord) -> None:
        values = [KeyValue(key=key, value=value) for key, value in record.values().items()]
        status = DiagnosticStatus(
            name="grasp_policy", message="decision", hardware_id="policy", values=values
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = Time(nanoseconds=record.stamp_ns).to_msg()
        self._decision_publisher.publish(array)

    def _report(self, kind: str, error: Exception) -> None:
        self._monitor.record_error(kind, str(error))
        self.get_logger().error(str(error), throttle_duration_sec=LOG_PERIOD_S)

    def _publish_diagnostics(self) -> None:
        report = self._monitor.report(
            active=self._active,
            state=self._state,
            skipped=self.skipped(),
            sources=(self._left_topic, self._right_topic, self._joint_topic),
        )
        policy = None if self._decider is None else self._decider.policy
        values = {
            **report.values,
            "policy": self._value("policy"),
            "sha256": policy.sha256 if policy is not None else "",
            "providers": ", ".join(policy.providers) if policy is not None else "",
        }
        status = DiagnosticStatus(
            level=bytes([report.health]),
            name="grasp_policy",
            message=report.message,
            hardware_id="policy",
            values=[KeyValue(key=key, value=value) for key, value in values.items()],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics_publisher.publish(array)


def main(arguments: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM; returns 0 then."""
    rclpy.init(args=arguments)
    try:
        rclpy.spin(PolicyNode())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # A signal amid a callback takes the context away under its publishers; anything else is a fault.
        if rclpy_ok():
            raise
    finally:
        with contextlib.suppress(RuntimeError):  # the signal's handler may be at it at this very moment
            try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
