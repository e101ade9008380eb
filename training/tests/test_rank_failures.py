"""A rank that dies, stops or is slow ends the run with its name; restarts go on from the last checkpoint."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest
from learning_samples import small_teacher
from process_table import await_end, descendants
from ranks_in_processes import PATIENCE_S, await_checkpoint, pid_of, placed_teacher, start
from ranks_in_threads import LIMITS, join, train_in_threads
from torch.distributed import HashStore, Store
from toy_environment import ToyEnv, ToyTask, make_toy_env

from grasp_training.disaggregation.attempt import new_attempt
from grasp_training.disaggregation.cluster import RankError
from grasp_training.disaggregation.liveness import Limits
from grasp_training.disaggregation.placement import Placement
from grasp_training.disaggregation.wiring import ClusterWiring, simulate
from grasp_training.learning import train_teacher
from grasp_training.learning.placed import train_placed
from grasp_training.runs import run_folder

SILENCE_S = 10.0
"""Limit on silence where a rank is stopped."""


def ended(process: subprocess.Popen[str], folder: Path, started: set[int]) -> str:
    """Wait for the end of a run that has to fail, and of all its processes, and return what it said."""
    try:
        status = process.wait(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"the run went on; it said: {(folder / 'output').read_text()}") from None
    said = (folder / "output").read_text()
    assert status == 1, said
    assert not await_end(started, PATIENCE_S), "no process outlives the run"
    return said.strip().splitlines()[-1]


def test_a_killed_simulator_is_named_with_what_it_did_last(tmp_path: Path) -> None:
    process = start("2:1", tmp_path)
    await_checkpoint(tmp_path, 3, process)
    started = descendants(process.pid)
    assert {pid_of(tmp_path, rank) for rank in range(3)} < started
    os.kill(pid_of(tmp_path, 2), signal.SIGKILL)
    said = ended(process, tmp_path, started)
    assert said.startswith("rank 2 (simulator 1) was killed by SIGKILL; its last sign of life, ")
    assert re.search(r"s ago, said: (starting|waiting|making|simulating)", said)


def test_a_stopped_simulator_is_named_and_one_that_goes_on_in_time_is_not(tmp_path: Path) -> None:
    process = start("1:1", tmp_path, silence_s=SILENCE_S)
    await_checkpoint(tmp_path, 2, process)
    started, simulator = descendants(process.pid), pid_of(tmp_path, 1)
    os.kill(simulator, signal.SIGSTOP)
    time.sleep(SILENCE_S / 5)
    os.kill(simulator, signal.SIGCONT)
    before = max(run_folder(tmp_path, "run").checkpoints().iterations())
    await_checkpoint(tmp_path, before + 2, process)
    os.kill(simulator, signal.SIGSTOP)
    said = ended(process, tmp_path, started)
    assert said.startswith("rank 1 (simulator 0) has stopped: its last sign of life")
    assert re.search(r"its last sign of life, \d+ s ago, said: (starting|waiting|making|simulating)", said)
    assert "SIGKILL" not in said, "that came from the rank that found it"


def test_a_killed_learner_is_started_anew_and_the_run_completes(tmp_path: Path) -> None:
    process = start("1:1", tmp_path, restarts=1, iterations=30)
    await_checkpoint(tmp_path, 3, process)
    os.kill(pid_of(tmp_path, 0), signal.SIGKILL)
    assert process.wait(timeout=PATIENCE_S) == 0, (tmp_path / "output").read_text()
    assert "Resuming 'run' after" in (tmp_path / "output").read_text()
    folder = run_folder(tmp_path, "run")
    assert [row["iteration"] for row in folder.metrics.rows()] == list(range(1, 31))
    assert folder.checkpoints().load_latest().iteration == 30


def test_a_run_that_was_there_before_is_not_continued_unasked(tmp_path: Path) -> None:
    train_teacher(small_teacher("run", 1), ToyTask(), make_toy_env, tmp_path)
    config = placed_teacher("run", "1:1", 3, max_restarts=1)
    with pytest.raises(RankError, match=r"Run 'run' exists in .*: continue it with --resume"):
        train_placed(train_teacher, config, ToyTask(), make_toy_env, tmp_path)
    assert run_folder(tmp_path, "run").checkpoints().iterations() == [1]


class SlowEnv(ToyEnv):
    """Does not come to an end of its third step before it may."""

    may_end = threading.Event()

    def step(self, actions):
        if int(self.episode_length_buf[0]) == 2:
            self.may_end.wait(PATIENCE_S)
        return super().step(actions)


def fail_in_threads(folder: Path, make_env, limits: Limits = LIMITS) -> tuple[str, list[str]]:
    """Train under 1:1 with environments that fail; return what learner and simulator raised."""
    learner, simulator = join(Placement.parse("1:1"), limits)
    raised: list[str] = []

    def run() -> None:
        try:
            with simulator:
                simulate(simulator, make_env, ToyTask())
        except Exception as error:  # noqa: BLE001
            raised.append(str(error))
            del simulator.transport  # closes its connections, as the end of its process would do

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    config = dataclasses.replace(
        small_teacher("fails", 3, 4), placement="1:1", stagger_episodes=False, limits=limits
    )
    with pytest.raises(RankError) as caught, learner:
        train_teacher(config, ToyTask(), make_env, folder, False, ClusterWiring(learner))
    SlowEnv.may_end.set()
    said = str(caught.value)
    del learner.transport, caught
    thread.join(timeout=PATIENCE_S)
    assert not thread.is_alive(), "the simulator goes on without a learner"
    return said, raised


def test_a_slow_simulator_is_not_called_stopped(tmp_path: Path) -> None:
    SlowEnv.may_end.clear()
    limits = dataclasses.replace(LIMITS, step_s=5.0)
    said, _ = fail_in_threads(tmp_path, SlowEnv, limits)
    assert re.search(r"rank 1 \(simulator 0\) has been slow: no answer for \d+ s", said)
    assert re.search(r"last message from it: results of step \d", said)
    assert re.search(r"said: simulating step \d", said)


class BrokenEnv(ToyEnv):
    """Breaks in its third step."""

    def step(self, actions):
        if int(self.episode_length_buf[0]) == 2:
            raise ValueError("the simulator fell over")
        return super().step(actions)


def test_what_ended_a_simulator_is_what_the_learner_says(tmp_path: Path) -> None:
    said, raised = fail_in_threads(tmp_path, BrokenEnv)
    assert raised == ["the simulator fell over"]
    assert said == "rank 1 (simulator 0) failed: the simulator fell over"


def test_ranks_of_another_attempt_share_no_keys() -> None:
    store = HashStore()
    seen = []
    for _ in range(2):
        stores: dict[int, Store] = {}

        def come(rank: int, stores: dict[int, Store] = stores) -> None:
            stores[rank] = new_attempt(store, rank, 3, limit_s=PATIENCE_S)

        threads = [threading.Thread(target=come, args=(rank,)) for rank in (2, 0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stores[1].set("key", "value")
        assert all(each.check(["key"]) for each in stores.values())
        seen.append(stores)
    seen[0][0].set("old", "value")
    assert not seen[1][0].check(["old"])


def test_a_rank_that_does_not_come_is_waited_for_so_long_and_no_longer() -> None:
    for rank in (0, 1):
        with pytest.raises(RuntimeError, match=f"^rank {1 - rank} did not come up within 0 s$"):
            new_attempt(HashStore(), rank, 2, limit_s=0.2)


def test_threads_of_a_run_that_ends_well_end_too(tmp_path: Path) -> None:
    before = threading.enumerate()
    config = dataclasses.replace(small_teacher("well", 2, 4), placement="2:1")
    train_in_threads(config, ToyTask(), make_toy_env, tmp_path)
    names = [thread.name for thread in threading.enumerate() if thread not in before]
    assert not [name for name in names if name.startswith("pulse of")]
