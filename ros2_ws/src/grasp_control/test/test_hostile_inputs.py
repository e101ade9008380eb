"""Promise 1 over more than a million hostile inputs: no command outside the limits, ever.

An adversary sends targets, measurements, clock readings and requests to the core: NaN, infinities, huge
    numbers, wrong lengths, unknown, missing and repeated names, shuffled orders, jumps, reversals, stale,
    repeated, reordered and future stamps, clocks that stand, leap and step back, faulty measurements, arming
    and disarming at any moment. Every command that comes out is judged by ``SequenceChecker``, which knows
    nothing of the limiter or of ruckig, and by what the test itself has noted.
"""

from collections import Counter
from enum import Enum

import numpy as np
import pytest

from grasp_control.checker import SequenceChecker
from grasp_control.collision import CollisionModel
from grasp_control.config import ControlConfig, GuardConfig
from grasp_control.guard import CollisionGuard
from grasp_control.safety import Cause, CommandCore, State
from grasp_description.robot import ARM_JOINTS, HAND_JOINTS, HOME_POSITION, JOINT_NAMES, joint_limits

LIMITS = joint_limits()
INPUTS = 1_000_000
POOL = 3000
GUARD_SLACK_M = 0.002


def hostile_targets(rng: np.random.Generator) -> list[tuple[tuple[str, ...], list[float]]]:
    """Names and positions of target messages, sound and unsound."""

    def one(kind: int) -> tuple[tuple[str, ...], list[float]]:
        names, values = list(JOINT_NAMES), rng.uniform(LIMITS.lower, LIMITS.upper)
        if kind in (0, 1):
            values = np.where(rng.random(23) < 0.5, LIMITS.lower, LIMITS.upper)
        elif kind == 2:
            values = HOME_POSITION + rng.normal(0.0, 10.0 ** rng.uniform(-9, 0), 23)
        elif kind == 3:
            values = values * 10.0 ** rng.uniform(0, 300)
        elif kind == 4:
            values[rng.integers(23)] = rng.choice([np.nan, np.inf, -np.inf])
        elif kind == 5:
            values = values[: rng.integers(23)] if rng.random() < 0.5 else np.tile(values, 2)
        elif kind == 6:
            names[rng.integers(23)] = rng.choice(["lbr_A8", "", JOINT_NAMES[0], JOINT_NAMES[22]])
        elif kind == 7:
            names = names[: rng.integers(23)]
        elif kind == 8:
            order = rng.permutation(23)
            names, values = [names[i] for i in order], values[order]
        return tuple(names), values.tolist()

    return [one(int(rng.integers(12))) for _ in range(POOL)]


class Mood(Enum):
    """What goes wrong beside single messages."""

    USUAL = 0
    NO_POLICY = 1
    NO_ROBOT = 2
    NO_HAND = 3
    STUCK = 4


MOODS = (*[Mood.USUAL] * 6, Mood.NO_POLICY, Mood.NO_ROBOT, Mood.NO_HAND, Mood.STUCK)
FINGERS = np.arange(23) >= 7


