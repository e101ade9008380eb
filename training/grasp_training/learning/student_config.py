"""What can be set about distillation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from grasp_training.learning.config import (
    OBJECT_POSITION,
    PROPRIOCEPTION,
    STEREO,
    RunConfig,
)
from grasp_training.learning.student import StudentNetworkConfig
from grasp_training.runs import ConfigurationError

STUDENT_GROUPS: tuple[str, ...] = (STEREO, PROPRIOCEPTION)
"""Observation groups that the student acts on, in the order that `StereoStudent` takes them."""


@dataclass(frozen=True)
class DistillationConfig:
    """Online distillation: the student acts, the teacher says what it would have done (DAgger)."""

    steps_per_rollout: int = 24
    """Control steps of every environment between two updates; also the span of backpropagation in time."""
    sight_iterations: int = 50
    """First iterations, in which the student only learns to see: all images are lessons (`SightLessons`)."""
    sight_share: float = 0.25
    """Share of environments whose images are lessons afterwards."""
    sight_batches: int = 4
    """Optimizer steps in place of one during the first iterations, each on as many fewer sequences."""
    gradient_steps: int = 12
    """Optimizer steps in an update."""
    sequences_per_step: int = 32
    """Sequences of steps_per_rollout steps in one optimizer step."""
    replay_rollouts: int = 6
    """Rollouts kept to learn from, the newest included."""
    fresh_share: float = 0.5
    """Share of each optimizer step's sequences that comes from the newest rollout."""
    burn_in_steps: int = 4
    """First steps of a replayed sequence that only warm up the memory: the one stored is out of date."""
    teacher_share: float = 0.6
    """Share of episodes that the teacher begins, at the start of training; the student takes over after a
    random number of steps, and is taught only from there. Where the teacher acts, joint motion and previous
    targets tell what it does: taught there, a student reads the object off the arm, not off the images, and
    fails alone."""
    teacher_steps: int = 100
    """Control steps after which the student takes over at the latest."""
    mixing_iterations: int = 150
    """Iterations, after those of seeing, over which the share of episodes that the teacher begins falls to
    0."""
    unmixed_share: float = 0.125
    """Share of environments whose episodes the student always begins; its success is measured there."""
    loss: Literal["huber", "mse"] = "huber"
    """Loss between the student's and the teacher's mean action, the latter clipped to [-1, 1]."""
    huber_delta: float = 0.5
    """Difference of actions from which the Huber loss is linear."""
    position_weight: float = 0.5
    """Weight of the auxiliary losses: smooth L1 of the object's position, as seen and as remembered, in its
    running standard deviations."""
    recolouring: float = 0.3
    """Strength of the change of colours each time an image is learnt from; 0 for none."""
    learning_rate: float = 1e-3
    """Learning rate at the start."""
    final_learning_rate: float = 1e-4
    """Learning rate at the end; it falls along a half cosine over the run's iterations."""
    max_gradient_norm: float = 1.0
    """Norm to which gradients are clipped."""


@dataclass(frozen=True)
class StudentConfig(RunConfig):
    """A stereo student."""

    teacher: str = ""
    """Name of the teacher's run, in the same runs folder."""
    teacher_iteration: int | None = None
    """Which of the teacher's checkpoints to take; none means its last."""
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    """Distillation."""
    network: StudentNetworkConfig = field(default_factory=StudentNetworkConfig)
    """The student's network."""

    def observation_groups(self, teacher_groups: tuple[str, ...]) -> tuple[str, ...]:
        """Return every observation group that the environment has to make."""
        return tuple(dict.fromkeys((*STUDENT_GROUPS, *teacher_groups, OBJECT_POSITION)))


def check_mode(config: StudentConfig) -> None:
    """Check that a student is to be distilled synchronously.

    Raises:
        ConfigurationError: it is not; a recurrent policy's memory is not divided into groups.
    """
    if config.mode != "synchronous":
        raise ConfigurationError(f"mode is {config.mode}; distillation knows synchronous only")


def check_distillation(settings: DistillationConfig) -> None:
    """Check what `check_positive` cannot see.

    Raises:
        ConfigurationError: a share is not between 0 and 1, or the burn-in leaves nothing to learn from.
    """
    if settings.burn_in_steps >= settings.steps_per_rollout:
        raise ConfigurationError(
            f"distillation.burn_in_steps is {settings.burn_in_steps}; fewer than "
            f"distillation.steps_per_rollout ({settings.steps_per_rollout}) are needed"
        )
    if settings.sequences_per_step % settings.sight_batches:
        raise ConfigurationError(
            f"distillation.sight_batches is {settings.sight_batches}; it has to divide "
            f"distillation.sequences_per_step ({settings.sequences_per_step})"
        )
    for name in ("fresh_share", "teacher_share", "unmixed_share", "sight_share"):
        value = getattr(settings, name)
        if not 0.0 <= value <= 1.0:
            raise ConfigurationError(f"distillation.{name} is {value}; a share is between 0 and 1")
