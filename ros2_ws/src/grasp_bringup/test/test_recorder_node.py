"""The recorder over real ROS: what it hears, however it is published, and what it says of itself."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Float64MultiArray, Header, String

from grasp_bringup.recorded_topics import IMAGES
from grasp_bringup.recorder_node import RecorderNode
from grasp_policy.recordings import RecordedMessage, Recording

pytestmark = pytest.mark.ros
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PATIENCE_S = 120.0


class Bench:
    """The recorder and a node that talks, each in a context of its own, as in two processes."""

    def __init__(self, contexts: tuple[Context, Context], path: Path) -> None:
        self.talker = Node("talker", context=contexts[0])
        self.statuses: list[dict[str, str]] = []
        self.talker.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self._path, self._context = path, contexts[1]
        self._executors = [SingleThreadedExecutor(context=context) for context in contexts]
        self._executors[0].add_node(self.talker)

    def start(self, *topics: str) -> None:
        values = {"file": str(self._path), "topics": list(topics)}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.recorder = RecorderNode(context=self._context, parameter_overrides=overrides)
        self._executors[1].add_node(self.recorder)

    def wait_for(self, done: Callable[[], object], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline_s, f"waited in vain: {what}"
            for executor in self._executors:
                executor.spin_once(timeout_sec=0.02)

    def say_until_heard(self, topic: str, say: Callable[[], None]) -> list[RecordedMessage]:
        """Publish until the recorder tells that it has messages of the topic; what it wrote."""

        def heard() -> bool:
            say()
            return bool(self.statuses) and topic not in self.statuses[-1]["without messages"].split(", ")

        self.wait_for(heard, f"{topic} is heard")
        return self.stop()

    def stop(self) -> list[RecordedMessage]:
        self.recorder.close()
        return list(Recording(self._path).messages())

    def close(self) -> None:
        for executor in self._executors:
            executor.shutdown()
        self.talker.destroy_node()
        self.recorder.destroy_node()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.statuses.append({item.key: item.value for item in status.values})


@pytest.fixture
def bench(tmp_path) -> Iterator[Bench]:
    contexts = Context(), Context()
    for context in contexts:
        rclpy.init(context=context, domain_id=1 + os.getpid() % 100)
    made = Bench(contexts, tmp_path / "a.mcap")
    yield made
    made.close()
    for context in contexts:
        context.try_shutdown()


def test_what_is_written_is_what_was_sent_bit_for_bit(bench):
    message = Float64MultiArray(data=[0.1, -0.0, 1e-300])
    publisher = bench.talker.create_publisher(Float64MultiArray, "/arm/joint_command", 1)
    bench.start("/arm/joint_command")
    read = bench.say_until_heard("/arm/joint_command", lambda: publisher.publish(message))
    assert {one.data for one in read} == {serialize_message(message)}
    assert {one.kind for one in read} == {"std_msgs/msg/Float64MultiArray"}
    assert all(0 < one.publish_ns <= one.log_ns for one in read)


def test_a_word_that_was_said_before_the_recorder_came_is_in_the_recording(bench):
    bench.talker.create_publisher(String, "/grasp/state", LATCHED).publish(String(data="idle"))
    bench.start("/grasp/state")
    (one,) = bench.say_until_heard("/grasp/state", lambda: None)
    assert one.data == serialize_message(String(data="idle"))


def test_a_publisher_that_offers_less_than_expected_is_heard(bench):
    publisher = bench.talker.create_publisher(Header, "/control/accepted_target", BEST_EFFORT)
    bench.start("/control/accepted_target")
    assert bench.say_until_heard("/control/accepted_target", lambda: publisher.publish(Header()))


def test_a_publisher_of_another_type_than_expected_is_heard_and_told_by_its_type(bench):
    publisher = bench.talker.create_publisher(PointStamped, "/hand/joint_command", 1)
    bench.start("/hand/joint_command")
    read = bench.say_until_heard("/hand/joint_command", lambda: publisher.publish(PointStamped()))
    assert {one.kind for one in read} == {"geometry_msgs/msg/PointStamped"}


def test_a_topic_of_another_stack_is_recorded_when_it_is_named(bench):
    publisher = bench.talker.create_publisher(String, "/somebody/else", 1)
    bench.start("/somebody/else", "/never/published")
    read = bench.say_until_heard("/somebody/else", lambda: publisher.publish(String(data="x")))
    assert {one.topic for one in read} == {"/somebody/else"}
    assert bench.statuses[-1]["without messages"] == "/never/published"


def test_the_recorder_is_ready_once_images_have_come_and_every_publisher_is_found(bench):
    left, right = (bench.talker.create_publisher(Image, topic, BEST_EFFORT) for topic in IMAGES)
    bench.talker.create_publisher(String, "/grasp/state", LATCHED)
    bench.start(*IMAGES, "/grasp/state", "/never/published")

    def says_ready(*publishers) -> bool:
        for publisher in publishers:
            publisher.publish(Image())
        return bool(bench.statuses) and bench.statuses[-1]["ready"] == "true"

    def lacks_right(*publishers) -> bool:
        assert not says_ready(*publishers), "without images of the right eye"
        return bool(bench.statuses) and IMAGES[0] not in bench.statuses[-1]["without messages"]

    bench.wait_for(lambda: lacks_right(left), "images of the left eye are heard")
    bench.wait_for(lambda: says_ready(left, right), "the recorder is ready")
