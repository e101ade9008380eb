"""Ranks of a placement as threads of the test: real messages through Gloo, without starting processes.

Only simulators go into threads; one learner trains in the test's own, with torch's global generator.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.distributed import HashStore

from grasp_training.disaggregation.cluster import Cluster
from grasp_training.disaggregation.liveness import Limits
from grasp_training.disaggregation.placement import Placement
from grasp_training.disaggregation.wiring import ClusterWiring, simulate
from grasp_training.learning import RunConfig, train_teacher
from grasp_training.runs import RunFolder

LIMITS = Limits(step_s=300.0, update_s=300.0, silence_s=300.0)


class ThreadCluster(Cluster):
    """A rank that does not end the process when it finds another one silent."""

    def _end_process(self, message: str) -> None:
        self._publish(message)


def join(placement: Placement, limits: Limits = LIMITS) -> list[ThreadCluster]:
    """Join all ranks of a placement; each needs the others to join at the same time."""
    store = HashStore()
    clusters: dict[int, ThreadCluster] = {}

    def join_one(rank: int) -> None:
        clusters[rank] = ThreadCluster(placement, rank, store, limits)

    threads = [threading.Thread(target=join_one, args=(rank,)) for rank in range(placement.world_size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [clusters[rank] for rank in range(placement.world_size)]


def train_in_threads(
    config: RunConfig,
    task: Any,
    make_env: Callable[..., Any],
    runs_folder: Path,
    resume: bool = False,
    train: Callable[..., RunFolder] = train_teacher,
) -> RunFolder:
    """Train under a placement S:1 and return the run's folder."""
    learner, *simulators = join(Placement.parse(config.placement))

    def run(cluster: Cluster) -> None:
        with cluster:
            simulate(cluster, make_env, task)

    threads = [threading.Thread(target=run, args=(cluster,), daemon=True) for cluster in simulators]
    for thread in threads:
        thread.start()
    with learner:
        folder = train(config, task, make_env, runs_folder, resume, ClusterWiring(learner))
    for thread in threads:
        thread.join(timeout=300.0)
        assert not thread.is_alive(), "a simulator did not end with the run"
    return folder
