"""A training of Sample Factory; runs in an interpreter that has it."""

# pyright: reportMissingImports=false

from __future__ import annotations

import sys
import tempfile
import time

from sample_factory.algo.runners.runner import AlgoObserver, Runner
from sample_factory.algo.utils.context import global_model_factory
from sample_factory.algo.utils.misc import ExperimentStatus
from sample_factory.cfg.arguments import parse_full_cfg, parse_sf_args
from sample_factory.envs.env_utils import register_env
from sample_factory.train import make_runner

from grasp_training.benchmarks.peers.job import SPLITS, Job, PeerError, job_of, write_updates
from grasp_training.benchmarks.peers.sample_factory_env import make_actor_critic, make_batch
from grasp_training.learning.config import PRIVILEGED, PROPRIOCEPTION
from grasp_training.runs import to_mapping

_NAME = "grasp"


def flags(job: Job, folder: str) -> list[str]:
    """Return the flags of Sample Factory's command line that say what our settings say."""
    config = job.teacher
    ppo = config.ppo
    values = {
        "env": _NAME,
        "train_dir": folder,
        "device": "cpu",
        "seed": job.seed,
        "batched_sampling": True,
        "num_workers": job.workers,
        "worker_num_splits": SPLITS,
        "num_envs_per_worker": SPLITS,
        "rollout": ppo.steps_per_rollout,
        "num_epochs": ppo.epochs,
        "num_batches_per_epoch": ppo.minibatches,
        "batch_size": job.steps_per_update // ppo.minibatches,
        # It hears of an update's steps after its end, and so ends one update later than it should.
        "train_for_env_steps": job.steps_per_update * (job.iterations - 1) - 1,
        "gamma": ppo.discount,
        "gae_lambda": ppo.gae_lambda,
        "value_bootstrap": True,
        "normalize_returns": False,
        "ppo_clip_ratio": ppo.clip,
        "value_loss_coeff": ppo.value_loss_weight,
        "exploration_loss_coeff": ppo.entropy_weight,
        "max_grad_norm": ppo.max_gradient_norm,
        "learning_rate": ppo.initial_learning_rate,
        "lr_schedule": "kl_adaptive_minibatch",
        "lr_schedule_kl_threshold": ppo.desired_kl,
        "use_rnn": False,
        "actor_critic_share_weights": False,
        "adaptive_stddev": False,
        "initial_stddev": ppo.initial_std,
        "nonlinearity": config.actor.activation,
        "log_to_file": False,
    }
    several = {
        "encoder_mlp_layers": config.actor.hidden_sizes,
        "normalize_input_keys": (PROPRIOCEPTION, PRIVILEGED),
    }
    found = [f"--{name}={value}" for name, value in values.items()]
    for name, items in several.items():
        found += [f"--{name}", *(str(item) for item in items)]
    return found


class _Watch(AlgoObserver):
    """Writes down when updates end."""

    def __init__(self) -> None:
        self.ended_s: list[float] = []

    def on_training_step(self, runner: Runner, training_iteration_since_resume: int) -> None:
        """See `AlgoObserver`."""
        self.ended_s.append(time.monotonic())


def train(job: Job) -> list[float]:
    """Train, and return when each update ended, s.

    Raises:
        PeerError: Sample Factory says that it failed.
    """
    register_env(_NAME, make_batch)
    global_model_factory().register_actor_critic_factory(make_actor_critic)
    watch = _Watch()
    with tempfile.TemporaryDirectory() as folder:
        arguments = flags(job, folder)
        parser, _ = parse_sf_args(arguments)
        config = parse_full_cfg(parser, arguments)
        config.job = to_mapping(job)
        _, runner = make_runner(config)
        runner.register_observer(watch)
        status = runner.init()
        if status == ExperimentStatus.SUCCESS:
            status = runner.run()
    if status != ExperimentStatus.SUCCESS:
        raise PeerError(f"Sample Factory ended with status {status}; expected {ExperimentStatus.SUCCESS}")
    return watch.ended_s


if __name__ == "__main__":
    told, result = job_of(sys.argv[1:])
    write_updates(train(told), result)
