"""The limiter when its generator fails or lies."""

from types import SimpleNamespace

import numpy as np
import pytest
import ruckig

from grasp_control.limiter import MotionState, TrajectoryLimiter
from grasp_description.robot import HOME_POSITION, joint_limits

PERIOD_S = 1 / 200
LIMITS = joint_limits()


@pytest.fixture
def limiter() -> TrajectoryLimiter:
    """In motion: 50 ticks towards the upper limits."""
    made = TrajectoryLimiter(LIMITS, PERIOD_S, LIMITS.velocity)
    made.restart(HOME_POSITION)
    for _ in range(50):
        made.commit(made.towards(LIMITS.upper))
    return made


def follow(limiter: TrajectoryLimiter, ticks: int, target: np.ndarray = LIMITS.upper) -> np.ndarray:
    """Positions (ticks, 23) on the way to a target."""
    positions = []
    for _ in range(ticks):
        state = limiter.towards(target)
        assert limiter.admits(state)
        limiter.commit(state)
        positions.append(state.position)
    return np.array(positions)


class Generator:
    """In ruckig's place: gives what it is told to."""

    def __init__(self, answer):
        self.answer = answer

    def reset(self):
        """Nothing to forget."""

    def update(self, _given, _output):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def lying_output(position: np.ndarray) -> SimpleNamespace:
    zeros = np.zeros(23)
    return SimpleNamespace(new_position=position, new_velocity=zeros, new_acceleration=zeros)


@pytest.mark.parametrize(
    "answer",
    [
        ruckig.Result.Error,
        ruckig.Result.ErrorInvalidInput,
        ruckig.Result.ErrorExecutionTimeCalculation,
        ruckig.Result.ErrorSynchronizationCalculation,
        ruckig.Result.ErrorPositionalLimits,
        ruckig.RuckigError("no"),
    ],
)
def test_brakes_within_limits_when_the_generator_fails(limiter, make_checker, answer):
    moving = follow(limiter, 3)
    limiter._generator = Generator(answer)
    stopped = follow(limiter, 100)
    assert limiter.state.at_rest
    assert limiter.generator_errors == 100
    # The sequence was already in motion: judge what follows its first three commands.
    violations = make_checker(PERIOD_S).check(np.concatenate([moving, stopped]))
    assert [v for v in violations if v.index > 2] == []


def test_recovers_when_the_generator_does(limiter):
    generator = limiter._generator
    limiter._generator = Generator(ruckig.Result.Error)
    follow(limiter, 10)
    limiter._generator = generator
    follow(limiter, 1500)
    np.testing.assert_allclose(limiter.state.position, LIMITS.upper, atol=2e-5)


@pytest.mark.parametrize("lie", [np.full(23, np.nan), np.full(23, np.inf), HOME_POSITION, LIMITS.upper + 1.0])
def test_a_generator_that_lies_is_not_believed(limiter, make_checker, lie):
    moving = follow(limiter, 3)
    limiter._generator, limiter._output = Generator(ruckig.Result.Working), lying_output(lie)
    stopped = follow(limiter, 100)
    assert limiter.rejected_proposals > 0
    violations = make_checker(PERIOD_S).check(np.concatenate([moving, stopped]))
    assert [v for v in violations if v.index > 2] == []


def test_only_the_joint_that_fails_brakes(limiter):
    inner = limiter._generate

    def one_bad_joint(target):
        state = inner(target)
        position = state.position.copy()
        position[4] = np.nan
        return MotionState(position, state.velocity, state.acceleration)

    limiter._generate = one_bad_joint
    follow(limiter, 60)
    assert limiter.state.velocity[4] == 0.0
    assert limiter.rejected_proposals == 60
    assert limiter.state.velocity[0] > 0.5


# One limit at a time: a next state that breaks it and keeps every other. Each is held twice, by the
# verification of proposals and by the last check, so that only such a state shows whether both are there.

VELOCITY, ACCELERATION, JERK = LIMITS.velocity, LIMITS.acceleration, LIMITS.jerk
LOW = LIMITS.lower + 0.1 * (LIMITS.upper - LIMITS.lower)
"""Room to move upwards, at any speed, and to stop."""
AT_REST = np.zeros(23)
JERK_STEP = JERK * PERIOD_S**3
"""(23,) rad, what the third difference of positions may be"""
CRUISE = VELOCITY * PERIOD_S - 0.25 * JERK_STEP
SPEED_UP = ACCELERATION * PERIOD_S**2 - 0.25 * JERK_STEP
RAMP = ACCELERATION**2 / JERK
"""(23,) rad/s, twice what the velocity changes while the full acceleration is taken back"""


def led(
    position: np.ndarray, steps: list[np.ndarray], acceleration: np.ndarray = AT_REST
) -> TrajectoryLimiter:
    """A limiter that came to a position by these steps, and has this acceleration there."""
    made = TrajectoryLimiter(LIMITS, PERIOD_S, VELOCITY)
    made.restart(position - sum(steps, AT_REST))
    for step in steps or [AT_REST]:
        made.commit(MotionState(made.state.position + step, AT_REST, acceleration))
    return made


