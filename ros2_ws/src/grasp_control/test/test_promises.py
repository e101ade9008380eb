"""The promises of the safety core, each as a scenario; and cores without it, which the scenario has to catch.

A scenario takes a function that makes a bench and raises AssertionError where the promise is broken.
``test_a_core_without`` takes the mechanism out and expects that.
"""

import dataclasses

import numpy as np
import pytest

from grasp_control.safety import Command, CommandCore, State
from grasp_control.watchdog import Clock
from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, HOME_POSITION, JOINT_NAMES, joint_limits

ARM, HAND = slice(0, 7), slice(7, 23)
LIMITS = joint_limits()
FULL_SPEED = {"arm_speed_rad_s": 4.0, "hand_speed_rad_s": 10.0, "arm_tracking_rad": 1.0, "hand_lead_rad": 2.0}


def armed(bench, position=HOME_POSITION):
    """The bench, armed at a position and with its first command published."""
    bench.position = np.array(position, float)
    bench.arm()
    bench.step()
    return bench


def offset(joint: int, angle: float) -> np.ndarray:
    target = HOME_POSITION.copy()
    target[joint] += angle
    return target


# Promise 1: limits.


def wild_targets(seed: int, beyond: float = 0.3):
    rng = np.random.default_rng(seed)
    return lambda _time: rng.uniform(LIMITS.lower - beyond, LIMITS.upper + beyond)


def full_swings(time: float) -> np.ndarray:
    """From one end of every joint's range to beyond the other: full speed and jerk, at both ends."""
    return LIMITS.upper + 0.3 if int(time / 3.5) % 2 else LIMITS.lower - 0.3


def commands_stay_within_limits(make, make_checker, rate_hz: float = 200.0):
    for targets, duration in ((full_swings, 7.5), (wild_targets(0), 2.0)):
        bench = armed(make(command_rate_hz=rate_hz, **FULL_SPEED))
        bench.run(duration, targets)
        assert bench.core.state is State.ARMED, bench.core.reason
        assert make_checker(1.0 / rate_hz).check(bench.positions) == []
        assert all((np.abs(c.velocity) <= LIMITS.velocity).all() for c in bench.commands)


@pytest.mark.parametrize("rate_hz", [120.0, 200.0, 500.0])
def test_commands_stay_within_limits(make_bench, make_checker, rate_hz):
    commands_stay_within_limits(make_bench, make_checker, rate_hz)


def test_limits_are_used_to_the_full(make_bench):
    bench = armed(make_bench(**FULL_SPEED))
    bench.run(7.5, full_swings)
    for order, limit in enumerate((LIMITS.velocity, LIMITS.acceleration, LIMITS.jerk), 1):
        reached = np.abs(np.diff(bench.positions, order, axis=0)).max(axis=0) / bench.period_s**order
        assert (reached > 0.9 * limit).all()


def speeds_stay_below_their_caps(make, settings):
    bench = armed(make(**settings))
    bench.run(3.0, full_swings)
    speeds = np.abs(np.diff(bench.positions, axis=0)).max(axis=0) / bench.period_s
    assert speeds[ARM].max() <= 0.5
    assert speeds[HAND].max() <= 3.0


SLOW = {**FULL_SPEED, "arm_speed_rad_s": 0.5, "hand_speed_rad_s": 3.0}


def test_speeds_stay_below_their_caps(make_bench):
    speeds_stay_below_their_caps(make_bench, SLOW)


def test_a_slow_joint_does_not_slow_another(make_bench):
    alone, together = (armed(make_bench(**FULL_SPEED)) for _ in range(2))
    alone.run(0.4, lambda _time: offset(8, 0.5))
    together.run(0.4, lambda _time: offset(8, 0.5) + np.eye(23)[0])
    np.testing.assert_allclose(alone.positions[:, 8], together.positions[:, 8], rtol=0, atol=1e-9)


