"""What a step costs more where its records cross between two ranks of this machine."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from grasp_training.benchmarks.schedule import Costs
from grasp_training.benchmarks.stand_ins import StandInTask, make_stand_in
from grasp_training.disaggregation import Placement, Setup, SingleWiring, Transport, Wiring
from grasp_training.disaggregation.cluster import Cluster
from grasp_training.disaggregation.launch import launch
from grasp_training.disaggregation.liveness import Limits
from grasp_training.disaggregation.remote_env import RemoteVecEnv
from grasp_training.disaggregation.wiring import ClusterWiring, simulate
from grasp_training.learning.session import use_threads

_WARM_UP = 5


@dataclass(frozen=True)
class TransportCase:
    """Stand-ins that send images."""

    num_envs: int
    """Environments."""
    image_size: tuple[int, int] | None
    """Height and width of their depth images, if they send any."""
    step_s: float
    """What simulating a step takes, s."""
    steps: int = 80
    """Steps to measure."""
    transport: Transport = "auto"
    """How records cross."""


@dataclass(frozen=True)
class TransportCost:
    """What a step takes: medians."""

    bytes: int
    """of its records"""
    single_s: float
    """s, in one process: simulating, packing, and reading the results"""
    shared_s: float
    """s, between two processes through shared memory"""
    messages_s: float
    """s, between two processes as messages through Gloo"""
    copy_s: float
    """s, to copy as many bytes in memory with one thread"""


def measure_transport(
    num_envs: int, image_size: tuple[int, int] | None, folder: Path, step_s: float = 0.02
) -> TransportCost:
    """Measure what the messages of a step cost between two processes of this machine.

    Args:
        num_envs: environments.
        image_size: height and width of their depth images (float16), if they send any.
        folder: for what the ranks write.
        step_s: what simulating a step takes, s.

    Raises:
        RankError: a rank failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "steps.json"
    case = TransportCase(num_envs, image_size, step_s)
    use_threads(1)
    _step(SingleWiring(), case, path)
    found = [json.loads(path.read_text())]
    for transport in ("auto", "messages"):
        path.unlink()
        case = TransportCase(num_envs, image_size, step_s, transport=transport)
        launch(Placement.parse("1:1"), 0, _run_rank, case, path)
        found.append(json.loads(path.read_text()))
    single, shared, messages = (statistics.median(each["steps_s"]) for each in found)
    size = found[0]["bytes"]
    return TransportCost(size, single, shared, messages, _copy_s(size))


def _run_rank(case: TransportCase, path: Path) -> None:
    use_threads(1)
    with Cluster.from_environment(Placement.parse("1:1"), Limits()) as cluster:
        if cluster.role.learner is None:
            simulate(cluster, make_stand_in, _task(case))
        else:
            _step(ClusterWiring(cluster), case, path)


def _task(case: TransportCase) -> StandInTask:
    return StandInTask(Costs(case.step_s, 0.0, 0.0, 0.0, 1), case.num_envs, case.image_size)


def _step(wiring: Wiring, case: TransportCase, path: Path) -> None:
    """Step the environments and write how long each step took."""
    groups = ("proprioception", "privileged", *(("depth",) if case.image_size else ()))
    setup = Setup(case.num_envs, 1, groups, "training", 0, transport=case.transport)
    env = wiring.connect(make_stand_in, _task(case), setup)
    assert isinstance(env, RemoteVecEnv)
    env.get_observations()
    actions = torch.zeros(case.num_envs, env.num_actions)
    found = []
    for _ in range(_WARM_UP + case.steps):
        begun = time.perf_counter()
        env.step(actions)
        found.append(time.perf_counter() - begun)
    wiring.close()
    path.write_text(json.dumps({"steps_s": found[_WARM_UP:], "bytes": env.record_bytes * env.num_envs}))


def _copy_s(size: int) -> float:
    source = torch.ones(size, dtype=torch.uint8)
    target = torch.zeros_like(source)
    found = []
    for _ in range(20):
        begun = time.perf_counter()
        target.copy_(source)
        found.append(time.perf_counter() - begun)
    return statistics.median(found)
