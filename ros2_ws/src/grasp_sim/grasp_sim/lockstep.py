"""Lockstep: simulated time advances only when what the tick needs has been answered. No ROS in it.

A tick runs so::

    /joint_states -> on a frame tick: both images, wait for the accepted target
                  -> /clock -> wait for the command -> step

Targets come from the policy while an episode acts, and from the task node, a frame period apart too, while
it moves the robot itself; while an object is sought, the policy's estimates take their place. None of them
may be late only because the machine is busy.

A reset on the way to an episode stops the physics, not the time: robot and object stay as the reset put them
until the episode's first frame. How many ticks the graph needs to arm the robot and to wake the policy, which
hangs on the machine, then changes nothing that the policy sees.

Both waits have a limit in wall time. Running into it is counted, and nothing ever stands still for good: a
partner that stays silent ``give_up_after`` times in a row is not waited for any more until it is heard again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from grasp_sim.timing import TICKS_PER_FRAME, is_frame_tick

__all__ = ["ACTING_WORDS", "COMMANDING_WORDS", "Lockstep", "LockstepConfig", "Partner", "TickActions"]

COMMANDING_WORDS = frozenset({"armed", "holding"})
"""Words of /control/state under which the command node sends a command a tick."""
ACTING_WORDS = frozenset({"grasp", "lift", "hold"})
"""Words of /grasp/state under which the policy answers every frame."""
SEARCHING_WORD = "searching"
"""Word of /grasp/state under which the policy answers every frame with an estimate, and nothing moves."""
PREPARING_WORD = "resetting"
"""Word of /grasp/state under which the next episode is prepared: the robot is at home and disarmed."""
MOVING_WORDS = frozenset({"homing", "carry", "release"})
"""Words of /grasp/state under which the task node moves the robot, from its first accepted target on."""


class TickActions(Protocol):
    """What a tick does to the world outside; the node provides it, tests fake it."""

    @property
    def tick(self) -> int:
        """Number of the current tick."""
        ...

    @property
    def time_ns(self) -> int:
        """Time of the current tick."""
        ...

    def publish_joint_states(self) -> None:
        """Say where the joints are now."""
        ...

    def take_frame(self) -> None:
        """Take a pair of images now."""
        ...

    def publish_frame(self) -> None:
        """Publish the images taken last."""
        ...

    def record_frame(self) -> None:
        """Show and keep the images taken last: not in the graph's way, it is at work on them meanwhile."""
        ...

    def publish_clock(self) -> None:
        """Let the graph's time reach the current tick."""
        ...

    def step(self) -> None:
        """Move the physics on to the next tick, with the drivers' present targets."""
        ...

    def stand(self) -> None:
        """Move time on to the next tick; the physics stays as it is."""
        ...

    def drivers_hold(self, command: np.ndarray) -> bool:
        """Whether the drivers of arm and hand both have this command (23,), rad."""
        ...

    def wait(self, done: Callable[[], bool], limit_s: float) -> None:
        """Take in messages until ``done()``, for ``limit_s`` of wall time at most, or until the end."""
        ...

    @property
    def running(self) -> bool:
        """False once the process is to end: then nobody is waited for and nothing is counted."""
        ...


@dataclass(frozen=True)
class LockstepConfig:
    """Limits of the waits, in wall time."""

    command_limit_s: float = 1.0
    """s to wait for a tick's command"""
    target_limit_s: float = 3.0
    """s to wait for the target made from a frame"""
    idle_wait_s: float = 0.002
    """s that a tick takes when nobody is waited for, so that services and state words get their turn"""
    give_up_after: int = 3
    """time-outs in a row after which a silent partner is not waited for until it is heard again"""
    idle_frame_divider: int = 3
    """between episodes only one of so many frames is taken: nobody uses them, and rendering costs most"""
    drivers_commanded: bool = True
    """whether the drivers get the commands that are announced; in a dry run they do not"""


@dataclass
class Partner:
    """One partner of the lockstep, and how well it keeps up."""

    give_up_after: int
    """see `LockstepConfig`"""
    heard_ns: int = -1
    """newest stamp heard, ns"""
    waits: int = 0
    """times waited for"""
    timeouts: int = 0
    """times the limit was reached"""
    resends: int = 0
    """times the tick's messages were sent once more, half-way to the limit"""
    give_ups: int = 0
    """times it was given up as silent"""
    silent_for: int = field(default=0, repr=False)
    """time-outs in a row"""

    @property
    def silent(self) -> bool:
        """Whether it is given up for now."""
        return self.silent_for >= self.give_up_after

    def hear(self, stamp_ns: int) -> None:
        """It has answered for this stamp."""
        self.heard_ns = max(self.heard_ns, stamp_ns)
        self.silent_for = 0

    def miss(self) -> None:
        """The limit was reached."""
        self.timeouts += 1
        self.silent_for += 1
        self.give_ups += self.silent_for == self.give_up_after


