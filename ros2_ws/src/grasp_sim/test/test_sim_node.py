"""The node as a graph sees it, in a process of its own, with a probe for command node, policy and task."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray, Header, String
from std_srvs.srv import Trigger

from grasp_description.cameras import STEREO_RIG
from grasp_description.objects import object_set
from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_sim.timing import TICKS_PER_FRAME, tick_time_ns

pytestmark = pytest.mark.ros
DOMAIN = 73
START_LIMIT_S = 120.0
PATIENT = {"command_limit_s": 20.0, "target_limit_s": 20.0}
"""On a loaded machine too, only answers that never come are missing."""
SENSOR = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    "/clock": Clock,
    "/joint_states": JointState,
    "/stereo/left/image_rect": Image,
    "/stereo/right/image_rect": Image,
    "/stereo/left/camera_info": CameraInfo,
    "/stereo/right/camera_info": CameraInfo,
    "/sim/object_pose": PoseStamped,
}


def nanoseconds(stamp) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


class Probe(Node):
    """Answers every tick with a command and every frame with an accepted target; notes all it sees."""

    def __init__(self, context: Context) -> None:
        super().__init__("probe", context=context, start_parameter_services=False)
        self.seen = defaultdict(list)
        self.diagnostics: dict[str, str] = {}
        self.answer_commands, self.answer_frames = True, True
        self.target = HOME_POSITION.copy()
        for topic, kind in TOPICS.items():
            qos = 10 if topic == "/sim/object_pose" else SENSOR
            self.create_subscription(kind, topic, partial(self._note, topic), qos)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._note_diagnostics, 10)
        self._arm = self.create_publisher(Float64MultiArray, "/arm/joint_command", 10)
        self._hand = self.create_publisher(Float64MultiArray, "/hand/joint_command", 10)
        self._command = self.create_publisher(JointState, "/control/command", 10)
        self._accepted = self.create_publisher(Header, "/control/accepted_target", 10)
        self._control_state = self.create_publisher(String, "/control/state", LATCHED)
        self._grasp_state = self.create_publisher(String, "/grasp/state", LATCHED)
        self.reset_client = self.create_client(Trigger, "/sim/reset")
        self.supply_client = self.create_client(Trigger, "/sim/supply")
        self.executor_ = SingleThreadedExecutor(context=context)
        self.executor_.add_node(self)

    def _note(self, topic: str, message) -> None:
        self.seen[topic].append(message)
        if topic == "/clock" and self.answer_commands:
            self.send_command(message.clock)
        if topic == "/stereo/right/image_rect" and self.answer_frames:
            self._accepted.publish(Header(stamp=message.header.stamp))

    def _note_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.startswith("grasp_sim"):
                self.diagnostics = {pair.key: pair.value for pair in status.values}

    def send_command(self, stamp) -> None:
        self._arm.publish(Float64MultiArray(data=self.target[:7].tolist()))
        self._hand.publish(Float64MultiArray(data=self.target[7:].tolist()))
        command = JointState(name=list(JOINT_NAMES), position=self.target.tolist())
        command.header.stamp = stamp
        self._command.publish(command)

    def say(self, control: str | None = None, grasp: str | None = None) -> None:
        if control is not None:
            self._control_state.publish(String(data=control))
        if grasp is not None:
            self._grasp_state.publish(String(data=grasp))

    def rest(self) -> None:
        """Back to how it all begins: nothing armed, nothing acting, nothing seen."""
        self.say(control="disarmed", grasp="idle")
        self.answer_commands = self.answer_frames = True
        self.target = HOME_POSITION.copy()
        self.seen.clear()
        self.diagnostics = {}

    def until(self, what: Callable[[], bool], limit_s: float = 60.0) -> None:
        deadline = time.monotonic() + limit_s
        while not what():
            assert time.monotonic() < deadline, f"not within {limit_s} s"
            self.executor_.spin_once(timeout_sec=0.1)

    def more(self, topic: str, count: int) -> list:
        """The next messages of a topic."""
        had = len(self.seen[topic])
        self.until(lambda: len(self.seen[topic]) >= had + count)
        return self.seen[topic][had:]

    def is_near(self, position: np.ndarray) -> bool:
        """Whether the robot stands, as far as was last heard, at this position."""
        heard = self.seen["/joint_states"][-1:]
        return bool(heard) and bool(
            np.abs(np.array(heard[0].position) - position).max() < 0.02
            and np.abs(np.array(heard[0].velocity)).max() < 0.02
        )

    def reset(self) -> tuple[bool, str]:
        return self.ask(self.reset_client)

    def ask(self, client: Client) -> tuple[bool, str]:
        self.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(future.done)
        answer = future.result()
        assert answer is not None
        return answer.success, answer.message


class Sim:
    """The node's process."""

    def __init__(self, **parameters) -> None:
        command = [sys.executable, "-m", "grasp_sim.sim_node", "--ros-args"]
        for name, value in parameters.items():
            command += ["-p", f"{name}:={value}"]
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN), "PYTHONPATH": paths}
        self.process = subprocess.Popen(command, env=environment, text=True, stderr=subprocess.PIPE)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            pytest.fail("the node did not end within 60 s of SIGINT")
        return self.process.returncode


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    context = Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    node = Probe(context)
    yield node
    node.executor_.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


