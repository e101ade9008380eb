"""Trainings under a placement: the same training, with its environments in this process or in other ranks."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grasp_training.devices import cuda_devices, named_device
from grasp_training.disaggregation.cluster import Cluster
from grasp_training.disaggregation.launch import is_rank, launch, run_rank, spare_libraries
from grasp_training.disaggregation.placement import Placement
from grasp_training.disaggregation.processes import ProcessId
from grasp_training.disaggregation.wiring import ClusterWiring, simulate
from grasp_training.learning.config import RunConfig, check_positive
from grasp_training.learning.session import MakeEnv, use_threads
from grasp_training.runs import ConfigurationError, run_folder

Train = Callable[..., Any]
"""`train_teacher` or `train_student`."""


def train_placed(
    train: Train, config: RunConfig, task: Any, make_env: MakeEnv, runs_folder: Path, resume: bool = False
) -> None:
    """Train as `config.placement` says: here, in ranks started here, or as the rank that this process is.

    Args:
        train: `train_teacher` or `train_student`.
        config: the resolved configuration.
        task: the task's configuration.
        make_env: makes environments; a function of a module, which ranks can import.
        runs_folder: folder that holds the runs' folders; every rank that learns reads it.
        resume: continue the run from its last whole checkpoint.

    Raises:
        ConfigurationError: a setting is out of its range, or there is no such device, before any rank is
            started.
        RankError: a rank died, stopped or was too slow.
        GraspError: as `train` raises.
    """
    check_positive(config)
    placement = Placement.parse(config.placement)
    config.blocks()
    arguments = (train, config, task, make_env, runs_folder, resume)
    if is_rank():
        run_rank(ProcessId.of(os.getppid()), _train_in_rank, *arguments)
        return
    device = str(named_device(config.device, "device"))
    if placement.world_size == 1:
        spare_libraries()
        train(dataclasses.replace(config, device=device), task, make_env, runs_folder, resume)
    else:
        _check_devices(config.device, placement)
        launch(placement, config.max_restarts, _train_in_rank, *arguments)


def _train_in_rank(
    train: Train, config: RunConfig, task: Any, make_env: MakeEnv, runs_folder: Path, resume: bool
) -> None:
    spare_libraries()
    use_threads(config.threads)
    placement = Placement.parse(config.placement)
    learns = placement.roles()[int(os.environ["RANK"])].learner is not None
    device = str(named_device(config.device, "device")) if learns else "cpu"
    config = dataclasses.replace(config, device=device)
    with Cluster.from_environment(placement, config.limits, device) as cluster:
        if cluster.role.learner is None:
            simulate(cluster, make_env, task)
        else:
            resume = resume or _is_restart(cluster, runs_folder, config.run)
            train(config, task, make_env, runs_folder, resume, ClusterWiring(cluster))


def _check_devices(device: str, placement: Placement) -> None:
    """Check that learners on CUDA devices have one each; NCCL wants it so.

    Raises:
        ConfigurationError: there are fewer devices than ranks.
    """
    count, ranks = cuda_devices(), placement.world_size
    if device == "cuda" and placement.learners > 1 and ranks > count:
        raise ConfigurationError(
            f"placement {placement} has {ranks} ranks on this machine, and device is 'cuda', of which there "
            f"are {count}; several learners need a device of their own"
        )


def _is_restart(cluster: Cluster, runs_folder: Path, run: str) -> bool:
    """Say whether ranks started before these have begun the run, or somebody else has.

    torchrun's count of restarts does not tell: an agent that restarts its ranks because another node's has
    done so does not count it.
    """
    exists = run_folder(runs_folder, run).exists()
    if cluster.role.learner == 0 and not exists:
        cluster.keep(run)  # before it is there: a kill may come at any moment
    return exists and cluster.was_kept(run)
