"""What a policy file says about itself, and what a robot demands of it.

`PolicySpec` is the one JSON document in the file's metadata; `RobotContract` is the robot's side;
`check_contract` holds one against the other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from grasp_policy.errors import PolicyFileError
from grasp_policy.strict_fields import from_plain, parse_json, to_plain

__all__ = [
    "FORMAT_VERSION",
    "CameraPose",
    "CameraTolerance",
    "PolicySpec",
    "RobotContract",
    "RunIdentity",
    "check_contract",
]

FORMAT_VERSION = 1
LIMIT_TOLERANCE_RAD = 1e-4
"""Joint limits closer than this are the same: they pass through float32 and decimal text."""
GOAL_TOLERANCE_M = 1e-3
"""Goals closer than this are the same; the task's own success tolerance is a hundred times wider."""


@dataclass(frozen=True)
class CameraPose:
    """Pose of a camera's optical frame (x right, y down, z forward) in the arm's base frame."""

    position_m: tuple[float, ...]
    """Position of the optical centre, (3,), in metres."""
    quaternion_wxyz: tuple[float, ...]
    """Orientation, (4,), unit quaternion w-x-y-z."""

    def __post_init__(self) -> None:
        _require_length("position_m", self.position_m, 3)
        _require_length("quaternion_wxyz", self.quaternion_wxyz, 4)
        norm = math.sqrt(sum(value * value for value in self.quaternion_wxyz))
        if not abs(norm - 1.0) < 1e-3:
            raise PolicyFileError.mismatch("quaternion_wxyz", f"of norm {norm:.6g}", "norm 1")

    def distance_m(self, other: CameraPose) -> float:
        """Distance between the two optical centres, in metres."""
        return math.dist(self.position_m, other.position_m)

    def angle_deg(self, other: CameraPose) -> float:
        """Angle of the rotation from one orientation to the other, in degrees, 0 to 180."""
        dot = sum(a * b for a, b in zip(self.quaternion_wxyz, other.quaternion_wxyz, strict=True))
        return math.degrees(2.0 * math.acos(min(1.0, abs(dot))))


@dataclass(frozen=True)
class CameraTolerance:
    """How far the robot's cameras may be from the nominal ones: what training randomized over."""

    position_m: float
    """Largest distance of an optical centre from its nominal place, in metres."""
    rotation_deg: float
    """Largest angle to the nominal orientation, in degrees."""
    fovy_deg: float
    """Largest difference of the vertical field of view, in degrees."""
    baseline_m: float
    """Largest difference of the baseline, in metres."""

    def __post_init__(self) -> None:
        for name in ("position_m", "rotation_deg", "fovy_deg", "baseline_m"):
            _require_at_least(name, getattr(self, name), 0)


@dataclass(frozen=True)
class RunIdentity:
    """The training run that a policy came from."""

    run_name: str
    """Name of the run's folder."""
    git_commit: str
    """Commit of the training code, 40 hexadecimal digits; ``-dirty`` follows where files had changed."""
    seed: int
    """Seed of the run."""
    iterations: int
    """Learning iterations done."""
    environment_steps: int
    """Control steps simulated, over all environments."""


