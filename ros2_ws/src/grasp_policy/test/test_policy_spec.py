"""The specification inside a policy file: strict JSON, and its comparison with the robot."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grasp_policy.policy_file import CameraPose, PolicyFileError, PolicySpec, check_contract
from grasp_policy.testing import sample_robot, sample_spec


def changed_document(**changes: Any) -> str:
    document = json.loads(sample_spec().to_json())
    document.update(changes)
    return json.dumps(document)


def test_survives_the_way_through_json() -> None:
    assert PolicySpec.from_json(sample_spec().to_json()) == sample_spec()


@given(
    rate=st.floats(1e-3, 1e4),
    seed=st.integers(-(2**62), 2**62),
    scores=st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_survives_json_with_any_finite_numbers(rate: float, seed: int, scores: dict[str, float]) -> None:
    spec = sample_spec(control_rate_hz=rate, scores=scores)
    spec = dataclasses.replace(spec, run=dataclasses.replace(spec.run, seed=seed))
    assert PolicySpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(PolicySpec)])
def test_names_every_missing_field(field: str) -> None:
    document = json.loads(sample_spec().to_json())
    del document[field]
    with pytest.raises(PolicyFileError, match=rf"^{field} is missing"):
        PolicySpec.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, r"colour is present \(1\); expected one of .*\(unknown field\)"),
        ({"image_width": 8.0}, r"image_width is 8\.0 \(float\); expected an integer"),
        ({"image_width": True}, r"image_width is True \(bool\); expected an integer"),
        ({"image_width": 0}, r"image_width is 0; expected at least 1"),
        ({"control_rate_hz": "30"}, r"control_rate_hz is '30' \(str\); expected a number"),
        ({"control_rate_hz": -1.0}, r"control_rate_hz is -1\.0; expected more than 0"),
        ({"joint_names": "lbr_A1"}, r"joint_names is 'lbr_A1' \(str\); expected a list"),
        ({"joint_names": ["a"] * 23}, r"joint_names\[1\] is 'a'; expected each joint once"),
        ({"joint_lower": [0.0]}, r"joint_lower is 1 values; expected 23 values"),
        ({"joint_lower": [3.0] * 23}, r"joint_lower\[0\] \(joint_0\) is 3\.0 rad; expected less than"),
        ({"goal_position": [0.0, 0.0]}, r"goal_position is 2 values; expected 3 values"),
        ({"scores": {"success": "high"}}, r"scores\.success is 'high' \(str\); expected a number"),
        ({"run": {"run_name": "r"}}, r"run\.git_commit is missing"),
        ({"run": []}, r"run is \[\] \(list\); expected an object"),
        (
            {"left_camera": {"position_m": [0, 0, 0], "quaternion_wxyz": [2, 0, 0, 0]}},
            r"quaternion_wxyz is of norm 2; expected norm 1",
        ),
    ],
)
def test_names_field_found_and_expected(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyFileError, match=message):
        PolicySpec.from_json(changed_document(**changes))


def test_a_later_format_is_refused_by_its_version_alone() -> None:
    with pytest.raises(PolicyFileError, match="format_version is 2; expected 1"):
        PolicySpec.from_json('{"format_version": 2, "something_new": true}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ('{"seed": NaN}', "number NaN"),
        ('{"seed": 1, "seed": 2}', "the key 'seed' twice"),
        ("[]", r"PolicySpec is \[\]"),
    ],
)
def test_json_is_read_without_leniences(text: str, message: str) -> None:
    with pytest.raises(PolicyFileError, match=message):
        PolicySpec.from_json(text)


def test_writing_refuses_numbers_that_are_not_finite() -> None:
    with pytest.raises(PolicyFileError, match=r"scores\.success is nan"):
        sample_spec(scores={"success": float("nan")}).to_json()


def test_a_policy_for_this_robot_is_accepted() -> None:
    check_contract(sample_spec(), sample_robot())


def test_joints_in_another_order_are_named_by_index() -> None:
    names = list(sample_robot().joint_names)
    names[3], names[4] = names[4], names[3]
    message = r"joint_names\[3\] is 'joint_4'; expected 'joint_3' .*same joints, another order"
    with pytest.raises(PolicyFileError, match=message) as caught:
        check_contract(sample_spec(joint_names=tuple(names)), sample_robot())
    assert (caught.value.field, caught.value.found) == ("joint_names[3]", "'joint_4'")


def test_a_robot_with_one_joint_more_is_refused() -> None:
    robot = sample_robot()
    longer = dataclasses.replace(
        robot,
        joint_names=(*robot.joint_names, "more"),
        joint_lower=(*robot.joint_lower, -1.0),
        joint_upper=(*robot.joint_upper, 1.0),
    )
    with pytest.raises(PolicyFileError, match="number of joint_names is 23; expected 24"):
        check_contract(sample_spec(), longer)


SHIFTED = CameraPose((1.2, 0.03, 0.63), (1.0, 0.0, 0.0, 0.0))
TURNED = CameraPose((1.2, -0.03, 0.6), (0.9990482, 0.0436194, 0.0, 0.0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"joint_upper": (2.0,) * 22 + (1.9,)},
            r"joint_upper\[22\] \(joint_22\) is 2 rad; expected 1\.9 rad",
        ),
        ({"image_width": 16}, r"image_width is 8 px; expected 16 px"),
        ({"image_height": 12}, r"image_height is 6 px; expected 12 px"),
        ({"control_rate_hz": 60.0}, r"control_rate_hz is 30\.0 Hz; expected 60\.0 Hz"),
        ({"fovy_deg": 41.5}, r"fovy_deg is 40 deg; expected 41\.5 deg .*tolerance 1 deg"),
        ({"baseline_m": 0.063}, r"baseline_m is 0\.06 m; expected 0\.063 m"),
        ({"left_camera": SHIFTED}, r"left_camera\.position_m is .*0\.0300 m apart; tolerance 0\.02 m"),
        ({"right_camera": TURNED}, r"right_camera\.quaternion_wxyz is .*5\.000 deg apart; tolerance 3 deg"),
        ({"goal_position": (0.6, 0.0, 0.4)}, r"goal_position is \(0\.6, 0\.0, 0\.3\) m"),
        ({"fovy_deg": float("nan")}, r"fovy_deg is 40 deg; expected nan"),
    ],
)
def test_another_robot_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyFileError, match=message):
        check_contract(sample_spec(), sample_robot(**changes))


@pytest.mark.parametrize("field", ["fovy_deg", "baseline_m"])
def test_cameras_within_tolerance_are_accepted(field: str) -> None:
    near = getattr(sample_robot(), field) + 0.9 * getattr(sample_spec().camera_tolerance, field)
    check_contract(sample_spec(), sample_robot(**{field: near}))


def test_a_quaternion_and_its_negative_are_the_same_orientation() -> None:
    opposite = CameraPose((1.2, 0.03, 0.6), (-1.0, 0.0, 0.0, 0.0))
    check_contract(sample_spec(), sample_robot(left_camera=opposite))
