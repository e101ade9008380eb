"""Joint trajectories generated online by ruckig, and verified before a command leaves.

What ruckig proposes is a suggestion. Every proposal is verified against the limits, by the differences of the
samples that a driver will see as well as by the profile's own derivatives; a joint whose proposal fails is
braked by ``Stop`` instead, which needs no generator. Verified too is that the stop from the new state stays
within the position limits, so that braking is
always a way out: whatever comes next, the next command exists.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import ruckig

from grasp_control.braking import Stop
from grasp_description.robot import JointLimits

PLANNING_SHARE = 0.9999
"""Share of velocity, acceleration and jerk limits that is planned with; the rest absorbs ruckig's numerical
errors (1e-8)."""
PLANNING_INSET_RAD = 1e-5
"""How far inside the position limits targets end, for the same reason."""
ARRIVED = 1e-11
"""Distance (rad), speed (rad/s) and acceleration (rad/s²) below which a joint is at its target, at rest."""
SLACK_RAD = 1e-14
"""Rounding of third differences of positions of a few rad."""


@dataclass(frozen=True)
class MotionState:
    """Position, velocity, acceleration of a command: (n,) each in rad, rad/s, rad/s²."""

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    @cached_property
    def at_rest(self) -> bool:
        """Whether every joint stands exactly."""
        return not (self.velocity.any() or self.acceleration.any())


class TrajectoryLimiter:
    """The state of the command sequence, and what may come next.

    Args:
        limits: of n joints.
        period_s: time between two commands.
        speed_cap: (n,) rad/s, caps on speed below ``limits.velocity``.
    """

    def __init__(self, limits: JointLimits, period_s: float, speed_cap: np.ndarray) -> None:
        self._lower, self._upper = limits.lower, limits.upper
        self._velocity = np.minimum(limits.velocity, speed_cap)
        self._acceleration, self._jerk = limits.acceleration, limits.jerk
        self._period_s = period_s
        self._plan_acceleration = PLANNING_SHARE * self._acceleration
        self._plan_jerk = PLANNING_SHARE * self._jerk
        h = period_s
        self._bounds = np.stack(
            [
                # Differences of the published samples: step, change of step, change of that.
                self._velocity * h,
                self._acceleration * h**2,
                self._jerk * h**3,
                # The profile itself: speed now, speed once the acceleration is taken back, acceleration, its
                # change.
                self._velocity,
                self._velocity,
                self._acceleration,
                self._jerk * h,
            ]
        )
        self._values = np.empty_like(self._bounds)
        self._target_lower = self._lower + PLANNING_INSET_RAD
        self._target_upper = self._upper - PLANNING_INSET_RAD
        count = len(self._lower)
        self._generator = ruckig.Ruckig(count, period_s)
        self._output = ruckig.OutputParameter(count)
        self._input = ruckig.InputParameter(count)
        self._input.synchronization = ruckig.Synchronization.No
        self._input.max_velocity = (PLANNING_SHARE * self._velocity).tolist()
        self._input.max_acceleration = self._plan_acceleration.tolist()
        self._input.max_jerk = self._plan_jerk.tolist()
        self.generator_errors = 0
        """ticks in which ruckig gave no trajectory"""
        self.rejected_proposals = 0
        """joints' proposals that failed verification, summed over ticks"""
        self.restart(np.clip(np.zeros(count), self._lower, self._upper))

    def restart(self, position: np.ndarray) -> None:
        """Begin a new sequence at rest at ``position`` (n,) in rad; what came before is forgotten."""
        zeros = np.zeros_like(self._lower)
        self.state = MotionState(np.array(position, float), zeros, zeros)
        self._previous = (self.state.position, self.state.position)
        self._generator.reset()

    def commit(self, state: MotionState) -> None:
        """Make a verified state the newest of the sequence."""
        self._previous = (self.state.position, self._previous[0])
        self.state = state

    def admits(self, state: MotionState) -> bool:
        """Whether a state's position may be published next: finite, and within limits by the differences of
        the samples.

        The last check, of every command, however it came about; ``SLACK_RAD`` is for the rounding of the
        differences.
        """
        step = state.position - self.state.position
        last_step = self.state.position - self._previous[0]
        change = step - last_step
        values = self._values[:3]
        values[0], values[1] = step, change
        values[2] = change - (last_step - (self._previous[0] - self._previous[1]))
        return bool(
            (np.abs(values) <= self._bounds[:3] + SLACK_RAD).all()
            and (self._lower <= state.position).all()
            and (state.position <= self._upper).all()
        )

    def stop_from(self, state: MotionState) -> Stop:
        """The shortest stop from a state."""
        return Stop(
            state.position, state.velocity, state.acceleration, self._plan_acceleration, self._plan_jerk
        )

    def braked(self) -> MotionState:
        """The next state when every joint brakes."""
        if self.state.at_rest:
            return self.state
        return MotionState(*self.stop_from(self.state).at(self._period_s))

    def towards(self, target: np.ndarray) -> MotionState:
        """The next state on the way to rest at ``target`` (n,) in rad; joints that cannot be verified
        brake."""
        proposal = self._generate(np.clip(target, self._target_lower, self._target_upper))
        if proposal is None:
            self.generator_errors += 1
            return self.braked()
        sound = self._sound(proposal)
        if sound.all():
            return proposal
        self.rejected_proposals += int(np.count_nonzero(~sound))
        return self.mixed(sound, proposal, self.braked())

    @staticmethod
    def mixed(where: np.ndarray, state: MotionState, otherwise: MotionState) -> MotionState:
        """Joints of ``state`` where the mask (n,) holds, of ``otherwise`` elsewhere."""
        return MotionState(
            np.where(where, state.position, otherwise.position),
            np.where(where, state.velocity, otherwise.velocity),
            np.where(where, state.acceleration, otherwise.acceleration),
        )

    def _generate(self, target: np.ndarray) -> MotionState | None:
        state, given = self.state, self._input
        if state.at_rest and np.array_equal(target, state.position):
            return state
        given.current_position = state.position.tolist()
        given.current_velocity = state.velocity.tolist()
        given.current_acceleration = state.acceleration.tolist()
        given.target_position = target.tolist()
        try:
            result = self._generator.update(given, self._output)
        except ruckig.RuckigError:
            result = ruckig.Result.Error
        if result not in (ruckig.Result.Working, ruckig.Result.Finished):
            self._generator.reset()
            return None
        out = self._output
        position, velocity = np.array(out.new_position), np.array(out.new_velocity)
        acceleration = np.array(out.new_acceleration)
        # A finished trajectory ends with rounding errors of 1e-13: without them it ends at rest.
        arrived = np.abs(position - target) <= ARRIVED
        arrived &= (np.abs(velocity) <= ARRIVED) & (np.abs(acceleration) <= ARRIVED)
        if arrived.any():
            position = np.where(arrived, target, position)
            velocity, acceleration = np.where(arrived, 0.0, velocity), np.where(arrived, 0.0, acceleration)
        return MotionState(position, velocity, acceleration)

    def _sound(self, new: MotionState) -> np.ndarray:
        """Which joints (n,) of a proposed state are within every limit and can be stopped within them.

        Written so that a NaN anywhere compares false, hence unsound.
        """
        stop = self.stop_from(new)
        step = new.position - self.state.position
        last_step = self.state.position - self._previous[0]
        change = step - last_step
        values = self._values
        values[0], values[1] = step, change
        values[2] = change - (last_step - (self._previous[0] - self._previous[1]))
        values[3], values[4], values[5] = new.velocity, stop.crest, new.acceleration
        values[6] = new.acceleration - self.state.acceleration
        np.abs(values, out=values)
        lowest, highest = np.minimum(new.position, stop.lowest), np.maximum(new.position, stop.highest)
        return (values <= self._bounds).all(axis=0) & (self._lower <= lowest) & (highest <= self._upper)
