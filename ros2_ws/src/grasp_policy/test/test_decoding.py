"""Images and joint states as arrays, and what is refused."""

from array import array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grasp_policy.decoding import ImageRefusedError, JointMapper, JointStateRefusedError, rgb_view

TOPIC = "/stereo/left/image_rect"


@given(width=st.integers(1, 9), height=st.integers(1, 9), padding=st.integers(0, 7))
def test_rows_with_padding_are_read_without_it(width: int, height: int, padding: int) -> None:
    step = 3 * width + padding
    data = np.random.default_rng(0).integers(0, 256, height * step).astype(np.uint8)
    image = rgb_view(TOPIC, "rgb8", width, height, step, array("B", data.tobytes()), (width, height))
    expected = data.reshape(height, step)[:, : 3 * width].reshape(height, width, 3)
    np.testing.assert_array_equal(image, expected)


def test_nothing_is_copied() -> None:
    data = array("B", bytes(3 * 4 * 2))
    image = rgb_view(TOPIC, "rgb8", 4, 2, 12, data, (4, 2))
    data[0] = 7
    assert image[0, 0, 0] == 7


@pytest.mark.parametrize(
    ("encoding", "width", "height", "step", "length", "message"),
    [
        ("rgb8", 5, 2, 15, 30, "is 5x2 px; the policy takes 4x2 px"),
        ("rgb8", 4, 3, 12, 36, "is 4x3 px; the policy takes 4x2 px"),
        ("bgr8", 4, 2, 12, 24, "has the encoding 'bgr8'; expected 'rgb8'"),
        ("rgb8", 4, 2, 11, 24, "has step 11; expected at least 12 bytes a row"),
        ("rgb8", 4, 2, 12, 23, "has 23 bytes; expected at least 24"),
        ("rgb8", 4, 2, 1000, 24, "has 24 bytes; expected at least 1012"),
    ],
)
def test_other_images_are_refused(
    encoding: str, width: int, height: int, step: int, length: int, message: str
) -> None:
    with pytest.raises(ImageRefusedError, match=f"image on {TOPIC} {message}"):
        rgb_view(TOPIC, encoding, width, height, step, bytes(length), (4, 2))


@pytest.fixture
def mapper() -> JointMapper:
    return JointMapper(["a", "b", "c"])


def test_joints_are_mapped_by_name(mapper: JointMapper) -> None:
    names, position, velocity = ["c", "x", "a", "b"], [3.0, 9.0, 1.0, 2.0], [0.3, 0.9, 0.1, 0.2]
    for _ in range(2):
        mapped = mapper.vectors("/joint_states", names, position, velocity)
        assert [vector.tolist() for vector in mapped] == [[1.0, 2.0, 3.0], [0.1, 0.2, 0.3]]


def test_a_driver_that_changes_its_order_is_followed(mapper: JointMapper) -> None:
    mapper.vectors("/joint_states", ["a", "b", "c"], [1.0, 2.0, 3.0], [0.0] * 3)
    position, _ = mapper.vectors("/joint_states", ["b", "a", "c"], [2.0, 1.0, 3.0], [0.0] * 3)
    assert position.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("names", "position", "velocity", "message"),
    [
        (["a", "b"], [1.0] * 2, [0.0] * 2, "/joint_states names joint 'c' 0 times; expected once"),
        (["a", "b", "c", "a"], [1.0] * 4, [0.0] * 4, "names joint 'a' 2 times"),
        (["a", "b", "c"], [1.0] * 2, [0.0] * 3, "has 2 positions for 3 joint names"),
        (["a", "b", "c"], [1.0] * 3, [], "has 0 velocities for 3 joint names"),
        (["a", "b", "c"], [1.0, np.nan, 1.0], [0.0] * 3, "Joint 'b' has position nan rad from"),
        (["a", "b", "c"], [1.0] * 3, [0.0, 0.0, -np.inf], "Joint 'c' has velocity -inf rad/s from"),
    ],
)
def test_other_joint_states_are_refused(
    mapper: JointMapper, names: list[str], position: list[float], velocity: list[float], message: str
) -> None:
    with pytest.raises(JointStateRefusedError, match=message):
        mapper.vectors("/joint_states", names, position, velocity)


def test_a_foreign_joint_may_be_anything(mapper: JointMapper) -> None:
    position, _ = mapper.vectors("/joint_states", ["a", "b", "c", "x"], [1.0, 2.0, 3.0, np.nan], [0.0] * 4)
    assert position.tolist() == [1.0, 2.0, 3.0]
