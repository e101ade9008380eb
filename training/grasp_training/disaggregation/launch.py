"""Starts the ranks of a run with torchrun's own agent, and says what became of them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import uuid
from collections.abc import Callable
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from grasp_training.disaggregation.cluster import RankError
from grasp_training.disaggregation.placement import Placement

_SHUTDOWN_S = 5
"""Seconds that ranks have to end once one has failed: a stopped process answers no signal but SIGKILL."""


def is_rank() -> bool:
    """Say whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def restarts_so_far() -> int:
    """Return how often torchrun has restarted the ranks."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def spare_libraries() -> None:
    """Let the garbage collector look only at what is made from now on.

    A whole collection walks through every object of the libraries: 0.2 s in which a learner answers no
    simulator, some seconds after the start and now and then later.
    """
    gc.collect()
    gc.freeze()


def launch(placement: Placement, max_restarts: int, entry: Callable[..., None], *arguments: Any) -> None:
    """Run `entry(*arguments)` in every rank of a placement, on this machine, and wait for the end.

    Args:
        placement: says how many ranks.
        max_restarts: how often all ranks are started anew after one has failed.
        entry: a function of a module; it and the arguments are pickled.
        *arguments: its arguments.

    Raises:
        RankError: a rank failed once more than it may; the message names it.
        KeyboardInterrupt: the run was interrupted.
    """
    # Ranks fork from a server that has imported everything: they start in a fraction of the time, and, unlike
    # forks of this process, inherit neither its threads nor a CUDA context.
    multiprocessing.set_forkserver_preload([entry.__module__])
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=placement.world_size,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=max_restarts,
        start_method="forkserver",
        shutdown_timeout=_SHUTDOWN_S,
    )
    try:
        elastic_launch(config, entry)(*arguments)
    except ChildFailedError as error:
        raise RankError(_explain(placement, error.failures)) from None
    except SignalException as error:
        raise KeyboardInterrupt from error


def _explain(placement: Placement, failures: dict[int, ProcessFailure]) -> str:
    """Say which rank failed first, and what others say of it."""
    ended_by_agent = (-signal.SIGTERM, -signal.SIGKILL)
    killed = [f for f in failures.values() if f.exitcode < 0 and f.exitcode not in ended_by_agent[:1]]
    told = [f for f in failures.values() if f.exitcode > 0]
    roles = placement.roles()
    sentences = []
    for failure in killed:
        name = signal.Signals(-failure.exitcode).name
        sentences.append(f"{roles[_rank(failures, failure)]} was killed by {name}")
    for message in dict.fromkeys(_message(failure) for failure in sorted(told, key=lambda f: f.timestamp)):
        sentences.append(message)
    return ". ".join(sentences[:3]) or f"a rank failed: {failures}"


def _rank(failures: dict[int, ProcessFailure], failure: ProcessFailure) -> int:
    return next(rank for rank, other in failures.items() if other is failure)


def _message(failure: ProcessFailure) -> str:
    """Return the message of the exception that ended a rank, without its traceback."""
    said: Any = failure.message
    text = str(said["message"] if isinstance(said, dict) else said or "")
    last = text.strip().splitlines()[-1] if text else f"a rank ended with status {failure.exitcode}"
    for kind in ("RankError: ", "GraspError: "):
        last = last.split(kind, 1)[-1]
    return last
