"""The node over real topics: a driver in this process, /clock from it, the node in a process of its own."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition  # noqa: E402
from lifecycle_msgs.srv import ChangeState  # noqa: E402
from rclpy.clock import ClockType  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from sensor_msgs.msg import JointState  # noqa: E402
from std_msgs.msg import Float64MultiArray, Header, String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint  # noqa: E402

from grasp_control.checker import SequenceChecker  # noqa: E402
from grasp_control.control_node import ControlNode  # noqa: E402
from grasp_description.robot import (  # noqa: E402
    ARM_JOINTS,
    HAND_JOINTS,
    HOME_POSITION,
    JOINT_NAMES,
    joint_limits,
)

pytestmark = [pytest.mark.ros, pytest.mark.slow]

DOMAIN_ID = 71
RATE_HZ = 120
PATIENCE_S = 60.0
"""For answers of the other process, on the machine's clock: generous, since tests do not time."""
THUMB_FIRST = HAND_JOINTS[12:] + HAND_JOINTS[:12]
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TARGET_SENDER = """
import sys, rclpy
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from grasp_description.robot import HOME_POSITION, JOINT_NAMES

rclpy.init(domain_id=int(sys.argv[1]))
node = Node("killed_policy")
publisher = node.create_publisher(JointTrajectory, "/policy/joint_target", 1)
started = None

def send(clock):
    global started
    tick = round((clock.clock.sec + clock.clock.nanosec * 1e-9) * 120)
    started = tick if started is None else started
    if tick % 4 == 0:
        message = JointTrajectory(joint_names=list(JOINT_NAMES))
        message.header.stamp = clock.clock
        position = HOME_POSITION.copy()
        position[3] += 0.005 * (tick - started)
        message.points = [JointTrajectoryPoint(positions=position.tolist())]
        publisher.publish(message)

node.create_subscription(Clock, "/clock", send, 10)
rclpy.spin(node)
"""


def collect(into: list) -> Callable[[Any], None]:
    """A callback that keeps messages."""
    return into.append


