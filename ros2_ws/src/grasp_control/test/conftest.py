"""A robot that follows its commands, at a clock of its own, for tests of the safety core."""

from collections.abc import Callable

import numpy as np
import pytest

from grasp_control.checker import SequenceChecker
from grasp_control.config import ControlConfig, GuardConfig
from grasp_control.guard import CollisionGuard
from grasp_control.safety import Answer, Command, CommandCore
from grasp_description.robot import HOME_POSITION, JOINT_NAMES, JointLimits, joint_limits

POLICY_PERIOD_S = 1.0 / 30.0


class Bench:
    """A core, a clock, and a robot whose joints are where the last command put them."""

    def __init__(self, core: CommandCore) -> None:
        self.core = core
        self.period_s = core.config.period_s
        self.now_s = 100.0
        self.position = HOME_POSITION.copy()
        self.commands: list[Command] = []
        self.follows = np.ones(len(JOINT_NAMES), bool)
        """which joints follow their commands"""

    def measure(self, position: np.ndarray | None = None) -> Answer:
        """Give the core a measurement of every joint, at rest, stamped now."""
        values = self.position if position is None else position
        return self.core.update_measurement(
            JOINT_NAMES, values, np.zeros(len(values)), self.now_s, self.now_s
        )

    def arm(self) -> None:
        """Measure and arm, which has to succeed."""
        self.measure()
        answer = self.core.arm(self.now_s)
        assert answer, answer.reason

    def aim(self, target: np.ndarray) -> Answer:
        """Give the core a target stamped now."""
        return self.core.accept_target(JOINT_NAMES, target, self.now_s, self.now_s)

    def step(self, measured: bool = True) -> Command | None:
        """One period: a measurement if wanted, a tick, and the robot follows."""
        self.now_s += self.period_s
        if measured:
            self.measure()
        command = self.core.tick(self.now_s)
        if command is not None:
            self.commands.append(command)
            self.position = np.where(self.follows, command.position, self.position)
        return command

    def run(
        self, duration_s: float, target: Callable[[float], np.ndarray] | None = None, measured: bool = True
    ) -> None:
        """Step for a while; ``target`` (of the time since the start) is given at the policy's rate."""
        started = due = self.now_s
        while self.now_s < started + duration_s - 1e-9:
            if target is not None and self.now_s >= due - 1e-9:
                due += POLICY_PERIOD_S
                self.aim(target(self.now_s - started))
            self.step(measured)

    @property
    def positions(self) -> np.ndarray:
        """(T, 23) rad of the commands so far."""
        return np.array([command.position for command in self.commands])


@pytest.fixture(scope="session")
def limits() -> JointLimits:
    """The robot's limits."""
    return joint_limits()


@pytest.fixture
def make_bench(limits: JointLimits) -> Callable[..., Bench]:
    """Makes a bench: with a collision guard if given its settings, with other limits than the robot's if
    given; keywords go to the configuration."""

    def make(
        guard: GuardConfig | None = None, believed: JointLimits | None = None, **settings: float
    ) -> Bench:
        made = CollisionGuard(guard) if guard is not None else None
        return Bench(CommandCore(believed or limits, ControlConfig(**settings), made))

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    """An armed bench without guard, at rest at home, at the default rate."""
    made = make_bench()
    made.arm()
    made.step()
    return made


@pytest.fixture
def make_checker(limits: JointLimits) -> Callable[[float], SequenceChecker]:
    """Makes a checker of the robot's limits for a period in s."""

    def make(period_s: float) -> SequenceChecker:
        return SequenceChecker(
            limits.lower, limits.upper, limits.velocity, limits.acceleration, limits.jerk, period_s
        )

    return make
