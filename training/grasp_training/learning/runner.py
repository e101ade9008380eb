"""rsl_rl's runners with our checkpoints and logs. Learning itself is rsl_rl's, through its public methods."""

from __future__ import annotations

import contextlib
import io
import logging
import time
from typing import Any, Protocol, runtime_checkable

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import DistillationRunner, OnPolicyRunner

from grasp_training.disaggregation import RemoteVecEnv, Wiring
from grasp_training.learning.config import CheckpointConfig
from grasp_training.learning.distillation import StereoDistillation
from grasp_training.learning.overlapped import Collector, Rollout, correct_staleness
from grasp_training.learning.random_state import environment_seed, random_state, restore_random_state
from grasp_training.learning.run_logger import RunLogger, SilentLogger
from grasp_training.runs import Checkpoint, CheckpointStore

_log = logging.getLogger(__name__)


@runtime_checkable
class Stateful(Protocol):
    """Environments that keep something from episode to episode, such as a curriculum."""

    def state_dict(self) -> dict[str, Any]:
        """Return it, of plain JSON types."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it on again."""
        ...


def restore_environment(env: VecEnv, checkpoint: Checkpoint) -> None:
    """Give environments the state that others had when a checkpoint was written, if they keep any."""
    state = checkpoint.content["environment"]
    if state and isinstance(env, Stateful):
        env.load_state_dict(state)


