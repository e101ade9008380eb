"""The closed-form stop, against ruckig's velocity interface and against its own samples."""

import numpy as np
import pytest
import ruckig

from grasp_control.braking import Stop

JOINTS = 64


@pytest.fixture(scope="module")
def states():
    """States within limits, extremes and rests among them."""
    rng = np.random.default_rng(0)
    max_acceleration, max_jerk = rng.uniform(1.0, 200.0, JOINTS), rng.uniform(50.0, 9000.0, JOINTS)
    made = []
    for case in range(150):
        velocity = rng.uniform(-5.0, 5.0, JOINTS)
        acceleration = rng.uniform(-1.0, 1.0, JOINTS) * max_acceleration
        if case % 3 == 0:
            velocity *= rng.random(JOINTS) < 0.5
            acceleration = np.sign(acceleration) * max_acceleration * (rng.random(JOINTS) < 0.5)
        made.append((rng.uniform(-2.0, 2.0, JOINTS), velocity, acceleration))
    return max_acceleration, max_jerk, made


def stop_from(state, max_acceleration, max_jerk) -> Stop:
    position, velocity, acceleration = state
    return Stop(position, velocity, acceleration, max_acceleration, max_jerk)


def test_is_as_short_as_ruckigs(states):
    max_acceleration, max_jerk, made = states
    generator, given = ruckig.Ruckig(JOINTS, 0.01), ruckig.InputParameter(JOINTS)
    given.control_interface = ruckig.ControlInterface.Velocity
    given.synchronization = ruckig.Synchronization.No
    given.max_velocity = [100.0] * JOINTS
    given.max_acceleration, given.max_jerk = max_acceleration.tolist(), max_jerk.tolist()
    given.target_velocity = [0.0] * JOINTS
    trajectory = ruckig.Trajectory(JOINTS)
    for position, velocity, acceleration in made:
        given.current_position = position.tolist()
        given.current_velocity, given.current_acceleration = velocity.tolist(), acceleration.tolist()
        generator.calculate(given, trajectory)
        stop = Stop(position, velocity, acceleration, max_acceleration, max_jerk)
        assert stop.duration_s == pytest.approx(trajectory.duration, abs=1e-12)
        for share in (0.0, 0.1, 0.37, 0.8, 0.999):
            time = share * trajectory.duration
            np.testing.assert_allclose(stop.at(time), trajectory.at_time(time), rtol=0, atol=1e-9)


def test_ends_exactly_at_rest(states):
    max_acceleration, max_jerk, made = states
    for state in made:
        stop = stop_from(state, max_acceleration, max_jerk)
        position, velocity, acceleration = stop.at(stop.duration_s)
        np.testing.assert_array_equal(position, stop.end_position)
        assert not velocity.any()
        assert not acceleration.any()


def test_stays_within_acceleration_and_jerk(states):
    max_acceleration, max_jerk, made = states
    for state in made[:40]:
        stop = stop_from(state, max_acceleration, max_jerk)
        times = np.linspace(0.0, stop.duration_s, 200)
        accelerations = stop.at(times[:, None])[2]
        assert (np.abs(accelerations) <= max_acceleration * (1 + 1e-12)).all()
        assert (np.abs(np.diff(accelerations, axis=0)) <= max_jerk * times[1] * (1 + 1e-9)).all()


def test_never_leaves_the_range_it_states(states):
    max_acceleration, max_jerk, made = states
    for state in made[:40]:
        stop = stop_from(state, max_acceleration, max_jerk)
        positions = stop.at(np.linspace(0.0, stop.duration_s, 500)[:, None])[0]
        assert (positions >= np.minimum(state[0], stop.lowest) - 1e-12).all()
        assert (positions <= np.maximum(state[0], stop.highest) + 1e-12).all()


def test_planned_anew_from_any_point_of_it_is_the_same_stop(states):
    max_acceleration, max_jerk, made = states
    for state in made[:40]:
        stop = stop_from(state, max_acceleration, max_jerk)
        later = stop_from(stop.at(0.4 * stop.duration_s), max_acceleration, max_jerk)
        np.testing.assert_allclose(later.end_position, stop.end_position, rtol=0, atol=1e-9)


def test_at_rest_there_is_nothing_to_do():
    still = np.zeros(3)
    stop = Stop(np.ones(3), still, still, np.ones(3), np.ones(3))
    assert stop.duration_s == 0.0
    np.testing.assert_array_equal(stop.end_position, np.ones(3))