@pytest.mark.parametrize("joint", [0, 9])
def test_a_steady_target_is_followed_without_stops(bench, joint):
    bench.run(1.0, lambda time: offset(joint, 0.9 * time))
    speed = np.diff(bench.positions[-100:, joint]) / bench.period_s
    assert 0.7 < speed.min() <= speed.max() < 1.1
    lag_s = 1.0 - (bench.position[joint] - HOME_POSITION[joint]) / 0.9
    assert lag_s < 0.1


def test_a_target_is_never_passed(bench):
    bench.run(1.0, lambda time: offset(3, min(time, 0.3)))
    bench.run(1.0, lambda _time: offset(3, 0.3))
    assert bench.positions[:, 3].max() <= HOME_POSITION[3] + 0.3
    assert bench.positions[-1, 3] == pytest.approx(HOME_POSITION[3] + 0.3, abs=1e-9)


# Promise 2: the watchdog.


def holds_without_fresh_targets(make, make_checker):
    bench = armed(make())
    bench.run(0.5, lambda time: offset(3, time))
    stopped_s = bench.now_s
    while bench.core.state is State.ARMED:
        bench.step()
        assert bench.now_s <= stopped_s + 0.1 + bench.period_s, "still following"
    assert bench.core.state is State.HOLDING
    assert bench.core.reason == "no fresh target"
    bench.run(0.5)
    assert not bench.core.moving
    held = bench.position.copy()
    bench.run(0.3, lambda _time: offset(3, -0.5))
    np.testing.assert_array_equal(bench.position, held, "moved without being armed again")
    assert make_checker(bench.period_s).check(bench.positions) == []


def test_holds_without_fresh_targets(make_bench, make_checker):
    holds_without_fresh_targets(make_bench, make_checker)


def test_the_watchdog_waits_for_the_first_target(bench):
    bench.run(2.0)
    assert bench.core.state is State.ARMED


def refuses_stale_targets(make):
    bench = armed(make())
    stamp_s = bench.now_s
    bench.run(0.2)
    assert not bench.core.accept_target(JOINT_NAMES, offset(3, 0.1), stamp_s, bench.now_s), "old"
    assert bench.aim(offset(3, 0.1))
    assert not bench.aim(offset(3, 0.2)), "the same stamp again"
    assert not bench.core.accept_target(JOINT_NAMES, offset(3, 0.2), bench.now_s - 0.01, bench.now_s), (
        "reordered"
    )
    assert not bench.core.accept_target(JOINT_NAMES, offset(3, 0.2), bench.now_s + 0.1, bench.now_s), "future"


def test_refuses_stale_targets(make_bench):
    refuses_stale_targets(make_bench)


def holds_when_the_clock_steps_back(make):
    bench = armed(make())
    bench.run(0.3, lambda time: offset(3, time))
    bench.now_s -= 5.0
    bench.step()
    assert bench.core.state is State.HOLDING
    assert bench.core.reason == "clock stepped back"
    assert not bench.aim(offset(3, 0.5))
    bench.run(1.0)
    assert bench.step() is None, "an old setpoint"


def test_holds_when_the_clock_steps_back(make_bench):
    holds_when_the_clock_steps_back(make_bench)


def holds_when_the_clock_stands(make):
    bench = armed(make())
    bench.run(0.3, lambda time: offset(3, time))
    stands_s = bench.now_s
    for _ in range(60):
        bench.now_s = stands_s - bench.period_s
        bench.step()
    assert bench.core.state is State.HOLDING


def test_holds_when_the_clock_stands(make_bench):
    holds_when_the_clock_stands(make_bench)


def test_can_be_armed_again_after_the_clock_stepped_back(make_bench):
    bench = armed(make_bench())
    bench.now_s -= 50.0
    bench.core.tick(bench.now_s)
    bench.core.disarm(bench.now_s)
    assert "measured" in bench.core.arm(bench.now_s).reason, "on a measurement of the old time"
    bench.run(0.3)
    bench.arm()
    assert bench.step().first


# Promise 3: no old setpoint.