SAMPLES = {
    "velocity": (LOW, [CRUISE] * 3, CRUISE, CRUISE + 0.5 * JERK_STEP),
    "acceleration": (LOW, [-2 * SPEED_UP, -SPEED_UP, AT_REST], SPEED_UP, SPEED_UP + 0.5 * JERK_STEP),
    "jerk": (LOW, [], 0.99 * JERK_STEP, 1.01 * JERK_STEP),
    "lower position": (LIMITS.lower, [], AT_REST, np.full(23, -1e-9)),
    "upper position": (LIMITS.upper, [], AT_REST, np.full(23, 1e-9)),
    "finite": (LOW, [], AT_REST, np.full(23, np.nan)),
}
"""By limit: position, steps that led there, a next step within it, one beyond it."""


@pytest.mark.parametrize("limit", SAMPLES)
def test_the_last_check_refuses_what_breaks_one_limit(limit):
    position, steps, within, beyond = SAMPLES[limit]
    limiter = led(position, steps)
    assert limiter.admits(MotionState(position + within, AT_REST, AT_REST))
    for joint in range(23):
        step = np.where(np.arange(23) == joint, beyond, within)
        assert not limiter.admits(MotionState(position + step, AT_REST, AT_REST))


@pytest.mark.parametrize("limit", [limit for limit in SAMPLES if "position" not in limit])
def test_a_proposal_whose_samples_break_one_limit_is_refused(limit):
    position, steps, within, beyond = SAMPLES[limit]
    limiter = led(position, steps)
    assert limiter._sound(MotionState(position + within, AT_REST, AT_REST)).all()
    assert not limiter._sound(MotionState(position + beyond, AT_REST, AT_REST)).any()


PROFILES = {
    "velocity": (LOW, VELOCITY - RAMP / 4, VELOCITY + RAMP / 4, -ACCELERATION, -ACCELERATION),
    "velocity still to come": (LOW, VELOCITY - 0.6 * RAMP, VELOCITY - 0.4 * RAMP, ACCELERATION, ACCELERATION),
    "acceleration": (LOW, 0.5 * VELOCITY, 0.5 * VELOCITY, -ACCELERATION, -1.01 * ACCELERATION),
    "lower position of the stop": (LIMITS.lower, AT_REST, -0.1 * VELOCITY, AT_REST, AT_REST),
    "upper position of the stop": (LIMITS.upper, AT_REST, 0.1 * VELOCITY, AT_REST, AT_REST),
}
"""By limit: position, velocity within it and beyond it, acceleration within it and beyond it."""


@pytest.mark.parametrize("limit", PROFILES)
def test_a_proposal_whose_profile_breaks_one_limit_is_refused(limit):
    position, slow, fast, mild, strong = PROFILES[limit]
    assert led(position, [], mild)._sound(MotionState(position, slow, mild)).all()
    assert not led(position, [], strong)._sound(MotionState(position, fast, strong)).any()


def test_a_proposal_whose_acceleration_leaps_is_refused():
    limiter = led(LOW, [])
    assert limiter._sound(MotionState(LOW, AT_REST, 0.99 * JERK * PERIOD_S)).all()
    assert not limiter._sound(MotionState(LOW, AT_REST, 1.01 * JERK * PERIOD_S)).any()


@pytest.mark.parametrize(("end", "beyond"), [(LIMITS.lower, -1e-9), (LIMITS.upper, 1e-9)])
def test_a_proposal_out_of_range_is_refused_even_on_its_way_back(end, beyond):
    limiter, back = led(end, []), -np.sign(beyond) * 0.01 * VELOCITY
    assert limiter._sound(MotionState(end, back, AT_REST)).all()
    assert not limiter._sound(MotionState(end + beyond, back, AT_REST)).any()


@pytest.mark.parametrize("beyond", [-0.5, 0.5])
def test_a_target_out_of_range_is_taken_for_the_end_of_the_range(limiter, beyond):
    end = LIMITS.lower if beyond < 0 else LIMITS.upper
    positions = follow(limiter, 2500, end + beyond)
    assert (LIMITS.lower <= positions).all()
    assert (positions <= LIMITS.upper).all()
    np.testing.assert_allclose(positions[-1], end, atol=2e-5)
    assert limiter.rejected_proposals == 0


def test_a_target_at_a_limit_is_reached_and_not_passed(limiter):
    positions = follow(limiter, 1500)
    assert (positions <= LIMITS.upper).all()
    np.testing.assert_allclose(positions[-1], LIMITS.upper, atol=2e-5)
    assert limiter.state.at_rest


def test_stops_are_possible_from_everywhere(limiter):
    rng = np.random.default_rng(3)
    for _ in range(300):
        follow(limiter, int(rng.integers(1, 12)), rng.uniform(LIMITS.lower, LIMITS.upper))
        stop = limiter.stop_from(limiter.state)
        assert (LIMITS.lower <= stop.lowest).all()
        assert (stop.highest <= LIMITS.upper).all()
