"""Messages that are filled in place."""

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo, Image, JointState

from grasp_description.cameras import STEREO_RIG
from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_sim.messages import (
    ImageMessage,
    JointStateMessage,
    camera_info,
    canonical_positions,
    set_stamp,
    stamp_ns,
)


def test_stamps_keep_every_nanosecond():
    message = JointState()
    for time_ns in (0, 8_333_333, 999_999_999, 1_000_000_000, 86_400_000_000_001):
        set_stamp(message.header.stamp, time_ns)
        assert stamp_ns(message.header.stamp) == time_ns


def test_a_joint_state_that_is_filled_again_carries_the_new_values():
    source = JointStateMessage()
    for shift in (0.0, 1.0):
        filled = source.fill(5, HOME_POSITION + shift, HOME_POSITION * 2, HOME_POSITION * 3)
        read = deserialize_message(serialize_message(filled), JointState)
        assert tuple(read.name) == JOINT_NAMES
        assert np.array_equal(read.position, HOME_POSITION + shift)
        assert np.array_equal(read.velocity, HOME_POSITION * 2)
        assert np.array_equal(read.effort, HOME_POSITION * 3)


def test_an_image_arrives_pixel_for_pixel():
    rig, rng = STEREO_RIG, np.random.default_rng(0)
    source = ImageMessage(rig, 0)
    for _ in range(2):
        pixels = rng.integers(0, 256, (rig.height, rig.width, 3), dtype=np.uint8)
        read = deserialize_message(serialize_message(source.fill(7, pixels)), Image)
        assert (read.encoding, read.step, read.is_bigendian) == ("rgb8", 3 * rig.width, 0)
        assert np.array_equal(np.frombuffer(read.data, np.uint8).reshape(pixels.shape), pixels)


def test_camera_info_tells_the_baseline_as_ros_defines_it():
    left, right = (camera_info(STEREO_RIG, eye) for eye in range(2))
    assert isinstance(left, CameraInfo)
    fx = STEREO_RIG.intrinsics()[0]
    assert left.p[3] == 0.0
    assert -right.p[3] / fx == pytest.approx(STEREO_RIG.baseline_m)
    assert (left.width, left.height) == (STEREO_RIG.width, STEREO_RIG.height)
    assert left.k[0] == left.p[0] == fx


def canonical(message: JointState) -> np.ndarray:
    position = canonical_positions(message)
    assert position is not None
    return position


def test_a_command_is_mapped_by_name():
    order = list(reversed(range(23)))
    message = JointState(name=[JOINT_NAMES[i] for i in order], position=[HOME_POSITION[i] for i in order])
    assert np.array_equal(canonical(message), HOME_POSITION)
    message = JointState(name=list(JOINT_NAMES), position=HOME_POSITION.tolist())
    assert np.array_equal(canonical(message), HOME_POSITION)


@pytest.mark.parametrize("count", [0, 22])
def test_a_command_without_all_joints_is_none(count):
    assert canonical_positions(JointState(name=list(JOINT_NAMES)[:count], position=[0.0] * count)) is None
    assert canonical_positions(JointState(name=list(JOINT_NAMES), position=[0.0] * count)) is None