class Stage:
    """One node at a time: two would speak with one voice on the same topics."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._sim: Sim | None = None
        self._parameters: dict = {}

    def ready(self, **parameters) -> Probe:
        """The probe, at rest, with a node of these parameters; the one that runs already, if it has them."""
        parameters = {**PATIENT, **parameters}
        self.probe.rest()
        if self._sim is None or parameters != self._parameters:
            self.clear()
            self._parameters, sim = parameters, Sim(seed=3, **parameters)
            self._sim = sim
            self.probe.rest()
            self.probe.until(
                lambda: bool(self.probe.seen["/clock"]) or sim.process.poll() is not None, START_LIMIT_S
            )
            assert sim.process.poll() is None, sim.process.communicate()[1]
            self.probe.until(self.probe.reset_client.service_is_ready)
        return self.probe

    def clear(self) -> None:
        """End the node, as Ctrl-C does; it must take it well."""
        sim, self._sim = self._sim, None
        if sim is not None:
            assert sim.stop() == 0


@pytest.fixture(scope="module")
def stage(probe) -> Iterator[Stage]:
    stage = Stage(probe)
    yield stage
    stage.clear()


def test_the_node_publishes_what_drivers_and_cameras_would(stage):
    probe = stage.ready()
    probe.until(lambda: all(probe.seen[topic] for topic in TOPICS) and bool(probe.diagnostics))
    offered = {
        topic: probe.get_publishers_info_by_topic(topic)[0].qos_profile.reliability for topic in TOPICS
    }
    best_effort = {topic for topic, kind in offered.items() if kind is ReliabilityPolicy.BEST_EFFORT}
    assert best_effort == set(TOPICS) - {"/sim/object_pose"}

    joints = probe.seen["/joint_states"][-1]
    assert tuple(joints.name) == JOINT_NAMES
    assert np.abs(np.array(joints.position) - HOME_POSITION).max() < 0.02
    assert len(joints.velocity) == len(joints.effort) == 23

    for eye in ("left", "right"):
        image = probe.seen[f"/stereo/{eye}/image_rect"][-1]
        info = probe.seen[f"/stereo/{eye}/camera_info"][-1]
        assert (image.width, image.height, image.encoding) == (STEREO_RIG.width, STEREO_RIG.height, "rgb8")
        assert len(image.data) == 3 * STEREO_RIG.width * STEREO_RIG.height
        assert np.frombuffer(image.data, np.uint8).std() > 5
        assert (info.width, info.height) == (image.width, image.height)
        assert info.header.frame_id == image.header.frame_id
    images = [probe.seen[f"/stereo/{eye}/image_rect"] for eye in ("left", "right")]
    stamps = [{nanoseconds(image.header.stamp) for image in seen} for seen in images]
    assert stamps[0] & stamps[1]
    ticks = {tick_time_ns(tick) for tick in range(0, 1_000_000, TICKS_PER_FRAME)}
    assert stamps[0] | stamps[1] <= ticks
    assert probe.diagnostics["mode"] == "lockstep"


def test_the_object_is_on_no_topic_but_its_own(stage):
    """So that no policy can find it: what is published besides is what a robot, cameras and any node
    publish.
    """
    probe = stage.ready()
    published = dict(probe.get_publisher_names_and_types_by_node("grasp_sim", "/"))
    assert set(published) == set(TOPICS) | {"/diagnostics", "/rosout", "/parameter_events"}
    assert [topic for topic, kinds in published.items() if kinds == ["geometry_msgs/msg/PoseStamped"]] == [
        "/sim/object_pose"
    ]


def test_in_lockstep_every_tick_waits_for_its_command_and_every_frame_for_its_target(stage):
    probe = stage.ready()
    probe.say(control="armed", grasp="grasp")
    probe.until(lambda: int(probe.diagnostics.get("target_waits", "0")) > 0)
    probe.answer_commands = False
    probe.until(lambda: len(probe.more("/clock", 1)) == 1)
    stamp = probe.seen["/clock"][-1].clock
    for _ in range(5):
        probe.executor_.spin_once(timeout_sec=0.02)
    assert probe.seen["/clock"][-1].clock == stamp
    probe.answer_commands = True
    probe.send_command(stamp)
    times = [nanoseconds(message.clock) for message in probe.more("/clock", 60)]
    assert np.all(np.abs(np.diff(times) - 1e9 / 120) <= 1)
    frames = probe.more("/stereo/right/image_rect", 10)
    gaps = np.diff([nanoseconds(frame.header.stamp) for frame in frames])
    assert np.all(np.abs(gaps - 1e9 / 30) <= 1)
    # The clock stands before the frame's tick until its target is accepted.
    probe.answer_frames = False
    held = probe.more("/stereo/right/image_rect", 1)[0].header.stamp
    for _ in range(20):
        probe.executor_.spin_once(timeout_sec=0.02)
    assert nanoseconds(probe.seen["/clock"][-1].clock) < nanoseconds(held)
    assert nanoseconds(probe.seen["/joint_states"][-1].header.stamp) == nanoseconds(held)
    probe.say(control="disarmed", grasp="release")
    probe.more("/clock", 20)


def test_the_robot_goes_where_it_is_commanded_and_holds_when_nothing_is(stage):
    probe = stage.ready()
    probe.target = HOME_POSITION + 0.1
    probe.say(control="armed")
    probe.until(lambda: probe.is_near(probe.target))
    probe.answer_commands = False
    probe.say(control="disarmed")
    probe.more("/clock", 240)
    assert probe.is_near(probe.target)


def test_resets_bring_the_next_object_and_leave_the_robot(stage):
    probe = stage.ready()
    probe.say(control="armed")
    probe.until(lambda: probe.is_near(HOME_POSITION))
    told = []
    for _ in range(6):
        before = np.array(probe.more("/joint_states", 1)[0].position)
        success, message = probe.reset()
        assert success
        told.append(json.loads(message))
        after = np.array(probe.more("/joint_states", 1)[0].position)
        assert np.abs(after - before).max() < 0.01
    assert [entry["index"] for entry in told] == list(range(told[0]["index"], told[0]["index"] + 6))
    specs = {spec.name: spec.family for spec in object_set("held-out")}
    assert all(specs[entry["object"]] == entry["family"] for entry in told)
    assert len({entry["object"] for entry in told}) == 6
    assert all(set(entry) == {"object", "family", "index"} for entry in told)


def test_an_episodes_reset_puts_the_robot_home_and_nothing_moves_until_its_first_frame(stage):
    probe = stage.ready()
    probe.target = HOME_POSITION + 0.1
    probe.say(control="armed")
    probe.until(lambda: probe.is_near(probe.target))
    probe.say(control="disarmed", grasp="resetting")
    probe.more("/clock", 30)
    assert probe.reset()[0]
    still = probe.more("/joint_states", 60)[1:]
    assert all(np.array_equal(message.position, HOME_POSITION) for message in still)
    probe.seen["/stereo/right/image_rect"].clear()
    probe.target = HOME_POSITION.copy()
    probe.say(control="armed")
    probe.more("/clock", 30)
    assert probe.seen["/stereo/right/image_rect"] == []
    probe.say(grasp="grasp")
    first, second = (nanoseconds(one.header.stamp) for one in probe.more("/stereo/right/image_rect", 2))
    moves = {nanoseconds(one.header.stamp): np.any(one.velocity) for one in probe.seen["/joint_states"]}
    assert not moves[first]
    assert second - first == pytest.approx(1e9 / 30, abs=1)


def test_missing_commands_and_targets_are_counted_by_kind_and_time_goes_on(stage):
    probe = stage.ready(command_limit_s=0.2, target_limit_s=0.3)
    probe.answer_commands = probe.answer_frames = False
    probe.say(control="armed", grasp="grasp")
    kinds = ("command_timeouts", "target_timeouts")
    probe.until(lambda: [probe.diagnostics.get(kind) for kind in kinds] == ["3", "3"])
    assert probe.diagnostics["lockstep_timeouts"] == "6"
    assert probe.diagnostics["command_given_up"] == probe.diagnostics["target_given_up"] == "1"
    assert len(probe.more("/clock", 200)) >= 200


def test_real_time_goes_on_unasked_at_the_machines_pace(stage):
    probe = stage.ready(lockstep="false")
    probe.answer_commands = probe.answer_frames = False
    first, began = probe.more("/clock", 1)[0], time.monotonic()
    while time.monotonic() - began < 3.0:
        probe.executor_.spin_once(timeout_sec=0.1)
    passed = 1e-9 * (nanoseconds(probe.seen["/clock"][-1].clock) - nanoseconds(first.clock))
    # It may fall behind on a loaded machine; unpaced it would run ahead by far.
    assert 0.0 < passed < 6.0
    probe.until(lambda: probe.diagnostics.get("mode") == "real time")
    assert {"real_time_factor", "frames_skipped", "render_ms_mean"} <= set(probe.diagnostics)


def test_an_object_set_that_does_not_exist_is_refused_by_name():
    sim = Sim(objects="fruit")
    errors = sim.process.communicate(timeout=120)[1]
    assert sim.process.returncode != 0
    assert "'fruit'" in errors
    assert "training, held-out" in errors


def test_a_supply_says_which_object_lies_there_and_leaves_one_within_reach(stage):
    probe = stage.ready()
    told = [probe.ask(probe.supply_client) for _ in range(2)]
    assert [success for success, _ in told] == [True, True]
    assert told[0] == told[1]
    assert set(json.loads(told[0][1])) == {"object", "family", "index"}
