"""Commands between joint targets: within limits always, to the target without overshoot."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grasp_description.robot import HOME_POSITION, joint_limits
from grasp_description.workcell import PHYSICS_RATE_HZ
from grasp_training.tasks.command_shaping import CommandShaper

JOINTS = len(HOME_POSITION)
LIMITS = joint_limits()
LOWER, UPPER, VELOCITY, ACCELERATION = (
    torch.tensor(values, dtype=torch.float32)
    for values in (LIMITS.lower, LIMITS.upper, LIMITS.velocity, LIMITS.acceleration)
)
HOME = torch.tensor(HOME_POSITION, dtype=torch.float32)
DT = 1.0 / PHYSICS_RATE_HZ
ROUNDING = 1e-6
"""rad: positions are float32, of magnitudes up to 3"""
OVERSHOOT = ACCELERATION * DT**2 / 8 + ROUNDING
"""rad: whole steps of deceleration miss a target between them by at most this, a thousandth of a radian"""


def standing_at(position: torch.Tensor) -> CommandShaper:
    shaper = CommandShaper(len(position), 4, torch.device("cpu"))
    shaper.reset(torch.arange(len(position)), position)
    return shaper


def follow(shaper: CommandShaper, targets: torch.Tensor) -> torch.Tensor:
    """Commands (4 × steps, n, 23) for targets (steps, n, 23), the start before them."""
    commands = [shaper.position[:, None]] + [shaper(target) for target in targets]
    return torch.cat(commands, dim=1).transpose(0, 1)


@settings(max_examples=40, deadline=None)
@given(hnp.arrays(np.float32, (12, JOINTS), elements=st.floats(0, 1, width=32)), st.floats(0, 1))
def test_commands_stay_within_position_velocity_and_acceleration_limits(shares, start):
    targets = LOWER + (UPPER - LOWER) * torch.tensor(shares)
    commands = follow(standing_at((LOWER + start * (UPPER - LOWER))[None]), targets[:, None])[:, 0]
    velocity = torch.cat([torch.zeros(1, JOINTS), torch.diff(commands, dim=0) / DT])
    acceleration = torch.diff(velocity, dim=0) / DT
    assert (velocity.abs() <= VELOCITY + ROUNDING / DT).all()
    assert (acceleration.abs() <= ACCELERATION + 2 * ROUNDING / DT**2).all()
    assert (commands >= LOWER - OVERSHOOT).all()
    assert (commands <= UPPER + OVERSHOOT).all()


@settings(max_examples=10, deadline=None)
@given(hnp.arrays(np.float32, (8, JOINTS), elements=st.floats(0, 1, width=32)))
def test_a_constant_target_is_reached_without_overshoot_and_then_held(shares):
    target = LOWER + (UPPER - LOWER) * torch.tensor(shares)
    commands = follow(standing_at(HOME.expand(8, -1)), target.expand(75, 8, JOINTS))
    left = (target - commands) * torch.sign(target - HOME)
    assert (left >= -OVERSHOOT).all(), "overshoot"
    assert (torch.diff(left, dim=0) <= OVERSHOOT).all(), "away from the target"
    torch.testing.assert_close(commands[-8:], target.expand(8, -1, -1), atol=ROUNDING, rtol=0)


def test_motion_takes_little_longer_than_the_fastest_within_the_limits():
    target = HOME + 0.5
    commands = follow(standing_at(HOME[None]), target.expand(60, 1, JOINTS))[:, 0]
    steps = ((commands - target).abs() > 1e-3).sum(0)
    peak = torch.minimum(VELOCITY, torch.sqrt(0.5 * ACCELERATION))
    fastest = 0.5 / peak + peak / ACCELERATION
    assert (steps * DT < 1.1 * fastest + 6 * DT).all()


def test_reversals_brake_before_they_turn():
    shaper = standing_at(HOME[None])
    out = follow(shaper, (HOME + 0.3).expand(3, 1, JOINTS))
    back = follow(shaper, HOME.expand(90, 1, JOINTS))
    assert (back[1] > back[0]).any(), "a moving joint cannot stop at once"
    torch.testing.assert_close(back[-1], HOME[None], atol=ROUNDING, rtol=0)
    assert out.shape == (13, 1, JOINTS)


def test_a_reset_stands_still_and_leaves_the_others_alone():
    shaper = standing_at(HOME.expand(3, -1))
    shaper(HOME.expand(3, -1) + 0.2)
    before = shaper.position.clone(), shaper.velocity.clone()
    shaper.reset(torch.tensor([1]), HOME[None] + 0.1)
    for kept, now in zip(before, (shaper.position, shaper.velocity), strict=True):
        assert torch.equal(kept[[0, 2]], now[[0, 2]])
    assert torch.equal(shaper.position[1], HOME + 0.1)
    assert torch.equal(shaper(shaper.position)[1], (HOME + 0.1).expand(4, -1))