def first_command_is_the_measured_position(make):
    bench = armed(make())
    bench.run(0.5, lambda time: offset(3, time))
    bench.run(1.0)
    assert bench.core.disarm(bench.now_s)
    assert bench.step() is None
    moved = bench.position + np.linspace(-0.04, 0.04, 23)
    bench.position = np.clip(moved, LIMITS.lower, LIMITS.upper)
    bench.run(0.2)
    bench.arm()
    measured = bench.position.copy()
    command = bench.step()
    assert command.first
    np.testing.assert_array_equal(command.position, measured)


def test_first_command_is_the_measured_position(make_bench):
    first_command_is_the_measured_position(make_bench)


def arming_forgets_targets(make):
    bench = armed(make())
    bench.run(0.2, lambda _time: offset(3, 1.0))
    bench.run(1.0)
    bench.arm()
    bench.run(0.3)
    assert np.ptp(bench.positions[-50:], axis=0).max() == 0.0, "moved without a new target"
    assert bench.core.state is State.ARMED, "waited for the old target's successor"
    old_s = bench.now_s - 0.05
    bench.core.disarm(bench.now_s)
    bench.arm()
    assert not bench.core.accept_target(JOINT_NAMES, offset(3, 0.3), old_s, bench.now_s), "from before arming"


def test_arming_forgets_targets(make_bench):
    arming_forgets_targets(make_bench)


def arming_is_refused_where_it_is_unsafe(make):
    bench = make()
    assert "measured" in bench.core.arm(bench.now_s).reason, "never measured"
    bench.measure()
    assert not bench.core.arm(float("nan")), "at no time"
    bench.measure()
    bench.now_s += 0.2
    assert "measured" in bench.core.arm(bench.now_s).reason, "stale"
    outside = HOME_POSITION.copy()
    outside[2] = LIMITS.upper[2] + 0.2
    bench.measure(outside)
    assert "lbr_A3" in bench.core.arm(bench.now_s).reason, "outside limits"
    bench.now_s += 0.05
    velocity = np.zeros(23)
    velocity[4] = 0.5
    bench.core.update_measurement(JOINT_NAMES, HOME_POSITION, velocity, bench.now_s, bench.now_s)
    assert "lbr_A5" in bench.core.arm(bench.now_s).reason, "moving"
    bench.arm()
    assert "already" in bench.core.arm(bench.now_s).reason


def test_arming_is_refused_where_it_is_unsafe(make_bench):
    arming_is_refused_where_it_is_unsafe(make_bench)


def test_a_joint_measured_slightly_outside_its_limit_starts_at_the_limit(make_bench):
    bench = make_bench()
    bench.position[8] = LIMITS.upper[8] + 0.03
    bench.arm()
    assert bench.step().position[8] == LIMITS.upper[8]


def test_arming_is_refused_while_decelerating(bench):
    bench.run(0.3, lambda time: offset(3, time))
    bench.core.stop(bench.now_s)
    assert "decelerating" in bench.core.arm(bench.now_s).reason


def test_disarming_in_motion_decelerates_first(bench, make_checker):
    bench.run(0.3, lambda time: offset(3, time))
    assert not bench.core.disarm(bench.now_s)
    bench.run(0.5)
    assert bench.core.state is State.DISARMED
    assert make_checker(bench.period_s).check(bench.positions) == []
    assert bench.step() is None


# Promise 4: command and measurement stay together.


def a_blocked_arm_is_held(make):
    bench = armed(make())
    bench.follows[:] = False
    bench.run(3.0, lambda _time: offset(1, 1.0))
    assert bench.core.state is State.HOLDING
    assert bench.core.reason == "arm does not follow its command"
    # The bound, what speed and grace add, and the way to rest.
    assert np.abs(bench.commands[-1].position - bench.position)[ARM].max() < 0.15 + 1.2 * 0.06 + 0.1


def test_a_blocked_arm_is_held(make_bench):
    a_blocked_arm_is_held(make_bench)


def test_an_arm_that_lags_for_a_moment_is_not_held(bench):
    bench.follows[:] = False
    for tick in range(200):
        # Behind by more than the bound for 40 ms of every 80.
        lag = 0.16 if tick % 16 < 8 else 0.14
        bench.position = bench.commands[-1].position - lag * (np.arange(23) == 1)
        bench.aim(offset(1, 1.0))
        bench.step()
    assert bench.core.state is State.ARMED


