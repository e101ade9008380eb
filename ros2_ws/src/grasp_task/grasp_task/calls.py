"""Service calls that never block the executor and can be forgotten at any time."""

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_srvs.srv import Trigger

Then = Callable[[bool, str], None]
"""Called once: whether it went well, and what was said."""


class ServiceCall:
    """One service, one call at a time: waits for the service to appear, sends, hands on the answer.

    Call `poll` regularly; limits on time are the caller's.
    """

    def __init__(self, node: Node, service_type: Any, name: str) -> None:
        """
        Args:
            node: the node whose executor carries the call
            service_type: such as `std_srvs.srv.Trigger`
            name: full name of the service
        """
        self.name = name
        self._client = node.create_client(service_type, name)
        self._unsent: Any = None
        self._on_answer: Callable[[Any], None] | None = None

    @property
    def waiting_for(self) -> str:
        """What is awaited now, in words; empty when nothing is."""
        if self._unsent is not None:
            return f"service {self.name} to appear"
        return f"the answer of {self.name}" if self._on_answer is not None else ""

    @property
    def is_there(self) -> bool:
        """Whether somebody offers the service now."""
        return self._client.service_is_ready()

    def send(self, request: Any, on_answer: Callable[[Any], None]) -> None:
        """Send ``request`` as soon as the service is there; what was under way is forgotten."""
        self._unsent, self._on_answer = request, on_answer
        self.poll()

    def cancel(self) -> None:
        """Forget the call under way: a late answer to it has no effect."""
        self._unsent = self._on_answer = None

    def poll(self) -> None:
        """Send the request that waits for its service, if the service is there now."""
        if self._unsent is None or not self._client.service_is_ready():
            return
        request, on_answer, self._unsent = self._unsent, self._on_answer, None

        def answered(future: Any) -> None:
            # Every send has its own function: its identity tells this call from one that replaced it.
            if self._on_answer is on_answer and on_answer is not None:
                self._on_answer = None
                on_answer(future.result())

        self._client.call_async(request).add_done_callback(answered)


class TriggerCaller:
    """Calls one std_srvs/Trigger service."""

    def __init__(self, node: Node, name: str) -> None:
        """
        Args:
            node: the node whose executor carries the call
            name: full name of the service
        """
        self._call = ServiceCall(node, Trigger, name)

    @property
    def waiting_for(self) -> str:
        """What is awaited now, in words; empty when nothing is."""
        return self._call.waiting_for

    @property
    def is_there(self) -> bool:
        """Whether somebody offers the service now."""
        return self._call.is_there

    def call(self, then: Then) -> None:
        """Call the service, then ``then`` with its success and message."""
        self._call.send(Trigger.Request(), lambda answer: then(answer.success, answer.message))

    def cancel(self) -> None:
        """Forget the call under way."""
        self._call.cancel()

    def poll(self) -> None:
        """Send what waits for the service to appear."""
        self._call.poll()
