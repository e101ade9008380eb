"""The graph's processes, each by itself: stopped, continued, killed and started again."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from fault_table.relay import remappings
from grasp_bringup.graph import NodeProcess, SimArguments, sim_graph
from grasp_bringup.supervisor import child_environment
from grasp_bringup.tether import die_with_parent

SOON_LOST = "grasp_policy"
"""node that the others forget soon when it is silent"""
_PATIENCE = 7.0
"""s that the task node waits for who is silent, in limits of the simulator's waits"""
_PARAMETERS = """
/grasp_sim:
  ros__parameters:
    # A silent partner is to be given up soon: three of these pass before time goes on.
    command_limit_s: {limit_s}
    target_limit_s: {limit_s}
    # While nobody is waited for, time goes slowly: the machine is needed elsewhere.
    idle_wait_s: 0.02
/grasp_task:
  ros__parameters:
    # As on a robot: nothing goes on by itself after a fault. Nothing ends the episode but the fault.
    resume_after_fault: false
    episode_length_s: 100.0
    score_source: ""
    stand_down_limit_s: {patience_s}
    clock_stall_limit_s: {patience_s}
"""
_SHORT_LEASE = """<?xml version="1.0" encoding="UTF-8" ?>
<profiles xmlns="http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles">
  <participant profile_name="short_lease" is_default_profile="true">
    <rtps><builtin><discovery_config>
      <leaseDuration><sec>2</sec></leaseDuration>
      <leaseAnnouncement><sec>0</sec><nanosec>500000000</nanosec></leaseAnnouncement>
    </discovery_config></builtin></rtps>
  </participant>
</profiles>
"""
"""Who does not hear from this participant for 2 s takes it for gone; 20 s is Fast DDS's default."""


class Processes:
    """Every node of the simulation's graph, behind the relay.

    Args:
        folder: for parameters and logs
        policy: policy file
        domain: ROS domain
        limit_s: s of wall time that the simulator waits for an answer before it goes on without
    """

    def __init__(self, folder: Path, policy: Path, domain: int, limit_s: float) -> None:
        parameters, profile = folder / "faults.yaml", folder / "short_lease.xml"
        told = _PARAMETERS.format(limit_s=limit_s, patience_s=_PATIENCE * limit_s)
        parameters.write_text(told, encoding="utf-8")
        profile.write_text(_SHORT_LEASE, encoding="utf-8")
        arguments = SimArguments(
            episodes=0,
            policy=str(policy),
            contact_sheet="none",
            report=str(folder / "report.json"),
            parameters=str(parameters),
        )
        graph = sim_graph(arguments)
        self._nodes = {one.name: _behind_relay(one) for one in graph.processes}
        environment = child_environment(graph.environment, list(self._nodes))
        self._environment = environment | {"ROS_DOMAIN_ID": str(domain)}
        self._profile = {"FASTRTPS_DEFAULT_PROFILES_FILE": str(profile)}
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def names(self) -> list[str]:
        """Names of all nodes."""
        return list(self._nodes)

    def start(self, name: str) -> None:
        """Start a node that does not run."""
        profile = self._profile if name == SOON_LOST else {}
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._nodes[name].command(sys.executable),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment | profile,
                # Whoever forks here has threads; the hook takes no lock that one of them could hold.
                preexec_fn=die_with_parent,  # noqa: PLW1509
            )

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a node."""
        os.kill(self._running[name].pid, number)

    def kill(self, name: str) -> None:
        """Kill a node at once."""
        self._running[name].kill()
        self._running[name].wait()

    def dead(self) -> list[str]:
        """Nodes that do not run."""
        return [name for name in self._nodes if not self.runs(name)]

    def runs(self, name: str) -> bool:
        """Whether a node runs."""
        return name in self._running and self._running[name].poll() is None

    def log(self, name: str) -> str:
        """All that a node has printed."""
        return (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """End all that still run."""
        running = [process for process in self._running.values() if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGINT)
        for process in running:
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _behind_relay(node: NodeProcess) -> NodeProcess:
    # A person starts each episode here.
    told = {**node.parameters, "autostart": False} if node.name == "grasp_task" else node.parameters
    return replace(node, parameters=told, remappings={**node.remappings, **remappings(node.name)})