def a_squeezing_hand_is_bounded(make):
    bench = armed(make())
    bench.follows[HAND] = False
    target = offset(9, 1.2)
    bench.run(2.0, lambda _time: target)
    assert bench.core.state is State.ARMED, "squeezing is no fault"
    lead = bench.commands[-1].position - bench.position
    assert np.abs(lead[HAND]).max() <= 0.6 + 1e-9
    assert lead[9] == pytest.approx(0.6, abs=1e-6)


def test_a_squeezing_hand_is_bounded(make_bench):
    a_squeezing_hand_is_bounded(make_bench)


# Promise 7, and measurements that cannot be believed.


def a_stale_measurement_of_one_group_holds_both(make, make_checker, stale: str):
    bench = armed(make())
    fresh = {"arm": HAND, "hand": ARM}[stale]
    names = {"arm": HAND_JOINTS, "hand": ARM_JOINTS}[stale]
    bench.run(0.3, lambda time: offset(3, time) + np.eye(23)[9] * time)
    started_s = bench.now_s
    for tick in range(200):
        bench.now_s += bench.period_s
        if tick % 6 == 0:
            bench.aim(offset(3, bench.now_s - started_s))
        bench.core.update_measurement(names, bench.position[fresh], [], bench.now_s, bench.now_s)
        command = bench.core.tick(bench.now_s)
        if command is not None:
            bench.commands.append(command)
            bench.position = command.position
        if bench.now_s > started_s + 0.1 + bench.period_s:
            assert bench.core.state is State.HOLDING
            assert bench.core.reason == f"{stale} measurement stale"
    assert not bench.core.moving
    assert make_checker(bench.period_s).check(bench.positions) == []
    assert command is None, "the driver must not find an old setpoint when it comes back"


@pytest.mark.parametrize("stale", ["arm", "hand"])
def test_a_stale_measurement_of_one_group_holds_both(make_bench, make_checker, stale):
    a_stale_measurement_of_one_group_holds_both(make_bench, make_checker, stale)


def test_arm_and_hand_may_be_measured_by_different_messages(make_bench):
    bench = armed(make_bench())
    for _ in range(100):
        bench.now_s += bench.period_s
        for names, group in ((ARM_JOINTS, ARM), (HAND_JOINTS, HAND)):
            assert bench.core.update_measurement(names, bench.position[group], [], bench.now_s, bench.now_s)
        bench.core.tick(bench.now_s)
    assert bench.core.state is State.ARMED


def a_jump_of_the_measurement_holds(make):
    bench = armed(make())
    bench.run(1.0, lambda _time: HOME_POSITION)
    bench.position = offset(9, 0.5)
    assert bench.step() is not None
    assert bench.core.state is State.HOLDING
    assert bench.core.reason == "measurement jumped"
    assert bench.step() is None, "the old setpoint was replayed after a reset"


def test_a_jump_of_the_measurement_holds(make_bench):
    a_jump_of_the_measurement_holds(make_bench)


def test_a_measurement_that_is_not_finite_is_refused_and_then_stale(bench):
    bench.run(0.2, lambda _time: HOME_POSITION)
    for _ in range(30):
        bench.now_s += bench.period_s
        assert not bench.measure(np.full(23, np.nan))
        bench.core.tick(bench.now_s)
    assert bench.core.state is State.HOLDING


# Cores without a promise.


def loosened(**factors: float):
    """The robot's limits, some of them multiplied by a factor (position limits: moved outwards by so many
    rad)."""
    changes = {
        name: getattr(LIMITS, name) * factor
        if name in ("velocity", "acceleration", "jerk")
        else getattr(LIMITS, name) + factor
        for name, factor in factors.items()
    }
    return dataclasses.replace(LIMITS, **changes)


