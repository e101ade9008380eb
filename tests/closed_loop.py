"""Runs the node graph through the runner, listens in, keeps what was said; for the closed loop's tests."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String

from grasp_description.robot import HOME_POSITION

DOMAIN = 1 + os.getpid() % 100
"""Another in every process: tests that run side by side must not hear each other. Up to 101 all are safe."""
PATIENCE_S = 400.0
"""s of wall time for anything here: a machine may be busy with other things"""
COMMAND_PERIOD_S = 1 / 120
_QUIET_S = 0.5
"""s of wall time without a message after which nothing more is to come"""
_LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_ALL = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)


class Listener:
    """Hears the state words, every command and every accepted target while it is entered.

    Attributes:
        words: of /grasp/state, in order
        control_words: of /control/state with the number of commands heard before, in order
        commands: messages of /control/command, in order
        accepted: stamps of /control/accepted_target in ns, with the number of commands heard before, in order
    """

    def __init__(self) -> None:
        self.words: list[str] = []
        self.control_words: list[tuple[str, int]] = []
        self.commands: list[JointState] = []
        self.accepted: list[tuple[int, int]] = []
        self._context = Context()
        self._end = threading.Event()

    def __enter__(self) -> "Listener":
        rclpy.init(context=self._context, domain_id=DOMAIN)
        node = rclpy.create_node("listener", context=self._context)
        node.create_subscription(String, "/grasp/state", self._on_state, _LATCHED)
        node.create_subscription(String, "/control/state", self._on_control, _LATCHED)
        node.create_subscription(JointState, "/control/command", self.commands.append, _ALL)
        node.create_subscription(Header, "/control/accepted_target", self._on_accepted, _ALL)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, args=(executor,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # On a busy machine it is behind: what has been sent is still to be heard.
        heard = -1
        while heard < self._heard:
            heard = self._heard
            time.sleep(_QUIET_S)
        self._end.set()
        self._thread.join()
        rclpy.shutdown(context=self._context)

    @property
    def _heard(self) -> int:
        return len(self.words) + len(self.control_words) + len(self.commands) + len(self.accepted)

    def _spin(self, executor: SingleThreadedExecutor) -> None:
        while not self._end.is_set():
            executor.spin_once(timeout_sec=0.1)

    def _on_state(self, message: String) -> None:
        self.words.append(message.data)

    def _on_control(self, message: String) -> None:
        self.control_words.append((message.data, len(self.commands)))

    def _on_accepted(self, message: Header) -> None:
        self.accepted.append((nanoseconds(message.stamp), len(self.commands)))


def nanoseconds(stamp: Any) -> int:
    """A message's stamp in ns."""
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def commands_by_tick(commands: list[JointState], episode_ticks: int) -> list[dict[int, tuple[float, ...]]]:
    """Of each episode, the positions commanded by tick since its first frame.

    Before that frame the robot stands exactly at home, as the reset has put it, and nowhere else it does.
    """
    stamps = [nanoseconds(command.header.stamp) for command in commands]
    at_home = [bool(np.array_equal(command.position, HOME_POSITION)) for command in commands]
    starts = [place for place, (here, after) in enumerate(pairwise(at_home)) if here and not after]
    episodes = []
    for start in starts:
        ticks = [round(1e-9 * (stamp - stamps[start]) / COMMAND_PERIOD_S) for stamp in stamps]
        within = [place for place, tick in enumerate(ticks) if 0 <= tick < episode_ticks]
        episodes.append({ticks[place]: tuple(commands[place].position) for place in within})
    return episodes


def wait_until(what: Callable[[], bool], why: str) -> None:
    """Wait for something to hold; fails with ``why`` if it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < deadline, f"timed out waiting: {why}"
        time.sleep(0.02)


class Run:
    """The runner in a process of its own.

    Args:
        folder: where the report goes
        arguments: of `grasp_run sim`, or of another mode
        mode: of `grasp_run`
    """

    def __init__(self, folder: Path, *arguments: str, mode: str = "sim") -> None:
        self._report = folder / "report.json"
        self._output = folder / "output.txt"
        command = [sys.executable, "-m", "grasp_bringup.runner", mode, "--report", str(self._report)]
        command += ["--contact-sheet", "none"] if mode == "sim" else []
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(DOMAIN),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        }
        with self._output.open("w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                [*command, *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, "COLUMNS": "200"},
            )

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    @property
    def report(self) -> dict[str, Any]:
        """The scoreboard as JSON."""
        return json.loads(self._report.read_text(encoding="utf-8"))

    def finish(self) -> int:
        """Wait for the end; the exit status."""
        return self.process.wait(PATIENCE_S)

    def children(self) -> dict[str, int]:
        """Process ids of the nodes that run now, by package."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            module = re.search(r"\0(grasp_\w+)\.\w+\0", command)
            if parent == self.process.pid and module:
                found[module[1]] = int(entry.name)
        return found
