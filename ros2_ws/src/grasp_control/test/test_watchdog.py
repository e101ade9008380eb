"""Age by clock and by ticks, and clocks that step back."""

import numpy as np
import pytest

from grasp_control.safety import CommandCore, State
from grasp_control.watchdog import Clock, Freshness
from grasp_description.robot import HOME_POSITION, JOINT_NAMES


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


def holds_after_standing_still(make):
    """The process is stopped for a while, and finds a new measurement and target before its next tick."""
    bench = make()
    bench.arm()
    bench.step()
    joint = np.eye(len(JOINT_NAMES))[3]
    bench.run(0.5, lambda time_s: HOME_POSITION + time_s * joint)
    bench.now_s += 0.5
    bench.measure()
    assert not bench.aim(HOME_POSITION + 0.6 * joint)
    bench.step()
    assert (bench.core.state, bench.core.reason) == (State.HOLDING, "no fresh target")


def test_a_core_that_stood_still_holds_though_a_new_target_waits(make_bench):
    holds_after_standing_still(make_bench)


def test_a_core_that_looks_at_the_age_of_targets_at_ticks_alone(make_bench, monkeypatch):
    accept, watch = CommandCore.accept_target, CommandCore._watch_targets

    def unwatched(self, *arguments):
        monkeypatch.setattr(CommandCore, "_watch_targets", lambda _self, _now_s: None)
        answer = accept(self, *arguments)
        monkeypatch.setattr(CommandCore, "_watch_targets", watch)
        return answer

    monkeypatch.setattr(CommandCore, "accept_target", unwatched)
    with pytest.raises(AssertionError):
        holds_after_standing_still(make_bench)
