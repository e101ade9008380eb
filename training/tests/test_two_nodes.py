"""Two agents of torchrun, as on two nodes: here on one machine, with one rank each."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from process_table import await_end, children, descendants
from ranks_in_processes import PATIENCE_S, await_checkpoint, pid_of, start_program

from grasp_training.runs import run_folder

pytestmark = pytest.mark.slow


class Nodes:
    """Two nodes that run a training under placement 1:1."""

    def __init__(self, folder: Path, restarts: int, iterations: int) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        launcher = (
            "-m torch.distributed.run --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-id run "
            f"--rdzv-endpoint localhost:{port} --max-restarts {restarts}"
        ).split()
        call = f"ranks_in_processes.run_until_told('1:1', {restarts}, {iterations}, Path({str(folder)!r}))"
        self.agents = [
            start_program("ranks_in_processes", call, folder, launcher, f"node-{node}") for node in (0, 1)
        ]

    def await_checkpoint(self, iteration: int) -> None:
        """Wait until the run has a checkpoint of at least this iteration."""
        (self.folder / "output").symlink_to("node-0")
        await_checkpoint(self.folder, iteration, self.agents[0])

    def agent_of(self, rank: int) -> subprocess.Popen[str]:
        """Return the agent that has started a rank."""
        return next(agent for agent in self.agents if pid_of(self.folder, rank) in children(agent.pid))

    def said(self, agent: subprocess.Popen[str]) -> str:
        """Return what an agent and its ranks have said."""
        return (self.folder / f"node-{self.agents.index(agent)}").read_text()

    def everything_said(self) -> str:
        """Return what both nodes have said."""
        return "\n".join(self.said(agent) for agent in self.agents)

    def processes(self) -> set[int]:
        """Return the agents and all that they have started."""
        return {agent.pid for agent in self.agents}.union(*(descendants(agent.pid) for agent in self.agents))

    def await_end(self) -> list[int]:
        """Wait for the agents and return their statuses."""
        return [agent.wait(timeout=PATIENCE_S) for agent in self.agents]


@pytest.fixture
def nodes(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "5")  # as the README and slurm.sh say
    made = Nodes(tmp_path, **request.param)
    yield made
    for agent in made.agents:
        started = descendants(agent.pid) if agent.poll() is None else set()
        for pid in started:
            os.kill(pid, signal.SIGKILL)
        agent.kill()
        agent.wait()


@pytest.mark.parametrize("nodes", [{"restarts": 1, "iterations": 30}], indirect=True)
def test_two_nodes_complete_a_run_though_a_rank_of_one_is_killed(nodes: Nodes) -> None:
    nodes.await_checkpoint(3)
    os.kill(pid_of(nodes.folder, 1), signal.SIGKILL)
    assert nodes.await_end() == [0, 0], nodes.everything_said()
    folder = run_folder(nodes.folder, "run")
    assert [row["iteration"] for row in folder.metrics.rows()] == list(range(1, 31))
    assert "Resuming 'run' after" in nodes.everything_said()


@pytest.mark.parametrize("nodes", [{"restarts": 0, "iterations": 10**6}], indirect=True)
def test_a_rank_killed_on_one_node_ends_both_with_its_name(nodes: Nodes) -> None:
    nodes.await_checkpoint(2)
    started, its_own, other = nodes.processes(), nodes.agent_of(1), nodes.agent_of(0)
    os.kill(pid_of(nodes.folder, 1), signal.SIGKILL)
    assert all(nodes.await_end()), nodes.everything_said()
    assert not await_end(started, PATIENCE_S), "no process outlives the run"
    # The store of both may be gone with the first agent before a rank of the other has looked.
    gone = r"rank 1 \(simulator 0\) closed its connection|RendezvousConnectionError"
    assert re.search(gone, nodes.said(other))
    assert re.search(r"rank +: 1 .*\n +exitcode +: -9", nodes.said(its_own))


@pytest.mark.parametrize("nodes", [{"restarts": 0, "iterations": 10**6}], indirect=True)
def test_an_agent_killed_on_one_node_ends_both_with_its_name(nodes: Nodes) -> None:
    nodes.await_checkpoint(2)
    started, its_own, other = nodes.processes(), nodes.agent_of(1), nodes.agent_of(0)
    os.kill(its_own.pid, signal.SIGKILL)
    assert all(nodes.await_end()), nodes.everything_said()
    assert not await_end(started, PATIENCE_S), "no process outlives the run"
    said = f"torchrun's agent (process {its_own.pid}), which started rank 1 (simulator 0), has died"
    assert said in nodes.said(its_own)
    gone = r"|rank 1 \(simulator 0\) closed|RendezvousConnectionError"
    assert re.search(re.escape(said) + gone, nodes.said(other))
