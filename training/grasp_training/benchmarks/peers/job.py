"""What every system is told to train, and what its process writes down about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from grasp_training.errors import GraspError
from grasp_training.learning.config import CRITIC_GROUPS, Observe, TeacherConfig
from grasp_training.presets import teacher_preset
from grasp_training.runs import from_mapping, to_mapping
from grasp_training.tasks import TaskConfig

_RECORDED_PACKAGES = ("torch", "numpy", "mujoco", "mujoco-warp", "rsl-rl-lib", "sample-factory")

SPLITS = 2
"""Environments of a rollout worker of Sample Factory: one steps while the other's actions are worked out."""


class PeerError(GraspError, RuntimeError):
    """A training of the comparison failed or did not train: the message names it and its log."""


@dataclass(frozen=True)
class Job:
    """A training of a given length; the rest is the preset `cpu` of `grasp train teacher`."""

    observe: Observe
    """What the actor sees."""
    num_envs: int
    """Environments in all."""
    iterations: int
    """Updates."""
    seed: int = 0
    """Seed of networks, exploration and environments."""
    workers: int = 1
    """Rollout workers, where a system has them."""

    @property
    def teacher(self) -> TeacherConfig:
        """Return the settings of learning."""
        return teacher_preset("cpu", "peers")

    @property
    def actor_groups(self) -> tuple[str, ...]:
        """Return the observation groups that the actor sees."""
        return ("proprioception", "depth") if self.observe == "depth" else CRITIC_GROUPS

    @property
    def groups(self) -> tuple[str, ...]:
        """Return every observation group that the environments give."""
        return tuple(dict.fromkeys((*self.actor_groups, *CRITIC_GROUPS)))

    @property
    def steps_per_update(self) -> int:
        """Return the control steps of all environments from update to update."""
        return self.num_envs * self.teacher.ppo.steps_per_rollout

    def task(self, threads: int) -> TaskConfig:
        """Return the task, whose physics has so many threads."""
        return TaskConfig(threads=threads)


@dataclass(frozen=True)
class Updates:
    """When the updates of a training ended."""

    ended_s: tuple[float, ...]
    """s, of any clock"""
    versions: dict[str, str]
    """Versions of the libraries that ran."""


def steps_per_s(updates: Updates, steps_per_update: int, warm_up: int) -> float:
    """Return the control steps of all environments a second, learning included.

    Counted from the end of update `warm_up` to that of the last but one: while the last goes on, some systems
    collect nothing for a next.

    Raises:
        PeerError: there are too few updates.
    """
    ended = updates.ended_s[warm_up - 1 : -1]
    if len(ended) < 2:
        raise PeerError(f"A training ended {len(updates.ended_s)} updates; expected {warm_up + 2} or more")
    return steps_per_update * (len(ended) - 1) / (ended[-1] - ended[0])


def installed_versions() -> dict[str, str]:
    """Return the versions of libraries that matter, of those that are there."""
    found = {name: _version(name) for name in _RECORDED_PACKAGES}
    return {"python": sys.version.split()[0]} | {name: version for name, version in found.items() if version}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def job_of(arguments: Sequence[str]) -> tuple[Job, Path]:
    """Read a training's process's arguments, `JOB.json RESULT.json`: the job, and where its result goes."""
    source, result = arguments
    return from_mapping(Job, json.loads(Path(source).read_text()), source), Path(result)


def write_job(job: Job, path: Path) -> None:
    """Write a job for the process that trains."""
    path.write_text(json.dumps(to_mapping(job)))


def write_updates(ended_s: Sequence[float], path: Path) -> None:
    """Write when this process's updates ended, and with what libraries."""
    path.write_text(json.dumps(to_mapping(Updates(tuple(ended_s), installed_versions()))))


def read_updates(path: Path) -> Updates:
    """Read what `write_updates` wrote."""
    return from_mapping(Updates, json.loads(path.read_text()), str(path))