class Lockstep:
    """Runs ticks; is told what arrives.

    Attributes:
        control: the command node, which answers a tick with its stamped command. drivers: the same command
            on its way to the drivers of arm and hand, on topics without stamps. policy: policy and command
            node together, which answer a frame with an accepted target.
    """

    def __init__(self, actions: TickActions, config: LockstepConfig = LockstepConfig()) -> None:
        self.config = config
        self._actions = actions
        self.control = Partner(config.give_up_after)
        self.drivers = Partner(config.give_up_after)
        self.policy = Partner(config.give_up_after)
        self.control_word, self.grasp_word = "", ""
        self._target_since_armed = self._command_since_armed = False
        self._standing = False
        self._disarmed = False
        self._command: np.ndarray | None = None

    @property
    def timeouts(self) -> int:
        """All time-outs so far."""
        return self.control.timeouts + self.drivers.timeouts + self.policy.timeouts

    @property
    def commanding(self) -> bool:
        """Whether the command node should be sending commands."""
        return self.control_word in COMMANDING_WORDS

    @property
    def acting(self) -> bool:
        """Whether an episode is under way."""
        return self.grasp_word in ACTING_WORDS

    @property
    def searching(self) -> bool:
        """Whether an object is sought by the policy's estimates, while the command node is disarmed."""
        return self.grasp_word == SEARCHING_WORD

    @property
    def preparing(self) -> bool:
        """Whether a reset now is that of an episode about to begin."""
        return self.grasp_word == PREPARING_WORD

    @property
    def moving(self) -> bool:
        """Whether the task node is moving the robot itself."""
        in_motion = self.control_word == "armed" and self._target_since_armed
        return in_motion and self.grasp_word in MOVING_WORDS

    def on_command(self, stamp_ns: int, position: np.ndarray) -> None:
        """A whole command (23,), rad, canonical order, of the tick with this stamp."""
        self.control.hear(stamp_ns)
        self._command = position
        self._command_since_armed = True

    def on_accepted_target(self, stamp_ns: int) -> None:
        """The command node has taken the target made from the images with this stamp."""
        self.policy.hear(stamp_ns)
        self._target_since_armed = True

    def on_estimate(self, stamp_ns: int) -> None:
        """The policy has told where it believes the object to be, from the images with this stamp."""
        if self.searching:
            self.policy.hear(stamp_ns)

    def on_control_state(self, word: str) -> None:
        """The command node's state changed; so it is alive, and is waited for again if it was given up."""
        self.control_word = word
        self._disarmed = self._disarmed or not self.commanding
        self._target_since_armed = self._command_since_armed = False
        self.control.silent_for = self.drivers.silent_for = 0

    def on_grasp_state(self, word: str) -> None:
        """The episode's state changed."""
        begins = (word in ACTING_WORDS and not self.acting) or word == SEARCHING_WORD
        if begins or word in MOVING_WORDS:
            self.policy.silent_for = 0
        self.grasp_word = word
        self._standing = self._standing and (self.preparing or self.acting)

    def stand_until_start(self) -> None:
        """The world is as an episode is to begin: it stays so until the first frame of that episode."""
        self._standing = self.preparing

    def run_tick(self) -> None:
        """One tick, as the module says."""
        actions, tick = self._actions, self._actions.tick
        if self._may_start(tick):
            self._standing = False
        actions.publish_joint_states()
        # Nothing to see while the world stands, least of all for a policy that wakes before its episode.
        if is_frame_tick(tick) and not self._standing:
            with_images = self.acting or self.searching or self._idle_frame_is_due(tick)
            if with_images:
                actions.take_frame()
                actions.publish_frame()
                actions.record_frame()
            self._await_target(with_images)
        actions.publish_clock()
        self._await_command()
        if actions.running:
            (actions.stand if self._standing else actions.step)()

    def _may_start(self, tick: int) -> bool:
        """Whether an episode may begin with this tick: first image of a robot that stands at its command."""
        return self.acting and self.commanding and self._command_since_armed and is_frame_tick(tick)

    def _idle_frame_is_due(self, tick: int) -> bool:
        return tick % (TICKS_PER_FRAME * self.config.idle_frame_divider) == 0

    def _await_target(self, with_images: bool) -> None:
        stamp_ns = self._actions.time_ns

        def expected() -> bool:
            wanted = self.moving or self.searching or (self.acting and self.commanding)
            return wanted and not self.policy.silent

        def resend() -> None:
            # The joint state too: the policy uses images only with a joint state at least as new.
            self._actions.publish_joint_states()
            if with_images:
                self._actions.publish_frame()

        if expected():
            self._await(
                self.policy,
                lambda: self.policy.heard_ns >= stamp_ns,
                expected,
                resend,
                self.config.target_limit_s,
            )

    def _await_command(self) -> None:
        stamp_ns, limit_s = self._actions.time_ns, self.config.command_limit_s

        def answered() -> bool:
            return self.control.heard_ns >= stamp_ns

        self._disarmed = False

        def expected() -> bool:
            # Armed again in the midst of the wait, it commands from the next tick on.
            return self.commanding and not self._disarmed and not self.control.silent

        if not expected():
            # An arming ends the pause early, a command does too: it may be a silent partner's return.
            self._actions.wait(lambda: expected() or answered(), self.config.idle_wait_s)
            return
        self._await(self.control, answered, expected, self._actions.publish_clock, limit_s)
        if answered():
            self._await_drivers(stamp_ns, limit_s)

    def _await_drivers(self, stamp_ns: int, limit_s: float) -> None:
        """Wait until the drivers have the command that has come: topics may overtake each other."""

        def hold() -> bool:
            return self._command is not None and self._actions.drivers_hold(self._command)

        def expected() -> bool:
            return self.config.drivers_commanded and self.commanding and not self.drivers.silent

        if hold():
            self.drivers.hear(stamp_ns)
        elif expected():
            self._await(self.drivers, hold, expected, lambda: None, limit_s)

    def _await(
        self,
        partner: Partner,
        answered: Callable[[], bool],
        expected: Callable[[], bool],
        resend: Callable[[], None],
        limit_s: float,
    ) -> None:
        """Wait for a partner's answer as long as one is expected, up to the limit.

        Best-effort messages may be lost: at half the limit the tick's are sent once more, stamped as before.
        """
        partner.waits += 1

        def over() -> bool:
            return answered() or not expected()

        self._actions.wait(over, limit_s / 2)
        if not over() and self._actions.running:
            partner.resends += 1
            resend()
            self._actions.wait(over, limit_s / 2)
        if not over() and self._actions.running:
            partner.miss()
