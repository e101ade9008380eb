"""Reading targets, and spreading their steps."""

import numpy as np
import pytest

from grasp_control.targets import TargetRamp, TargetReader

NAMES = ("a", "b", "c")


@pytest.fixture
def reader() -> TargetReader:
    """Three joints of ±1 rad."""
    return TargetReader(NAMES, np.full(3, -1.0), np.full(3, 1.0))


def test_a_target_is_mapped_by_name(reader):
    values, clipped = reader.read(("c", "a", "b"), [0.3, 0.1, 0.2])
    np.testing.assert_array_equal(values, [0.1, 0.2, 0.3])
    assert clipped == 0


def test_a_target_beyond_limits_is_clipped_and_counted(reader):
    values, clipped = reader.read(NAMES, [5.0, -1e300, 0.0])
    np.testing.assert_array_equal(values, [1.0, -1.0, 0.0])
    assert clipped == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_target_that_is_not_finite_is_refused_by_the_joints_name(reader, bad):
    with pytest.raises(ValueError, match="'b'"):
        reader.read(NAMES, [0.0, bad, 0.0])


@pytest.mark.parametrize("count", [0, 2, 4])
def test_a_wrong_number_of_positions_is_refused(reader, count):
    with pytest.raises(ValueError, match=f"{count} positions"):
        reader.read(NAMES, [0.0] * count)


@pytest.mark.parametrize("names", [(), ("a", "b"), ("a", "b", "x"), ("a", "b", "b"), ("a", "b", "c", "c")])
def test_names_other_than_each_joint_once_are_refused(reader, names):
    with pytest.raises(ValueError, match="once"):
        reader.read(names, [0.0] * len(names))


def test_names_are_checked_again_after_a_refusal(reader):
    with pytest.raises(ValueError, match="unknown"):
        reader.read(("a", "b", "x"), [0.0] * 3)
    with pytest.raises(ValueError, match="unknown"):
        reader.read(("a", "b", "x"), [0.0] * 3)
    assert reader.read(NAMES, [0.0] * 3)[1] == 0


def test_a_step_is_spread_over_the_time_between_targets():
    ramp = TargetRamp(0.01, 0.05)
    ramp.restart(np.zeros(1))
    ramp.aim(np.ones(1), 0.04)
    np.testing.assert_allclose([ramp.advance()[0] for _ in range(6)], [0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


@pytest.mark.parametrize(("interval", "steps"), [(np.inf, 1), (10.0, 5), (0.001, 1)])
def test_a_spread_is_bounded(interval, steps):
    ramp = TargetRamp(0.01, 0.05)
    ramp.restart(np.zeros(1))
    ramp.aim(np.ones(1), interval)
    assert [ramp.advance()[0] for _ in range(6)].index(1.0) + 1 == steps


def test_a_new_target_is_approached_from_where_the_reference_is():
    ramp = TargetRamp(0.01, 0.05)
    ramp.restart(np.zeros(1))
    ramp.aim(np.ones(1), 0.04)
    ramp.advance()
    ramp.aim(np.zeros(1), 0.02)
    np.testing.assert_allclose([ramp.advance()[0] for _ in range(3)], [0.125, 0.0, 0.0])
