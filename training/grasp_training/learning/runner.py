"""rsl_rl's runners with our checkpoints and logs. Learning itself is rsl_rl's, through its public methods."""

from __future__ import annotations

import contextlib
import io
import logging
from typing import Any, Protocol, runtime_checkable

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import DistillationRunner, OnPolicyRunner

from grasp_training.learning.config import CheckpointConfig
from grasp_training.learning.distillation import StereoDistillation
from grasp_training.learning.random_state import random_state, restore_random_state
from grasp_training.learning.run_logger import RunLogger
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


@runtime_checkable
class SightLessons(Protocol):
    """Environments whose images can be lessons in seeing: each a scene of its own."""

    def draw_elsewhere(self, which: torch.Tensor) -> None:
        """Turn the images of the environments which (n,) bool into lessons, and those of the others back."""
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
    ) -> None:
        """Build the networks and the algorithm.

        Args:
            env: the environments; the state of `Stateful` ones is saved and restored too.
            settings: rsl_rl's dictionary (`rsl_rl_settings`).
            store: where checkpoints go.
            interval: how often they are written.
            device: torch device that learns.
        """
        described = io.StringIO()
        with contextlib.redirect_stdout(described):  # rsl_rl prints networks and groups
            super().__init__(env, settings, log_dir=None, device=device)
        _log.debug(described.getvalue())
        self._store = store
        self._interval = interval.interval_iterations
        shown = env.get_observations()
        self._observation_shapes = {name: list(value.shape[1:]) for name, value in shown.items()}

    def use_logger(self, logger: RunLogger) -> None:
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


class CheckpointedDistillationRunner(CheckpointedRunner, DistillationRunner):
    """The same for distillation: refuses to learn before a teacher is loaded."""

    alg: StereoDistillation

    def __init__(self, env: VecEnv, *args: Any) -> None:
        """As the base class; environments that can, give lessons in seeing."""
        super().__init__(env, *args)
        if isinstance(env, SightLessons):
            self.alg.use_lessons(env.draw_elsewhere)
