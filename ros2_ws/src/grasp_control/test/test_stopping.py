"""What a stop leaves behind: a hold, a stop before the first command, a command that failed its check."""

import numpy as np

from grasp_control.safety import State
from grasp_description.robot import HOME_POSITION


def elbow_at(angle: float) -> np.ndarray:
    """Home with the elbow so far beyond it, rad."""
    return HOME_POSITION + angle * (np.arange(23) == 3)


def test_a_command_that_fails_its_last_check_is_the_end_until_disarmed(bench, monkeypatch):
    bench.run(0.3, elbow_at)
    with monkeypatch.context() as patched:
        patched.setattr(bench.core._limiter, "admits", lambda _state: False)
        assert bench.step() is None
    assert bench.core.state is State.FAULTED
    assert [bench.step() for _ in range(50)] == [None] * 50, "went on after a fault"
    assert "faulted" in bench.core.arm(bench.now_s).reason
    assert bench.core.disarm(bench.now_s)
    bench.arm()
    assert bench.step().first


def test_a_hold_does_not_go_on_to_the_last_target(bench):
    bench.run(0.3, lambda _time: elbow_at(1.0))
    bench.core.stop(bench.now_s)
    stopped = bench.position[3]
    bench.run(1.0)
    assert bench.core.state is State.HOLDING
    assert bench.position[3] < stopped + 0.2
    assert "not armed" in bench.aim(elbow_at(0.5)).reason


def test_stopped_before_its_first_command_it_gives_none(make_bench):
    bench = make_bench()
    bench.arm()
    bench.core.stop(bench.now_s)
    bench.run(0.2)
    assert bench.commands == []


def test_a_robot_that_got_no_command_for_long_is_not_started_again(bench):
    bench.run(0.5, elbow_at)
    assert bench.core.moving
    timeout_s = bench.core.config.measurement_timeout_s
    bench.core.note_gap(timeout_s)
    assert bench.core.state is State.ARMED
    bench.core.note_gap(1.01 * timeout_s)
    assert (bench.core.state, bench.core.counts["gaps"]) == (State.DISARMED, 1)
    assert "no command for" in bench.core.reason
    assert [bench.step() for _ in range(20)] == [None] * 20
    bench.arm()
    assert bench.step().first


def test_a_gap_at_rest_and_one_that_is_no_number(bench):
    bench.core.note_gap(10.0)
    assert bench.core.state is State.ARMED
    bench.run(0.5, elbow_at)
    bench.core.note_gap(float("nan"))
    assert bench.core.state is State.DISARMED


def test_measurements_that_were_forgotten_do_not_arm(make_bench):
    bench = make_bench()
    bench.measure()
    bench.core.forget_measurements()
    assert "was measured" in bench.core.arm(bench.now_s).reason
    bench.arm()
