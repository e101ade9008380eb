"""The one place where our configurations become the dictionaries that rsl_rl's runners read (rsl_rl 5.5)."""

from __future__ import annotations

import sys
from typing import Any

from grasp_training.disaggregation import Placement
from grasp_training.learning.config import (
    CRITIC_GROUPS,
    OBJECT_POSITION,
    DepthNetworkConfig,
    NetworkConfig,
    PpoConfig,
    TeacherConfig,
)
from grasp_training.learning.depth_network import DepthModel
from grasp_training.learning.distillation import StereoDistillation
from grasp_training.learning.received_storage import ReceivingPPO
from grasp_training.learning.several_learners import JointGaussian, JointPPO
from grasp_training.learning.student import StereoStudent
from grasp_training.learning.student_config import STUDENT_GROUPS, StudentConfig

# rsl_rl would write its own checkpoints at this interval; the runner here decides when, so: never by itself.
_NEVER = sys.maxsize


def teacher_settings(config: TeacherConfig, learner: int = 0) -> dict[str, Any]:
    """Return what `rsl_rl.runners.OnPolicyRunner` needs to train a teacher, as one of its learners."""
    ppo, learners = config.ppo, Placement.parse(config.placement).learners
    settings = {
        "num_steps_per_env": ppo.steps_per_rollout,
        "save_interval": _NEVER,
        "seed": config.seed,
        "obs_groups": {"actor": list(config.actor_groups()), "critic": list(CRITIC_GROUPS)},
        "actor": actor_settings(config),
        "critic": _mlp_settings(config.critic),
        "algorithm": _ppo_settings(ppo),
    }
    if learners > 1:
        settings["algorithm"]["class_name"] = JointPPO
    if learners > 1 or config.mode == "overlapped":
        joint = {"class_name": JointGaussian, "learner": learner, "learners": learners}
        settings["actor"]["distribution_cfg"] |= joint
    return settings


def student_settings(config: StudentConfig, teacher: TeacherConfig) -> dict[str, Any]:
    """Return what `rsl_rl.runners.DistillationRunner` needs to distil a teacher into a stereo student."""
    return {
        "num_steps_per_env": config.distillation.steps_per_rollout,
        "save_interval": _NEVER,
        "seed": config.seed,
        "obs_groups": {"student": list(STUDENT_GROUPS), "teacher": list(teacher.actor_groups())},
        "student": {
            "class_name": StereoStudent,
            "config": config.network,
            "label_group": OBJECT_POSITION,
        },
        "teacher": actor_settings(teacher),
        "algorithm": {
            "class_name": StereoDistillation,
            "settings": config.distillation,
            "total_iterations": config.iterations,
        },
    }


def actor_settings(config: TeacherConfig) -> dict[str, Any]:
    """Return the settings of a teacher's actor, which the student's run needs again to rebuild it."""
    return {
        **_mlp_settings(config.actor),
        **(_depth_settings(config.depth) if config.observe == "depth" else {}),
        "distribution_cfg": {
            "class_name": "rsl_rl.modules.distribution:GaussianDistribution",
            "init_std": config.ppo.initial_std,
            "std_range": (config.ppo.min_std, config.ppo.max_std),
            "std_type": "log",
        },
    }


def _mlp_settings(config: NetworkConfig) -> dict[str, Any]:
    return {
        "class_name": "rsl_rl.models:MLPModel",
        "hidden_dims": list(config.hidden_sizes),
        "activation": config.activation,
        "obs_normalization": config.normalize_observations,
    }


def _depth_settings(config: DepthNetworkConfig) -> dict[str, Any]:
    return {
        "class_name": DepthModel,
        "range_m": config.range_m,
        "micro_batch": config.micro_batch,
        "cnn_cfg": {"output_channels": list(config.channels), "kernel_size": 3, "stride": 2},
    }


def _ppo_settings(ppo: PpoConfig) -> dict[str, Any]:
    return {
        "class_name": ReceivingPPO,
        "num_learning_epochs": ppo.epochs,
        "num_mini_batches": ppo.minibatches,
        "clip_param": ppo.clip,
        "use_clipped_value_loss": ppo.clip_value,
        "gamma": ppo.discount,
        "lam": ppo.gae_lambda,
        "value_loss_coef": ppo.value_loss_weight,
        "entropy_coef": ppo.entropy_weight,
        "learning_rate": ppo.initial_learning_rate,
        "max_grad_norm": ppo.max_gradient_norm,
        "schedule": "adaptive" if ppo.desired_kl > 0 else "fixed",
        "desired_kl": ppo.desired_kl,
    }
