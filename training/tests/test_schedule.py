"""The schedule simulator: who works when, worked out by hand for small cases."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from grasp_training.benchmarks.costs import costs_of_spans
from grasp_training.benchmarks.report import figures_of, scheduled_row
from grasp_training.benchmarks.schedule import Costs, Span, bound_s, iteration_s, schedule, total_s
from grasp_training.benchmarks.timeline import draw_timelines
from grasp_training.benchmarks.transport import measure_transport
from grasp_training.benchmarks.trials import run_trial, stand_in_trial
from grasp_training.cli.bench import run
from grasp_training.disaggregation import Placement
from grasp_training.runs import ConfigurationError

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


def test_an_overlapped_run_fills_its_pipeline_once() -> None:
    """A rollout of 160 before the first of 5 updates of 160; synchronous, each update has its own."""
    runs = [schedule(Placement.parse("1:1"), mode, EVEN, 5) for mode in ("synchronous", "overlapped")]
    assert [total_s(spans) for spans in runs] == [pytest.approx(5 * 320.0), pytest.approx(160.0 + 5 * 160.0)]


def test_learners_wait_for_each_other_and_average_their_gradients() -> None:
    costs = Costs(simulate_s=8.0, infer_s=0.0, transfer_s=0.0, learn_s=40.0, steps=10, average_s=3.0)
    assert seconds("data-parallel:2", "synchronous", costs) == pytest.approx(40.0 + 20.0 + 3.0)
    assert seconds("1:1", "synchronous", costs) == pytest.approx(80.0 + 40.0), "one learner averages nothing"


@pytest.mark.parametrize(
    ("placement", "devices_per_node", "expected"),
    [
        ("3:1", 4, 10 * (4 + 1) + 5),  # all on one node
        ("3:1", 2, 10 * (4 + 1 + 6) + 5),  # two simulators across: a step has come when the last has
        ("6:2", 4, 10 * (2 + 0.5) + 2.5),  # each team on a node of its own: nothing crosses between them
        ("6:2", 6, 10 * (2 + 0.5 + 3) + 2.5),  # the second team is cut in two, and the first waits for it
    ],
)
def test_a_network_costs_only_what_crosses_it(placement: str, devices_per_node: int, expected: float) -> None:
    costs = Costs(simulate_s=12.0, infer_s=0.0, transfer_s=1.0, learn_s=5.0, steps=10, network_s=6.0)
    spans = schedule(Placement.parse(placement), "synchronous", costs, 6, devices_per_node)
    assert iteration_s(spans) == pytest.approx(expected)


def test_a_simulator_serves_its_learners_in_turn() -> None:
    costs = Costs(simulate_s=4.0, infer_s=0.0, transfer_s=0.0, learn_s=8.0, steps=5)
    spans = schedule(Placement.parse("1:2"), "synchronous", costs, 6)
    simulating = [span for span in spans if span.what == "simulate"]
    assert len(simulating) == 6 * 5 * 2
    assert all(span.end_s - span.start_s == pytest.approx(2.0) for span in simulating)
    assert iteration_s(spans) == pytest.approx(5 * 4.0 + 4.0)


def test_figures_set_a_row_beside_its_synchronous_twin_and_the_bound() -> None:
    rows = [scheduled_row("1:1", mode, EVEN, 8) for mode in ("synchronous", "overlapped")]  # type: ignore[arg-type]
    figures = figures_of(rows[1], rows, EVEN)
    assert (figures["gain"], figures["over_bound"]) == (pytest.approx(2.0), pytest.approx(1.0))
    assert figures["measured_s"] is None


def test_costs_are_what_one_process_did_one_thing_after_another() -> None:
    costs = Costs(simulate_s=8.0, infer_s=1.0, transfer_s=0.0, learn_s=20.0, steps=4)
    spans = schedule(Placement.parse("single"), "synchronous", costs, 6)
    found = costs_of_spans(spans, steps=4, blocks=1)
    assert (found.simulate_s, found.infer_s, found.learn_s) == pytest.approx((8.0, 1.0, 20.0))


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
def test_stand_ins_do_what_the_schedule_says_in_kind_and_number(tmp_path: Path, mode: Any) -> None:
    costs = Costs(1e-3, 1e-3, 0.0, 1e-3, steps=3)
    spans = run_trial(stand_in_trial("single", mode, costs, iterations=5, num_envs=8), tmp_path)
    planned = schedule(Placement.parse("single"), mode, costs, 5)
    for what in ("simulate", "infer", "learn"):
        assert count(spans, what) == count(planned, what)


def count(spans: list[Span], what: str) -> int:
    return sum(span.what == what for span in spans)


@pytest.mark.slow
def test_the_command_sets_real_ranks_beside_the_schedule(tmp_path: Path) -> None:
    flags = {"simulate-ms": 2, "learn-ms": 8, "infer-ms": 0.5, "transfer-ms": 1, "steps": 4, "iterations": 4}
    flags |= {"scheduled": "6:2", "transfer-envs": 0, "output": tmp_path}
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    assert run(["disaggregation", *arguments, "--placements", "data-parallel:2", "1:1"]) == 0
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    titles = [f"{row['placement']} {row['mode']}" for row in rows]
    assert titles == [
        "data-parallel:2 synchronous",
        "1:1 synchronous",
        "1:1 overlapped",
        "6:2 synchronous",
        "6:2 overlapped",
    ]
    # A sleep takes its time at least, however busy the machine is; all else comes on top.
    assert all(row["measured_s"] >= row["bound_s"] for row in rows[:3])
    assert all(row["measured_s"] is None for row in rows[3:])
    ranks = tmp_path / "ranks" / "1-1-overlapped"
    learner = [span["what"] for span in json.loads((ranks / "rank-0.json").read_text())]
    simulator = [span["what"] for span in json.loads((ranks / "rank-1.json").read_text())]
    steps = 4 * 4 * 2  # iterations, steps, groups
    assert learner.count("infer") == simulator.count("simulate") == steps
    assert learner.count("transfer") == steps - 2, "of each group, what was seen first came from nowhere"
    assert learner.count("learn") == 4
    for name in ("timeline.png", "timeline-scheduled.png"):
        assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.slow
def test_transport_is_measured_with_records_of_the_size_that_images_have(tmp_path: Path) -> None:
    cost = measure_transport(4, (6, 8), tmp_path, step_s=1e-3)
    assert cost.bytes >= 4 * 6 * 8 * 2
    assert min(cost.single_s, cost.shared_s, cost.messages_s) >= 1e-3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--simulate-ms 3", "--simulate-ms is 3.0 and --learn-ms is None; expected both, or neither"),
        ("--transfer-ms 3", "transfer_ms: synthetic costs need --simulate-ms and --learn-ms too"),
        ("--simulate-ms 3 --learn-ms 3 --from-run r", "--from-run and --simulate-ms both give costs"),
        ("--iterations 3", "--iterations is 3; expected at least 4"),
    ],
)
def test_flags_that_say_too_little_are_refused(tmp_path: Path, flags: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(["disaggregation", "--output", str(tmp_path / "bench"), *flags.split()])
    assert not (tmp_path / "bench").exists()


def test_a_picture_has_a_row_for_every_rank(tmp_path: Path) -> None:
    costs = Costs(3.0, 1.0, 0.5, 20.0, 8, average_s=1.0)
    spans = schedule(Placement.parse("6:2"), "overlapped", costs, 5)
    draw_timelines({"6:2": spans, "none": []}, tmp_path / "timeline.png", until_s=50.0)
    assert (tmp_path / "timeline.png").stat().st_size > 1000
