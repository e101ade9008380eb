"""The parameters of /grasp_task, declared with their ranges."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from grasp_task.events import Rules
from grasp_task.picking import Picking

MODES = ("episodes", "picking")
"""What the task does again and again: an attempt and a reset, or a search, a pick and the way to the bin."""
_REACH = Picking.reach_lower_m, Picking.reach_upper_m


def _number(text: str, low: float, high: float) -> ParameterDescriptor:
    span = FloatingPointRange(from_value=low, to_value=high)
    return ParameterDescriptor(description=text, read_only=True, floating_point_range=[span])


def _count(text: str, low: int, high: int) -> ParameterDescriptor:
    span = IntegerRange(from_value=low, to_value=high, step=1)
    return ParameterDescriptor(description=text, read_only=True, integer_range=[span])


def _plain(text: str) -> ParameterDescriptor:
    return ParameterDescriptor(description=text, read_only=True)


DECLARATIONS: dict[str, tuple[Any, ParameterDescriptor]] = {
    "episodes": (20, _count("episodes to run; 0 is endless", 0, 1_000_000)),
    "mode": ("episodes", _plain("episodes, or picking: seek an object, grasp it, carry it to a bin, again")),
    # Without a default: where a lab's bin stands, only the lab can say.
    "bin_arm_rad": (
        Parameter.Type.DOUBLE_ARRAY,
        _plain("A1 to A7 where the hand opens over the bin"),
    ),
    "reach_lower_m": (array("d", _REACH[0]), _plain("least x, y, z of an object that is grasped")),
    "reach_upper_m": (array("d", _REACH[1]), _plain("most x, y, z of an object that is grasped")),
    "steady_m": (0.01, _number("largest spread of estimates of an object at rest", 0.0005, 0.2)),
    "steady_frames": (15, _count("estimates in a row within reach that a grasp takes", 1, 300)),
    "search_window_s": (
        2.0,
        _number("s of the node's clock until a search begins anew", 0.2, 60.0),
    ),
    "grip_shift_rad": (
        0.15,
        _number("most that a hand joint moves while the arm carries", 0.01, 2.0),
    ),
    "autostart": (False, _plain("begin without /grasp/start")),
    "autostart_listener": ("", _plain("diagnostics status that says `ready` before autostart; empty: none")),
    "resume_after_fault": (False, _plain("go on by itself after a fault: for simulation only")),
    "max_consecutive_faults": (3, _count("faults in a row that end a run that resumes by itself", 1, 1000)),
    "reset_service": ("", _plain("std_srvs/Trigger called between episodes; empty: no reset")),
    "score_source": ("", _plain("PoseStamped topic of the object's true pose; empty: no score")),
    "report": ("", _plain("path of the JSON report; empty for none")),
    "labels": ([""], _plain("what is being run, as name=value, copied into the report")),
    "control_node": ("/grasp_control", _plain("full name of the command node")),
    "policy_node": ("/grasp_policy", _plain("full name of the policy node")),
    "camera_node": ("", _plain("full name of the camera node; empty: images come by themselves")),
    "episode_length_s": (5.0, _number("s of the node's clock that the policy acts", 0.5, 120.0)),
    "target_gap_limit_s": (2.0, _number("s of the node's clock between accepted targets", 0.1, 60.0)),
    "episode_wall_limit_s": (180.0, _number("s of wall time an episode may take", 1.0, 3600.0)),
    "motion_limit_s": (
        15.0,
        _number("s of the node's clock for any motion of the task's own", 0.5, 300.0),
    ),
    "motion_wall_limit_s": (60.0, _number("s of wall time for the same", 1.0, 3600.0)),
    "clock_stall_limit_s": (20.0, _number("s of wall time the node's clock may stand still", 0.5, 600.0)),
    "startup_limit_s": (60.0, _number("s of wall time for each other node to get ready", 1.0, 600.0)),
    "answer_limit_s": (10.0, _number("s of wall time for every other service", 0.5, 600.0)),
    "stand_down_limit_s": (5.0, _number("s of wall time to disarm and deactivate the policy", 0.5, 600.0)),
    "target_rate_hz": (30.0, _number("rate of the task's own joint targets", 10.0, 200.0)),
    "motion_speed": (0.3, _number("share of the joints' speed limits in motions", 0.02, 1.0)),
    "arm_tolerance_rad": (0.05, _number("arm joints nearer than this have arrived", 0.001, 0.5)),
    "hand_tolerance_rad": (0.3, _number("hand joints nearer than this have arrived", 0.001, 2.0)),
}
"""name -> default, description with range. Defaults suit a robot; simulation's are in sim.yaml."""


@dataclass(frozen=True)
class TaskParameters:
    """The parameters as read at start."""

    rules: Rules
    picking: Picking | None
    """None in mode episodes"""
    autostart: bool
    autostart_listener: str
    reset_service: str
    score_source: str
    report: str
    labels: dict[str, str]
    control_node: str
    policy_node: str
    camera_node: str
    target_rate_hz: float
    motion_speed: float
    arm_tolerance_rad: float
    hand_tolerance_rad: float


def parse_labels(labels: list[str]) -> dict[str, str]:
    """Split "name=value" entries; empty ones are left out.

    Raises:
        ValueError: an entry has no "=".
    """
    entries = [entry for entry in labels if entry]
    for entry in entries:
        if "=" not in entry:
            raise ValueError(f"parameter 'labels' has entry {entry!r}; expected name=value")
    return {name: value for name, _, value in (entry.partition("=") for entry in entries)}


def declare_parameters(node: Node) -> TaskParameters:
    """Declare and read all of `DECLARATIONS`.

    Raises:
        rclpy.exceptions.ParameterException: a value of the wrong type or out of its range was given.
        ValueError: a label is malformed, there is no such mode, or picking has no bin that the arm can reach.
    """
    for name, (default, descriptor) in DECLARATIONS.items():
        node.declare_parameter(name, default, descriptor)

    def read(name: str) -> Any:
        return node.get_parameter_or(name).value

    if read("mode") not in MODES:
        raise ValueError(f"parameter 'mode' is {read('mode')!r}; expected one of {', '.join(MODES)}")
    is_picking = read("mode") == "picking"
    limits = [name for name in Rules.__dataclass_fields__ if name != "picking"]
    rules = Rules(picking=is_picking, **{name: read(name) for name in limits})
    built: dict[str, Any] = {
        "rules": rules,
        "picking": _picking(read) if is_picking else None,
        "labels": parse_labels(list(read("labels"))),
    }
    others = [name for name in TaskParameters.__dataclass_fields__ if name not in built]
    return TaskParameters(**built, **{name: read(name) for name in others})


def _picking(read: Callable[[str], Any]) -> Picking:
    values: dict[str, Any] = {name: read(name) for name in Picking.__dataclass_fields__}
    values["bin_arm_rad"] = values["bin_arm_rad"] or array("d")
    arrays: dict[str, Any] = {
        name: tuple(value) for name, value in values.items() if isinstance(value, array)
    }
    return Picking(**(values | arrays))
