"""Whoever stands beside the robot: starts and stops it, and hears all that is said and commanded."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.context import Context
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from fault_table.judging import Command
from fault_table.relay import Spinner
from fault_table.tampering import nanoseconds

PATIENCE_S = 400.0
"""s of wall time for anything here: a machine may be busy with other things"""
_LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_ALL = QoSProfile(depth=1000)


@dataclass(frozen=True)
class ControlStatus:
    """What the command node said about itself."""

    stamp_ns: int
    """its clock then"""
    state: str
    """as on /control/state"""
    reason: str
    """why it holds, in words"""
    counters: dict[str, str]
    """all that it counts"""


class Watcher:
    """Hears commands, states and diagnostics, and calls services.

    Attributes:
        commands: of /control/command, in order
        words: of /grasp/state
        control_words: of /control/state, with the number of commands heard before
        accepted: stamps of /control/accepted_target in ns
        statuses: of the command node on /diagnostics
        complaints: newest message on /diagnostics, by name of the status
        step: where the task node says on /diagnostics that it is
    """

    def __init__(self, domain: int) -> None:
        self.commands: list[Command] = []
        self.words: list[str] = []
        self.control_words: list[tuple[str, int]] = []
        self.accepted: list[int] = []
        self.statuses: list[ControlStatus] = []
        self.complaints: dict[str, str] = {}
        self.step = ""
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("watcher", context=self._context)
        self.node.create_subscription(JointState, "/control/command", self._on_command, _ALL)
        self.node.create_subscription(Header, "/control/accepted_target", self._on_accepted, _ALL)
        self.node.create_subscription(String, "/grasp/state", self._on_word, _LATCHED)
        self.node.create_subscription(String, "/control/state", self._on_control, _LATCHED)
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, _ALL)
        self._clients: dict[str, Any] = {}
        self._spinner = Spinner(self._context, self.node)

    def close(self) -> None:
        """Hear no more."""
        self._spinner.stop()
        rclpy.shutdown(context=self._context)

    # What is asked.

    def trigger(self, service: str) -> tuple[bool, str]:
        """Call a service of std_srvs/Trigger; whether it was done, and what it said."""
        answer = self._call(Trigger, service, Trigger.Request())
        return answer.success, answer.message

    def change_state(self, node: str, transition: int) -> bool:
        """Ask for a lifecycle transition; whether it was made."""
        request = ChangeState.Request()
        request.transition.id = transition
        return self._call(ChangeState, f"/{node}/change_state", request).success

    def set_texts(self, node: str, name: str, values: list[str]) -> None:
        """Set a parameter that is a list of texts."""
        value = ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=values)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        answer = self._call(SetParameters, f"/{node}/set_parameters", request)
        assert answer.results[0].successful, answer.results[0].reason

    def _call(self, kind: type, service: str, request: Any) -> Any:
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
        client = self._clients[service]
        until(client.service_is_ready, f"the service {service}")
        future = client.call_async(request)
        until(future.done, f"the answer of {service}")
        return future.result()

    # What is heard.

    @property
    def word(self) -> str:
        """Newest word of /grasp/state."""
        return self.words[-1] if self.words else ""

    @property
    def control_word(self) -> str:
        """Newest word of /control/state."""
        return self.control_words[-1][0] if self.control_words else ""

    @property
    def speed_rad_s(self) -> float:
        """Largest speed that the newest command asks for."""
        return float(np.abs(self.commands[-1].velocity).max()) if self.commands else 0.0

    def armings(self) -> list[int]:
        """Times in ns at which the command node was armed, by its clock."""
        both = pairwise(list(self.statuses))
        return [after.stamp_ns for before, after in both if before.state != "armed" == after.state]

    def quiet(self, for_s: float) -> None:
        """Wait until no command has come for so long (wall time)."""
        heard, since = -1, time.monotonic()

        def still() -> bool:
            nonlocal heard, since
            if len(self.commands) != heard:
                heard, since = len(self.commands), time.monotonic()
            return time.monotonic() - since > for_s

        until(still, "commands to end")

    def _on_command(self, message: JointState) -> None:
        position, velocity = np.array(message.position), np.array(message.velocity)
        self.commands.append(Command(nanoseconds(message.header.stamp), position, velocity))

    def _on_accepted(self, message: Header) -> None:
        self.accepted.append(nanoseconds(message.stamp))

    def _on_word(self, message: String) -> None:
        self.words.append(message.data)

    def _on_control(self, message: String) -> None:
        self.control_words.append((message.data, len(self.commands)))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.complaints[status.name] = status.message
            values = {one.key: one.value for one in status.values}
            if status.name == "grasp_task: episode":
                self.step = values["step"]
            if status.name.startswith("grasp_control"):
                told = nanoseconds(message.header.stamp), values["state"], values["reason"]
                self.statuses.append(ControlStatus(*told, values))


def until(holds: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it never does.
    """
    deadline = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.01)
