"""The vocabulary of the episode: phases, requests, rules, events and effects. No ROS."""

from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """What /grasp/state says, one word each."""

    IDLE = "idle"
    HOMING = "homing"
    RESETTING = "resetting"
    SEARCHING = "searching"
    GRASP = "grasp"
    LIFT = "lift"
    HOLD = "hold"
    CARRY = "carry"
    RELEASE = "release"
    STOPPED = "stopped"
    FAULT = "fault"
    DONE = "done"


class Request(Enum):
    """What the machine asks of the node; each comes back as an `Answered`. The value reads in messages."""

    PREPARE_CAMERA = "opening the cameras"
    AWAIT_ROBOT = "awaiting the robot's joint states"
    PREPARE_CONTROL = "activating the command node"
    PREPARE_POLICY = "loading the policy"
    PAUSE_POLICY = "deactivating the policy"
    START_POLICY = "activating the policy"
    DISARM = "disarming"
    ARM = "arming"
    MOVE_HOME = "moving home"
    CARRY = "carrying to the bin"
    OPEN_HAND = "opening the hand"
    RESET_WORLD = "resetting the world"
    STAND_DOWN = "standing down"


STARTING = (
    Request.PREPARE_CAMERA,
    Request.PREPARE_CONTROL,
    Request.AWAIT_ROBOT,
    Request.PREPARE_POLICY,
)
"""Requests that wait for other nodes to get ready."""
MOTIONS = (Request.MOVE_HOME, Request.CARRY, Request.OPEN_HAND)
"""Requests during which the task itself publishes joint targets."""


@dataclass(frozen=True)
class Instant:
    """One moment on both clocks."""

    node_s: float
    """s, the node's clock: /clock in simulation, which stands still while the simulator waits"""
    wall_s: float
    """s, a monotonic clock of the machine"""


START_OF_TIME = Instant(0.0, 0.0)


@dataclass(frozen=True)
class Rules:
    """How many episodes, how long, and the limit of every wait."""

    episodes: int = 20
    """episodes to run; 0 is endless"""
    picking: bool = False
    """whether an object is sought before each grasp and carried to a bin after it"""
    search_window_s: float = 2.0
    """s of the node's clock that an object is sought before the policy begins anew with zero memory: on an
    empty table its estimate wanders for seconds and then stands still. A window without any estimate is a
    fault"""
    episode_length_s: float = 5.0
    """s of the node's clock that the policy acts in an episode, from its first accepted target's stamp on"""
    target_gap_limit_s: float = 2.0
    """s of the node's clock between two accepted targets of the policy, and before the first: the command
    node's own watchdog is much faster, so after such a gap that node is dead too"""
    episode_wall_limit_s: float = 180.0
    """s of wall time that an episode may take at most"""
    motion_limit_s: float = 15.0
    """s of the node's clock for a motion of the task's own (home, bin, open hand)"""
    motion_wall_limit_s: float = 60.0
    """s of wall time for the same"""
    clock_stall_limit_s: float = 20.0
    """s of wall time that the node's clock may stand still while something moves"""
    startup_limit_s: float = 60.0
    """s of wall time for each of the other nodes to appear and get ready"""
    answer_limit_s: float = 10.0
    """s of wall time for every other request"""
    stand_down_limit_s: float = 5.0
    """s of wall time for disarming and deactivating the policy, after which their nodes count as dead"""
    resume_after_fault: bool = False
    """whether to begin the next episode after a fault without waiting for /grasp/start (simulation only)"""
    max_consecutive_faults: int = 3
    """faults in a row, without a whole episode between, after which the run ends"""

    def wall_limit_s(self, request: Request) -> float:
        """s of wall time that ``request`` may stay unanswered."""
        if request in STARTING:
            return self.startup_limit_s
        if request is Request.STAND_DOWN:
            return self.stand_down_limit_s
        return self.motion_wall_limit_s if request in MOTIONS else self.answer_limit_s


@dataclass(frozen=True)
class Start:
    """/grasp/start, or autostart."""


@dataclass(frozen=True)
class Stop:
    """/grasp/stop, or an interruption of the process."""

    reason: str = "stopped by /grasp/stop"


@dataclass(frozen=True)
class Home:
    """/grasp/home."""


@dataclass(frozen=True)
class Tick:
    """Time has passed."""

    waiting_for: str = ""
    """what the node knows about the request under way, for the message if its time is up"""
    motion_s: float = 0.0
    """s that the task's own motion under way is to take; limits count from its end"""


@dataclass(frozen=True)
class Answered:
    """A request is over."""

    request: Request
    ok: bool
    message: str = ""


@dataclass(frozen=True)
class ControlSaid:
    """/control/state changed, or said why."""

    word: str
    reason: str = ""


@dataclass(frozen=True)
class TargetAccepted:
    """The command node took a target of the policy's."""

    stamp_s: float
    """s, stamp of the target, which is that of the images it was made from"""


@dataclass(frozen=True)
class Sighting:
    """An estimate of the object came while it was sought."""

    stamp_s: float
    """s, stamp of the images it was made from"""
    found: bool
    """whether the object lies still within reach, as far as the estimates tell"""


@dataclass(frozen=True)
class Progress:
    """What the object has done so far in the episode under way."""

    lifted: bool = False
    at_goal: bool = False
    held: bool = False
    """whether it has been at the goal for as long as a success takes"""
    lost: bool = False
    until_s: float | None = None
    """s of the episode that have been judged; None where nobody sees the object"""


NO_PROGRESS = Progress()


Event = Start | Stop | Home | Tick | Answered | ControlSaid | TargetAccepted | Sighting | Progress


@dataclass(frozen=True)
class Ask:
    """Effect: see to this request, and answer it. It replaces any request before it."""

    request: Request


@dataclass(frozen=True)
class OpenEpisode:
    """Effect: scoring begins now."""


@dataclass(frozen=True)
class CloseEpisode:
    """Effect: scoring ends now."""

    cause: str = ""
    """why the episode did not run whole; empty if it did"""
    counts: bool = True
    """False for an episode that an operator stopped: neither success nor failure"""


@dataclass(frozen=True)
class NoteFault:
    """Effect: a fault outside any episode, for the scoreboard's list."""

    cause: str


Effect = Ask | OpenEpisode | CloseEpisode | NoteFault
