"""The inference node over real ROS: what it refuses, when it infers and when it stops."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time as TimeMessage
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PointStamped
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from grasp_policy.decision_record import DecisionRecord, checksum
from grasp_policy.pairing import Reason
from grasp_policy.policy_file import PolicySpec, card_path
from grasp_policy.policy_node import PolicyNode
from grasp_policy.testing import sample_spec, write_sample
from grasp_policy.workcell_contract import workcell_contract

DOMAIN = 72
PERIOD_NS = 33_333_333
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)

INPUTS = ("/joint_states", "/stereo/left/image_rect", "/stereo/right/image_rect")


def stamp_message(stamp_ns: int) -> TimeMessage:
    return TimeMessage(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)


class Robot(Node):
    """Cameras, drivers and clock of the test, and an ear for everything the policy node says."""

    def __init__(self, context: Context, spec: PolicySpec) -> None:
        super().__init__("robot", context=context)
        self.spec = spec
        self.targets: list[JointTrajectory] = []
        self.positions: list[PointStamped] = []
        self.statuses: list[DiagnosticStatus] = []
        self.decisions: list[DiagnosticArray] = []
        self.clock_publisher = self.create_publisher(Clock, "/clock", 1)
        self.left = self.create_publisher(Image, "/stereo/left/image_rect", BEST_EFFORT)
        self.right = self.create_publisher(Image, "/stereo/right/image_rect", BEST_EFFORT)
        self.joints = self.create_publisher(JointState, "/joint_states", BEST_EFFORT)
        self.create_subscription(JointTrajectory, "/policy/joint_target", self.targets.append, 10)
        self.create_subscription(PointStamped, "/policy/object_position", self.positions.append, 10)
        self.create_subscription(DiagnosticArray, "/policy/decision", self.decisions.append, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.statuses += [status for status in message.status if status.name == "grasp_policy"]

    def image(self, stamp_ns: int, grey: int = 0, **changes) -> Image:
        width, height = self.spec.image_width, self.spec.image_height
        fields = {"encoding": "rgb8", "width": width, "height": height, "step": 3 * width} | changes
        message = Image(data=bytes([grey]) * (fields["step"] * fields["height"]), **fields)
        message.header.stamp = stamp_message(stamp_ns)
        return message

    def joint_state(self, stamp_ns: int, position: float = 0.0) -> JointState:
        names = list(reversed(self.spec.joint_names))
        message = JointState(name=names, position=[position] * 23, velocity=[0.0] * 23)
        message.header.stamp = stamp_message(stamp_ns)
        return message


class Bench:
    """The policy node and the robot in one executor, on simulated time."""

    def __init__(self, context: Context, policy: Path, **parameters) -> None:
        self.now_ns = 5 * 10**9
        values = {"policy": str(policy), "use_sim_time": True} | parameters
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = PolicyNode(context=context, parameter_overrides=overrides)
        self.robot = Robot(context, sample_spec(workcell_contract()))
        self.executor = SingleThreadedExecutor(context=context)
        for node in (self.node, self.robot):
            self.executor.add_node(node)
        self.wait_for(self._connected, "the two nodes find each other")
        self.set_clock(self.now_ns)

    def _connected(self) -> bool:
        senders = (self.robot.clock_publisher, self.robot.left, self.robot.right, self.robot.joints)
        topics = ("/policy/joint_target", "/policy/object_position", "/policy/decision", "/diagnostics")
        return all(sender.get_subscription_count() for sender in senders) and all(
            self.robot.count_publishers(topic) for topic in topics
        )

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain: {what}"
            self.executor.spin_once(timeout_sec=0.05)

    def set_clock(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.robot.clock_publisher.publish(Clock(clock=stamp_message(now_ns)))
        clock = self.node.get_clock()
        self.wait_for(lambda: clock.now().nanoseconds == now_ns, "the node takes the time")

    def start(self) -> None:
        assert self.node.trigger_configure() is SUCCESS
        assert self.node.trigger_activate() is SUCCESS

    def frame(self, stamp_ns: int | None = None, left: int = 0, right: int = 0) -> JointTrajectory:
        """One whole moment, and the target that the node answers with."""
        stamp_ns = self.now_ns if stamp_ns is None else stamp_ns
        count = len(self.robot.targets)
        self.robot.joints.publish(self.robot.joint_state(stamp_ns))
        self.robot.left.publish(self.robot.image(stamp_ns, left))
        self.robot.right.publish(self.robot.image(stamp_ns, right))
        self.wait_for(lambda: len(self.robot.targets) > count, "a joint target")
        return self.robot.targets[-1]

    def next_frame(self, **images: int) -> JointTrajectory:
        self.set_clock(self.now_ns + PERIOD_NS)
        return self.frame(**images)

    def estimate(self) -> float:
        """The number of steps that the sample policy remembers: its estimate of the object's x."""
        stamp = self.robot.targets[-1].header.stamp
        self.wait_for(
            lambda: self.robot.positions and self.robot.positions[-1].header.stamp == stamp, "an estimate"
        )
        return self.robot.positions[-1].point.x

    def wait_for_skip(self, reason: Reason, count: int = 1) -> None:
        self.wait_for(lambda: self.node.skipped()[reason.value] >= count, f"{reason.value} is counted")

    def status(self) -> DiagnosticStatus:
        """The next diagnostics."""
        count = len(self.robot.statuses)
        self.wait_for(lambda: len(self.robot.statuses) > count, "diagnostics")
        return self.robot.statuses[-1]

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        self.robot.destroy_node()


