"""Live views: what is kept, and the folder that comes of it; the listener over real ROS."""

import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from rendered import BOARD, look_at_board

from grasp_calibration.errors import CalibrationRefusedError
from grasp_calibration.live import CaptureConfig, ViewCollector, agreed_devices, capture
from grasp_calibration.quality import QualityLimits
from grasp_calibration.robot_poses import read_poses
from grasp_calibration.views import read_pairs

LIMITS = QualityLimits()
TOPICS = ("/stereo/left/image_raw", "/stereo/right/image_raw")
JOINTS = {f"lbr_A{number}": 0.1 * number for number in range(1, 8)}


@pytest.fixture(scope="module")
def shots(rig):
    """Two places of the board, and one between them that is blurred."""
    rng = np.random.default_rng(0)
    places = [look_at_board(np.random.default_rng(seed), 0.5, 20, 0.05) for seed in (1, 2)]
    first, second = (tuple(rig.pair(place, rng)) for place in places)
    return first, second, tuple(rig.pair(places[0], rng, motion_px=15))


@pytest.fixture
def collector(tmp_path):
    return ViewCollector(tmp_path, BOARD, LIMITS, CaptureConfig(views=2))


def test_a_view_is_kept_once_the_board_stands_still_and_is_new(collector, shots):
    first, second, blurred = shots
    offered = [first, first, first, second, blurred, second, second]
    assert [collector.offer(one) for one in offered] == [False, True, False, False, False, False, True]
    assert collector.done
    assert [one.name for one in read_pairs(collector.folder)] == ["view_000", "view_001"]
    kept = cv2.imread(str(collector.folder / "left" / "view_001.png"), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(kept, second[0])


def test_why_a_view_is_not_kept_is_said(collector, shots):
    first, second, blurred = shots
    said = []
    for one in (first, second, second, second, blurred):
        collector.offer(one)
        said.append(collector.message)
    assert said[:4] == ["moving", "moving", "kept, 1 of 2", "as an earlier view: move on"]
    assert said[4].startswith("left: ")


def test_with_a_robot_its_joints_have_to_rest_and_are_written_down(tmp_path, shots):
    collector = ViewCollector(tmp_path, BOARD, LIMITS, CaptureConfig(), link="lbr_link_7")
    first, *_ = shots
    assert not collector.offer(first)
    assert collector.message.startswith("no joint states")
    assert not collector.offer(first, JOINTS | {"lbr_A1": 0.32})
    assert not collector.offer(first, JOINTS)
    assert collector.message == "moving"
    assert collector.offer(first, JOINTS)
    robot = read_poses(tmp_path / "poses.yaml")
    assert (robot.base, robot.link, list(robot.poses)) == ("lbr_link_0", "lbr_link_7", ["view_000"])


def test_a_link_that_there_is_not_is_said_before_views_are_taken(tmp_path):
    with pytest.raises(CalibrationRefusedError, match="--link: the robot has no link 'flange'"):
        capture(tmp_path, BOARD, LIMITS, CaptureConfig(), link="flange")


def test_live_views_go_to_a_new_folder_only(tmp_path):
    (tmp_path / "left").mkdir()
    (tmp_path / "left" / "old.png").write_bytes(b"")
    with pytest.raises(CalibrationRefusedError, match="holds images already"):
        capture(tmp_path, BOARD, LIMITS, CaptureConfig())


@pytest.mark.parametrize(
    ("told", "found", "agreed"),
    [
        ((), (), ()),
        (("1", "2"), (), ("1", "2")),
        ((), ("1", "2"), ("1", "2")),
        (("1", "2"), ("1", "2"), ("1", "2")),
    ],
)
def test_the_cameras_are_those_that_anybody_knows(told, found, agreed):
    assert agreed_devices(told, found, "/grasp_camera") == agreed


def test_cameras_in_another_order_than_said_are_refused():
    with pytest.raises(CalibrationRefusedError, match=r"\['2', '1'\] in /cameras; expected \['1', '2'\]"):
        agreed_devices(("1", "2"), ("2", "1"), "/cameras")


@contextmanager
def robot_and_cameras(context):
    """Publishes moments: the left eye's image, every second time the right one's, then the joints of an arm
    and those of a hand, each by itself."""
    from builtin_interfaces.msg import Time
    from rclpy.node import Node
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import Image, JointState

    node = Node("robot", context=context)
    qos = QoSProfile(depth=2, reliability=ReliabilityPolicy.BEST_EFFORT)
    left, right = (node.create_publisher(Image, topic, qos) for topic in TOPICS)
    joints = node.create_publisher(JointState, "/joint_states", qos)
    end = threading.Event()

    def publish(publisher, number: int, message) -> None:
        message.header.stamp = Time(sec=number)
        publisher.publish(message)

    def image(level: int) -> Image:
        return Image(height=4, width=6, encoding="rgb8", step=20, data=bytes([level]) * 80)

    def stream() -> None:
        number = 0
        while not end.wait(0.05):
            number += 1
            publish(left, number, image(number % 200))
            if number % 2:
                publish(right, number, image(number % 200 + 50))
            end.wait(0.02)
            for name in ("lbr_A1", "ah_joint00"):
                publish(joints, number, JointState(name=[name, "other"], position=[float(number), 7.0]))

    thread = threading.Thread(target=stream, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(10.0)
        node.destroy_node()


@pytest.mark.ros
def test_the_listener_pairs_images_by_stamp_with_the_joints_of_that_moment():
    rclpy = pytest.importorskip("rclpy")
    from rclpy.context import Context

    from grasp_calibration.listener import StereoListener

    context = Context()
    rclpy.init(context=context, domain_id=84)
    try:
        with (
            StereoListener(TOPICS, "/joint_states", ("lbr_A1",), context) as listener,
            robot_and_cameras(context),
        ):
            deadline = time.monotonic() + 60.0
            moment = None
            while moment is None or not moment[1]:
                assert time.monotonic() < deadline, "no pair with joints came"
                moment = listener.take(timeout_s=1.0)
    finally:
        rclpy.shutdown(context=context)
    (left, right), positions = moment
    assert left.shape == right.shape == (4, 6)
    assert int(right[0, 0]) == int(left[0, 0]) + 50
    assert positions.keys() == {"lbr_A1"}
    assert int(positions["lbr_A1"]) % 200 == int(left[0, 0])
    assert int(positions["lbr_A1"]) % 2 == 1


@pytest.mark.ros
@pytest.mark.parametrize(
    ("source", "devices"), [("realsense_pair", ("111", "222")), ("recorded", ()), (None, ())]
)
def test_the_camera_node_is_asked_for_its_devices(source, devices):
    rclpy = pytest.importorskip("rclpy")
    from rclpy.context import Context
    from rclpy.executors import SingleThreadedExecutor
    from rclpy.node import Node

    from grasp_calibration.listener import StereoListener

    context = Context()
    rclpy.init(context=context, domain_id=84)
    executor = SingleThreadedExecutor(context=context)
    if source is not None:
        node = Node("cameras", context=context)
        node.declare_parameter("source", source)
        node.declare_parameter("devices", ["111", "222"])
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin, daemon=True)
    thread.start()
    try:
        with StereoListener(TOPICS, "/joint_states", (), context) as listener:
            patience_s = 30.0 if devices else 1.0
            assert listener.devices("/cameras", patience_s) == devices
    finally:
        executor.shutdown()
        rclpy.shutdown(context=context)
        thread.join(10.0)
