"""Rates and ages from arrivals."""

import pytest
from rich.console import Console

from grasp_bringup.measuring import Measuring, TopicRate

FRAME_NS = 33_333_333


def shown(table) -> str:
    console = Console(width=100)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_a_rate_is_taken_between_first_and_last_arrival_of_each_episode():
    topic = TopicRate(episodes=[[10.0, 10.1, 10.2, 10.5], [90.0, 90.5], [200.0]])
    assert topic.rate_hz == pytest.approx(4.0)
    assert topic.longest_gap_s == pytest.approx(0.5)


@pytest.mark.parametrize("arrivals", [[], [5.0], [5.0, 5.0]])
def test_too_few_arrivals_have_no_rate(arrivals):
    assert TopicRate(episodes=[arrivals]).rate_hz == 0.0


def test_arrivals_between_episodes_are_counted_and_not_timed():
    measuring = Measuring(["/clock"])
    measuring.arrive("/clock", 1.0)
    measuring.state("grasp")
    for wall_s in (10.0, 10.1, 10.2):
        measuring.arrive("/clock", wall_s)
    measuring.state("release")
    measuring.arrive("/clock", 50.0)
    topic = measuring.topics["/clock"]
    assert topic.messages == 5
    assert topic.rate_hz == pytest.approx(10.0)


def episode(measuring: Measuring) -> None:
    measuring.state("grasp")
    for frame in range(1, 11):
        stamp = frame * FRAME_NS
        measuring.image(stamp, 100.0 + frame)
        measuring.accepted(stamp)
        for tick in range(1, 5):
            measuring.command(stamp + tick * 8_000_000, 100.0 + frame + 0.01 * tick)


def test_ages_are_those_of_the_images_behind_each_command_on_both_clocks():
    measuring = Measuring([])
    episode(measuring)
    assert len(measuring.node_ages_s) == len(measuring.wall_ages_s) == 40
    assert sorted({round(age, 4) for age in measuring.node_ages_s}) == [0.008, 0.016, 0.024, 0.032]
    assert max(measuring.wall_ages_s) == pytest.approx(0.04)


def test_targets_of_the_tasks_own_motions_do_not_count():
    measuring = Measuring([])
    measuring.state("homing")
    measuring.accepted(1)
    measuring.command(2, 1.0)
    measuring.state("grasp")
    measuring.command(3, 1.1)
    assert measuring.node_ages_s == []


def test_a_command_made_from_images_that_were_missed_here_has_an_age_on_the_nodes_clock_only():
    measuring = Measuring([])
    measuring.state("hold")
    measuring.accepted(1_000_000)
    measuring.command(2_000_000, 1.0)
    assert (measuring.node_ages_s, measuring.wall_ages_s) == ([0.001], [])


def test_arrivals_of_images_are_not_kept_for_ever():
    measuring = Measuring([])
    for stamp in range(10_000):
        measuring.image(stamp, 0.0)
    assert len(measuring._images) < 1000


def test_tables_show_every_topic_and_both_percentiles():
    measuring = Measuring(["/joint_states", "/silent"])
    episode(measuring)
    for count in range(121):
        measuring.arrive("/joint_states", count / 120)
    rates = shown(measuring.rate_table())
    assert "120.0" in rates
    assert "/silent" in rates
    ages = shown(measuring.age_table())
    assert "20.0" in ages
    assert "32.0" in ages


def test_tables_of_nothing_print_too():
    assert "0.0" in shown(Measuring(["/clock"]).rate_table())
    assert "wall" in shown(Measuring([]).age_table())
