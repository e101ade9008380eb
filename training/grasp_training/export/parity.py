"""Compares an exported graph with torch by running both, over many recurrent steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch

from grasp_training.export.policy_module import ExportedPolicy

Observation = dict[str, np.ndarray]
"""left, right uint8 (1, H, W, 3); joint_position, joint_velocity float32 (1, 23)."""


@dataclass(frozen=True)
class Parity:
    """Greatest differences between the exported graph and torch."""

    steps: int
    """Recurrent steps that were compared."""
    joint_target_rad: float
    """Of the joint targets, rad."""
    object_position_m: float
    """Of the object's estimated position, m."""
    memory: float
    """Of the recurrent state."""


def check_parity(policy: ExportedPolicy, onnx_model: bytes, observations: Sequence[Observation]) -> Parity:
    """Run both over the same observations, each on its own memory and its own previous targets.

    Args:
        policy: torch's.
        onnx_model: the exported graph, serialized.
        observations: one a step.
    """
    session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
    start = (observations[0]["joint_position"], np.zeros((1, policy.student.memory_size), np.float32))
    states = {"torch": start, "onnx": start}
    worst = np.zeros(len(policy.OUTPUTS))
    for observation in observations:
        outputs = {}
        for name, (target, memory) in states.items():
            inputs = {**observation, "previous_target": target, "memory_in": memory}
            run = _run_torch(policy, inputs) if name == "torch" else _run_onnx(session, inputs)
            outputs[name], states[name] = run, (run[0], run[2])
        gaps = [np.abs(a - b).max() for a, b in zip(outputs["torch"], outputs["onnx"], strict=True)]
        worst = np.maximum(worst, gaps)  # a NaN stays, and then fails every comparison
    return Parity(len(observations), *(float(value) for value in worst))


def random_observations(policy: ExportedPolicy, steps: int, seed: int) -> list[Observation]:
    """Return made-up observations: noise with coloured squares that come and go, and slowly moving joints."""
    generator = np.random.default_rng(seed)
    height, width = policy.student.encoder.height, policy.student.encoder.width
    count = policy.student.joint_count
    joints = generator.uniform(-0.5, 0.5, (1, count))
    velocity = generator.uniform(-0.5, 0.5, (1, count))
    images = generator.integers(0, 256, (2, 1, height, width, 3), np.uint8)
    observations = []
    for _ in range(steps):
        row, column = generator.integers(0, height - 4), generator.integers(0, width - 4)
        images[:, :, row : row + 4, column : column + 4] = generator.integers(0, 256, 3)
        joints = joints + velocity / 30.0
        velocity = 0.9 * velocity + generator.normal(0.0, 0.1, (1, count))
        left, right = images.copy()
        observations.append(
            {
                "left": left,
                "right": right,
                "joint_position": joints.astype(np.float32),
                "joint_velocity": velocity.astype(np.float32),
            }
        )
    return observations


def _run_torch(policy: ExportedPolicy, inputs: Observation) -> list[np.ndarray]:
    with torch.inference_mode():
        outputs = policy(*(torch.from_numpy(inputs[name]) for name in policy.INPUTS))
    return [output.numpy() for output in outputs]


def _run_onnx(session: onnxruntime.InferenceSession, inputs: Observation) -> list[np.ndarray]:
    return [np.asarray(output) for output in session.run(list(ExportedPolicy.OUTPUTS), inputs)]