@pytest.fixture
def context() -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    yield context
    context.try_shutdown()


@pytest.fixture
def policy_path(tmp_path: Path) -> Path:
    return write_sample(tmp_path, sample_spec(workcell_contract()))


@pytest.fixture
def bench(context: Context, policy_path: Path) -> Iterator[Bench]:
    bench = Bench(context, policy_path)
    yield bench
    bench.close()


@pytest.fixture
def running(bench: Bench) -> Bench:
    bench.start()
    return bench


def positions(target: JointTrajectory) -> np.ndarray:
    (point,) = target.points
    return np.asarray(point.positions)


def level(status: DiagnosticStatus) -> int:
    return int.from_bytes(status.level, "little")


def values_of(status: DiagnosticStatus) -> dict[str, str]:
    return {item.key: item.value for item in status.values}


def value(status: DiagnosticStatus, key: str) -> str:
    return next(item.value for item in status.values if item.key == key)


def test_infers_on_images_and_joints_of_one_moment(running: Bench) -> None:
    target = running.frame(left=100, right=0)
    assert list(target.joint_names) == list(workcell_contract().joint_names)
    np.testing.assert_allclose(positions(target), [0.1] * 23, atol=1e-6)
    assert target.header.stamp == stamp_message(running.now_ns)
    running.estimate()
    assert running.robot.positions[-1].header.frame_id == "lbr_link_0"


def test_names_what_each_target_was_decided_from(running: Bench) -> None:
    first, second = running.frame(left=100), running.next_frame(left=50)
    running.wait_for(lambda: len(running.robot.decisions) == 2, "two decisions")
    decisions = running.robot.decisions
    records = [DecisionRecord.from_values(values_of(decision.status[0])) for decision in decisions]
    assert [decision.header.stamp for decision in decisions] == [first.header.stamp, second.header.stamp]
    assert [(record.step, record.stamp_ns, record.joint_stamp_ns) for record in records] == [
        (0, running.now_ns - PERIOD_NS, running.now_ns - PERIOD_NS),
        (1, running.now_ns, running.now_ns),
    ]
    assert records[0].left_crc32 != records[1].left_crc32
    assert records[0].right_crc32 == records[1].right_crc32
    assert [record.target_crc32 for record in records] == [
        checksum(positions(one)) for one in (first, second)
    ]


def test_continues_from_its_own_target_and_memory(running: Bench) -> None:
    running.frame(left=100)
    target = running.next_frame(left=100)
    np.testing.assert_allclose(positions(target), [0.2] * 23, atol=1e-6)
    assert running.estimate() == 1.0


def test_forgets_between_two_activations(running: Bench) -> None:
    running.frame(left=100)
    running.next_frame(left=100)
    assert running.node.trigger_deactivate() is SUCCESS
    assert running.node.trigger_activate() is SUCCESS
    target = running.next_frame()
    np.testing.assert_allclose(positions(target), [0.0] * 23, atol=1e-6)
    assert running.estimate() == 0.0


def test_says_nothing_while_inactive(running: Bench) -> None:
    running.frame()
    assert running.node.trigger_deactivate() is SUCCESS
    running.set_clock(running.now_ns + PERIOD_NS)
    running.robot.joints.publish(running.robot.joint_state(running.now_ns))
    running.robot.left.publish(running.robot.image(running.now_ns))
    running.robot.right.publish(running.robot.image(running.now_ns))
    for topic in INPUTS:
        running.wait_for(lambda topic=topic: value(running.status(), f"received {topic}") == "2", topic)
    assert value(running.robot.statuses[-1], "inferences") == "1"
    assert running.node.trigger_activate() is SUCCESS
    running.next_frame()
    assert len(running.robot.targets) == 2


def test_stops_when_images_repeat(running: Bench) -> None:
    running.frame()
    stamp = running.now_ns
    running.set_clock(stamp + PERIOD_NS)
    running.robot.left.publish(running.robot.image(stamp))
    running.robot.right.publish(running.robot.image(stamp))
    running.wait_for_skip(Reason.REPEATED, 2)
    running.next_frame()
    assert len(running.robot.targets) == 2


