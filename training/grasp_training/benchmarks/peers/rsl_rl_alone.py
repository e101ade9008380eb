"""A training of rsl_rl alone, in one process: of ours the environments and nothing else."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, ClassVar

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.runners import OnPolicyRunner

from grasp_training.benchmarks.peers.job import Job, job_of, write_updates
from grasp_training.learning.config import CRITIC_GROUPS
from grasp_training.tasks import make_env


class WatchedPPO(PPO):
    """rsl_rl's PPO, which writes down when its updates end."""

    ended_s: ClassVar[list[float]] = []
    """s, of a clock that only goes forward"""

    def update(self) -> dict[str, float]:
        """See `rsl_rl.algorithms.PPO`."""
        figures = super().update()
        self.ended_s.append(time.monotonic())
        return figures


def settings(job: Job) -> dict[str, Any]:
    """Return rsl_rl's dictionary: its own models, storage and PPO."""
    config = job.teacher
    ppo, encoder = config.ppo, config.depth.encoder
    network = {
        "class_name": "rsl_rl.models:MLPModel",
        "hidden_dims": list(config.actor.hidden_sizes),
        "activation": config.actor.activation,
        "obs_normalization": config.actor.normalize_observations,
    }
    actor: dict[str, Any] = network | {
        "distribution_cfg": {
            "class_name": "rsl_rl.modules.distribution:GaussianDistribution",
            "init_std": ppo.initial_std,
            "std_range": (ppo.min_std, ppo.max_std),
            "std_type": "log",
        }
    }
    if job.observe == "depth":
        convolutions = {"output_channels": list(encoder.channels), "kernel_size": 3, "stride": [2, 2, 1]}
        actor |= {"class_name": "rsl_rl.models:CNNModel", "cnn_cfg": convolutions | {"padding": "zeros"}}
    return {
        "num_steps_per_env": ppo.steps_per_rollout,
        "save_interval": sys.maxsize,
        "seed": job.seed,
        "obs_groups": {"actor": list(job.actor_groups), "critic": list(CRITIC_GROUPS)},
        "actor": actor,
        "critic": network,
        "algorithm": {
            "class_name": WatchedPPO,
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
            "schedule": "adaptive",
            "desired_kl": ppo.desired_kl,
        },
    }


def train(job: Job) -> list[float]:
    """Train, and return when each update ended, s."""
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(cores)
    torch.manual_seed(job.seed)
    env = make_env(job.task(cores), job.num_envs, job.groups, "training", job.seed)
    # Without a folder rsl_rl logs nothing.
    runner = OnPolicyRunner(env, settings(job), log_dir=None, device="cpu")
    WatchedPPO.ended_s.clear()
    runner.learn(job.iterations, init_at_random_ep_len=True)
    return list(WatchedPPO.ended_s)


if __name__ == "__main__":
    told, result = job_of(sys.argv[1:])
    write_updates(train(told), result)
