"""A loaded policy, step by step: its recurrent state and the checks on what goes in and comes out."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from grasp_policy.policy_file import Policy, PolicyInputError, PolicyOutputError, load_policy
from grasp_policy.testing import write_sample

BLACK = np.zeros((6, 8, 3), np.uint8)
GREY = np.full((6, 8, 3), 100, np.uint8)
POSITION = np.linspace(-1.0, 1.0, 23)
STILL = np.zeros(23)


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    return load_policy(write_sample(tmp_path), None)


def test_memory_goes_on_from_step_to_step(policy: Policy) -> None:
    estimates = [policy.step(BLACK, BLACK, STILL, STILL).object_position[0] for _ in range(4)]
    assert estimates == [0.0, 1.0, 2.0, 3.0]


def test_reset_zeroes_the_memory(policy: Policy) -> None:
    policy.step(BLACK, BLACK, STILL, STILL)
    policy.reset(STILL)
    assert policy.step(BLACK, BLACK, STILL, STILL).object_position.tolist() == [0.0, 0.0, 0.0]


def test_previous_target_is_the_policys_own_and_not_what_was_measured(policy: Policy) -> None:
    policy.reset(POSITION)
    policy.step(GREY, BLACK, POSITION, STILL)
    second = policy.step(GREY, BLACK, POSITION + 0.5, STILL)
    np.testing.assert_allclose(second.joint_target, POSITION + 0.2, atol=1e-6)


def test_previous_target_after_a_reset_is_the_measured_position(policy: Policy) -> None:
    policy.step(GREY, BLACK, STILL, STILL)
    policy.reset(POSITION)
    first = policy.step(BLACK, BLACK, POSITION + 0.01, STILL)
    np.testing.assert_allclose(first.joint_target, POSITION, atol=1e-6)


def test_reset_without_a_measurement_takes_that_of_the_first_step(policy: Policy) -> None:
    policy.step(GREY, BLACK, STILL, STILL)
    policy.reset()
    first = policy.step(BLACK, BLACK, POSITION, STILL)
    np.testing.assert_allclose(first.joint_target, POSITION, atol=1e-6)


def test_left_and_right_are_not_mixed_up(policy: Policy) -> None:
    assert policy.step(GREY, BLACK, STILL, STILL).joint_target[0] > 0
    policy.reset()
    assert policy.step(BLACK, GREY, STILL, STILL).joint_target[0] < 0


def test_velocities_are_used(policy: Policy) -> None:
    output = policy.step(BLACK, BLACK, STILL, np.arange(23.0))
    np.testing.assert_allclose(output.joint_target, 0.01 * np.arange(23.0), atol=1e-6)


def test_equal_runs_give_equal_bits(policy: Policy) -> None:
    runs = []
    for _ in range(2):
        policy.reset(POSITION)
        runs.append([policy.step(GREY, BLACK, POSITION, STILL).joint_target for _ in range(5)])
    np.testing.assert_array_equal(runs[0], runs[1])


def test_siblings_share_weights_and_no_state(policy: Policy) -> None:
    sibling = policy.sibling()
    policy.step(BLACK, BLACK, STILL, STILL)
    policy.step(BLACK, BLACK, STILL, STILL)
    assert sibling.step(BLACK, BLACK, STILL, STILL).object_position[0] == 0.0
    assert policy.step(BLACK, BLACK, STILL, STILL).object_position[0] == 2.0


def test_changing_an_output_does_not_change_the_state(policy: Policy) -> None:
    policy.reset(POSITION)
    policy.step(BLACK, BLACK, POSITION, STILL).joint_target[:] = 9.0
    second = policy.step(BLACK, BLACK, POSITION, STILL)
    np.testing.assert_allclose(second.joint_target, POSITION, atol=1e-6)


def test_padded_rows_make_no_difference(policy: Policy) -> None:
    rng = np.random.default_rng(1)
    wide = rng.integers(0, 255, (6, 11, 3), np.uint8)
    padded = wide[:, :8]
    assert not padded.flags.c_contiguous
    from_padded = policy.step(padded, BLACK, POSITION, STILL).joint_target
    policy.reset()
    np.testing.assert_array_equal(
        policy.step(padded.copy(), BLACK, POSITION, STILL).joint_target, from_padded
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("left", np.zeros((6, 9, 3), np.uint8), r"left is uint8 \(6, 9, 3\); expected uint8 \(6, 8, 3\)"),
        ("right", np.zeros((6, 8, 3), np.float32), r"right is float32 \(6, 8, 3\); expected uint8"),
        ("left", None, "left is a NoneType"),
        ("joint_position", np.zeros(22), r"joint_position is float64 \(22,\); expected .*\(23,\)"),
        ("joint_position", np.zeros(23, np.int64), r"joint_position is int64 \(23,\)"),
        ("joint_position", np.r_[np.zeros(22), np.nan], r"joint_position\[22\] \(joint_22\) is nan"),
        ("joint_velocity", np.r_[np.inf, np.zeros(22)], r"joint_velocity\[0\] \(joint_0\) is inf"),
        ("joint_velocity", np.r_[1e300, np.zeros(22)], r"joint_velocity\[0\] \(joint_0\) is 1e\+300"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(policy: Policy, name: str, value, message: str) -> None:
    good = {"left": BLACK, "right": BLACK, "joint_position": POSITION, "joint_velocity": STILL}
    policy.reset(POSITION)
    policy.step(**good)
    with pytest.raises(PolicyInputError, match=message):
        policy.step(**(good | {name: value}))
    assert policy.step(**good).object_position[0] == 0.0


def test_a_bad_measurement_at_reset_is_refused(policy: Policy) -> None:
    with pytest.raises(PolicyInputError, match=r"measured\[0\] \(joint_0\) is nan"):
        policy.reset(np.full(23, np.nan))


def test_memory_that_is_not_finite_is_refused_and_not_kept(policy: Policy, monkeypatch) -> None:
    answer = [np.zeros((1, 23), np.float32), np.zeros((1, 3), np.float32), np.full((1, 4), np.nan)]
    with monkeypatch.context() as patched:
        patched.setattr(policy, "_session", SimpleNamespace(run=lambda _names, _feed: answer))
        with pytest.raises(PolicyOutputError, match=r"memory_out\[0\] is nan"):
            policy.step(BLACK, BLACK, STILL, STILL)
    assert policy.step(BLACK, BLACK, STILL, STILL).object_position[0] == 0.0


def test_output_that_is_not_finite_is_refused_until_reset(tmp_path: Path) -> None:
    policy = load_policy(write_sample(tmp_path, nan_after_steps=2), None)
    policy.step(BLACK, BLACK, STILL, STILL)
    policy.step(BLACK, BLACK, STILL, STILL)
    for _ in range(2):
        with pytest.raises(PolicyOutputError, match=r"joint_target\[0\] is nan; expected a finite number"):
            policy.step(BLACK, BLACK, STILL, STILL)
    policy.reset(STILL)
    assert np.isfinite(policy.step(BLACK, BLACK, STILL, STILL).joint_target).all()