LIMIT_MUTANTS = {
    "velocity limit": {"velocity": 1.05},
    "acceleration limit": {"acceleration": 1.05},
    "jerk limit": {"jerk": 1.05},
    "lower position limit": {"lower": -0.02},
    "upper position limit": {"upper": 0.02},
}


@pytest.mark.parametrize("removed", LIMIT_MUTANTS)
def test_a_core_with_a_loose(make_bench, make_checker, removed):
    believed = loosened(**LIMIT_MUTANTS[removed])
    with pytest.raises(AssertionError):
        commands_stay_within_limits(
            lambda **settings: make_bench(believed=believed, **settings), make_checker
        )


SETTING_MUTANTS = {
    "target watchdog": (holds_without_fresh_targets, {"target_timeout_s": 100.0}, True),
    "age limit of targets": (refuses_stale_targets, {"target_max_age_s": 100.0}, False),
    "limit on stamps from the future": (refuses_stale_targets, {"clock_tolerance_s": 100.0}, False),
    "measurement watchdog": (
        lambda make, checker: a_stale_measurement_of_one_group_holds_both(make, checker, "arm"),
        {"measurement_timeout_s": 100.0},
        True,
    ),
    "tracking bound": (a_blocked_arm_is_held, {"arm_tracking_rad": 1.0}, False),
    "tracking grace": (a_blocked_arm_is_held, {"tracking_grace_s": 100.0}, False),
    "hand lead bound": (a_squeezing_hand_is_bounded, {"hand_lead_rad": 2.0}, False),
    "jump detection": (a_jump_of_the_measurement_holds, {"measurement_jump_rad": 100.0}, False),
    "start position check": (arming_is_refused_where_it_is_unsafe, {"start_tolerance_rad": 100.0}, False),
    "start speed check": (arming_is_refused_where_it_is_unsafe, {"start_speed_rad_s": 100.0}, False),
}


@pytest.mark.parametrize("removed", SETTING_MUTANTS)
def test_a_core_without_its(make_bench, make_checker, removed):
    scenario, setting, checked = SETTING_MUTANTS[removed]

    def make(**settings):
        return make_bench(**{**settings, **setting})

    with pytest.raises(AssertionError):
        scenario(make, make_checker) if checked else scenario(make)


@pytest.mark.parametrize("cap", ["arm_speed_rad_s", "hand_speed_rad_s"])
def test_a_core_without_a_speed_cap(make_bench, cap):
    with pytest.raises(AssertionError):
        speeds_stay_below_their_caps(make_bench, {**SLOW, cap: FULL_SPEED[cap]})


def test_a_core_that_trusts_the_clock(make_bench, monkeypatch):
    monkeypatch.setattr(Clock, "steps_back", lambda _self, _now_s: False)
    with pytest.raises(AssertionError):
        holds_when_the_clock_steps_back(make_bench)


def test_a_core_that_does_not_count_ticks(make_bench, monkeypatch):
    monkeypatch.setattr(
        "grasp_control.watchdog.Freshness.age_s", lambda self, now_s, _tick: now_s - self._times
    )
    with pytest.raises(AssertionError):
        holds_when_the_clock_stands(make_bench)


def test_a_core_that_starts_where_it_left_off(make_bench, monkeypatch):
    first_command = CommandCore._first_command

    def from_old_setpoint(self):
        if not self.counts["commands"]:
            return first_command(self)
        self._started = True
        return Command(self._limiter.state.position, self._limiter.state.velocity, first=True)

    monkeypatch.setattr(CommandCore, "_first_command", from_old_setpoint)
    with pytest.raises(AssertionError):
        first_command_is_the_measured_position(make_bench)


def test_a_core_that_remembers_targets(make_bench, monkeypatch):
    arm = CommandCore.arm

    def remembering(self, now_s):
        answer, kept = arm(self, now_s), self._ramp._to
        if answer and len(kept):
            self._first_target, self._aimed = kept, True
            self._target_freshness.renew(slice(None), now_s, self._tick)
        return answer

    monkeypatch.setattr(CommandCore, "arm", remembering)
    with pytest.raises(AssertionError):
        arming_forgets_targets(make_bench)
