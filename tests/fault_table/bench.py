"""The running graph and all that can be done to it."""

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from stand_in import write_stand_in

from fault_table.processes import Processes
from fault_table.relay import CHANNELS, Relay
from fault_table.watching import PATIENCE_S, Watcher, until

RESTING_WORDS = frozenset({"idle", "stopped", "fault"})
ACTING_WORDS = frozenset({"grasp", "lift", "hold"})
_COMMANDING_WORDS = frozenset({"armed", "holding"})
TURN_RAD_S = 0.3
"""speed at which the stand-in policy turns the arm's first joint and bends a finger"""
_STEPS_BEFORE = 8
"""steps of the policy before anything is done to it"""
_ATTEMPTS = 3
_STAND_DOWN_S = 20.0
"""s of wall time that standing down may take"""
_FAR_RAD = 1.2
"""turn of the arm's first joint from which on it is brought home first"""
_QUIET_S = 0.15
"""s of wall time without a command after which the robot is taken to be disarmed"""


class NotMovingError(Exception):
    """The robot could not be brought to move, or did not go on moving."""


class Bench:
    """The graph with the stand-in policy, a relay in its middle, and a watcher beside it.

    Args:
        folder: for files
        domain: ROS domain
        limit_s: s of wall time that the simulator waits for an answer before it goes on without: on a busy
            machine more, that only what is injected stops the robot
    """

    def __init__(self, folder: Path, domain: int, limit_s: float = 0.6) -> None:
        policy = write_stand_in(folder, turn_rad_s=TURN_RAD_S, nan_on_white=True, bends_finger=True)
        self.processes = Processes(folder, policy, domain, limit_s)
        # The clock has a participant of its own: it goes on when drivers and cameras leave the domain.
        self.clock = Relay(domain, ["clock"])
        self.robot = Relay(domain, [one.name for one in CHANNELS if one.name != "clock"])
        self.notes: list[str] = []
        """what an injection has to say about the present trial"""
        self._domain = domain
        self._started_at = 0
        self.judged_from = 0
        """how many commands had been heard when the sequences began that are still to be judged"""

    def __enter__(self) -> "Bench":
        self.watcher = Watcher(self._domain)
        self.clock.join()
        self.robot.join()
        for name in self.processes.names:
            self.processes.start(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.processes.close()
        self.robot.leave()
        self.clock.leave()
        self.watcher.close()

    def get_moving(self) -> None:
        """Start an episode, unless one is under way, and wait until the robot moves under the policy.

        Raises:
            NotMovingError: it does not.
        """
        why = ""
        for _ in range(_ATTEMPTS):
            if self.resting or self._turned_far():
                self.stop()
                self.start()
            until(lambda: self.watcher.word in ACTING_WORDS or self.resting, "an episode")
            self._await_motion(len(self.watcher.accepted) + _STEPS_BEFORE)
            if not self.resting:
                return
            why = self.watcher.complaints.get("grasp_task: episode", "")
        raise NotMovingError(f"The robot did not move in {_ATTEMPTS} attempts; the task node says: {why}")

    def _await_motion(self, accepted: int) -> None:
        until(lambda: self.resting or self._moves(accepted), "the policy to move the robot")

    def _moves(self, accepted: int) -> bool:
        heard = self.watcher
        acts = heard.word in ACTING_WORDS and heard.control_word == "armed"
        return acts and len(heard.accepted) >= accepted and heard.speed_rad_s > TURN_RAD_S / 2

    def _turned_far(self) -> bool:
        commands = self.watcher.commands
        return bool(commands) and abs(commands[-1].position[0]) > _FAR_RAD

    def judge_from_start(self) -> None:
        """What came before the newest start has been judged."""
        self.judged_from = self._started_at

    @property
    def resting(self) -> bool:
        """Whether the task node rests."""
        return self.watcher.word in RESTING_WORDS

    def start(self) -> None:
        """Call /grasp/start until it is taken."""
        deadline = time.monotonic() + PATIENCE_S
        self.watcher.quiet(_QUIET_S)
        self._started_at, heard = len(self.watcher.commands), len(self.watcher.words)
        while True:
            done, why = self.watcher.trigger("/grasp/start")
            if done:
                break
            if time.monotonic() > deadline:
                raise NotMovingError(f"/grasp/start was refused: {why}")
            time.sleep(0.2)
        until(lambda: len(self.watcher.words) > heard, "another state than before")

    def stop(self) -> None:
        """Bring task node and robot to rest."""
        for _ in range(_ATTEMPTS):
            if self._stands_down():
                return
            self.watcher.trigger("/grasp/stop")
            # A task node that was just started may not have found the others yet: it is asked again.
            with suppress(TimeoutError):
                until(self._stands_down, "the robot to be disarmed", _STAND_DOWN_S)

    def _stands_down(self) -> bool:
        # A task node that was started again rests, while the robot may move or hold.
        return self.resting and self.watcher.control_word not in _COMMANDING_WORDS

    def heal(self) -> None:
        """Nothing is spoiled any more, and every node runs."""
        self.clock.tamper({})
        self.robot.tamper({})
        heard = len(self.watcher.words)
        dead = self.processes.dead()
        for name in dead:
            self.processes.start(name)
        if "grasp_task" in dead:
            until(lambda: len(self.watcher.words) > heard, "the task node to speak")
