"""From actions to joint targets: kinematics as MuJoCo's, motion as asked, limits always, the same in ONNX."""

from __future__ import annotations

import mujoco
import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grasp_description.robot import (
    HAND_CLOSED,
    HAND_OPEN,
    HOME_POSITION,
    JOINT_NAMES,
    PALM_LINK,
    joint_limits,
)
from grasp_description.scene import build_model
from grasp_description.workcell import CONTROL_RATE_HZ
from grasp_training.tasks import NUM_ACTIONS, ActionDecoder
from grasp_training.tasks.actions import (
    DAMPING,
    MAX_LEAD_RAD,
    POSTURE_PULL,
    ROTATION_STEP_RAD,
    SPEED_SHARE,
    TRANSLATION_STEP_M,
    solve_spd,
)
from grasp_training.tasks.kinematics import GRASP_POINT, ArmKinematics

ARM = 7
LOWER = torch.tensor(joint_limits().lower, dtype=torch.float32)
UPPER = torch.tensor(joint_limits().upper, dtype=torch.float32)
HOME = torch.tensor(HOME_POSITION, dtype=torch.float32)


@pytest.fixture(scope="module")
def decoder() -> ActionDecoder:
    return ActionDecoder().eval()


def random_positions(count: int, seed: int = 0) -> torch.Tensor:
    """Joint positions (count, 23) anywhere within the limits."""
    generator = torch.Generator().manual_seed(seed)
    return LOWER + (UPPER - LOWER) * torch.rand(count, len(JOINT_NAMES), generator=generator)


def near_home(count: int, seed: int = 0) -> torch.Tensor:
    """Postures (count, 23) such as a grasp has: the arm up to 0.3 rad from home, and not at its limits."""
    generator = torch.Generator().manual_seed(seed)
    positions = HOME.expand(count, -1).clone()
    positions[:, :ARM] += 0.3 * (2 * torch.rand(count, ARM, generator=generator) - 1)
    positions[:, :ARM] = positions[:, :ARM].clamp(LOWER[:ARM] + 0.06, UPPER[:ARM] - 0.06)
    return positions


def test_kinematics_and_jacobian_are_mujocos():
    model = build_model()
    data, kinematics = mujoco.MjData(model), ArmKinematics()
    linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    positions = random_positions(30)
    points, rotations, jacobians = kinematics(positions[:, :ARM])
    for row, joint_position in enumerate(positions.numpy()):
        data.qpos[: len(JOINT_NAMES)] = joint_position
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        palm = data.body(PALM_LINK)
        rotation = palm.xmat.reshape(3, 3)
        point = palm.xpos + rotation @ GRASP_POINT
        mujoco.mj_jac(model, data, linear, angular, point, palm.id)
        np.testing.assert_allclose(points[row], point, atol=2e-6)
        np.testing.assert_allclose(rotations[row], rotation, atol=2e-6)
        np.testing.assert_allclose(jacobians[row], np.vstack([linear, angular])[:, :ARM], atol=2e-6)


