"""What the node says of each decision, so that a recording of the topics can be decided again. No ROS in it.

Messages on best-effort topics may reach the node and a recorder differently, in another order or not at all.
So the node names the messages that it used, by stamps and by checksums of their content.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from grasp_policy.deciding import Decision
from grasp_policy.policy import Policy

__all__ = ["DecisionRecord", "checksum"]


@dataclass(frozen=True)
class DecisionRecord:
    """One decision as key-values of a diagnostic_msgs/DiagnosticStatus: the names of these fields."""

    episode_ns: int
    """The node's clock when the episode began, ns: memory zero."""
    step: int
    """Steps of the episode before this one; 0 is decided on zero memory."""
    stamp_ns: int
    """Stamp of both images and of the target, ns."""
    joint_stamp_ns: int
    """Stamp of the joint state, ns."""
    taken_ns: int
    """The node's clock when it had everything, ns."""
    inference_ns: int
    """Wall time that the policy took, ns."""
    left_crc32: int
    """`checksum` of the left image, (H, W, 3) uint8."""
    right_crc32: int
    """`checksum` of the right image, (H, W, 3) uint8."""
    joints_crc32: int
    """`checksum` of positions and velocities, each (23,) float64, in canonical order."""
    target_crc32: int
    """`checksum` of the joint target as published, (23,) float64."""
    policy: str
    """Path of the policy file."""
    sha256: str
    """SHA-256 of the policy file."""
    providers: str
    """Execution providers that the session had, separated by commas."""
    threads: int
    """Threads within an operator."""
    runtime: str
    """ONNX Runtime's version."""

    @classmethod
    def of(cls, decision: Decision, policy: Policy, path: str, taken_ns: int) -> DecisionRecord:
        """The record of a decision that `policy`, read from `path`, made at `taken_ns`."""
        seen = decision.observation
        return cls(
            decision.episode_ns,
            decision.step,
            seen.stamp_ns,
            seen.joint_stamp_ns,
            taken_ns,
            decision.inference_ns,
            checksum(seen.left),
            checksum(seen.right),
            checksum(seen.joint_position, seen.joint_velocity),
            checksum(decision.output.joint_target.astype(np.float64)),
            path,
            policy.sha256,
            ",".join(policy.providers),
            policy.threads,
            policy.runtime,
        )

    def values(self) -> dict[str, str]:
        """The fields as texts."""
        return {field.name: str(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_values(cls, values: Mapping[str, str]) -> DecisionRecord:
        """Read what `values` wrote; further keys are ignored.

        Raises:
            ValueError: a field is missing or is no integer where one is expected.
        """
        found: dict[str, Any] = {}
        for field in fields(cls):
            if field.name not in values:
                raise ValueError(f"decision without {field.name!r}; it has {', '.join(sorted(values))}")
            text = values[field.name]
            try:
                found[field.name] = int(text) if field.type == "int" else text
            except ValueError:
                raise ValueError(f"decision's {field.name} is {text!r}; expected an integer") from None
        return cls(**found)


def checksum(*arrays: np.ndarray) -> int:
    """CRC-32 of the bytes of arrays, one after the other, rows without padding."""
    value = 0
    for array in arrays:
        value = zlib.crc32(np.ascontiguousarray(array).data, value)
    return value
