"""The grasp task as Sample Factory sees it: a batch of agents in one environment, and networks of our widths.

Runs in an interpreter that has Sample Factory. Its processes import this module by its name.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from sample_factory.model.actor_critic import ActorCritic, ActorCriticSeparateWeights
from sample_factory.model.core import default_make_core_func
from sample_factory.model.decoder import default_make_decoder_func
from sample_factory.model.encoder import Encoder
from sample_factory.model.model_utils import create_mlp, nonlinearity
from tensordict import TensorDict
from torch import nn

from grasp_training.benchmarks.peers.job import SPLITS, Job
from grasp_training.learning.config import CRITIC_GROUPS, PRIVILEGED, PROPRIOCEPTION
from grasp_training.runs import from_mapping
from grasp_training.tasks import NUM_ACTIONS, GraspEnv, make_env
from grasp_training.tasks.observations import DEPTH, PRIVILEGED_SIZE, PROPRIOCEPTION_SIZE


class GraspBatch(gymnasium.Env):
    """A batch of grasping environments as the agents of one.

    Sample Factory makes one only to ask for its sizes: the simulations are not made before the first reset.
    """

    is_multiagent = True

    def __init__(self, job: Job) -> None:
        self._job, self._env = job, None
        self.num_agents = job.num_envs // (job.workers * SPLITS)
        image = job.task(1).depth_image
        shapes = {
            PROPRIOCEPTION: (PROPRIOCEPTION_SIZE,),
            PRIVILEGED: (PRIVILEGED_SIZE,),
            DEPTH: (1, image.height, image.width),
        }
        self.observation_space = spaces.Dict({name: _any_number(shapes[name]) for name in job.groups})
        self.action_space = _any_number((NUM_ACTIONS,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Any], dict]:
        """Make the simulations, with episodes at random ages; see `gymnasium.Env`."""
        env = self._make(seed or 0)
        ages = torch.randint_like(env.episode_length_buf, high=env.max_episode_length)
        env.episode_length_buf = ages
        self._env = env
        return _plain(env.get_observations()), {}

    def step(self, action: np.ndarray) -> tuple[Any, torch.Tensor, torch.Tensor, torch.Tensor, dict]:
        """Step all agents with actions (n, 11); see `gymnasium.Env`. Those that end are reset within."""
        assert self._env is not None
        observations, rewards, done, extras = self._env.step(torch.from_numpy(action))
        timed_out = extras["time_outs"]
        return _plain(observations), rewards, done & ~timed_out, timed_out, {}

    def render(self) -> None:
        """Draw nothing."""

    def _make(self, number: int) -> GraspEnv:
        """Make the environments of this number, with a thread for each core that this worker was given."""
        job, threads = self._job, len(os.sched_getaffinity(0))
        return make_env(job.task(threads), self.num_agents, job.groups, "training", job.seed + number)


def _any_number(shape: tuple[int, ...]) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def _plain(observations: TensorDict) -> dict[str, Any]:
    return dict(observations.items())


class VectorEncoder(Encoder):
    """Hidden layers on vectors."""

    def __init__(self, cfg: Any, groups: tuple[str, ...], obs_space: spaces.Dict) -> None:
        super().__init__(cfg)
        self._groups = groups
        size = sum(obs_space[name].shape[0] for name in groups)
        self.layers = create_mlp(cfg.encoder_mlp_layers, size, nonlinearity(cfg))

    def forward(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return features (B, last width) of normalized observations."""
        return self.layers(torch.cat([obs[name] for name in self._groups], dim=1))

    def get_out_size(self) -> int:
        """Return the last layer's width."""
        return self.cfg.encoder_mlp_layers[-1]


class DepthEncoder(VectorEncoder):
    """Convolutions on depth, flat beside proprioception into hidden layers."""

    def __init__(self, cfg: Any, channels: tuple[int, int, int], obs_space: spaces.Dict) -> None:
        super().__init__(cfg, (PROPRIOCEPTION,), obs_space)
        first, second, third = channels
        self.eye = nn.Sequential(
            *(nn.Conv2d(1, first, 3, stride=2, padding=1), nonlinearity(cfg)),
            *(nn.Conv2d(first, second, 3, stride=2, padding=1), nonlinearity(cfg)),
            *(nn.Conv2d(second, third, 3, padding=1), nonlinearity(cfg)),
            nn.Flatten(),
        )
        seen = self.eye(torch.zeros(1, *obs_space[DEPTH].shape)).shape[1]
        size = obs_space[PROPRIOCEPTION].shape[0] + seen
        self.layers = create_mlp(cfg.encoder_mlp_layers, size, nonlinearity(cfg))

    def forward(self, obs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return features (B, last width) of normalized observations and depth in m."""
        return self.layers(torch.cat([obs[PROPRIOCEPTION], self.eye(obs[DEPTH])], dim=1))


def make_batch(_name: str, cfg: Any, _env_config: Any, _render_mode: str | None = None) -> GraspBatch:
    """Make environments as Sample Factory asks for them."""
    return GraspBatch(from_mapping(Job, cfg.job, "job"))


def make_actor_critic(cfg: Any, obs_space: spaces.Dict, action_space: spaces.Box) -> ActorCritic:
    """Make an actor and a critic with weights of their own; of depth, the critic sees the state instead."""
    job = from_mapping(Job, cfg.job, "job")
    critic = VectorEncoder(cfg, CRITIC_GROUPS, obs_space)
    actor = (
        DepthEncoder(cfg, job.teacher.depth.encoder.channels, obs_space)
        if job.observe == "depth"
        else VectorEncoder(cfg, job.actor_groups, obs_space)
    )
    # Sample Factory asks for the actor's encoder first, then for the critic's, with the same arguments.
    encoders = iter((actor, critic))
    factory = SimpleNamespace(
        make_model_encoder_func=lambda *_: next(encoders),
        make_model_core_func=default_make_core_func,
        make_model_decoder_func=default_make_decoder_func,
    )
    return ActorCriticSeparateWeights(factory, obs_space, action_space, cfg)
