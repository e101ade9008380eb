"""Small configurations and networks that several tests of learning share."""

from __future__ import annotations

import dataclasses

import torch
from tensordict import TensorDict
from torch import nn

from grasp_training.learning import (
    CheckpointConfig,
    NetworkConfig,
    PpoConfig,
    StereoStudent,
    StudentConfig,
    StudentNetworkConfig,
    TeacherConfig,
)
from grasp_training.learning.depth_encoder import DepthEncoderConfig
from grasp_training.learning.depth_network import DepthNetworkConfig
from grasp_training.learning.stereo_encoder import StereoEncoderConfig
from grasp_training.presets import student_preset, teacher_preset

HEIGHT, WIDTH = 16, 24
SMALL_NETWORK = StudentNetworkConfig(
    StereoEncoderConfig((8, 8, 8), 16, (8, 8), 8, 16), 32, memory_size=32, head_sizes=(32,)
)

SMALL_DEPTH_NETWORK = DepthNetworkConfig(
    DepthEncoderConfig(channels=(8, 8, 8), keypoints=4, map_channels=(8, 8), map_features=16),
    32,
    memory_size=16,
)


def small_teacher(run: str, iterations: int = 3, num_envs: int = 16) -> TeacherConfig:
    """A teacher that makes an iteration in some hundredths of a second."""
    return dataclasses.replace(
        teacher_preset("smoke", run),
        iterations=iterations,
        num_envs=num_envs,
        threads=1,
        ppo=PpoConfig(steps_per_rollout=8, epochs=2, minibatches=2),
        actor=NetworkConfig(hidden_sizes=(32, 32)),
        critic=NetworkConfig(hidden_sizes=(32, 32)),
        checkpoint=CheckpointConfig(interval_iterations=1, keep_last=3, keep_every=100),
    )


def small_student(run: str, teacher: str, iterations: int = 3) -> StudentConfig:
    """A student of the toy task."""
    config = student_preset("smoke", run)
    return dataclasses.replace(
        config, teacher=teacher, iterations=iterations, num_envs=16, threads=1, network=SMALL_NETWORK
    )


def student_observations(batch: int, seed: int = 0) -> TensorDict:
    """Random observations of a student: images, proprioception and the label."""
    generator = torch.Generator().manual_seed(seed)
    return TensorDict(
        {
            "stereo": torch.randint(0, 256, (batch, 2, HEIGHT, WIDTH, 3), generator=generator).to(
                torch.uint8
            ),
            "proprioception": torch.randn(batch, 69, generator=generator),
            "object_position": torch.randn(batch, 3, generator=generator),
        },
        batch_size=[batch],
    )


def new_student(seed: int = 0) -> StereoStudent:
    """A student with random weights."""
    torch.manual_seed(seed)
    groups = {"student": ["stereo", "proprioception"]}
    return StereoStudent(student_observations(2), groups, "student", 11, SMALL_NETWORK, "object_position")


class SimpleDecoder(nn.Module):
    """Stands in for the task's decoder: joint targets move by a hundredth of the clipped actions."""

    def forward(
        self, action: torch.Tensor, joint_position: torch.Tensor, previous_target: torch.Tensor
    ) -> torch.Tensor:
        """Return joint targets (B, 23)."""
        moved = torch.nn.functional.pad(action.clamp(-1.0, 1.0), (0, 12))
        return 0.5 * (joint_position + previous_target) + 0.01 * moved