def test_stops_when_images_are_not_of_one_moment(running: Bench) -> None:
    running.robot.joints.publish(running.robot.joint_state(running.now_ns + 1))
    running.robot.left.publish(running.robot.image(running.now_ns))
    running.robot.right.publish(running.robot.image(running.now_ns + 1))
    for topic in INPUTS:
        running.wait_for(lambda topic=topic: value(running.status(), f"received {topic}") == "1", topic)
    running.next_frame()
    assert running.node.skipped()[Reason.UNPAIRED.value] == 2
    assert len(running.robot.targets) == 1


def test_stops_when_images_are_old(running: Bench) -> None:
    stamp = running.now_ns
    running.set_clock(stamp + 2 * PERIOD_NS + 10)
    running.robot.left.publish(running.robot.image(stamp))
    running.robot.right.publish(running.robot.image(stamp))
    running.wait_for_skip(Reason.OLD, 2)
    running.next_frame()
    assert len(running.robot.targets) == 1


def test_uses_no_image_from_before_its_activation(running: Bench) -> None:
    running.robot.left.publish(running.robot.image(running.now_ns - 1))
    running.robot.right.publish(running.robot.image(running.now_ns - 1))
    running.wait_for_skip(Reason.BEFORE_START, 2)
    running.frame()
    assert running.estimate() == 0.0


def test_starts_anew_when_the_clock_steps_back(running: Bench) -> None:
    running.frame(left=100)
    running.next_frame(left=100)
    running.set_clock(10**9)
    target = running.frame()
    np.testing.assert_allclose(positions(target), [0.0] * 23, atol=1e-6)
    assert running.estimate() == 0.0
    assert running.node.skipped()[Reason.CLOCK_BACK.value] == 1


def test_reads_rows_with_padding(running: Bench) -> None:
    step = 3 * running.robot.spec.image_width + 5
    running.robot.joints.publish(running.robot.joint_state(running.now_ns))
    running.robot.left.publish(running.robot.image(running.now_ns, 100, step=step))
    running.robot.right.publish(running.robot.image(running.now_ns, 0, step=step))
    running.wait_for(lambda: running.robot.targets, "a joint target")
    np.testing.assert_allclose(positions(running.robot.targets[0]), [0.1] * 23, atol=1e-6)


def test_refuses_images_of_another_size_and_names_both(running: Bench) -> None:
    width, height = running.robot.spec.image_width, running.robot.spec.image_height
    running.robot.left.publish(running.robot.image(running.now_ns, width=7, step=21))
    running.wait_for(lambda: "7x" in running.status().message, "the refusal is reported")
    status = running.robot.statuses[-1]
    assert level(status) == 2
    wanted = f"image on /stereo/left/image_rect is 7x{height} px; the policy takes {width}x{height} px"
    assert value(status, "last_error") == wanted
    assert not running.robot.targets


def test_no_inference_on_joint_states_that_are_not_finite(running: Bench) -> None:
    running.robot.joints.publish(running.robot.joint_state(running.now_ns))
    running.wait_for(lambda: value(running.status(), "received /joint_states") == "1", "a good joint state")
    running.robot.joints.publish(running.robot.joint_state(running.now_ns, float("nan")))
    running.wait_for(lambda: value(running.status(), "received /joint_states") == "2", "a bad joint state")
    running.robot.left.publish(running.robot.image(running.now_ns))
    running.robot.right.publish(running.robot.image(running.now_ns))
    for topic in INPUTS[1:]:
        running.wait_for(lambda topic=topic: value(running.status(), f"received {topic}") == "1", topic)
    assert "position nan rad from /joint_states" in value(running.robot.statuses[-1], "last_error")
    assert not running.robot.targets
    running.robot.joints.publish(running.robot.joint_state(running.now_ns))
    running.wait_for(lambda: running.robot.targets, "inference with a good joint state")


def test_publishes_nothing_when_the_policy_computes_nan(context: Context, tmp_path: Path) -> None:
    path = write_sample(tmp_path, sample_spec(workcell_contract()), nan_after_steps=1)
    bench = Bench(context, path)
    bench.start()
    bench.frame()
    bench.set_clock(bench.now_ns + PERIOD_NS)
    bench.robot.joints.publish(bench.robot.joint_state(bench.now_ns))
    bench.robot.left.publish(bench.robot.image(bench.now_ns))
    bench.robot.right.publish(bench.robot.image(bench.now_ns))
    bench.wait_for(lambda: level(bench.status()) == 2, "the error is reported")
    assert "joint_target[0] is nan" in bench.robot.statuses[-1].message
    assert value(bench.robot.statuses[-1], "error_output_not_finite") == "1"
    assert len(bench.robot.targets) == 1
    assert len(bench.robot.positions) <= 1
    bench.close()


