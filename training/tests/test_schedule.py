"""The schedule simulator: who works when, worked out by hand for small cases."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from grasp_training.benchmarks.disaggregation import Trial, run_trial
from grasp_training.benchmarks.schedule import Costs, Span, bound_s, iteration_s, schedule
from grasp_training.benchmarks.timeline import draw_timelines
from grasp_training.disaggregation import Placement

EVEN = Costs(simulate_s=10.0, infer_s=0.0, transfer_s=0.0, learn_s=160.0, steps=16)


def seconds(placement: str, mode: str, costs: Costs = EVEN, iterations: int = 12) -> float:
    return iteration_s(schedule(Placement.parse(placement), mode, costs, iterations))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("placement", "mode", "expected"),
    [
        ("single", "synchronous", 320.0),
        ("data-parallel:4", "synchronous", 80.0),
        ("1:1", "synchronous", 320.0),
        ("1:1", "overlapped", 160.0),
        ("2:1", "synchronous", 240.0),
        ("2:1", "overlapped", 160.0),
        ("6:2", "overlapped", 80.0),
    ],
)
def test_iterations_take_what_they_have_to(placement: str, mode: str, expected: float) -> None:
    assert seconds(placement, mode) == pytest.approx(expected)


def test_inference_and_transfer_hide_behind_simulation_only_when_overlapped() -> None:
    costs = Costs(simulate_s=10.0, infer_s=2.0, transfer_s=2.0, learn_s=100.0, steps=10)
    assert seconds("1:1", "synchronous", costs) == pytest.approx(10 * (2 + 10 + 2) + 100)
    # Only the first action and the last transfer of each half stick out of the simulator's time.
    assert seconds("1:1", "overlapped", costs) == pytest.approx(10 * 10 + 1 + 1)


def test_no_rank_does_two_things_of_a_kind_at_once() -> None:
    costs = Costs(3.0, 1.0, 0.5, 20.0, 8)
    for placement in ("3:1", "1:1", "data-parallel:2"):
        for mode in ("synchronous", "overlapped"):
            spans = schedule(Placement.parse(placement), mode, costs, 6)  # type: ignore[arg-type]
            for who in {span.who for span in spans}:
                for kinds in (("simulate", "infer"), ("learn",)):
                    own = [span for span in spans if span.who == who and span.what in kinds]
                    for before, after in itertools.pairwise(own):
                        assert after.start_s >= before.end_s - 1e-9
            if ":1" in placement:
                assert iteration_s(spans) >= bound_s(Placement.parse(placement), costs)


def test_a_steady_state_needs_some_updates() -> None:
    with pytest.raises(ValueError, match="3 updates were made; at least 4"):
        seconds("1:1", "synchronous", iterations=3)


@pytest.mark.parametrize("mode", ["synchronous", "overlapped"])
def test_stand_ins_do_what_the_schedule_says_in_kind_and_number(tmp_path: Path, mode: str) -> None:
    costs = Costs(1e-3, 1e-3, 0.0, 1e-3, steps=3)
    trial = Trial("single", mode, costs, 8, (4, 6), iterations=5)  # type: ignore[arg-type]
    outcome = run_trial(trial, tmp_path)
    planned = schedule(Placement.parse("single"), trial.mode, costs, 5)
    for what in ("simulate", "infer", "learn"):
        assert count(outcome.spans, what) == count(planned, what)
    draw_timelines({mode: outcome.spans}, tmp_path / "timeline.png", until_s=1.0)
    assert (tmp_path / "timeline.png").stat().st_size > 1000


def count(spans: list[Span], what: str) -> int:
    return sum(span.what == what for span in spans)
