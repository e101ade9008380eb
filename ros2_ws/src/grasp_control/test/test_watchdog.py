"""Age by clock and by ticks, and clocks that step back."""

import numpy as np

from grasp_control.watchdog import Clock, Freshness


def test_what_never_came_is_infinitely_old():
    assert np.isinf(Freshness(2, 0.01).age_s(5.0, 7)).all()


def test_age_grows_with_the_clock():
    freshness = Freshness(1, 0.01)
    freshness.renew(slice(None), 1.0, 100)
    assert freshness.age_s(1.5, 100)[0] == 0.5


def test_age_grows_with_ticks_when_the_clock_stands():
    freshness = Freshness(1, 0.01)
    freshness.renew(slice(None), 1.0, 100)
    assert freshness.age_s(1.0, 120)[0] == 0.2


def test_forgotten_things_are_old_again():
    freshness = Freshness(1, 0.01)
    freshness.renew(slice(None), 1.0, 1)
    freshness.forget()
    assert np.isinf(freshness.age_s(1.0, 1)[0])


def test_a_clock_that_steps_back_is_noticed_once():
    clock = Clock()
    assert [clock.steps_back(t) for t in (1.0, 1.1, 1.05, 1.06, 1.2)] == [False, False, True, False, False]


def test_a_clock_being_disciplined_does_not_step_back():
    clock = Clock()
    assert not any(clock.steps_back(t) for t in (1.0, 0.9995, 1.0005))


def test_a_reading_that_is_no_number_counts_as_a_step_back():
    clock = Clock()
    assert [clock.steps_back(t) for t in (1.0, float("nan"), float("inf"), 1.1)] == [False, True, True, False]