class Driver(Node):
    """Stands for the robot's drivers and for /clock: steps time, measures, and takes commands."""

    def __init__(self, context) -> None:
        super().__init__("driver", context=context)
        self.executor_of_its_own = SingleThreadedExecutor(context=context)
        self.executor_of_its_own.add_node(self)
        self.tick = 1000
        self.position = HOME_POSITION.copy()
        self.commands: list[JointState] = []
        self.arm: list[Float64MultiArray] = []
        self.hand: list[Float64MultiArray] = []
        self.accepted: list[Header] = []
        self.states: list[str] = []
        self.diagnostics: dict[str, str] = {}
        self.message = ""
        best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10)
        self._measured = self.create_publisher(JointState, "/joint_states", best_effort)
        self._targets = self.create_publisher(JointTrajectory, "/policy/joint_target", 1)
        self.create_subscription(JointState, "/control/command", self._on_command, 10)
        self.create_subscription(Float64MultiArray, "/arm/joint_command", collect(self.arm), 10)
        self.create_subscription(Float64MultiArray, "/hand/joint_command", collect(self.hand), 10)
        self.create_subscription(Header, "/control/accepted_target", collect(self.accepted), 10)
        self.create_subscription(String, "/control/state", self._on_state, LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._transitions = self.create_client(ChangeState, "/grasp_control/change_state")
        self._triggers = {
            name: self.create_client(Trigger, f"/grasp_control/{name}") for name in ("arm", "disarm")
        }

    # Talking to the node.

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Spin until something holds."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            self.executor_of_its_own.spin_once(timeout_sec=0.02)

    def _call(self, client, request, what: str, stepping: bool = False) -> Any:
        self.until(client.service_is_ready, f"the service for {what}")
        future = client.call_async(request)
        while stepping and not future.done():
            self.step()
        self.until(future.done, f"the answer to {what}")
        return future.result()

    def transition(self, identity: int) -> bool:
        """Ask for a lifecycle transition; whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=identity))
        return self._call(self._transitions, request, f"transition {identity}").success

    def trigger(self, name: str, stepping: bool = False):
        """Call /grasp_control/arm or disarm, with time going on meanwhile if asked."""
        return self._call(self._triggers[name], Trigger.Request(), name, stepping)

    def activate(self) -> None:
        """Configure and activate the node, with its clock and measurements known to it."""
        assert self.transition(Transition.TRANSITION_CONFIGURE)
        assert self.transition(Transition.TRANSITION_ACTIVATE)
        self.until(lambda: self.states[-1:] == ["disarmed"], "the state disarmed")
        counted = self._measured, self._targets, self._clock_publisher
        self.until(lambda: all(p.get_subscription_count() for p in counted), "subscriptions")
        while not (answer := self.trigger("arm")).success:
            # Until the first clock and joint state have arrived.
            assert "measured" in answer.message, answer.message
            self.step(wait=False)

    def park(self) -> bool:
        """Bring the node back to unconfigured; whether that succeeded."""
        try:
            if self.states[-1:] not in (["inactive"], ["unconfigured"]):
                self.trigger("disarm", stepping=True)
                assert self.transition(Transition.TRANSITION_DEACTIVATE)
            return self.states[-1:] == ["unconfigured"] or self.transition(Transition.TRANSITION_CLEANUP)
        except AssertionError:
            return False

    # Time.

    @property
    def now_s(self) -> float:
        """Time on /clock."""
        return round(self.tick * 1e9 / RATE_HZ) * 1e-9

    def stamp(self):
        """The time on /clock as a message."""
        nanoseconds = round(self.tick * 1e9 / RATE_HZ)
        return rclpy.time.Time(nanoseconds=nanoseconds).to_msg()

    def step(self, wait: bool = False, measured: bool = True) -> None:
        """One period: joint states, the clock; if asked, wait for this tick's command and follow it."""
        self.tick += 1
        if measured:
            message = JointState(name=list(JOINT_NAMES), position=self.position.tolist(), velocity=[0.0] * 23)
            message.header.stamp = self.stamp()
            self._measured.publish(message)
        self._clock_publisher.publish(Clock(clock=self.stamp()))
        if wait:
            stamp = self.stamp()
            self.until(
                lambda: bool(self.commands) and self.commands[-1].header.stamp == stamp,
                "a command of this tick",
            )
            self.position = np.array(self.commands[-1].position)
        else:
            self.executor_of_its_own.spin_once(timeout_sec=0.02)

    def aim(self, target: np.ndarray) -> None:
        """Send a target stamped now and wait until it is accepted."""
        message = JointTrajectory(joint_names=list(JOINT_NAMES))
        message.header.stamp = self.stamp()
        message.points = [JointTrajectoryPoint(positions=target.tolist())]
        self._targets.publish(message)
        self.until(lambda: self.accepted[-1:] == [message.header], "the target's acceptance")

    def move(self, ticks: int) -> None:
        """Lead the elbow upwards for a while, a new target every 4 ticks."""
        for tick in range(ticks):
            if tick % 4 == 0:
                self.aim(self.position + 0.06 * (np.arange(23) == 3))
            self.step(wait=True)

    # What comes in.

    def _on_command(self, message: JointState) -> None:
        assert list(message.name) == list(JOINT_NAMES)
        self.commands.append(message)

    def _on_state(self, message: String) -> None:
        self.states.append(str(message.data))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith("grasp_control"):
                self.message = status.message
                self.diagnostics = {value.key: value.value for value in status.values}

    def violations(self):
        """What the checker finds in all commands so far."""
        limits = joint_limits()
        checker = SequenceChecker(
            limits.lower, limits.upper, limits.velocity, limits.acceleration, limits.jerk, 1.0 / RATE_HZ
        )
        return checker.check(np.array([command.position for command in self.commands]))


@pytest.fixture(scope="module")
def start_process() -> Iterator[Callable[..., subprocess.Popen]]:
    """Starts Python processes in the tests' domain; ends those that still run."""
    started: list[subprocess.Popen] = []

    def start(*arguments: str) -> subprocess.Popen:
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(DOMAIN_ID),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }
        # What is ignored here is ignored by children: so it is under nohup, which has to end no test.
        ours = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        try:
            started.append(subprocess.Popen([sys.executable, *arguments], env=environment))
        finally:
            signal.signal(signal.SIGHUP, ours)
        return started[-1]

    yield start
    for process in started:
        end(process)


def end(process: subprocess.Popen) -> None:
    """Make sure that a process is gone."""
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.fixture(scope="module")
def nodes() -> list[subprocess.Popen]:
    """Control nodes started so far; the last may still run, unconfigured."""
    return []


@pytest.fixture
def node(start_process, nodes) -> subprocess.Popen:
    """The control node in simulated time, unconfigured; its hand driver lists the thumb first."""
    if not nodes or nodes[-1].poll() is not None:
        hand = "[" + ",".join(THUMB_FIRST) + "]"
        parameters = ["use_sim_time:=true", f"command_rate_hz:={RATE_HZ}.0", f"hand_joints:={hand}"]
        arguments = [part for parameter in parameters for part in ("-p", parameter)]
        nodes.append(start_process("-m", "grasp_control.control_node", "--ros-args", *arguments))
    return nodes[-1]