def grasp_point_motion(decoder: ActionDecoder, before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Motion (B, 6) of the grasp point from one posture to another, in units of a whole action."""
    point, rotation, _ = decoder.kinematics(before[:, :ARM])
    new_point, new_rotation, _ = decoder.kinematics(after[:, :ARM])
    turn = new_rotation @ rotation.transpose(1, 2)
    skew = 0.5 * (turn - turn.transpose(1, 2))
    vector = torch.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], dim=1)
    return torch.cat([(new_point - point) / TRANSLATION_STEP_M, vector / ROTATION_STEP_RAD], dim=1)


@pytest.mark.parametrize("axis", range(6))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_an_increment_moves_the_grasp_point_as_asked(decoder, axis, sign):
    """Half an increment (a whole one meets speed limits), the wrist bent (straight, it is singular)."""
    previous = near_home(20)
    previous[:, 5] += 0.9
    action = torch.zeros(20, NUM_ACTIONS)
    action[:, axis] = 0.5 * sign
    moved = grasp_point_motion(decoder, previous, decoder(action, previous, previous))
    assert (moved - action[:, :6]).abs().max() < 0.1
    assert (moved - action[:, :6]).abs().mean() < 0.01


def test_arm_step_is_damped_least_squares_with_a_pull_home_in_the_null_space(decoder):
    """Against numpy in double precision, at postures near home: the wrist is nearly straight there."""
    previous = near_home(30)
    action = 0.3 * (2 * torch.rand(30, NUM_ACTIONS, generator=torch.Generator().manual_seed(4)) - 1)
    target = decoder(action, previous, previous)
    scale = np.array([TRANSLATION_STEP_M] * 3 + [ROTATION_STEP_RAD] * 3)
    limit = SPEED_SHARE * joint_limits().velocity[:ARM] / CONTROL_RATE_HZ
    for row in range(30):
        jacobian = decoder.kinematics(previous[row : row + 1, :ARM])[2][0].double().numpy()
        pull = POSTURE_PULL * (HOME - previous[row])[:ARM].double().numpy()
        inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + DAMPING * np.eye(6))
        step = pull + inverse @ (action[row, :6].numpy() * scale - jacobian @ pull)
        step /= max(1.0, np.abs(step / limit).max())
        np.testing.assert_allclose((target - previous)[row, :ARM].numpy(), step, atol=1e-5)


def test_a_whole_increment_keeps_its_direction_where_it_is_shortened(decoder):
    previous = near_home(50)
    action = torch.zeros(50, NUM_ACTIONS)
    action[:, :3] = torch.nn.functional.normalize(
        torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    )
    target = decoder(action, previous, previous)
    moved = decoder.kinematics(target[:, :ARM])[0] - decoder.kinematics(previous[:, :ARM])[0]
    length = torch.linalg.norm(moved, dim=1)
    assert (torch.cosine_similarity(moved, action[:, :3]) > 0.97).all()
    assert (length < 1.05 * TRANSLATION_STEP_M).all()
    assert length.mean() > 0.7 * TRANSLATION_STEP_M


def test_without_arm_action_at_home_nothing_moves(decoder):
    action = torch.zeros(1, NUM_ACTIONS)
    action[:, 6:] = -1.0
    target = decoder(action, HOME[None], HOME[None])
    torch.testing.assert_close(target, HOME[None], atol=1e-6, rtol=0)


def test_posture_pull_goes_home_without_moving_the_grasp_point(decoder):
    start = near_home(10)
    posture = start
    action = torch.zeros(10, NUM_ACTIONS)
    for _ in range(60):
        posture = decoder(action, posture, posture)
    shift = decoder.kinematics(posture[:, :ARM])[0] - decoder.kinematics(start[:, :ARM])[0]
    assert (torch.linalg.norm(shift, dim=1) < 0.01).all()
    distance = [(positions[:, :ARM] - HOME[:ARM]).norm(dim=1).mean() for positions in (start, posture)]
    assert distance[1] < distance[0]


@pytest.mark.parametrize(("value", "posture"), [(-1.0, HAND_OPEN), (1.0, HAND_CLOSED)])
def test_the_hand_goes_to_open_and_closed(decoder, value, posture):
    action = torch.zeros(1, NUM_ACTIONS)
    action[:, 6:] = value
    target = HOME[None]
    for _ in range(60):
        target = decoder(action, target, target)
    np.testing.assert_allclose(target[0, ARM:], posture, atol=1e-3)


def test_each_hand_action_moves_its_own_joints(decoder):
    expected = {6: range(4), 7: range(4, 8), 8: range(8, 12), 9: [12], 10: [13, 14, 15]}
    # Where open and closed agree, as in the fingers' spreading joints, nothing moves.
    moving = {joint for joint in range(16) if HAND_OPEN[joint] != HAND_CLOSED[joint]}
    for index, joints in expected.items():
        action = torch.zeros(1, NUM_ACTIONS)
        action[:, 6:] = -1.0
        action[:, index] = 1.0
        moved = decoder(action, HOME[None], HOME[None])[0, ARM:] - HOME[ARM:]
        assert {joint for joint in range(16) if abs(moved[joint]) > 1e-5} == moving.intersection(joints)


def test_actions_beyond_one_are_clipped(decoder):
    previous = near_home(5)
    action = torch.full((5, NUM_ACTIONS), 1.0)
    torch.testing.assert_close(decoder(action, previous, previous), decoder(7 * action, previous, previous))


vectors = hnp.arrays(np.float32, len(JOINT_NAMES), elements=st.floats(0, 1, width=32))


@settings(max_examples=100, deadline=None)
@given(
    action=hnp.arrays(np.float32, NUM_ACTIONS, elements=st.floats(-1e6, 1e6, width=32)),
    measured=vectors,
    previous=vectors,
)
def test_targets_stay_within_position_and_speed_limits_whatever_comes_in(decoder, action, measured, previous):
    margin = 1e-3
    lower, upper = LOWER + margin, UPPER - margin
    joint_position = LOWER + (UPPER - LOWER) * torch.tensor(measured)
    previous_target = lower + (upper - lower) * torch.tensor(previous)
    target = decoder(torch.tensor(action)[None], joint_position[None], previous_target[None])[0]
    assert torch.isfinite(target).all()
    assert (target >= LOWER).all()
    assert (target <= UPPER).all()
    step = SPEED_SHARE * torch.tensor(joint_limits().velocity) / CONTROL_RATE_HZ
    assert ((target - previous_target).abs() <= step + 1e-5).all()


def test_the_arms_target_does_not_run_away_from_an_arm_that_is_held(decoder):
    measured = previous = HOME[None]
    action = torch.zeros(1, NUM_ACTIONS)
    action[:, 2] = -1.0
    for _ in range(100):
        previous = decoder(action, measured, previous)
    assert (previous - measured)[:, :ARM].abs().max() <= MAX_LEAD_RAD + 1e-6


@settings(max_examples=20, deadline=None)
@given(
    hnp.arrays(np.float64, (6, 6), elements=st.floats(-1, 1)),
    hnp.arrays(np.float64, 6, elements=st.floats(-1, 1)),
)
def test_solve_spd_solves(matrix, rhs):
    spd = torch.tensor(matrix @ matrix.T + 0.01 * np.eye(6))[None]
    right = torch.tensor(rhs)[None]
    expected = torch.linalg.solve(spd, right[..., None])[..., 0]
    torch.testing.assert_close(solve_spd(spd, right), expected, atol=1e-9, rtol=1e-8)


def test_exported_decoder_gives_the_same_targets_over_many_steps(decoder, tmp_path):
    zeros = (torch.zeros(1, NUM_ACTIONS), HOME[None], HOME[None])
    names = ["action", "joint_position", "previous_target"]
    program = torch.onnx.export(decoder, zeros, dynamo=True, input_names=names, verbose=False)
    assert program is not None
    program.save(tmp_path / "decoder.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "decoder.onnx", providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(3)
    ours = theirs = HOME[None]
    for _ in range(60):
        action = 1.5 * torch.randn(1, NUM_ACTIONS, generator=generator)
        measured = HOME[None] + 0.05 * torch.randn(1, len(JOINT_NAMES), generator=generator)
        with torch.no_grad():
            ours = decoder(action, measured, ours)
        feed = {
            "action": action.numpy(),
            "joint_position": measured.numpy(),
            "previous_target": theirs.numpy(),
        }
        theirs = torch.tensor(session.run(None, feed)[0])
        torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)