class Adversary:
    """Sends everything to one core and notes what comes back."""

    def __init__(self, core: CommandCore, seed: int, judge: CollisionModel | None) -> None:
        self.core, self.rng, self.judge = core, np.random.default_rng(seed), judge
        self.period_s = core.config.period_s
        self.checker = SequenceChecker(
            LIMITS.lower,
            LIMITS.upper,
            np.minimum(
                LIMITS.velocity, [core.config.arm_speed_rad_s] * 7 + [core.config.hand_speed_rad_s] * 16
            ),
            LIMITS.acceleration,
            LIMITS.jerk,
            self.period_s,
        )
        self.targets = hostile_targets(self.rng)
        self.now_s = 1000.0
        self.robot = HOME_POSITION.copy()
        self.measured = np.full(23, np.nan)
        self.sequence: list[np.ndarray] = []
        self.allowed: dict[int, float] = {}
        self.seen: Counter[str] = Counter()
        self.ticks_since_target = self.ticks_in_hold = 0
        self.stamp_s = 0.0
        self.mood = Mood.USUAL

    # What goes in.

    def stamp(self, dice: float) -> float:
        """Mostly now; else old, new, repeated or no number."""
        if dice < 0.8:
            self.stamp_s = self.now_s
        elif dice < 0.9:
            self.stamp_s = self.now_s - 2.0 * (dice - 0.8)
        elif dice < 0.95:
            self.stamp_s = self.now_s + 4.0 * (dice - 0.9)
        elif dice < 0.97:
            self.stamp_s = float("nan") if dice < 0.96 else float("inf")
        return self.stamp_s

    def send_target(self, choice: int, dice: float) -> None:
        names, values = self.targets[choice]
        self.seen["targets"] += 1
        if self.core.accept_target(names, values, self.stamp(dice), self.now_s):
            self.seen["targets accepted"] += 1
            self.ticks_since_target = 0

    def send_measurement(self, kind: int, dice: float, noise: np.ndarray) -> None:
        names, position, velocity = JOINT_NAMES, self.robot + noise, [0.0] * 23
        columns = slice(0, 23)
        if kind in (0, 1):
            names, columns = (ARM_JOINTS, slice(0, 7)) if kind == 0 else (HAND_JOINTS, slice(7, 23))
            position, velocity = position[columns], []
        elif kind == 2:
            position[int(dice * 23)] = (np.nan, np.inf, -np.inf)[int(dice * 300) % 3]
        elif kind == 3:
            position = position[: int(dice * 23)]
        elif kind == 4:
            velocity = [0.0] * int(dice * 23)
        elif kind == 5:
            velocity[int(dice * 23)] = float("nan")
        elif kind == 6:
            names = ("somebody", "else")
        elif kind == 7 and dice < 0.02:
            position = position + self.rng.uniform(-3.0, 3.0, 23)
        self.seen["measurements"] += 1
        if self.core.update_measurement(names, position.tolist(), velocity, self.stamp(dice), self.now_s):
            self.seen["measurements accepted"] += 1
            self.measured[columns] = position

    def advance_clock(self, dice: float) -> float:
        """The next reading: mostly one period on."""
        self.seen["clock readings"] += 1
        if dice < 0.96:
            self.now_s += self.period_s
        elif dice < 0.98:
            self.now_s += self.period_s * 200.0 * (dice - 0.96)
        elif dice < 0.9985:
            self.now_s += 0.0
        elif dice < 0.999:
            self.now_s -= 10.0 ** (2e4 * (dice - 0.9985) - 6.0)
        elif dice < 0.9995:
            self.now_s += 10.0 ** (8e3 * (dice - 0.999) - 2.0)
        else:
            return float("nan")
        return self.now_s

    def request(self, dice: float) -> None:
        """Arming where needed; now and then something at a bad moment."""
        if dice < 0.1:
            self.core.interlock = ""
        if self.core.state is not State.ARMED and dice < 0.3:
            values = self.robot.tolist()
            if self.core.update_measurement(JOINT_NAMES, values, [0.0] * 23, self.now_s, self.now_s):
                self.measured[:] = self.robot
            self.arm()
        elif dice > 0.995:
            now_s = self.now_s
            (
                self.arm,
                lambda: self.core.disarm(now_s),
                lambda: self.core.stop(now_s),
                lambda: self.core.abandon("asked to"),
                self.end_session,
            )[int(dice * 1e6) % 5]()
            self.seen["requests"] += 1

    def end_session(self) -> None:
        """The arm takes no commands, for a while."""
        self.core.interlock = "the arm's session is MONITORING_READY"

    def arm(self) -> None:
        self.seen["requests"] += 1
        if self.core.arm(self.now_s):
            self.seen["arms"] += 1
            # The watchdog waits for the first target.
            self.ticks_since_target = -(10**9)

    # What comes out.

    def tick(self, now_s: float) -> None:
        before = self.core.state
        command = self.core.tick(now_s)
        state = self.core.state
        assert state is not State.FAULTED, self.core.reason
        self.ticks_since_target += 1
        if state is State.ARMED:
            assert self.ticks_since_target <= 0.1 / self.period_s + 1, "followed a stale target"
        self.ticks_in_hold = self.ticks_in_hold + 1 if state is State.HOLDING else 0
        assert self.ticks_in_hold < 1.0 / self.period_s or not self.core.moving, "hold without rest"
        if command is None:
            return
        assert before is not State.DISARMED, "a command while disarmed"
        assert (np.abs(command.velocity) <= LIMITS.velocity).all()
        if command.first:
            self.finish()
            start = np.clip(self.measured, LIMITS.lower, LIMITS.upper)
            np.testing.assert_array_equal(command.position, start)
        self.sequence.append(command.position)
        follows = self.mood is not Mood.STUCK
        self.robot = np.where(FINGERS | follows, command.position, self.robot)

    def finish(self) -> None:
        """Judge the sequence that has ended."""
        if not self.sequence:
            return
        positions = np.array(self.sequence)
        violations = self.checker.check(positions)
        assert not violations, violations[:5]
        self.seen["sequences"] += 1
        self.seen["commands in motion"] += int((np.diff(positions, axis=0) != 0.0).any(axis=1).sum())
        if self.judge is not None:
            allowed = self.judge.violations(positions[0])
            for position in positions[1:]:
                for key, gap in self.judge.violations(position).items():
                    assert gap >= allowed.get(key, 0.0) - GUARD_SLACK_M, self.judge.describe(key)
        self.sequence = []

    def run(self, ticks: int, messages: int) -> None:
        """Ticks, each with 0 to 2 ``messages`` targets and as many measurements before it."""
        rng = self.rng
        counts = rng.integers(0, 2 * messages + 1, (ticks, 2)).tolist()
        for tick, (targets, measurements) in enumerate(counts):
            if tick % 100 == 0:
                self.mood = MOODS[int(rng.integers(len(MOODS)))]
            dice = rng.random(2 + targets + measurements).tolist()
            if self.mood is not Mood.NO_POLICY:
                for choice in rng.integers(0, POOL, targets).tolist():
                    self.send_target(choice, dice.pop())
            if measurements and not (self.mood is Mood.NO_ROBOT and tick % 100 > 30):
                kinds = rng.integers(0, 1 if self.mood is Mood.NO_HAND else 14, measurements).tolist()
                noise = rng.normal(0.0, 0.002, 23)
                for kind in kinds:
                    self.send_measurement(kind, dice.pop(), noise)
            self.request(dice.pop())
            self.tick(self.advance_clock(dice.pop()))
        self.finish()


