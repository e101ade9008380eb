"""The comparison with other systems: what is counted, who takes turns, and what becomes of failures."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from grasp_training.benchmarks.peers import __main__ as command
from grasp_training.benchmarks.peers import rsl_rl_alone
from grasp_training.benchmarks.peers.job import (
    Job,
    PeerError,
    Updates,
    job_of,
    read_updates,
    steps_per_s,
    write_job,
    write_updates,
)
from grasp_training.benchmarks.peers.report import Row, better_peer, figures_of, table_of, take_turns
from grasp_training.benchmarks.peers.systems import (
    OURS,
    System,
    ends_of_events,
    run_process,
    systems,
    why_missing,
)

SMALL = Job("state", num_envs=8, iterations=3)
SAMPLE_FACTORY = os.environ.get("SAMPLE_FACTORY_PYTHON", "")


def stand_in(name: str, interval_s: float, done: list[str] | None = None) -> System:
    """A system whose updates take their time on paper only."""

    def train(job: Job, folder: Path) -> Updates:
        if done is not None:
            done.append(f"{name} {folder.name}")
        return Updates(tuple(interval_s * number for number in range(job.iterations)), {"torch": "1"})

    return System(name, "as it is", train)


def row(name: str, *speeds: float, missing: str = "") -> Row:
    return Row(name, "as it is", "state", speeds, {}, missing)


def test_warm_up_and_the_last_update_do_not_count():
    # Update 1 and the last are far from their neighbours; between them 100 steps take 2 s.
    updates = Updates((0.0, 50.0, 52.0, 54.0, 54.1), {})
    assert steps_per_s(updates, 100, warm_up=2) == pytest.approx(50.0)


def test_too_few_updates_are_refused():
    with pytest.raises(PeerError, match="ended 3 updates; expected 4 or more"):
        steps_per_s(Updates((0.0, 1.0, 2.0), {}), 100, warm_up=2)


def test_every_system_trains_once_before_any_trains_again(tmp_path: Path):
    done: list[str] = []
    rows = take_turns(
        [stand_in("one", 1.0, done), System("two", "", None, "gone"), stand_in("three", 0.5, done)],
        Job("state", num_envs=8, iterations=6),
        repetitions=2,
        warm_up=1,
        folder=tmp_path,
        report=lambda text: None,
    )
    assert done == ["one state-0-0", "three state-0-2", "one state-1-0", "three state-1-2"]
    steps = 8 * Job("state", 8, 6).teacher.ppo.steps_per_rollout
    assert rows[0].steps_per_s == (steps, steps)
    assert rows[2].steps_per_s == (2 * steps, 2 * steps)
    assert (rows[1].steps_per_s, rows[1].missing) == ((), "gone")


def test_ours_is_compared_with_the_better_peer_by_medians():
    rows = [row("a", 10.0, 20.0, 90.0), row("b", 30.0), row("c", missing="gone"), row(OURS, 60.0)]
    assert better_peer(rows, "state") == 30.0
    assert [figures_of(one, rows)["over_better_peer"] for one in rows] == [
        pytest.approx(20 / 30), 1.0, None, 2.0,
    ]  # fmt: skip
    depth = dataclasses.replace(rows[-1], observe="depth")
    assert figures_of(depth, [*rows, depth])["over_better_peer"] is None, "no peer was trained on depth"
    assert table_of(rows, "all").row_count == 4


def test_a_missing_interpreter_is_said_in_its_row(tmp_path: Path):
    assert "--sample-factory-python" in why_missing(None)
    assert str(tmp_path / "no-python") in why_missing(tmp_path / "no-python")
    if not SAMPLE_FACTORY:
        assert "sample_factory" in why_missing(Path(sys.executable))
    found = systems(None, (1, 2), 60.0)
    assert [system.name for system in found if system.train is None] == ["Sample Factory"] * 2
    assert [system.name for system in found if system.train is not None] == ["rsl_rl alone", OURS, OURS]


def test_a_job_and_its_updates_cross_between_processes(tmp_path: Path):
    job = Job("depth", 12, 3, seed=4, workers=2)
    write_job(job, tmp_path / "job.json")
    found, result = job_of([str(tmp_path / "job.json"), str(tmp_path / "result.json")])
    assert found == job
    write_updates([1.0, 2.5], result)
    updates = read_updates(result)
    assert updates.ended_s == (1.0, 2.5)
    assert updates.versions["torch"]


def test_the_ends_of_our_updates_are_read_from_the_runs_events(tmp_path: Path):
    writer = SummaryWriter(str(tmp_path))
    for number, time_s in enumerate((100.0, 101.5, 104.0)):
        writer.add_scalar("performance/learn_s", 0.1, number + 1, walltime=time_s)
    writer.close()
    assert ends_of_events(tmp_path) == (100.0, 101.5, 104.0)


def test_a_failed_process_is_named_with_its_last_words(tmp_path: Path):
    program = "import sys; print('first'); sys.exit('no such thing')"
    with pytest.raises(PeerError, match=r"status 1; (?s:.*)no such thing"):
        run_process([sys.executable, "-c", program], tmp_path / "log.txt", 60.0)
    assert "first" in (tmp_path / "log.txt").read_text()


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path):
    with pytest.raises(PeerError, match=r"sleep 600 ran for more than 0\.1 s"):
        run_process(["sleep", "600"], tmp_path / "log.txt", 0.1)


def test_what_a_process_leaves_behind_is_ended(tmp_path: Path):
    program = f"sleep 600 & echo $! > {tmp_path / 'pid'}; exit 3"
    with pytest.raises(PeerError, match="status 3"):
        run_process(["sh", "-c", program], tmp_path / "log.txt", 60.0)
    left = Path("/proc") / (tmp_path / "pid").read_text().strip() / "stat"
    while left.exists() and left.read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)


def test_the_command_writes_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    found = [stand_in("peer", 2.0), System("other", "", None, "gone"), stand_in(OURS, 1.0)]
    monkeypatch.setattr(command, "systems", lambda *_: found)
    arguments = ["--output", str(tmp_path / "out"), "--observe", "state", "depth", "--num-envs", "16"]
    assert command.main([*arguments, "--repetitions", "2"]) == 0
    document = json.loads((tmp_path / "out" / "peers.json").read_text())
    ratios = [(one["observe"], one["system"], one["over_better_peer"]) for one in document["rows"]]
    assert ratios == [
        (observe, system, ratio)
        for observe in ("state", "depth")
        for system, ratio in (("peer", 1.0), ("other", None), (OURS, 2.0))
    ]
    assert len(document["load_average_at_start"]) == 3
    shown = capsys.readouterr().out
    assert "gone" in shown
    assert "load average" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--iterations", "5"], "--iterations is 5; expected at least 6"),
        (["--warm-up", "0"], "--warm-up is 0; expected at least 1"),
        (["--repetitions", "0"], "--repetitions is 0; expected at least 1"),
        (["--num-envs", "18"], "--num-envs is 18; expected a multiple of 2 parts × 2 rollout workers"),
    ],
)
def test_what_not_everyone_can_train_is_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert command.main(["--output", str(tmp_path / "out"), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_rsl_rl_alone_trains_the_task():
    ended = rsl_rl_alone.train(SMALL)
    assert len(ended) == SMALL.iterations
    assert ended == sorted(ended)


@pytest.mark.slow
def test_rsl_rl_alone_trains_on_depth_with_its_own_convolutions():
    assert len(rsl_rl_alone.train(dataclasses.replace(SMALL, observe="depth"))) == SMALL.iterations


@pytest.mark.slow
@pytest.mark.skipif(
    not SAMPLE_FACTORY,
    reason="Sample Factory is missing: name an interpreter that has it in SAMPLE_FACTORY_PYTHON",
)
@pytest.mark.parametrize("observe", ["state", "depth"])
def test_sample_factory_trains_the_task(observe, tmp_path: Path):
    workers = (1, 2)
    found = [one for one in systems(Path(SAMPLE_FACTORY), workers, 600.0) if one.name == "Sample Factory"]
    for system, count in zip(found, workers, strict=True):
        assert system.train is not None, system.missing
        updates = system.train(dataclasses.replace(SMALL, observe=observe), tmp_path / str(count))
        assert len(updates.ended_s) == SMALL.iterations
        assert updates.versions["sample-factory"]


@pytest.mark.slow
def test_ours_trains_in_every_setting(tmp_path: Path):
    ours = [system for system in systems(None, (), 600.0) if system.name == OURS]
    assert len(ours) == 2
    for number, system in enumerate(ours):
        assert system.train is not None
        assert len(system.train(SMALL, tmp_path / str(number)).ended_s) == SMALL.iterations
