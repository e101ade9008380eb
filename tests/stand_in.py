"""A stand-in for a trained policy: a real policy file for this robot and workcell that turns one joint."""

from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from grasp_policy.policy_file import write_card, write_policy
from grasp_policy.testing import sample_card, sample_model, sample_spec
from grasp_policy.workcell_contract import workcell_contract

FRAMES_A_SECOND = 30
_FINGER = 8


def write_stand_in(
    folder: Path,
    turn_rad_s: float = 0.0,
    sees: bool = False,
    bends_finger: bool = False,
    nan_on_white: bool = False,
) -> Path:
    """Write the policy and its card into ``folder``.

    Args:
        folder: where to
        turn_rad_s: speed at which the target of the arm's first joint runs on; all other targets stand
        sees: instead, whatever it sees and measures moves all joints a little: it never does the same twice
            where these differ in the least
        bends_finger: a joint of the index finger's runs on with the arm's
        nan_on_white: the target is NaN when all that the left eye sees is white

    Returns:
        the path of the policy file
    """
    spec = sample_spec(workcell_contract())
    model = sample_model(spec)
    step = np.zeros((1, len(spec.joint_names)), np.float32)
    step[0, [0, _FINGER] if bends_finger else 0] = turn_rad_s / FRAMES_A_SECOND
    for constant in () if sees else model.graph.initializer:
        # The sample moves with what it sees and how fast it is; this one moves at its own pace.
        if constant.name in ("image_gain", "velocity_gain"):
            constant.CopyFrom(numpy_helper.from_array(np.zeros((), np.float32), constant.name))
    model.graph.initializer.append(numpy_helper.from_array(step, "step"))
    last = next(node for node in model.graph.node if "target" in node.output)
    last.input[1] = last.input[1] if sees else "step"
    if nan_on_white:
        _spoil_on_white(model, last)
    path = folder / "stand_in.onnx"
    write_policy(path, model, spec)
    write_card(path, sample_card(path))
    return path


def _spoil_on_white(model: ModelProto, last: NodeProto) -> None:
    """Multiply what is added to the target by 0/0 where the least value of the left image is 255."""
    white = np.array(255.0, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(white, "white"))
    place = list(model.graph.node).index(last)
    nodes = [
        helper.make_node("ReduceMin", ["left_real", "image_axes"], ["darkest"], keepdims=0),
        helper.make_node("Sub", ["white", "darkest"], ["short_of_white"]),
        helper.make_node("Div", ["short_of_white", "short_of_white"], ["one_or_nan"]),
        helper.make_node("Mul", [last.input[1], "one_or_nan"], ["added_or_nan"]),
    ]
    last.input[1] = "added_or_nan"
    for offset, node in enumerate(nodes):
        model.graph.node.insert(place + offset, node)
