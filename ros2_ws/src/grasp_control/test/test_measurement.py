"""Measurements by name, from messages that carry all joints or some."""

import numpy as np
import pytest

from grasp_control.measurement import JointMeasurement

NAMES = ("a", "b", "c")


@pytest.fixture
def measurement() -> JointMeasurement:
    """Three joints of 2 rad/s at 100 Hz; jumps beyond 0.2 rad count."""
    return JointMeasurement(NAMES, np.full(3, 2.0), 0.01, jump_rad=0.2, future_s=0.05)


def test_is_mapped_by_name_and_ignores_strangers(measurement):
    names = ("c", "stranger", "a", "b")
    assert measurement.update(names, [3.0, 9.0, 1.0, 2.0], [0.3, 0.9, 0.1, 0.2], 1.0, 1.0, 1) == ""
    np.testing.assert_array_equal(measurement.position, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(measurement.velocity, [0.1, 0.2, 0.3])


def test_a_message_may_carry_some_joints_only(measurement):
    measurement.update(("a",), [1.0], [], 1.0, 1.0, 1)
    measurement.update(("b", "c"), [2.0, 3.0], [], 1.1, 1.1, 11)
    np.testing.assert_allclose(measurement.freshness.age_s(1.2, 21), [0.2, 0.1, 0.1])


@pytest.mark.parametrize(
    ("positions", "velocities"),
    [
        ([1.0, 2.0], [0.0] * 3),
        ([1.0, 2.0, 3.0], [0.0] * 2),
        ([1.0, np.nan, 3.0], [0.0] * 3),
        ([1.0, np.inf, 3.0], [0.0] * 3),
        ([1.0, 2.0, 3.0], [0.0, np.nan, 0.0]),
    ],
)
def test_a_broken_message_is_refused_whole(measurement, positions, velocities):
    assert measurement.update(NAMES, positions, velocities, 1.0, 1.0, 1)
    assert np.isnan(measurement.position).all()


@pytest.mark.parametrize("names", [(), ("x", "y"), ("a", "a", "b")])
def test_names_that_say_nothing_or_too_much_are_refused(measurement, names):
    assert measurement.update(names, [0.0] * len(names), [], 1.0, 1.0, 1)


def test_an_older_stamp_than_the_last_is_refused(measurement):
    measurement.update(NAMES, [1.0] * 3, [], 1.0, 1.0, 1)
    assert "before" in measurement.update(NAMES, [0.9] * 3, [], 0.9, 1.0, 1)
    np.testing.assert_array_equal(measurement.position, [1.0] * 3)


@pytest.mark.parametrize("stamp", [1.06, np.inf, np.nan])
def test_a_stamp_from_the_future_is_refused(measurement, stamp):
    assert "future" in measurement.update(NAMES, [1.0] * 3, [], stamp, 1.0, 1)


def test_motion_within_the_speed_limit_is_no_jump(measurement):
    measurement.update(NAMES, [0.0] * 3, [], 1.0, 1.0, 1)
    measurement.update(NAMES, [0.22] * 3, [], 1.01, 1.01, 2)
    assert not measurement.jumped


def test_more_than_that_is_a_jump(measurement):
    measurement.update(NAMES, [0.0] * 3, [], 1.0, 1.0, 1)
    measurement.update(NAMES, [0.0, 0.24, 0.0], [], 1.01, 1.01, 2)
    assert measurement.jumped
