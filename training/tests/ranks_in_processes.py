"""Runs of several processes for tests: small trainings whose ranks leave their process ids in a folder."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from learning_samples import small_teacher
from toy_environment import ToyEnv, ToyTask, make_toy_env

from grasp_training.disaggregation.liveness import Limits
from grasp_training.learning import PpoConfig, TeacherConfig, train_teacher
from grasp_training.learning.placed import train_placed

LIMITS = Limits(join_s=300.0, step_s=300.0, update_s=300.0)
"""A machine that does much else at the same time must not make a test fail."""

PATIENCE_S = 600.0
"""s, for what takes seconds where nothing else runs."""


def leave_pid(folder: Path) -> None:
    """Say which process this rank is; another rank's test may want to end it."""
    path = folder / f"rank-{os.environ['RANK']}.pid"
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").replace(path)


def train_and_tell(config: TeacherConfig, task: ToyTask, make_env: Any, folder: Path, *more: Any) -> None:
    """Train a teacher; the learner's process id is in the runs folder."""
    leave_pid(folder)
    train_teacher(config, task, make_env, folder, *more)


@dataclasses.dataclass(frozen=True)
class TellingToyTask(ToyTask):
    """A toy task whose simulators leave their process ids."""

    folder: str = ""
    """Where."""


def make_telling_env(config: TellingToyTask, *arguments: Any) -> ToyEnv:
    """Make toy environments; the simulator's process id is in the folder."""
    leave_pid(Path(config.folder))
    return make_toy_env(config, *arguments)


def placed_teacher(run: str, placement: str, iterations: int, **changes: Any) -> TeacherConfig:
    """A small teacher under a placement."""
    config = small_teacher(run, iterations, num_envs=12)
    return dataclasses.replace(config, **{"placement": placement, "limits": LIMITS, **changes})


def one_whole_batch(run: str, placement: str) -> TeacherConfig:
    """A teacher whose every optimizer step is on all of the experience, so that its order cannot matter."""
    ppo = PpoConfig(steps_per_rollout=8, epochs=3, minibatches=1)
    return placed_teacher(run, placement, 1, ppo=ppo, env_blocks=2, stagger_episodes=False)


_PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import {module}
from pathlib import Path
if __name__ == "__main__":
    {call}
"""


def run_until_told(
    placement: str, restarts: int, iterations: int, folder: Path, silence_s: float = LIMITS.silence_s
) -> None:
    """Train for long, in a process of its own."""
    limits = dataclasses.replace(LIMITS, silence_s=silence_s)
    config = placed_teacher("run", placement, iterations, max_restarts=restarts, limits=limits)
    task = TellingToyTask(episode_steps=7, folder=str(folder))
    try:
        train_placed(train_and_tell, config, task, make_telling_env, folder)
    except RuntimeError as error:
        sys.exit(str(error))


def start(
    placement: str,
    folder: Path,
    restarts: int = 0,
    iterations: int = 10**6,
    silence_s: float = LIMITS.silence_s,
) -> subprocess.Popen[str]:
    """Start such a training; what it prints goes to `output` in the folder."""
    call = f"run_until_told({placement!r}, {restarts}, {iterations}, Path({str(folder)!r}), {silence_s})"
    return start_program("ranks_in_processes", f"ranks_in_processes.{call}", folder)


def write_program(module: str, call: str, folder: Path) -> Path:
    """Write a program that imports a module beside this one and makes a call."""
    program = folder / "program.py"
    program.write_text(_PROGRAM.format(tests=str(Path(__file__).parent), module=module, call=call))
    return program


def start_program(
    module: str, call: str, folder: Path, launcher: Sequence[str] = (), output: str = "output"
) -> subprocess.Popen[str]:
    """Start such a program, by itself or under a launcher; what it prints goes to a file in the folder."""
    program = write_program(module, call, folder)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (folder / output).open("w") as stream:
        return subprocess.Popen(
            [sys.executable, *launcher, str(program)],
            env=environment,
            stdout=stream,
            stderr=stream,
            text=True,
        )


def await_checkpoint(folder: Path, iteration: int, process: subprocess.Popen[str]) -> None:
    """Wait until the run has a checkpoint of at least this iteration."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        found = [int(path.stem[-8:]) for path in (folder / "run" / "checkpoints").glob("iteration_*.pt")]
        if found and max(found) >= iteration:
            return
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint {iteration}; the run said: {(folder / 'output').read_text()}")


def pid_of(folder: Path, rank: int) -> int:
    """Return the process id of a rank."""
    return int((folder / f"rank-{rank}.pid").read_text())
