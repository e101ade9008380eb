"""Faults injected into the running graph: what the robot does, and that the judges of it can tell.

A few decisive faults run here; ``python -m fault_table`` runs all of them, and so does
``FAULTS=all pytest tests/test_fault_table.py``.
"""

import os
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from closed_loop import DOMAIN
from fault_table.bench import Bench
from fault_table.faults import FAULTS, Expected, Fault
from fault_table.judging import COMMAND_PERIOD_S, Command, motions, sequences, stood_at, violations
from fault_table.table import BEGIN, END, table, write_table
from fault_table.trial import BOUND_S, Outcome, run_trial

from grasp_description.robot import HOME_POSITION

DECISIVE = (
    "a joint state is NaN",
    "the hand faults in mid-grasp: no joint states, deaf to commands",
    "clock jumps 2 s back, stamps do not",
)
PERIOD_NS = round(1e9 * COMMAND_PERIOD_S)


def asked_for() -> list[Fault]:
    """The faults to run here."""
    everything = os.environ.get("FAULTS") == "all"
    return [one for one in FAULTS if everything or one.name in DECISIVE]


def ramp(speed_rad_s: float, ticks: int) -> list[Command]:
    """Commands of one joint that speeds up gently, moves, slows down and stands."""
    shape = np.minimum(np.arange(ticks), np.arange(ticks)[::-1]) / (0.5 * ticks)
    speeds = speed_rad_s * np.clip(3.0 * shape**2 - 2.0 * shape**3, 0.0, 1.0)
    places = np.cumsum(speeds) * COMMAND_PERIOD_S
    return [
        command(tick, place, speed) for tick, (place, speed) in enumerate(zip(places, speeds, strict=True))
    ]


def command(tick: int, place_rad: float, speed_rad_s: float = 0.0) -> Command:
    """The command of a tick: the arm's first joint off home by so much."""
    first = np.eye(len(HOME_POSITION))[0]
    return Command(tick * PERIOD_NS, HOME_POSITION + place_rad * first, speed_rad_s * first)


def test_commands_within_limits_are_judged_so_and_a_jump_is_not():
    commands = ramp(0.3, 120)
    assert violations(commands) == []
    commands[60] = replace(commands[60], position=commands[60].position + 0.01)
    assert violations(commands) != []


def test_an_arming_elsewhere_after_a_pause_begins_a_sequence():
    commands = [*ramp(0.3, 60), *(command(tick, 0.5) for tick in range(70, 80))]
    assert [len(one) for one in sequences(commands)] == [60, 10]
    assert violations(commands) == []


def test_an_arming_after_commands_that_were_cut_off_in_motion_begins_a_sequence():
    commands = [*ramp(0.3, 60)[:30], *(command(tick, 0.5) for tick in range(70, 80))]
    assert violations(commands) == []


def test_a_jump_at_rest_without_a_pause_is_no_arming():
    commands = [*ramp(0.3, 60), *(command(tick, 0.5) for tick in range(60, 70))]
    assert violations(commands) != []
    assert violations(commands, armed_ns=[59 * PERIOD_NS]) == [], "unless it is known that it was armed"
    assert violations(commands, armed_ns=[40 * PERIOD_NS]) != []


def test_motion_after_the_robot_stood_is_counted_and_slowing_down_is_not():
    commands = ramp(0.3, 60)
    stood = stood_at(commands, 30)
    assert stood == 59
    standing = [command(tick, commands[-1].position[0]) for tick in range(60, 70)]
    assert motions([*commands, *standing], 30) == 0
    assert motions([*commands, *standing, *ramp(0.3, 10)[1:-1]], 30) == 8
    assert motions([*commands, *standing, command(70, 1.0)], 30) == 1, "another place without speed"


def test_names_of_faults_are_their_own_and_every_promise_is_touched():
    assert max(Counter(one.name for one in FAULTS).values()) == 1
    touched = {promise for one in FAULTS for promise in one.promise.split(", ")}
    assert touched >= {str(number) for number in range(1, 10)}
    assert set(DECISIVE) <= {one.name for one in FAULTS}
    assert all(one.expected is Expected.HOLDS for one in FAULTS if one.bounded)


def test_the_table_goes_between_its_markers_and_says_what_is_not_as_expected(tmp_path):
    page = tmp_path / "FAULTS.md"
    page.write_text(f"before\n{BEGIN}\nan older one\n{END}\nafter\n")
    good = Outcome(FAULTS[0], did="held", hold_s=0.108)
    bad = Outcome(FAULTS[1], did="went on", outside=2, wrong=["2 commands outside limits"])
    write_table(page, [good, bad])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "an older one" not in text
    assert f"| {FAULTS[0].name} | {FAULTS[0].promise} | held | 108 | 0 | 0 |" in text
    assert "**not as expected: 2 commands outside limits** went on" in text
    assert "2 faults, 1 as expected" in table([good, bad])


def test_a_page_without_markers_is_refused(tmp_path):
    page = tmp_path / "FAULTS.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="lacks"):
        write_table(page, [])


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The graph at work; one for all faults."""
    with Bench(tmp_path_factory.mktemp("faults"), DOMAIN) as made:
        yield made


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="stops and kills processes as Linux does")
@pytest.mark.parametrize("fault", asked_for(), ids=lambda fault: fault.name)
def test_under_a_fault_the_robot_does_what_is_promised(bench, fault):
    outcome = run_trial(bench, fault)
    assert outcome.wrong == [], outcome.did
    assert (outcome.outside, outcome.motions) == (0, 0)
    if fault.bounded:
        assert outcome.hold_s <= BOUND_S + 1e-6
