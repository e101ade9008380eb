"""The checker that every other test relies on."""

import numpy as np
import pytest

from grasp_control.checker import SequenceChecker

PERIOD_S = 0.01


@pytest.fixture
def checker() -> SequenceChecker:
    """Two joints: ±1 rad, 1 rad/s, 10 rad/s², 200 rad/s³, at 100 Hz."""
    return SequenceChecker(
        np.full(2, -1.0), np.full(2, 1.0), np.full(2, 1.0), np.full(2, 10.0), np.full(2, 200.0), PERIOD_S
    )


def integrate(jerk: np.ndarray) -> np.ndarray:
    """Positions (T + 1, 2), from rest, whose third differences are the given jerks (T,)."""
    position = np.cumsum(np.cumsum(np.cumsum(np.r_[0.0, jerk]))) * PERIOD_S**3
    return np.stack([position, np.zeros_like(position)], axis=1)


def limits_broken(checker: SequenceChecker, commands: np.ndarray) -> set[str]:
    return {violation.limit for violation in checker.check(commands)}


def test_accepts_a_sequence_exactly_at_its_limits(checker):
    # Up to 10 rad/s² in 5 steps, back, and the same to brake: jerk and acceleration touch their limits.
    pulse = np.r_[np.full(5, 200.0), np.full(5, -200.0)]
    assert limits_broken(checker, integrate(np.r_[pulse, -pulse])) == set()


def test_finds_a_jerk_of_one_part_in_a_million_too_much(checker):
    pulse = np.r_[np.full(3, 200.0 * (1 + 1e-6)), np.full(3, -200.0)]
    assert limits_broken(checker, integrate(pulse)) == {"jerk"}


def test_finds_an_acceleration_too_great(checker):
    assert limits_broken(checker, integrate(np.full(6, 190.0))) == {"acceleration"}


def test_finds_a_velocity_too_great(checker):
    ramp = np.r_[np.full(4, 200.0), np.zeros(10), np.full(4, -200.0)]
    assert limits_broken(checker, integrate(ramp)) == {"velocity"}


def test_finds_a_position_out_of_range(checker):
    assert limits_broken(checker, np.array([[1.0 + 1e-9, 0.0]])) == {"position"}


def test_holds_the_first_step_against_a_start_at_rest(checker):
    assert "jerk" in limits_broken(checker, np.array([[0.0, 0.0], [0.001, 0.0]]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_finds_what_is_not_finite(checker, bad):
    violations = checker.check(np.array([[0.0, 0.0], [0.0, bad]]))
    assert [(v.index, v.joint, v.limit) for v in violations] == [(1, 1, "finite")]


def test_finds_a_wrong_length(checker):
    assert limits_broken(checker, np.zeros((3, 3))) == {"length"}


def test_counts_what_it_checked(checker):
    checker.check(np.zeros((5, 2)))
    checker.check(np.zeros((7, 2)))
    assert checker.checked == 12