def test_says_what_it_runs_and_how_fast(running: Bench, policy_path: Path) -> None:
    running.frame()
    running.wait_for(lambda: value(running.status(), "inferences") == "1", "the inference is reported")
    status = running.robot.statuses[-1]
    assert value(status, "state") == "active"
    assert value(status, "providers") == "CPUExecutionProvider"
    assert f"sha256: {value(status, 'sha256')}" in card_path(policy_path).read_text()
    assert float(value(status, "inference_ms_p99")) >= float(value(status, "inference_ms_p50")) > 0.0
    assert float(value(status, "image_age_ms_p50")) == 0.0


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def tamper(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"sample")
    content[at : at + 6] = b"SAMPLE"
    path.write_bytes(content)


def take_the_card_away(path: Path) -> None:
    card_path(path).unlink()


def replace_by_another_file(path: Path) -> None:
    take_the_card_away(path)
    path.write_bytes(b"PK\x03\x04 a checkpoint")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, "size is 1000 bytes"),
        (tamper, "the file was changed after its card was written"),
        (take_the_card_away, "the model card is missing"),
        (replace_by_another_file, "the file is not an ONNX model"),
    ],
)
def test_refuses_to_configure_and_says_why(bench: Bench, policy_path: Path, spoil, message: str) -> None:
    good = policy_path.read_bytes(), card_path(policy_path).read_bytes()
    spoil(policy_path)
    assert bench.node.trigger_configure() is FAILURE
    status = bench.status()
    assert level(status) == 2
    assert message in status.message
    assert message in value(status, "last_error")
    policy_path.write_bytes(good[0])
    card_path(policy_path).write_bytes(good[1])
    assert bench.node.trigger_configure() is SUCCESS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"joint_names": workcell_contract().joint_names[::-1]}, r"joint_names[0] is 'allegro_thumb_3'"),
        ({"image_width": 2 * workcell_contract().image_width}, "image_width is"),
    ],
)
def test_refuses_a_policy_of_another_robot(
    context: Context, tmp_path: Path, changes: dict, message: str
) -> None:
    bench = Bench(context, write_sample(tmp_path, sample_spec(workcell_contract(), **changes)))
    assert bench.node.trigger_configure() is FAILURE
    assert message in bench.status().message
    bench.close()


def test_refuses_without_a_policy(context: Context) -> None:
    bench = Bench(context, Path())
    bench.node.set_parameters([Parameter("policy", value="")])
    assert bench.node.trigger_configure() is FAILURE
    assert "parameter 'policy' is empty" in bench.status().message
    bench.close()


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_refuses_without_the_provider_asked_for(context: Context, policy_path: Path) -> None:
    bench = Bench(context, policy_path, providers=["CUDAExecutionProvider"])
    assert bench.node.trigger_configure() is FAILURE
    assert "CUDAExecutionProvider is not granted; the session has CPUExecutionProvider" in (
        bench.status().message
    )
    bench.close()


def test_parameters_out_of_range_are_refused(bench: Bench) -> None:
    for name, bad in (("threads", 0), ("max_image_age_periods", 60.0), ("max_joint_skew_periods", 0.0)):
        assert not bench.node.set_parameters([Parameter(name, value=bad)])[0].successful


def test_another_policy_is_taken_after_cleanup(running: Bench, tmp_path: Path) -> None:
    running.frame()
    other = write_sample(tmp_path, sample_spec(workcell_contract()), name="other")
    running.node.set_parameters([Parameter("policy", value=str(other))])
    assert running.node.trigger_deactivate() is SUCCESS
    assert running.node.trigger_cleanup() is SUCCESS
    running.start()
    running.next_frame()
    assert running.estimate() == 0.0


@pytest.mark.ros
def test_as_a_process_it_answers_lifecycle_calls_and_ends_on_sigint(
    context: Context, policy_path: Path
) -> None:
    # In a namespace: rclpy keeps the lifecycle services of this process's earlier, destroyed nodes reachable.
    command = [sys.executable, "-m", "grasp_policy.policy_node", "--ros-args", "-r", "__ns:=/alone"]
    command += ["-p", f"policy:={policy_path}"]
    process = subprocess.Popen(command, env=os.environ | {"ROS_DOMAIN_ID": str(DOMAIN)})
    try:
        caller = Node("caller", context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(caller)
        client = caller.create_client(ChangeState, "/alone/grasp_policy/change_state")
        assert client.wait_for_service(timeout_sec=60.0)
        for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            future = client.call_async(request)
            executor.spin_until_future_complete(future, timeout_sec=60.0)
            response = future.result()
            assert response is not None
            assert response.success
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60.0) == 0
        executor.shutdown()
        caller.destroy_node()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
