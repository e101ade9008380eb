"""The systems that are compared: how each is started, and how it is read when its updates ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grasp_training.benchmarks.peers.job import (
    Job,
    PeerError,
    Updates,
    installed_versions,
    read_updates,
    write_job,
)

OURS = "ours"
_PACKAGE = "grasp_training.benchmarks.peers"
_NO_INTERPRETER = "not run: no --sample-factory-python given"
_PLACEMENTS: dict[str, tuple[str, ...]] = {
    "single": (),
    "1:1 overlapped": ("--placement", "1:1", "--mode", "overlapped", "--env-blocks", "2"),
}
_END_S = 10.0
"""s that a process has to end what it has started, before it is killed"""
_SHOWN_LINES = 5

Train = Callable[[Job, Path], Updates]
"""Trains a job in processes of its own, with a folder to write into that is not there yet."""


@dataclass(frozen=True)
class System:
    """One row of the comparison: a system with its setting."""

    name: str
    """The system, `OURS` for ours."""
    setting: str
    """What is particular about this row."""
    train: Train | None
    """How it trains; none where it is missing."""
    missing: str = ""
    """Why it is missing."""


def systems(sample_factory_python: Path | None, workers: Sequence[int], limit_s: float) -> list[System]:
    """Return all systems.

    Args:
        sample_factory_python: interpreter that has Sample Factory and our packages.
        workers: numbers of Sample Factory's rollout workers, a row each.
        limit_s: s, after which a training is ended.
    """

    def ours(flags: tuple[str, ...]) -> Train:
        return lambda job, folder: _train_ours(flags, job, folder, limit_s)

    alone = _apart(Path(sys.executable), "rsl_rl_alone", 1, limit_s)

    return [
        System("rsl_rl alone", "one process", alone),
        *_sample_factory(sample_factory_python, workers, limit_s),
        *(System(OURS, setting, ours(flags)) for setting, flags in _PLACEMENTS.items()),
    ]


def _sample_factory(python: Path | None, workers: Sequence[int], limit_s: float) -> list[System]:
    missing = why_missing(python)
    rows = []
    for count in workers:
        setting = f"async, {count} rollout worker" + ("s" if count > 1 else "")
        train = None if missing or python is None else _apart(python, "sample_factory_alone", count, limit_s)
        rows.append(System("Sample Factory", setting, train, missing))
    return rows


def why_missing(python: Path | None) -> str:
    """Return why Sample Factory cannot be run by an interpreter; nothing if it can."""
    if python is None:
        return _NO_INTERPRETER
    try:
        command = [str(python), "-c", "import sample_factory, grasp_training.tasks"]
        tried = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"not run: {error}"
    return "" if tried.returncode == 0 else f"not run: {python}: {tried.stderr.strip().splitlines()[-1]}"


def _apart(python: Path, module: str, workers: int, limit_s: float) -> Train:
    """Return what trains in a process of its own, with so many rollout workers."""

    def train(job: Job, folder: Path) -> Updates:
        folder.mkdir(parents=True)
        source, result = folder / "job.json", folder / "result.json"
        write_job(replace(job, workers=workers), source)
        command = [str(python), "-m", f"{_PACKAGE}.{module}", str(source), str(result)]
        run_process(command, folder / "log.txt", limit_s)
        return read_updates(result)

    return train


def _train_ours(flags: tuple[str, ...], job: Job, folder: Path, limit_s: float) -> Updates:
    folder.mkdir(parents=True)
    sizes = {"observe": job.observe, "num-envs": job.num_envs, "iterations": job.iterations, "seed": job.seed}
    # No checkpoint before the end, where it is not counted: the others write none.
    sizes["checkpoint.interval-iterations"] = job.iterations
    if job.observe == "depth":
        sizes |= {"depth.memory-size": 0, "depth.position-weight": 0}
    command = [sys.executable, "-m", "grasp_training.cli", "train", "teacher", "--run", "run"]
    command += ["--runs-folder", str(folder), *flags]
    for name, value in sizes.items():
        command += [f"--{name}", str(value)]
    run_process(command, folder / "log.txt", limit_s)
    return Updates(ends_of_events(folder / "run"), installed_versions())


def ends_of_events(run: Path) -> tuple[float, ...]:
    """Return when the updates of a run ended, s since the epoch, as TensorBoard's events say.

    The run's own times leave out what goes on between waiting for a rollout and learning from it.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run), size_guidance={"scalars": 0})
    events.Reload()
    return tuple(event.wall_time for event in events.Scalars("performance/learn_s"))


def run_process(command: Sequence[str], log: Path, limit_s: float) -> None:
    """Run a process with all that it starts, its output into a file.

    Args:
        command: what to run.
        log: file for its output.
        limit_s: s, after which it is ended.

    Raises:
        PeerError: it failed, or did not end in time.
    """
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise PeerError(f"{_shown(command)} ran for more than {limit_s:g} s; see {log}") from None
        finally:
            _end(process)
    if status:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
        raise PeerError(f"{_shown(command)} ended with status {status}; {log} ends with:\n{last}")


def _end(process: subprocess.Popen) -> None:
    """End a process that goes on, and what it has left behind in its session."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _shown(command: Sequence[str]) -> str:
    return " ".join(command[:3])
