"""Starts the ranks of a run with torchrun's own agent, and says what became of them."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from grasp_training.disaggregation.cluster import FAILED_STATUS, RankError
from grasp_training.disaggregation.placement import Placement
from grasp_training.disaggregation.processes import ProcessId, watch_agent
from grasp_training.disaggregation.reports import WholeErrorHandler, last_sign_of_life, read_failures

_AGENT_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_SHUTDOWN_S = 5
"""Seconds that ranks have to end when the run is interrupted."""
_LINGER_S = 1.0
"""Seconds for which a rank that another one's failure ends lets that one be the first whom the agent sees."""


def is_rank() -> bool:
    """Say whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


def run_rank(agent: ProcessId, entry: Callable[..., None], *arguments: Any) -> None:
    """Run `entry(*arguments)` as a rank; whatever ends it is reported to the agent that started it.

    Args:
        agent: the agent, which knows itself: it may have died before this rank could ask.
        entry: what to run.
        *arguments: its arguments.

    Raises:
        SystemExit: another rank, or the agent, has ended this one: a traceback would tell nothing.
    """
    watch_agent(agent, FAILED_STATUS)
    try:
        record(entry, error_handler=WholeErrorHandler())(*arguments)
    except RankError as error:
        if not error.told:
            print(error, file=sys.stderr, flush=True)
        time.sleep(_LINGER_S)
        sys.exit(FAILED_STATUS)


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
        with tempfile.TemporaryDirectory(prefix="grasp-ranks-") as folder, _own_signal_handlers():
            config.logs_specs = DefaultLogsSpecs(folder)
            try:
                elastic_launch(config, run_rank)(ProcessId.of(os.getpid()), entry, *arguments)
            except ChildFailedError as error:
                raise RankError(_explain(placement, error.failures, Path(folder))) from None
    except SignalException as error:
        raise KeyboardInterrupt from error


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Take back the handlers of signals that torchrun's agent has replaced by its own."""
    handlers = {number: signal.getsignal(number) for number in _AGENT_SIGNALS}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _explain(placement: Placement, failures: dict[int, ProcessFailure], folder: Path) -> str:
    """Say which rank failed first, and what others say of it.

    Args:
        placement: names the ranks.
        failures: by rank: those that the agent saw before it ended the others.
        folder: where all ranks of all attempts left their reports.
    """
    attempt = max(folder.glob("*/attempt_*"), key=lambda path: int(path.name.rpartition("_")[2]))
    told = read_failures(attempt)
    sentences = []
    for rank, failure in failures.items():
        role = placement.roles()[rank]
        if failure.exitcode in (0, -signal.SIGTERM) or any(f"{role} has stopped" in text for text in told):
            continue  # ended by the agent, or killed because it had stopped
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            sentences.append(f"{role} was killed by {name}; {last_sign_of_life(attempt / str(rank))}")
        elif not told:
            sentences.append(f"{role} ended with status {failure.exitcode}")
    return ". ".join([*sentences, *told][:3]) or f"a rank failed: {failures}"