class CheckpointedRunner(OnPolicyRunner):
    """An `OnPolicyRunner` that saves atomic, complete checkpoints.

    rsl_rl saves at the end of `learn`; so this runner learns in parts that end where a checkpoint is due, and
    `save` writes models, optimizer, curriculum and random states.
    """

    def __init__(
        self,
        env: VecEnv,
        settings: dict[str, Any],
        store: CheckpointStore,
        interval: CheckpointConfig,
        device: str,
        wiring: Wiring,
    ) -> None:
        """Build the networks and the algorithm.

        Args:
            env: the environments; the state of `Stateful` ones is saved and restored too.
            settings: rsl_rl's dictionary (`rsl_rl_settings`).
            store: where checkpoints go.
            interval: how often they are written.
            device: torch device that learns.
            wiring: this learner's place among others.
        """
        self._wiring = wiring
        described = io.StringIO()
        with contextlib.redirect_stdout(described):  # rsl_rl prints networks and groups
            super().__init__(env, settings, log_dir=None, device=device)
        _log.debug(described.getvalue())
        self._store = store
        self._interval = interval.interval_iterations
        shown = env.get_observations()
        self._observation_shapes = {name: list(value.shape[1:]) for name, value in shown.items()}

    def _configure_multi_gpu(self) -> None:
        """Tell rsl_rl's algorithms of other learners.

        rsl_rl would read torchrun's variables, take every rank for a learner on a GPU, and start NCCL.
        """
        learner, learners = self._wiring.learner, self._wiring.placement.learners
        self.gpu_local_rank = self.gpu_global_rank = learner
        self.gpu_world_size, self.is_distributed = learners, False
        several = {"global_rank": learner, "local_rank": learner, "world_size": learners}
        self.cfg["multi_gpu"] = several if learners > 1 else None

    def synchronize(self) -> None:
        """Give every learner the parameters of learner 0."""
        if self._wiring.placement.learners > 1:
            self.alg.broadcast_parameters()

    def use_logger(self, logger: RunLogger | SilentLogger) -> None:
        """Log to `logger` instead of rsl_rl's own."""
        self.logger = logger  # type: ignore[assignment]

    def learn_until(self, iterations: int, stagger_episodes: bool) -> None:
        """Learn until `iterations` are completed in all, saving on the way.

        Args:
            iterations: completed iterations at the end.
            stagger_episodes: let the first episodes start at random ages.
        """
        while (completed := self.current_learning_iteration) < iterations:
            part = min(self._interval - completed % self._interval, iterations - completed)
            self.learn(part, init_at_random_ep_len=stagger_episodes)
            stagger_episodes = False
            self.current_learning_iteration = completed + part

    def save(self, path: str, infos: dict | None = None) -> None:
        """Write a checkpoint after the iteration in hand; rsl_rl's proposal for a file name is not used."""
        completed = self.current_learning_iteration + 1
        content = {
            **self.alg.save(),
            "iteration": completed,
            "environment_steps": getattr(self.logger, "environment_steps", 0),
            "environment": self._environment_state(),
            "observations": self._observation_shapes,
            "num_actions": self.env.num_actions,
            "random": random_state(),
        }
        self._store.save(completed, content)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of this run."""
        content = checkpoint.content
        self.alg.load(content, None, True)
        self.current_learning_iteration = checkpoint.iteration
        restore_environment(self.env, checkpoint)
        restore_random_state(content["random"])

    def _environment_state(self) -> dict[str, Any]:
        return self.env.state_dict() if isinstance(self.env, Stateful) else {}


class OverlappedRunner(CheckpointedRunner):
    """A runner that collects while it learns; see `overlapped`."""

    def __init__(self, *arguments: Any, total_iterations: int) -> None:
        """Build networks and algorithm; see `CheckpointedRunner`.

        Args:
            *arguments: of `CheckpointedRunner`.
            total_iterations: iterations of the whole run: the last collects nothing for a next.
        """
        super().__init__(*arguments)
        self._total = total_iterations
        self._collector: Collector | None = None

    def learn(self, num_learning_iterations: int, init_at_random_ep_len: bool = False) -> None:
        """Learn for some iterations; see `rsl_rl.runners.OnPolicyRunner`."""
        if init_at_random_ep_len:
            lengths = self.env.episode_length_buf
            self.env.episode_length_buf = torch.randint_like(lengths, high=int(self.env.max_episode_length))
        self.alg.train_mode()
        self.logger.init_logging_writer()
        start = self.current_learning_iteration
        for iteration in range(start, start + num_learning_iterations):
            self._learn_once(iteration, start, start + num_learning_iterations)
        if self.logger.writer is not None:
            self.save("")
            self.logger.stop_logging_writer()

    def _learn_once(self, iteration: int, first: int, last: int) -> None:
        begun = time.monotonic()
        collector, rollout = self._next_rollout(iteration)
        waited = time.monotonic() - begun
        for rewards, dones, extras in collector.steps:
            self.logger.process_env_step(rewards, dones, extras, None)
        lag = iteration - rollout.versions.float()
        if float(lag.max()) > 1:
            raise RuntimeError(f"Iteration {iteration} learns from version {int(rollout.versions.min())}")
        figures = {"policy/version_lag": float(lag.mean())}
        self.alg.storage = rollout.storage
        if iteration + 1 < self._total:
            collector.start()
        begun = time.monotonic()
        figures |= correct_staleness(self.alg, rollout.storage)
        figures |= self.alg.update()
        self.current_learning_iteration = iteration
        self.logger.log(
            it=iteration,
            start_it=first,
            total_it=last,
            collect_time=waited,
            learn_time=time.monotonic() - begun,
            loss_dict=figures,
            learning_rate=self.alg.learning_rate,
            action_std=self.alg.get_policy().output_std,
        )

    def _next_rollout(self, iteration: int) -> tuple[Collector, Rollout]:
        """Return the rollout to learn from, once the behaviour policy has taken on what was learnt."""
        if self._collector is None:
            assert isinstance(self.env, RemoteVecEnv)
            seed = environment_seed(int(self.cfg["seed"]), iteration + 1)
            self._collector = Collector(self.alg, self.env, seed)
            self._collector.take_parameters(iteration)
            self._collector.start()
        rollout = self._collector.finish()
        self._collector.take_parameters(iteration)
        return self._collector, rollout


class CheckpointedDistillationRunner(CheckpointedRunner, DistillationRunner):
    """The same for distillation: refuses to learn before a teacher is loaded."""

    alg: StereoDistillation

    def __init__(self, env: VecEnv, *args: Any) -> None:
        """As the base class; environments that can, give lessons in seeing."""
        super().__init__(env, *args)
        if isinstance(env, RemoteVecEnv) and env.gives_lessons:
            self.alg.use_lessons(env.draw_elsewhere)
