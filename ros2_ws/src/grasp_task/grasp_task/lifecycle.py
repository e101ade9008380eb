"""Drives the lifecycle of another node through its services, without ever blocking the executor."""

from dataclasses import dataclass

from lifecycle_msgs.msg import State as LifecycleState
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

from grasp_task.calls import ServiceCall, Then

_LABELS = {
    LifecycleState.PRIMARY_STATE_UNCONFIGURED: "unconfigured",
    LifecycleState.PRIMARY_STATE_INACTIVE: "inactive",
    LifecycleState.PRIMARY_STATE_ACTIVE: "active",
    LifecycleState.PRIMARY_STATE_FINALIZED: "finalized",
}
_TRANSITIONS = {
    ("unconfigured", "active"): (Transition.TRANSITION_CONFIGURE, "configure"),
    ("inactive", "active"): (Transition.TRANSITION_ACTIVATE, "activate"),
    ("unconfigured", "inactive"): (Transition.TRANSITION_CONFIGURE, "configure"),
    ("active", "inactive"): (Transition.TRANSITION_DEACTIVATE, "deactivate"),
    ("active", "not active"): (Transition.TRANSITION_DEACTIVATE, "deactivate"),
}
_FULFILLED = {
    "active": ("active",),
    "inactive": ("inactive",),
    "not active": ("unconfigured", "inactive", "finalized"),
}
GOALS = tuple(_FULFILLED)
"""What a node can be driven to. "inactive" configures an unconfigured node, "not active" leaves it so."""


@dataclass(frozen=True)
class Move:
    """What to do next: nothing (``done``), a transition, give up (``refusal``), or (none set) look again."""

    done: bool = False
    transition: int | None = None
    name: str = ""
    refusal: str = ""


def next_move(current: str, goal: str) -> Move:
    """The next move from lifecycle state ``current`` towards ``goal`` (one of `GOALS`).

    A state that is none of the four primary ones (configuring, activating, …) passes: look again.
    """
    if current in _FULFILLED[goal]:
        return Move(done=True)
    if current == "finalized":
        return Move(refusal=f"is finalized; no way leads from there to {goal!r}")
    transition, name = _TRANSITIONS.get((current, goal), (None, ""))
    return Move(transition=transition, name=name)


class LifecycleClient:
    """Drives one lifecycle node to a goal, one transition at a time.

    Call `poll` regularly (it sends what waits for a service to appear); limits on time are the caller's.
    """

    def __init__(self, node: Node, target: str) -> None:
        """
        Args:
            node: the node whose executor carries the calls
            target: full name of the node to drive, such as "/grasp_policy"
        """
        self.target = target
        self._get = ServiceCall(node, GetState, f"{target}/get_state")
        self._change = ServiceCall(node, ChangeState, f"{target}/change_state")
        self._goal = ""
        self._then: Then | None = None
        self._passing = ""

    @property
    def waiting_for(self) -> str:
        """What is awaited now, in words; empty when nothing is."""
        passing = f"{self.target} to leave {self._passing!r}" if self._passing else ""
        return self._get.waiting_for or self._change.waiting_for or passing

    def drive(self, goal: str, then: Then) -> None:
        """Take the node to ``goal`` (one of `GOALS`), then call ``then``; what was under way is forgotten.

        Raises:
            ValueError: ``goal`` is not one of `GOALS`.
        """
        if goal not in GOALS:
            raise ValueError(f"lifecycle goal is {goal!r}; expected one of {GOALS}")
        self.cancel()
        self._goal, self._then = goal, then
        self._look()

    def cancel(self) -> None:
        """Forget what is under way; its late answers have no effect."""
        self._get.cancel()
        self._change.cancel()
        self._goal, self._then, self._passing = "", None, ""

    def poll(self) -> None:
        """Send what waits for its service, and look again at a node that was in transition."""
        if self._passing:
            self._look()
        self._get.poll()
        self._change.poll()

    def _look(self) -> None:
        self._passing = ""
        self._get.send(GetState.Request(), self._on_state)

    def _on_state(self, answer: GetState.Response) -> None:
        current = _LABELS.get(answer.current_state.id, answer.current_state.label)
        move = next_move(current, self._goal)
        if move.done or move.refusal:
            self._finish(move.done, f"{self.target} {move.refusal}")
        elif move.transition is None:
            self._passing = current
        else:
            request = ChangeState.Request(transition=Transition(id=move.transition))
            self._change.send(request, lambda changed: self._on_change(changed, move.name, current))

    def _on_change(self, answer: ChangeState.Response, name: str, before: str) -> None:
        if answer.success:
            self._look()
        else:
            refused = f"{self.target} refused to {name} from state {before!r}"
            self._finish(False, f"{refused}; its own output says why")

    def _finish(self, ok: bool, message: str) -> None:
        then = self._then
        self.cancel()
        if then is not None:
            then(ok, "" if ok else message)
