"""The grasp task: observations, actions, rewards, curriculum, randomization."""

from grasp_training.tasks.actions import NUM_ACTIONS, ActionDecoder
from grasp_training.tasks.config import (
    CurriculumConfig,
    ImageConfig,
    RandomizationConfig,
    RewardConfig,
    TaskConfig,
)
from grasp_training.tasks.env import GraspEnv, make_env
from grasp_training.tasks.observations import GROUPS
from grasp_training.tasks.randomization import EpisodeSampler

__all__ = [
    "GROUPS",
    "NUM_ACTIONS",
    "ActionDecoder",
    "CurriculumConfig",
    "EpisodeSampler",
    "GraspEnv",
    "ImageConfig",
    "RandomizationConfig",
    "RewardConfig",
    "TaskConfig",
    "make_env",
]
