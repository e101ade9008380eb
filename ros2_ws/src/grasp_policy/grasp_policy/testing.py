"""Small real policies for tests, here and in other packages: ONNX graphs put together by hand, no torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from grasp_policy.policy_file import (
    FORMAT_VERSION,
    CameraPose,
    CameraTolerance,
    ModelCard,
    PolicySpec,
    RobotContract,
    RunIdentity,
    graph_signature,
    write_card,
    write_policy,
)

__all__ = ["sample_card", "sample_model", "sample_robot", "sample_spec", "write_sample"]


def sample_robot(**changes: Any) -> RobotContract:
    """A made-up robot of 23 joints with cameras of 8 x 6 pixels; fields are changed by name."""
    robot = RobotContract(
        joint_names=tuple(f"joint_{index}" for index in range(23)),
        joint_lower=(-2.0,) * 23,
        joint_upper=(2.0,) * 23,
        control_rate_hz=30.0,
        image_width=8,
        image_height=6,
        fovy_deg=40.0,
        baseline_m=0.06,
        left_camera=CameraPose((1.2, 0.03, 0.6), (1.0, 0.0, 0.0, 0.0)),
        right_camera=CameraPose((1.2, -0.03, 0.6), (1.0, 0.0, 0.0, 0.0)),
        goal_position=(0.6, 0.0, 0.3),
    )
    return dataclasses.replace(robot, **changes)


def sample_spec(robot: RobotContract | None = None, **changes: Any) -> PolicySpec:
    """A specification that fits `robot` (default: `sample_robot`); fields are changed by name."""
    robot = sample_robot() if robot is None else robot
    spec = PolicySpec(
        format_version=FORMAT_VERSION,
        **{field.name: getattr(robot, field.name) for field in dataclasses.fields(robot)},
        camera_tolerance=CameraTolerance(position_m=0.02, rotation_deg=3.0, fovy_deg=1.0, baseline_m=0.002),
        memory_size=4,
        episode_length_s=5.0,
        run=RunIdentity("sample", "0" * 40, seed=1, iterations=10, environment_steps=1000),
        scores={"success_held_out": 0.5},
    )
    return dataclasses.replace(spec, **changes)


def sample_model(spec: PolicySpec, *, nan_after_steps: int | None = None) -> onnx.ModelProto:
    """A recurrent graph with the signature of `spec`, simple enough to check by hand:

    - joint_target = previous_target + 0.01 joint_velocity + 0.001 (mean of left - mean of right)
    - object_position = the first three of joint_position + the first three of memory_in
    - memory_out = memory_in + 1

    On equal images and a resting robot it holds still. With `nan_after_steps` joint_target is NaN once so
    many steps of an episode are done.
    """
    inputs, outputs = graph_signature(spec)
    node = helper.make_node
    nodes = [
        node("Cast", ["left"], ["left_real"], to=int(TensorProto.FLOAT)),
        node("Cast", ["right"], ["right_real"], to=int(TensorProto.FLOAT)),
        node("ReduceMean", ["left_real", "image_axes"], ["left_mean"], keepdims=0),
        node("ReduceMean", ["right_real", "image_axes"], ["right_mean"], keepdims=0),
        node("Sub", ["left_mean", "right_mean"], ["difference"]),
        node("Mul", ["difference", "image_gain"], ["by_images"]),
        node("Mul", ["joint_velocity", "velocity_gain"], ["by_velocity"]),
        node("Add", ["previous_target", "by_velocity"], ["moved"]),
        node("Add", ["moved", "by_images"], ["target"]),
        node("Add", ["memory_in", "one"], ["memory_out"]),
        node("Gather", ["memory_in", "first_three"], ["memory_part"], axis=1),
        node("Gather", ["joint_position", "first_three"], ["joint_part"], axis=1),
        node("Add", ["memory_part", "joint_part"], ["object_position"]),
    ]
    if nan_after_steps is None:
        nodes.append(node("Identity", ["target"], ["joint_target"]))
    else:
        nodes += [
            node("Gather", ["memory_in", "first"], ["steps_done"], axis=1),
            node("Sub", ["steps_done", "fatal_step"], ["steps_left"]),
            node("Div", ["steps_left", "steps_left"], ["one_or_nan"]),
            node("Mul", ["target", "one_or_nan"], ["joint_target"]),
        ]
    constants = {
        "image_axes": np.array([1, 2, 3], np.int64),
        "image_gain": np.array(0.001, np.float32),
        "velocity_gain": np.array(0.01, np.float32),
        "one": np.array(1.0, np.float32),
        "first": np.array([0], np.int64),
        "first_three": np.array([0, 1, 2], np.int64),
        "fatal_step": np.array(nan_after_steps or 0, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "sample",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def sample_card(policy: Path, **changes: Any) -> ModelCard:
    """A card for a sample policy file; fields are changed by name."""
    card = ModelCard.for_policy(
        policy,
        licence="Apache-2.0",
        description="A sample for tests.",
        trained_how="Put together by hand.",
        trained_on="Nothing.",
        training_hours=0.25,
        environment_steps=1000,
        scores={"success_held_out": 0.5},
        commands=("grasp train teacher --observe state", "grasp distill --teacher runs/teacher"),
        limits="It does not grasp.",
    )
    return dataclasses.replace(card, **changes)


def write_sample(
    folder: Path, spec: PolicySpec | None = None, *, name: str = "sample", nan_after_steps: int | None = None
) -> Path:
    """Write a sample policy with its card into `folder`; returns the path of the policy file."""
    spec = sample_spec() if spec is None else spec
    path = folder / f"{name}.onnx"
    write_policy(path, sample_model(spec, nan_after_steps=nan_after_steps), spec)
    write_card(path, sample_card(path))
    return path
