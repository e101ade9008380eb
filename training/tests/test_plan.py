"""Memory: what is measured becomes how many environments fit."""

from __future__ import annotations

import pytest
from learning_samples import small_teacher
from toy_environment import ToyTask, make_toy_env

from grasp_training.disaggregation import Placement
from grasp_training.learning.plan import (
    Line,
    Parts,
    measure,
    most_environments,
    placements_of,
    rank_bytes,
)

MB = 1e6
PARTS = Parts(
    process=Line(100 * MB, 0.0),
    simulator=Line(20 * MB, 1 * MB),
    renderer=Line(0.0, 1 * MB),
    buffer=Line(0.0, 3 * MB),
    activations=Line(30 * MB, 1 * MB),
)


def test_a_line_goes_through_both_measurements_and_never_falls() -> None:
    line = Line.through((10, 70.0), (30, 110.0))
    assert (line.fixed, line.each) == (50.0, 2.0)
    assert line.at(100) == 250.0
    assert Line.through((10, 70.0), (30, 60.0)) == Line(70.0, 0.0)


def test_each_rank_pays_for_what_it_does() -> None:
    found = rank_bytes(PARTS, Placement.parse("3:1"), 30)
    assert found["simulator 2"] == (100 + 20 + 2 * 10) * MB
    assert found["learner 0"] == (100 + 30 + 4 * 30) * MB
    both = rank_bytes(PARTS, Placement.parse("data-parallel:2"), 30)
    assert both["learner 1 and simulator 1"] == (100 + 20 + 30 + 6 * 15) * MB


def test_as_many_fit_as_the_fullest_rank_allows() -> None:
    assert most_environments(PARTS, Placement.parse("data-parallel:4"), 750 * MB) == 4 * 100
    assert most_environments(PARTS, Placement.parse("3:1"), 770 * MB) == 160
    assert most_environments(PARTS, Placement.parse("2:2"), 770 * MB) == 2 * 160
    assert most_environments(PARTS, Placement.parse("single"), 155 * MB) == 0


def test_all_placements_of_some_devices_are_found() -> None:
    assert [str(placement) for placement in placements_of(4)] == ["data-parallel:4", "3:1", "2:2", "1:3"]
    assert [str(placement) for placement in placements_of(1)] == ["single"]


@pytest.mark.slow
def test_parts_are_measured_on_small_runs() -> None:
    parts = measure(small_teacher("plan"), ToyTask(), make_toy_env, sizes=(64, 512))
    layout = 8 * (4 * (69 + 4) + 4 * (5 + 2 * 11) + 1)
    assert layout < parts.buffer.each < 2.5 * layout, "eight stored steps, and messages"
    assert parts.renderer.each == 0.0
    assert parts.process.fixed > 50 * MB
