"""What can be done to the running graph, and undone."""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lifecycle_msgs.msg import Transition

from fault_table.bench import Bench
from fault_table.tampering import Tamper
from fault_table.watching import until

_POLICY_ALONE = "/policy/object_position"
"""a topic that nobody but the policy node publishes"""
_FOUND_S = 30.0
"""s of wall time in which discovery should find a node again"""
_CPU = "CPUExecutionProvider"


class Injection(Protocol):
    """Something that is done to the graph."""

    def begin(self, bench: Bench) -> int:
        """Do it; the time of the last sound input before it took effect, ns of the simulator's clock."""
        ...

    def end(self, bench: Bench) -> None:
        """Undo it, as far as it is not over already. Dead nodes are started again by the caller."""
        ...


@dataclass(frozen=True)
class Spoil:
    """Messages are spoiled on their way."""

    channels: Mapping[str, Callable[[Any], Tamper]]
    """by channel of the relay, what makes the tamper out of the last sound message"""

    def begin(self, bench: Bench) -> int:
        """Spoil them from now on."""
        for relay in (bench.clock, bench.robot):
            relay.tamper(self.channels)
        good_ns = bench.clock.good_ns | bench.robot.good_ns
        return min(good_ns[name] for name in self.channels)

    def end(self, bench: Bench) -> None:
        """Pass them on as they are."""
        bench.clock.tamper({})
        bench.robot.tamper({})


@dataclass(frozen=True)
class Pause:
    """A node's process is stopped by SIGSTOP, and goes on when the robot stands, or as said."""

    node: str
    """name of the node"""
    for_s: float = 0.0
    """s of wall time until it goes on"""
    clock_s: float = 0.0
    """s of the simulator's clock until it goes on"""

    def begin(self, bench: Bench) -> int:
        """Stop it."""
        bench.processes.send(self.node, signal.SIGSTOP)
        good_ns, now_ns = bench.watcher.accepted[-1], bench.clock.now_ns
        if self.for_s or self.clock_s:
            time.sleep(self.for_s)
            until(lambda: bench.clock.now_ns >= now_ns + 1e9 * self.clock_s, "the clock to go on")
            bench.processes.send(self.node, signal.SIGCONT)
        return good_ns

    def end(self, bench: Bench) -> None:
        """Let it go on."""
        bench.processes.send(self.node, signal.SIGCONT)


@dataclass(frozen=True)
class Kill:
    """A node's process is killed by SIGKILL."""

    node: str
    """name of the node"""
    restart: bool = False
    """whether it is started again at once, not only when the robot stands"""

    def begin(self, bench: Bench) -> int:
        """Kill it."""
        bench.processes.kill(self.node)
        if self.restart:
            bench.processes.start(self.node)
        return bench.watcher.accepted[-1]

    def end(self, bench: Bench) -> None:
        """Nothing."""


@dataclass(frozen=True)
class RobotLeaves:
    """The participant of drivers, cameras and targets leaves the ROS domain, and comes back."""

    def begin(self, bench: Bench) -> int:
        """Leave."""
        bench.robot.leave()
        good_ns = bench.robot.good_ns
        return min(good_ns[name] for name in ("joints", "left", "right", "targets"))

    def end(self, bench: Bench) -> None:
        """Come back."""
        bench.robot.join()


@dataclass(frozen=True)
class PolicyIsLost:
    """The policy node stands still until its lease runs out and all forget it; then it is found again."""

    def begin(self, bench: Bench) -> int:
        """Stop it until it is lost."""
        bench.processes.send("grasp_policy", signal.SIGSTOP)
        good_ns = bench.watcher.accepted[-1]
        until(lambda: not bench.watcher.node.count_publishers(_POLICY_ALONE), "the policy node to be lost")
        return good_ns

    def end(self, bench: Bench) -> None:
        """Let it go on until it is found."""
        bench.processes.send("grasp_policy", signal.SIGCONT)
        try:
            until(lambda: bench.watcher.node.count_publishers(_POLICY_ALONE), "it to be found", _FOUND_S)
        except TimeoutError:
            bench.notes.append(f"not found again in {_FOUND_S:g} s, so it was killed and started again")
            bench.processes.kill("grasp_policy")


@dataclass(frozen=True)
class NoSuchProvider:
    """The policy node is asked for an execution provider that is not there, before an episode."""

    asked: list[str] = field(default_factory=lambda: ["CUDAExecutionProvider"])
    """what it is asked for"""

    def begin(self, bench: Bench) -> int:
        """Ask for it, and start."""
        bench.stop()
        self._ask(bench, self.asked)
        bench.start()
        return bench.clock.now_ns

    def end(self, bench: Bench) -> None:
        """Ask for what is there."""
        bench.watcher.set_texts("grasp_policy", "providers", [_CPU])

    @staticmethod
    def _ask(bench: Bench, providers: list[str]) -> None:
        cleanup = Transition.TRANSITION_CLEANUP
        until(lambda: bench.watcher.change_state("grasp_policy", cleanup), "the policy node to be inactive")
        bench.watcher.set_texts("grasp_policy", "providers", providers)