@dataclass(frozen=True)
class PolicySpec:
    """The contract of one policy file. Serialised as one strict JSON document in its metadata."""

    format_version: int
    """Version of this document; `FORMAT_VERSION` is the only one read."""
    joint_names: tuple[str, ...]
    """Joint names in the order of every joint vector of the graph (23, canonical)."""
    joint_lower: tuple[float, ...]
    """Lower joint limits that it was trained with, in rad, one a joint."""
    joint_upper: tuple[float, ...]
    """Upper joint limits that it was trained with, in rad, one a joint."""
    control_rate_hz: float
    """Steps a second, which is also the rate of the images."""
    image_width: int
    """Width of each image, in pixels."""
    image_height: int
    """Height of each image, in pixels."""
    fovy_deg: float
    """Vertical field of view of each camera, in degrees."""
    baseline_m: float
    """Distance between the two optical centres, in metres."""
    left_camera: CameraPose
    """Nominal pose of the left camera."""
    right_camera: CameraPose
    """Nominal pose of the right camera."""
    camera_tolerance: CameraTolerance
    """How far the real cameras may be from these."""
    memory_size: int
    """Numbers of recurrent state, the M of ``memory_in`` and ``memory_out``."""
    episode_length_s: float
    """Length of an episode in training, in seconds."""
    goal_position: tuple[float, ...]
    """Where it was trained to bring the object, (3,), in metres, in the arm's base frame."""
    run: RunIdentity
    """The training run."""
    scores: dict[str, float]
    """Scores by name, such as ``success_held_out``; shares are 0 to 1."""

    def __post_init__(self) -> None:
        if self.format_version != FORMAT_VERSION:
            raise PolicyFileError.mismatch("format_version", self.format_version, FORMAT_VERSION)
        self._check_joints()
        for name in ("control_rate_hz", "fovy_deg", "baseline_m", "episode_length_s"):
            _require_above_zero(name, getattr(self, name))
        for name in ("image_width", "image_height", "memory_size"):
            _require_at_least(name, getattr(self, name), 1)
        if self.fovy_deg >= 180.0:
            raise PolicyFileError.mismatch("fovy_deg", self.fovy_deg, "less than 180 degrees")
        _require_length("goal_position", self.goal_position, 3)

    def _check_joints(self) -> None:
        count = len(self.joint_names)
        _require_at_least("the number of joint_names", count, 1)
        for index, name in enumerate(self.joint_names):
            if name in self.joint_names[:index]:
                raise PolicyFileError.mismatch(f"joint_names[{index}]", repr(name), "each joint once")
        _require_length("joint_lower", self.joint_lower, count)
        _require_length("joint_upper", self.joint_upper, count)
        for index, (lower, upper) in enumerate(zip(self.joint_lower, self.joint_upper, strict=True)):
            if not lower < upper:
                name = f"joint_lower[{index}] ({self.joint_names[index]})"
                raise PolicyFileError.mismatch(name, f"{lower} rad", f"less than joint_upper, {upper} rad")

    @property
    def joint_count(self) -> int:
        """Number of joints, the 23 of the joint vectors."""
        return len(self.joint_names)

    def to_json(self) -> str:
        """The document, with sorted keys, so that equal specifications give equal bytes.

        Raises:
            PolicyFileError: a field has another type than declared, or a number is not finite.
        """
        plain = to_plain(self)
        from_plain(PolicySpec, plain)
        return json.dumps(plain, sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> PolicySpec:
        """Read the document.

        Raises:
            PolicyFileError: not JSON, another format version, a field unknown, missing or of another type.
        """
        document = parse_json(text, "policy metadata")
        # The version comes first: a later format has other fields, and that is not what is wrong with it.
        if isinstance(document, dict) and document.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            raise PolicyFileError.mismatch("format_version", document["format_version"], FORMAT_VERSION)
        return from_plain(cls, document)


@dataclass(frozen=True)
class RobotContract:
    """What the robot at hand is: a policy that was made for another one is refused."""

    joint_names: tuple[str, ...]
    """Joint names in canonical order."""
    joint_lower: tuple[float, ...]
    """Lower joint limits, in rad."""
    joint_upper: tuple[float, ...]
    """Upper joint limits, in rad."""
    control_rate_hz: float
    """Rate at which images come and the policy runs."""
    image_width: int
    """Width of each image, in pixels."""
    image_height: int
    """Height of each image, in pixels."""
    fovy_deg: float
    """Vertical field of view of each camera, in degrees."""
    baseline_m: float
    """Distance between the two optical centres, in metres."""
    left_camera: CameraPose
    """Pose of the left camera, by calibration."""
    right_camera: CameraPose
    """Pose of the right camera, by calibration."""
    goal_position: tuple[float, ...]
    """Where the task wants the object, (3,), in metres, in the arm's base frame."""


def check_contract(spec: PolicySpec, robot: RobotContract) -> None:
    """Hold a policy's specification against the robot.

    Raises:
        PolicyFileError: names the first field that differs, its value in the policy and the robot's.
    """
    _compare_names(spec.joint_names, robot.joint_names)
    for field in ("joint_lower", "joint_upper"):
        _compare_limits(field, spec, robot)
    for field in ("image_width", "image_height"):
        if getattr(spec, field) != getattr(robot, field):
            raise _differs(field, f"{getattr(spec, field)} px", f"{getattr(robot, field)} px")
    if not math.isclose(spec.control_rate_hz, robot.control_rate_hz, rel_tol=1e-6):
        raise _differs("control_rate_hz", f"{spec.control_rate_hz} Hz", f"{robot.control_rate_hz} Hz")
    _compare_cameras(spec, robot)
    if not math.dist(spec.goal_position, robot.goal_position) <= GOAL_TOLERANCE_M:
        raise _differs("goal_position", f"{spec.goal_position} m", f"{robot.goal_position} m")


def _differs(field: str, found: object, expected: object, note: str = "") -> PolicyFileError:
    note = "the robot's configuration" + (f"; {note}" if note else "")
    return PolicyFileError.mismatch(field, found, expected, note=note)


def _compare_names(found: Sequence[str], expected: Sequence[str]) -> None:
    for index, (name, wanted) in enumerate(zip(found, expected, strict=False)):
        if name != wanted:
            note = "same joints, another order" if sorted(found) == sorted(expected) else ""
            raise _differs(f"joint_names[{index}]", repr(name), repr(wanted), note)
    if len(found) != len(expected):
        raise _differs("the number of joint_names", len(found), len(expected))


def _compare_limits(field: str, spec: PolicySpec, robot: RobotContract) -> None:
    for index, (found, wanted) in enumerate(zip(getattr(spec, field), getattr(robot, field), strict=True)):
        if not abs(found - wanted) <= LIMIT_TOLERANCE_RAD:
            name = f"{field}[{index}] ({spec.joint_names[index]})"
            raise _differs(name, f"{found:.6g} rad", f"{wanted:.6g} rad")


def _compare_cameras(spec: PolicySpec, robot: RobotContract) -> None:
    tolerance = spec.camera_tolerance
    for field, unit, allowed in (
        ("fovy_deg", "deg", tolerance.fovy_deg),
        ("baseline_m", "m", tolerance.baseline_m),
    ):
        found, wanted = getattr(spec, field), getattr(robot, field)
        if not abs(found - wanted) <= allowed + 1e-9:
            note = f"tolerance {allowed:g} {unit}"
            raise _differs(field, f"{found:.6g} {unit}", f"{wanted:.6g} {unit}", note)
    for field in ("left_camera", "right_camera"):
        nominal, actual = getattr(spec, field), getattr(robot, field)
        distance, angle = nominal.distance_m(actual), nominal.angle_deg(actual)
        if not distance <= tolerance.position_m + 1e-6:
            note = f"{distance:.4f} m apart; tolerance {tolerance.position_m:g} m"
            raise _differs(f"{field}.position_m", nominal.position_m, actual.position_m, note)
        # acos is steep at 1: float64 rounding alone makes some 1e-6 degrees of two equal quaternions.
        if not angle <= tolerance.rotation_deg + 1e-4:
            note = f"{angle:.3f} deg apart; tolerance {tolerance.rotation_deg:g} deg"
            raise _differs(f"{field}.quaternion_wxyz", nominal.quaternion_wxyz, actual.quaternion_wxyz, note)


def _require_length(field: str, value: Sequence[object], length: int) -> None:
    if len(value) != length:
        raise PolicyFileError.mismatch(field, f"{len(value)} values", f"{length} values")


def _require_at_least(field: str, value: float, least: float) -> None:
    if not value >= least:
        raise PolicyFileError.mismatch(field, value, f"at least {least}")


def _require_above_zero(field: str, value: float) -> None:
    if not value > 0:
        raise PolicyFileError.mismatch(field, value, "more than 0")