def torment(seed: int, rate_hz: float, ticks: int, messages: int, guarded: bool = False) -> Adversary:
    guard = CollisionGuard(GuardConfig()) if guarded else None
    core = CommandCore(LIMITS, ControlConfig(command_rate_hz=rate_hz), guard)
    adversary = Adversary(core, seed, CollisionModel(GuardConfig()) if guarded else None)
    adversary.run(ticks, messages)
    return adversary


@pytest.mark.slow
def test_no_command_leaves_the_limits_under_a_million_hostile_inputs(record_property):
    total: Counter[str] = Counter()
    checked = 0
    for seed, (rate_hz, ticks, messages, guarded) in enumerate(
        [
            (120.0, 30_000, 4, False),
            (200.0, 72_000, 4, False),
            (500.0, 20_000, 3, False),
            (1000.0, 8_000, 2, False),
            (200.0, 8_000, 2, True),
        ]
    ):
        adversary = torment(seed, rate_hz, ticks, messages, guarded)
        total += adversary.seen
        total += Counter({k: n for k, n in adversary.core.figures().items() if k.startswith("holds")})
        checked += adversary.checker.checked
    inputs = sum(total[kind] for kind in ("targets", "measurements", "clock readings", "requests"))
    for name, count in {**total, "inputs": inputs, "commands checked": checked}.items():
        record_property(name, count)
        print(f"{name}: {count}")
    assert inputs >= INPUTS
    # An adversary that always trips the watchdog would check nothing.
    assert total["commands in motion"] > 30_000
    assert total["targets accepted"] > 30_000
    assert total["sequences"] > 500
    assert all(total[f"holds: {cause}"] for cause in Cause), "every cause of a hold is among them"


@pytest.mark.parametrize("seed", [10, 11])
def test_no_command_leaves_the_limits_in_a_short_torment(seed):
    adversary = torment(seed, 200.0, 1500, 2)
    assert adversary.seen["commands in motion"] > 300