@pytest.fixture
def driver(node, monkeypatch) -> Iterator[Driver]:
    """A driver in the same domain as the node, which it leaves unconfigured."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN_ID)
    made = Driver(context)
    yield made
    if node.poll() is None and not made.park():
        end(node)
    made.executor_of_its_own.shutdown()
    made.destroy_node()
    rclpy.shutdown(context=context)


def test_first_command_is_the_measured_position_and_drivers_get_it_in_their_order(driver):
    driver.until(lambda: driver.states[-1:] == ["unconfigured"], "the state unconfigured")
    assert driver.transition(Transition.TRANSITION_CONFIGURE)
    refused = driver.trigger("arm")
    assert (refused.success, refused.message) == (False, "not active")
    assert driver.transition(Transition.TRANSITION_CLEANUP)
    driver.position = HOME_POSITION + np.linspace(-0.03, 0.03, 23)
    driver.activate()
    driver.step(wait=True)
    np.testing.assert_array_equal(driver.commands[0].position, HOME_POSITION + np.linspace(-0.03, 0.03, 23))
    driver.move(30)
    driver.until(lambda: len(driver.arm) == len(driver.hand) == len(driver.commands), "every command")
    by_name = dict(zip(JOINT_NAMES, driver.commands[-1].position, strict=True))
    assert list(driver.arm[-1].data) == [by_name[name] for name in ARM_JOINTS]
    assert list(driver.hand[-1].data) == [by_name[name] for name in THUMB_FIRST]
    assert driver.violations() == []
    assert driver.states[-4:] == ["unconfigured", "inactive", "disarmed", "armed"]


def test_without_targets_the_robot_is_held_within_100_ms_and_a_period(driver):
    driver.activate()
    driver.move(40)
    last_target_s = driver.accepted[-1].stamp.sec + driver.accepted[-1].stamp.nanosec * 1e-9
    while driver.now_s < last_target_s + 0.1 + 1.0 / RATE_HZ:
        driver.step(wait=True)
    driver.until(lambda: driver.states[-1] == "holding", "the state holding")
    driver.until(lambda: driver.message == "holding: no fresh target", "the reason in diagnostics")
    for _ in range(60):
        driver.step(wait=True)
    held = driver.position.copy()
    assert not np.any(driver.commands[-1].velocity)
    assert driver.violations() == []
    assert driver.trigger("arm").success
    driver.step(wait=True)
    np.testing.assert_array_equal(driver.position, held)
    driver.move(8)
    assert driver.states[-1] == "armed"


def test_a_killed_policy_stops_the_robot(driver, start_process):
    driver.activate()
    policy = start_process("-c", TARGET_SENDER, str(DOMAIN_ID))
    while not driver.accepted:
        driver.step(wait=True)
    for _ in range(48):
        driver.step(wait=True)
        if driver.tick % 4 == 0:
            driver.until(lambda: driver.accepted[-1].stamp == driver.stamp(), "the target of this tick")
    policy.send_signal(signal.SIGKILL)
    policy.wait()
    assert np.abs(driver.commands[-1].velocity).max() > 0.1
    last_target_s = driver.accepted[-1].stamp.sec + driver.accepted[-1].stamp.nanosec * 1e-9
    while driver.now_s < last_target_s + 0.1 + 1.0 / RATE_HZ:
        driver.step(wait=True)
    driver.until(lambda: driver.states[-1] == "holding", "the state holding")
    for _ in range(60):
        driver.step(wait=True)
    assert not np.any(driver.commands[-1].velocity)
    assert driver.violations() == []


def test_a_clock_that_steps_back_stops_the_robot_until_it_is_armed_again(driver):
    driver.activate()
    driver.move(20)
    driver.tick -= 600
    for _ in range(80):
        driver.step()
    driver.until(lambda: driver.states[-1] == "holding", "the state holding")
    driver.until(lambda: driver.message == "holding: clock stepped back", "the reason in diagnostics")
    assert driver.trigger("arm").success
    driver.step(wait=True)
    driver.move(8)


def test_disarming_in_motion_answers_once_the_robot_stands(driver):
    driver.activate()
    driver.move(40)
    assert np.abs(driver.commands[-1].velocity).max() > 0.1
    answer = driver.trigger("disarm", stepping=True)
    assert (answer.success, answer.message) == (True, "disarmed")
    driver.until(lambda: driver.states[-1] == "disarmed", "the state disarmed")
    # State and commands are different topics: the last command may arrive after the word.
    driver.until(lambda: not np.any(driver.commands[-1].velocity), "the last command, at rest")
    assert driver.violations() == []
    count = len(driver.commands)
    for _ in range(10):
        driver.step()
    assert len(driver.commands) == count, "commands while disarmed"


def test_deactivating_in_motion_is_refused_and_at_rest_is_not(driver):
    driver.activate()
    driver.move(40)
    assert not driver.transition(Transition.TRANSITION_DEACTIVATE)
    for _ in range(60):
        driver.step(wait=True)
    assert driver.violations() == []
    assert driver.transition(Transition.TRANSITION_DEACTIVATE)
    count = len(driver.commands)
    for _ in range(10):
        driver.step()
    assert len(driver.commands) == count, "commands while inactive"
    assert driver.states[-1] == "inactive"
    assert driver.transition(Transition.TRANSITION_ACTIVATE)
    driver.until(lambda: driver.states[-1] == "disarmed", "the state disarmed")
    for _ in range(10):
        driver.step()
    assert len(driver.commands) == count, "commands from before, without arming again"


def test_shut_down_in_motion_the_robot_is_stopped_first(driver, node):
    driver.activate()
    driver.move(40)
    assert np.abs(driver.commands[-1].velocity).max() > 0.1
    assert driver.transition(Transition.TRANSITION_ACTIVE_SHUTDOWN)
    driver.until(lambda: not np.any(driver.commands[-1].velocity), "the last command, at rest")
    assert driver.violations() == []
    end(node)  # finalized: of no use to the next test


def test_a_topic_that_is_no_name_is_refused_in_words_and_the_node_lives_on(driver, start_process, node):
    end(node)
    parameters = ["use_sim_time:=true", "arm_command_topic:=no name"]
    arguments = [part for parameter in parameters for part in ("-p", parameter)]
    refusing = start_process("-m", "grasp_control.control_node", "--ros-args", *arguments)
    assert not driver.transition(Transition.TRANSITION_CONFIGURE)
    for _ in range(10):
        driver.step()
    assert refusing.poll() is None, "a joint state ended it"
    assert driver.states[-1:] == ["unconfigured"]
    end(refusing)


@pytest.mark.parametrize(("sim_time", "kind"), [(False, ClockType.STEADY_TIME), (True, ClockType.ROS_TIME)])
def test_on_a_robot_ticks_go_on_when_the_machines_clock_is_set_back(sim_time, kind):
    """A timer of the machine's clock stands until that has caught up; who sets it cannot be tried here."""
    context = rclpy.Context()
    # In a domain of its own: a destroyed lifecycle node would go on answering for a while.
    rclpy.init(context=context, domain_id=DOMAIN_ID + 1)
    node = ControlNode(context=context, parameter_overrides=[rclpy.Parameter("use_sim_time", value=sim_time)])
    node.trigger_configure()
    node.trigger_activate()
    assert node._timer.clock.clock_type is kind
    gaps: list[float] = []
    node._core.note_gap = gaps.append
    node._on_tick()
    assert len(gaps) == (not sim_time), "the core learns how long the drivers got nothing"
    node.destroy_node()
    del node
    gc.unfreeze()
    gc.collect()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_end_the_robot_is_stopped_first_and_the_exit_is_clean(driver, node, number):
    driver.activate()
    driver.move(40)
    node.send_signal(number)
    deadline = time.monotonic() + PATIENCE_S
    while node.poll() is None:
        driver.step()
        assert time.monotonic() < deadline, "the node did not end"
    assert node.returncode == 0
    for _ in range(20):
        driver.step()
    assert driver.message == "holding: stop requested"
    # The very last message may go down with the process.
    assert np.abs(driver.commands[-1].velocity).max() < 0.02
    assert driver.violations() == []


def test_diagnostics_say_state_and_counts(driver):
    driver.activate()
    driver.move(12)
    trajectory = JointTrajectory(joint_names=list(JOINT_NAMES))
    trajectory.header.stamp = driver.stamp()
    trajectory.points = [JointTrajectoryPoint(positions=driver.position.tolist())] * 2
    driver._targets.publish(trajectory)
    driver.until(lambda: driver.diagnostics.get("targets_rejected") == "1", "a trajectory's refusal")
    driver.until(lambda: driver.diagnostics.get("targets_accepted") == "3", "diagnostics")
    assert driver.diagnostics["state"] == "armed"
    assert int(driver.diagnostics["commands"]) >= 12
    for key in ("targets_rejected", "targets_clipped", "guard_stopped", "tick jitter max (ms)"):
        assert float(driver.diagnostics[key]) >= 0.0
