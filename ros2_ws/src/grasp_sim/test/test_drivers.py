"""What the drivers take and what they refuse."""

import numpy as np
import pytest

from grasp_description.robot import HOME_POSITION
from grasp_sim.drivers import CommandRefusedError, Drivers


def test_drivers_hold_home_until_something_is_commanded():
    assert np.array_equal(Drivers().target, HOME_POSITION)


def test_each_part_takes_its_own_joints_and_leaves_the_other():
    drivers = Drivers()
    drivers.command("arm", [0.1] * 7, "/arm")
    assert np.array_equal(drivers.target, [*[0.1] * 7, *HOME_POSITION[7:]])
    drivers.command("hand", [0.2] * 16, "/hand")
    assert np.array_equal(drivers.target, [*[0.1] * 7, *[0.2] * 16])
    assert drivers.hold(np.array([*[0.1] * 7, *[0.2] * 16]))
    assert not drivers.hold(HOME_POSITION)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("arm", [0.0] * 6),
        ("arm", []),
        ("hand", [0.0] * 17),
        ("arm", [0.0] * 6 + [float("nan")]),
        ("hand", [float("inf")] + [0.0] * 15),
    ],
)
def test_a_bad_command_is_refused_counted_and_changes_nothing(part, values):
    drivers = Drivers()
    with pytest.raises(CommandRefusedError, match="/topic"):
        drivers.command(part, values, "/topic")
    assert drivers.refused[part] == drivers.refused.total() == 1
    assert np.array_equal(drivers.target, HOME_POSITION)


def test_the_target_given_out_is_a_copy():
    drivers = Drivers()
    drivers.target[:] = 7.0
    assert np.array_equal(drivers.target, HOME_POSITION)
