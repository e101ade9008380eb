"""The safety core: from targets and measurements to one limited command a tick. There is no ROS in it.

Times are seconds on one clock, positions rad, in canonical joint order where a name does not say otherwise.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from grasp_control.config import ControlConfig
from grasp_control.guard import CollisionGuard
from grasp_control.limiter import MotionState, TrajectoryLimiter
from grasp_control.measurement import JointMeasurement
from grasp_control.targets import TargetRamp, TargetReader
from grasp_control.watchdog import NEVER, Clock, Freshness
from grasp_description.robot import ARM_JOINTS, JOINT_NAMES, JointLimits

_ARM = slice(0, len(ARM_JOINTS))
_HAND = slice(len(ARM_JOINTS), len(JOINT_NAMES))


class State(StrEnum):
    """What the core is doing."""

    DISARMED = "disarmed"
    """no commands"""
    ARMED = "armed"
    """commands follow accepted targets"""
    HOLDING = "holding"
    """decelerating, then standing; targets are refused until the robot is armed again"""
    FAULTED = "faulted"
    """a command failed its last check: no commands; disarm before arming again"""


class Cause(StrEnum):
    """Why the robot was stopped."""

    TARGET = "no fresh target"
    ARM_MEASUREMENT = "arm measurement stale"
    HAND_MEASUREMENT = "hand measurement stale"
    JUMP = "measurement jumped"
    CLOCK = "clock stepped back"
    TRACKING = "arm does not follow its command"
    SESSION = "arm takes no commands"
    REQUEST = "stop requested"


_COUNTED = (
    "commands",
    "targets_accepted",
    "targets_rejected",
    "targets_clipped",
    "measurements_accepted",
    "measurements_rejected",
    "hand_lead_limited",
    "guard_bent",
    "guard_stopped",
    "clock_steps_back",
    "gaps",
    "faults",
    *(f"holds: {cause}" for cause in Cause),
)


@dataclass(frozen=True)
class Answer:
    """Whether something was accepted, and if not, why."""

    accepted: bool
    reason: str = ""
    clipped: int = 0
    """joints whose target was clipped to a position limit"""

    def __bool__(self) -> bool:
        return self.accepted


@dataclass(frozen=True)
class Command:
    """One command."""

    position: np.ndarray
    """(23,) rad"""
    velocity: np.ndarray
    """(23,) rad/s, of the trajectory at this instant"""
    first: bool
    """whether a new sequence begins with it, at the measured position"""


class CommandCore:
    """Holds the promises 1 to 5 and 7; see the package's README for each and how it is checked.

    Args:
        limits: of the 23 joints.
        config: settings.
        guard: collision guard; None leaves promise 5 out.
    """

    def __init__(
        self,
        limits: JointLimits,
        config: ControlConfig = ControlConfig(),
        guard: CollisionGuard | None = None,
    ) -> None:
        self.config = config
        self._limits, self._guard = limits, guard
        caps = [config.arm_speed_rad_s] * len(ARM_JOINTS) + [config.hand_speed_rad_s] * (
            _HAND.stop - _HAND.start
        )
        self._limiter = TrajectoryLimiter(limits, config.period_s, np.array(caps))
        self._reader = TargetReader(JOINT_NAMES, limits.lower, limits.upper)
        self._measurement = JointMeasurement(
            JOINT_NAMES,
            limits.velocity,
            config.period_s,
            config.measurement_jump_rad,
            config.clock_tolerance_s,
        )
        self._clock, self._tick = Clock(), 0
        self._target_freshness = Freshness(1, config.period_s)
        self.state, self.reason = State.DISARMED, ""
        self.counts = Counter(dict.fromkeys(_COUNTED, 0))
        """what happened so far, by name"""
        self.interlock = ""
        """why the drivers take no commands, in words; empty while they do. It stops the robot, and arming is
        refused"""
        self._ramp = TargetRamp(config.period_s, config.target_spread_s)
        self._aimed, self._first_target = False, None
        self._target_stamp_s, self._armed_at_s = NEVER, NEVER
        self._started = self._silent = self._silence_at_rest = self._disarm_at_rest = False
        self._exceeded_since_s: float | None = None

    # What the operator asks for.

    def arm(self, now_s: float) -> Answer:
        """Allow motion; the next tick's command is the measured position. Refused while that would not be
        safe."""
        self._note_time(now_s)
        reason = self._why_not_arm(now_s)
        if reason:
            return Answer(False, reason)
        self.state, self.reason = State.ARMED, ""
        self._aimed, self._first_target = False, None
        self._target_stamp_s, self._armed_at_s = NEVER, now_s
        self._started = self._silent = self._silence_at_rest = self._disarm_at_rest = False
        self._exceeded_since_s = None
        self._measurement.jumped = False
        return Answer(True)

    def stop(self, now_s: float) -> None:
        """Decelerate and hold."""
        self._note_time(now_s)
        self._hold(Cause.REQUEST)

    def disarm(self, now_s: float) -> Answer:
        """Stop, and once at rest publish no more commands. Accepted at once if at rest, else with the tick
        that gets there."""
        self._note_time(now_s)
        if self.moving:
            self._hold(Cause.REQUEST)
            self._disarm_at_rest = True
            return Answer(False, "decelerating; disarmed once at rest")
        self.abandon("")
        return Answer(True)

    def abandon(self, reason: str) -> None:
        """Publish no more commands from now on, even in motion."""
        self.state, self.reason = State.DISARMED, reason
        self._started = self._disarm_at_rest = False
        self._aimed = False

    def note_gap(self, gap_s: float) -> None:
        """Take how long the drivers have got nothing, by a clock that nobody sets.

        A robot that was moving has long stopped by itself when this is more than `measurement_timeout_s`:
        to go on decelerating would start it again, at speed.
        """
        if self.moving and not gap_s <= self.config.measurement_timeout_s:
            self.counts["gaps"] += 1
            self.abandon(f"no command for {gap_s:.3f} s in motion")

    # What arrives.

    def forget_measurements(self) -> None:
        """Make every joint unmeasured."""
        self._measurement.forget()

    def accept_target(
        self, names: Sequence[str], positions: Sequence[float] | np.ndarray, stamp_s: float, now_s: float
    ) -> Answer:
        """Take a target, if it is sound, fresh and newer than any before it."""
        self._note_time(now_s)
        # A process that stood still meets the next target before its next tick: the watchdog comes first.
        self._watch_targets(now_s)
        reason, clipped = self._why_not_fresh(stamp_s, now_s), 0
        if not reason:
            try:
                target, clipped = self._reader.read(names, positions)
            except (ValueError, TypeError) as error:
                reason = str(error)
            else:
                self._aim(target, stamp_s)
                self._target_freshness.renew(slice(None), now_s, self._tick)
        self.counts["targets_rejected" if reason else "targets_accepted"] += 1
        self.counts["targets_clipped"] += clipped > 0
        return Answer(not reason, reason, clipped)

    def update_measurement(
        self,
        names: Sequence[str],
        positions: Sequence[float] | np.ndarray,
        velocities: Sequence[float] | np.ndarray,
        stamp_s: float,
        now_s: float,
    ) -> Answer:
        """Take a measurement of all joints or of some, by name; velocities may be empty."""
        self._note_time(now_s)
        reason = self._measurement.update(names, positions, velocities, stamp_s, now_s, self._tick)
        self.counts["measurements_rejected" if reason else "measurements_accepted"] += 1
        return Answer(not reason, reason)

    # What leaves.

    def tick(self, now_s: float) -> Command | None:
        """One control period: the next command, or None when none is to be published."""
        self._tick += 1
        self._note_time(now_s)
        if self.state in (State.DISARMED, State.FAULTED) or self._silent:
            return None
        self._watch(now_s)
        if not self._started:
            return self._first_command()
        if self.state is State.ARMED and self._aimed:
            following = self._pursue(self._ramp.advance())
        else:
            following = self._limiter.braked()
        return self._publish(following)

    @property
    def moving(self) -> bool:
        """Whether the command sequence is in motion."""
        return self._started and not self._silent and not self._limiter.state.at_rest

    @property
    def measured_position(self) -> np.ndarray:
        """(23,) rad, NaN where never measured."""
        return self._measurement.position.copy()

    @property
    def measured_velocity(self) -> np.ndarray:
        """(23,) rad/s, NaN where never measured."""
        return self._measurement.velocity.copy()

    def target_age_s(self, now_s: float) -> float:
        """Time since the last accepted target arrived; infinite if there is none."""
        return float(self._target_freshness.age_s(now_s, self._tick)[0]) if self._aimed else np.inf

    def figures(self) -> dict[str, int]:
        """Every counter, those of the limiter included."""
        return {
            **self.counts,
            "generator_errors": self._limiter.generator_errors,
            "proposals_rejected": self._limiter.rejected_proposals,
        }

    @property
    def obstacle(self) -> str:
        """What the collision guard last stopped short of."""
        return self._guard.obstacle if self._guard is not None else ""

    def _note_time(self, now_s: float) -> None:
        if self._clock.steps_back(now_s):
            # Whatever was noted on the old time would look fresh on the new one.
            self._measurement.forget()
            self._target_freshness.forget()
            self.counts["clock_steps_back"] += 1
            self._hold(Cause.CLOCK)
            self._silence_at_rest = True

    def _why_not_arm(self, now_s: float) -> str:
        if self.interlock:
            return self.interlock
        if self.state is State.FAULTED:
            return f"faulted ({self.reason}); disarm first"
        if self.state is State.ARMED:
            return "already armed; disarm first"
        if self.moving:
            return "still decelerating; arm again once at rest"
        age = self._measurement.freshness.age_s(now_s, self._tick)
        if (age > self.config.measurement_timeout_s).any() or not np.isfinite(age).all():
            joint = int(np.argmax(age))
            return (
                f"joint {JOINT_NAMES[joint]!r} was measured {age[joint]:.3f} s ago; "
                f"expected a joint state at most {self.config.measurement_timeout_s} s old"
            )
        position, speed = self._measurement.position, np.abs(self._measurement.velocity[_ARM])
        beyond = np.maximum(self._limits.lower - position, position - self._limits.upper)
        if beyond.max() > self.config.start_tolerance_rad:
            joint = int(np.argmax(beyond))
            return (
                f"joint {JOINT_NAMES[joint]!r} has position {position[joint]:.3f} rad from the joint state; "
                f"limits are {self._limits.lower[joint]:.3f} to {self._limits.upper[joint]:.3f} rad"
            )
        if speed.max() > self.config.start_speed_rad_s:
            joint = int(np.argmax(speed))
            return (
                f"joint {JOINT_NAMES[joint]!r} moves at {speed[joint]:.3f} rad/s; at most "
                f"{self.config.start_speed_rad_s} rad/s is allowed when arming"
            )
        return ""

    def _why_not_fresh(self, stamp_s: float, now_s: float) -> str:
        if self.state is not State.ARMED:
            return f"not armed (state {self.state})"
        age = now_s - stamp_s
        if not age <= self.config.target_max_age_s:
            return f"Target is {age:.3f} s old; at most {self.config.target_max_age_s} s is allowed"
        if not age >= -self.config.clock_tolerance_s:
            tolerance = self.config.clock_tolerance_s
            return f"Target is stamped {-age:.3f} s in the future; at most {tolerance} s is tolerated"
        if stamp_s < self._armed_at_s:
            return f"Target is stamped {self._armed_at_s - stamp_s:.3f} s before the robot was armed"
        if stamp_s <= self._target_stamp_s:
            return f"Target is stamped {stamp_s:.3f} s, not after the last one ({self._target_stamp_s:.3f} s)"
        return ""

    def _aim(self, target: np.ndarray, stamp_s: float) -> None:
        if self._started:
            self._ramp.aim(target, stamp_s - self._target_stamp_s)
        else:
            self._first_target = target
        self._aimed, self._target_stamp_s = True, stamp_s

    def _watch(self, now_s: float) -> None:
        """Stop the robot when measurements, targets or tracking demand it."""
        age, timeout = self._measurement.freshness.age_s(now_s, self._tick), self.config.measurement_timeout_s
        for group, cause in ((_ARM, Cause.ARM_MEASUREMENT), (_HAND, Cause.HAND_MEASUREMENT)):
            if not age[group].max() <= timeout:
                self._hold(cause)
                self._silence_at_rest = True
        for broken, cause in ((self._measurement.jumped, Cause.JUMP), (self.interlock, Cause.SESSION)):
            if broken:
                self._hold(cause)
                self._silence_at_rest = True
        if self.state is not State.ARMED:
            return
        self._watch_targets(now_s)
        if self._lags(now_s):
            self._hold(Cause.TRACKING)

    def _watch_targets(self, now_s: float) -> None:
        """Stop the robot when the last target is too old."""
        if self._aimed and not self.target_age_s(now_s) <= self.config.target_timeout_s:
            self._hold(Cause.TARGET)

    def _lags(self, now_s: float) -> bool:
        """Whether an arm joint has been too far from its command for too long."""
        distance = np.abs(self._limiter.state.position[_ARM] - self._measurement.position[_ARM]).max()
        if not self._started or distance <= self.config.arm_tracking_rad:
            self._exceeded_since_s = None
        elif self._exceeded_since_s is None:
            self._exceeded_since_s = now_s
        return (
            self._exceeded_since_s is not None
            and now_s - self._exceeded_since_s >= self.config.tracking_grace_s
        )

    def _hold(self, cause: Cause) -> None:
        if self.state is State.ARMED:
            self.state, self.reason = State.HOLDING, str(cause)
            self.counts[f"holds: {cause}"] += 1

    def _first_command(self) -> Command | None:
        if self.state is not State.ARMED:
            self._silent = True
            return None
        start = np.clip(self._measurement.position, self._limits.lower, self._limits.upper)
        self._limiter.restart(start)
        self._ramp.restart(start)
        if self._first_target is not None:
            self._ramp.aim(self._first_target, np.inf)
        if self._guard is not None:
            self._guard.restart(start)
        self._started = True
        self.counts["commands"] += 1
        return Command(start.copy(), np.zeros_like(start), first=True)

    def _pursue(self, target: np.ndarray) -> MotionState:
        """The next state on the way to a target, or as far on it as the guard lets it go."""
        lead = self.config.hand_lead_rad
        measured = self._measurement.position[_HAND]
        led = np.concatenate([target[_ARM], np.clip(target[_HAND], measured - lead, measured + lead)])
        self.counts["hand_lead_limited"] += not np.array_equal(led, target)
        if self._guard is None:
            return self._limiter.towards(led)
        here = self._limiter.state
        bent = self._guard.bend(here.position, led)
        self.counts["guard_bent"] += bent is not led
        wanted = self._limiter.towards(bent)
        if wanted is here or self._guard.allows(wanted, self._limiter.stop_from(wanted)):
            return wanted
        self.counts["guard_stopped"] += 1
        return self._brake_for_guard(wanted)

    def _brake_for_guard(self, wanted: MotionState) -> MotionState:
        """The hand's wanted state with the arm braking, if that is allowed; else everything brakes."""
        assert self._guard is not None
        braked = self._limiter.braked()
        mixed = self._limiter.mixed(np.arange(len(JOINT_NAMES)) >= len(ARM_JOINTS), wanted, braked)
        if self._guard.allows(mixed, self._limiter.stop_from(mixed)):
            return mixed
        # On the stop that was checked before the present state was taken.
        self._guard.settle(braked.position)
        return braked

    def _publish(self, state: MotionState) -> Command | None:
        """Check a state for the last time and make it the command."""
        if not self._limiter.admits(state):
            self.state, self.reason = State.FAULTED, "a command failed its last check"
            self._silent = True
            self.counts["faults"] += 1
            return None
        self._limiter.commit(state)
        if state.at_rest:
            if self._disarm_at_rest:
                self.abandon("")
            elif self._silence_at_rest and self.state is State.HOLDING:
                # The robot may come back elsewhere than at this setpoint: it must not find it there.
                self._silent = True
        self.counts["commands"] += 1
        return Command(state.position.copy(), state.velocity.copy(), first=False)
