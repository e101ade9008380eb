"""A stand-in for a trained policy: a real policy file for this robot and workcell that turns one joint."""

from pathlib import Path

import numpy as np
from onnx import numpy_helper

from grasp_policy.policy_file import write_card, write_policy
from grasp_policy.testing import sample_card, sample_model, sample_spec
from grasp_policy.workcell_contract import workcell_contract

FRAMES_A_SECOND = 30


def write_stand_in(folder: Path, turn_rad_s: float = 0.0, sees: bool = False) -> Path:
    """Write the policy and its card into ``folder``.

    Args:
        folder: where to
        turn_rad_s: speed at which the target of the arm's first joint runs on; all other targets stand
        sees: instead, whatever it sees and measures moves all joints a little: it never does the same twice
            where these differ in the least

    Returns:
        the path of the policy file
    """
    spec = sample_spec(workcell_contract())
    model = sample_model(spec)
    step = np.zeros((1, len(spec.joint_names)), np.float32)
    step[0, 0] = turn_rad_s / FRAMES_A_SECOND
    for constant in () if sees else model.graph.initializer:
        # The sample moves with what it sees and how fast it is; this one moves at its own pace.
        if constant.name in ("image_gain", "velocity_gain"):
            constant.CopyFrom(numpy_helper.from_array(np.zeros((), np.float32), constant.name))
    model.graph.initializer.append(numpy_helper.from_array(step, "step"))
    last = next(node for node in model.graph.node if "target" in node.output)
    last.input[1] = last.input[1] if sees else "step"
    path = folder / "stand_in.onnx"
    write_policy(path, model, spec)
    write_card(path, sample_card(path))
    return path
