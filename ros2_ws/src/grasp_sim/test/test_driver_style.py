"""The simulated robot in the drivers' own names, orders and rates."""

import numpy as np
import pytest

from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, JOINT_NAMES
from grasp_sim.driver_style import STYLES, driver_style

POSITION = 0.1 * np.arange(23)


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_joint_is_said_once_whatever_the_order(name, seed):
    columns = np.concatenate([one.columns for one in driver_style(name, seed).states])
    assert sorted(columns) == list(range(23))


def test_a_seed_shuffles_names_together_with_their_joints():
    plain, shuffled = (driver_style("lbr+allegro_v4", seed).states[1] for seed in (0, 7))
    assert plain.names != shuffled.names
    assert dict(zip(plain.names, plain.columns, strict=True)) == dict(
        zip(shuffled.names, shuffled.columns, strict=True)
    )


def test_the_v4_hand_lists_its_thumb_first_and_the_v5_hand_last():
    v4, v5 = (driver_style(name).states[1] for name in ("lbr+allegro_v4", "lbr+allegro_v5"))
    assert (v4.names[0], JOINT_NAMES[v4.columns[0]]) == ("ah_joint00", "allegro_thumb_0")
    assert (v4.names[4], JOINT_NAMES[v4.columns[4]]) == ("ah_joint10", "allegro_index_0")
    assert (v5.names[12], JOINT_NAMES[v5.columns[12]]) == ("joint_12_0", "allegro_thumb_0")


@pytest.mark.parametrize("name", STYLES)
def test_a_command_in_the_drivers_order_reaches_the_joints_it_means(name):
    style = driver_style(name)
    for heard, group in zip(style.commands, (ARM_JOINTS, HAND_JOINTS), strict=True):
        meant = [POSITION[JOINT_NAMES.index(joint)] for joint in group]
        told = [0.0] * len(meant)
        for value, place in zip(meant, heard.places, strict=True):
            told[place] = value
        assert heard.canonical(told) == meant


def test_a_command_of_a_wrong_length_is_left_for_the_drivers_to_refuse():
    assert driver_style("lbr+allegro_v5").commands[1].canonical([1.0, 2.0]) == [1.0, 2.0]


def test_in_real_time_a_driver_speaks_at_its_rate_and_never_more_than_once_a_tick():
    arm, hand = driver_style("lbr+allegro_v5").states
    for spoken, expected in ((arm, 100), (hand, 120)):
        said, last = 0, -1
        for tick in range(120):
            time_ns = tick * 1_000_000_000 // 120
            if spoken.is_due(time_ns, last):
                said, last = said + 1, time_ns
        assert said == expected


def test_a_style_that_is_unknown_is_refused_with_those_that_are_there():
    with pytest.raises(ValueError, match=r"'lbr\+robotiq'; expected one of native, lbr\+allegro_v4"):
        driver_style("lbr+robotiq")
