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


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p + np.nan, id="not finite"),
        pytest.param(lambda p: LIMITS.upper + 1e-9, id="position"),
        pytest.param(lambda p: LIMITS.lower - 1e-9, id="lower position"),
        pytest.param(lambda p: p + 1.1 * LIMITS.velocity * PERIOD_S, id="velocity"),
        pytest.param(lambda p: p + 1.1 * LIMITS.acceleration * PERIOD_S**2, id="acceleration"),
        pytest.param(lambda p: p + 1.1 * LIMITS.jerk * PERIOD_S**3, id="jerk"),
    ],
)
def test_the_last_check_refuses(change):
    limiter = TrajectoryLimiter(LIMITS, PERIOD_S, LIMITS.velocity)
    limiter.restart(HOME_POSITION)
    zeros = np.zeros(23)
    assert limiter.admits(MotionState(HOME_POSITION + LIMITS.jerk * PERIOD_S**3, zeros, zeros))
    assert not limiter.admits(MotionState(change(HOME_POSITION), zeros, zeros))


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
