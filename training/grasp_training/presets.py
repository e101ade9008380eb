"""Sizes of teachers, students and their task for a purpose: a machine, and images of a size."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from grasp_training.learning.config import (
    CheckpointConfig,
    NetworkConfig,
    PpoConfig,
    Preset,
    RunConfig,
    TeacherConfig,
)
from grasp_training.learning.depth_encoder import DepthEncoderConfig
from grasp_training.learning.depth_network import DepthNetworkConfig
from grasp_training.learning.stereo_encoder import StereoEncoderConfig
from grasp_training.learning.student import StudentNetworkConfig
from grasp_training.learning.student_config import DistillationConfig, StudentConfig
from grasp_training.tasks.config import CurriculumConfig, ImageConfig, TaskConfig

_Config = TypeVar("_Config", bound=RunConfig)
Images = Literal["48x36", "64x48", "160x120", "320x240"]
"""Sizes of depth images that there are presets for, px."""

_SMALL = DepthEncoderConfig(channels=(8, 16, 16), keypoints=16, map_channels=(16, 16))
"""Learns small images on two cores in about the time that they take to simulate."""
_ENCODERS: dict[Images, DepthEncoderConfig] = {
    "48x36": _SMALL,
    "64x48": _SMALL,
    "160x120": DepthEncoderConfig(),
    "320x240": DepthEncoderConfig(),
}
_EPISODES_A_RISE = 4
"""Episodes of each environment between two rises of the curriculum's level; 2000 of 512 on two cores"""


@dataclass(frozen=True)
class _Machine:
    """What a preset for GPUs takes; the numbers of environments are guesses but for those of the paper."""

    images: Images
    """Depth images without a wish."""
    placement: str
    """Who simulates and who learns."""
    mode: Literal["synchronous", "overlapped"]
    """Of teachers; students know synchronous only."""
    teacher_envs: dict[Images, int]
    """Environments of a teacher, by its images."""
    student_envs: int
    """Environments of a student."""


_MACHINES: dict[Preset, _Machine] = {
    "h100": _Machine(
        images="160x120",
        placement="single",
        mode="synchronous",
        teacher_envs={"48x36": 8192, "64x48": 8192, "160x120": 4096, "320x240": 1024},
        student_envs=1024,
    ),
    # 8400 and 2100 are the paper's, with three simulators and one learner.
    "node4": _Machine(
        images="160x120",
        placement="3:1",
        mode="overlapped",
        teacher_envs={"48x36": 24576, "64x48": 24576, "160x120": 8400, "320x240": 2100},
        student_envs=3072,
    ),
}


def teacher_preset(preset: Preset, run: str, images: Images | None = None) -> TeacherConfig:
    """Return a teacher's configuration for a purpose.

    Args:
        preset: the purpose.
        run: name of the run.
        images: size of the depth images that the encoder is for; the preset's by default.

    Raises:
        ValueError: there is no such preset.
    """
    images = images or default_images(preset)
    depth = DepthNetworkConfig(encoder=_ENCODERS[images])
    if preset == "cpu":
        return TeacherConfig(run=run, depth=depth)
    if preset == "smoke":
        return TeacherConfig(
            run=run,
            preset="smoke",
            iterations=3,
            num_envs=16,
            ppo=PpoConfig(steps_per_rollout=8, epochs=2, minibatches=2),
            actor=NetworkConfig(hidden_sizes=(32, 32)),
            critic=NetworkConfig(hidden_sizes=(32, 32)),
            depth=depth,
            checkpoint=CheckpointConfig(interval_iterations=1),
        )
    machine = _MACHINES[preset]
    return dataclasses.replace(
        _on_gpus(TeacherConfig(run=run, depth=depth), preset),
        num_envs=machine.teacher_envs[images],
        mode=machine.mode,
    )


def student_preset(preset: Preset, run: str) -> StudentConfig:
    """Return a student's configuration for a purpose.

    Raises:
        ValueError: there is no such preset.
    """
    _check(preset)
    if preset == "cpu":
        return StudentConfig(run=run, num_envs=128, iterations=330)
    if preset == "smoke":
        return StudentConfig(
            run=run,
            preset="smoke",
            iterations=3,
            num_envs=8,
            checkpoint=CheckpointConfig(interval_iterations=1),
            distillation=DistillationConfig(
                steps_per_rollout=6,
                sight_iterations=1,
                gradient_steps=2,
                sequences_per_step=4,
                burn_in_steps=1,
                replay_rollouts=2,
                mixing_iterations=2,
            ),
            network=StudentNetworkConfig(
                StereoEncoderConfig((4, 8, 8), 16, (8, 8), 4, 16), 32, memory_size=32, head_sizes=(32,)
            ),
        )
    student = StudentConfig(run=run, num_envs=_MACHINES[preset].student_envs, iterations=330)
    return _on_gpus(student, preset)


def task_preset(preset: Preset, images: Images | None = None) -> TaskConfig:
    """Return a teacher's task for a purpose.

    Args:
        preset: the purpose.
        images: size of depth images; the preset's by default.

    Raises:
        ValueError: there is no such preset.
    """
    images = images or default_images(preset)
    width, height = (int(number) for number in images.split("x"))
    task = TaskConfig(depth_image=ImageConfig(width, height))
    if preset not in _MACHINES:
        return task
    rise = _EPISODES_A_RISE * _MACHINES[preset].teacher_envs[images]
    return dataclasses.replace(task, simulator="mujoco_warp", curriculum=CurriculumConfig(min_episodes=rise))


def default_images(preset: Preset) -> Images:
    """Return the size of depth images of a preset.

    Raises:
        ValueError: there is no such preset.
    """
    _check(preset)
    return _MACHINES[preset].images if preset in _MACHINES else "48x36"


def _check(preset: str) -> None:
    if preset not in get_args(Preset):
        raise ValueError(f"Preset '{preset}' is unknown; there are {', '.join(get_args(Preset))}")


def _on_gpus(config: _Config, preset: Preset) -> _Config:
    return dataclasses.replace(config, preset=preset, device="cuda", placement=_MACHINES[preset].placement)
