"""Begins or continues a run: the code path that teachers and students share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from rsl_rl.env import VecEnv

from grasp_training.disaggregation import Setup, SingleWiring, Wiring
from grasp_training.learning.config import RunConfig, check_positive
from grasp_training.learning.progress import TrainingProgress, format_duration
from grasp_training.learning.random_state import environment_seed, seed_everything
from grasp_training.learning.run_logger import RunLogger, SilentLogger
from grasp_training.learning.runner import CheckpointedRunner
from grasp_training.runs import Checkpoint, CheckpointStore, RunError, RunFolder, RunKind, run_folder

_CURVES_EVERY_CHECKPOINTS = 5


class MakeEnv(Protocol):
    """Makes the environments: `grasp_training.tasks.make_env`, or a small fake in tests."""

    def __call__(
        self, config: Any, num_envs: int, groups: tuple[str, ...], objects: str, seed: int, /
    ) -> VecEnv:
        """Return `num_envs` environments that give the observation groups named."""
        ...


def _find_run(runs_folder: Path, kind: RunKind, config: RunConfig, resume: bool) -> RunFolder:
    check_positive(config)
    folder = run_folder(runs_folder, config.run)
    if resume:
        folder.load_config(kind)
    elif folder.exists():
        raise RunError(
            f"Run '{config.run}' exists in {folder.path}: continue it with --resume, or take another name"
        )
    return folder


def _level(checkpoint: Checkpoint | None) -> float | None:
    """Return the level of randomization that a checkpoint was written at, if it holds one."""
    state = checkpoint.content["environment"] if checkpoint else {}
    return float(state["curriculum"]["level"]) if "curriculum" in state else None


def use_threads(threads: int, share: float = 1.0) -> None:
    """Set the number of torch's threads.

    Args:
        threads: how many; 0 means every core that this process may use. Of several ranks on one machine
            (torchrun's LOCAL_WORLD_SIZE), each takes its share.
        share: of these ranks, how many work at the same time.
    """
    ranks = max(1.0, share * int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    torch.set_num_threads(threads or max(1, int(len(os.sched_getaffinity(0)) / ranks)))


class TrainingSession:
    """Runs one training from its first or last checkpoint to its end."""

    def __init__(
        self,
        runs_folder: Path,
        kind: RunKind,
        config: RunConfig,
        task: Any,
        steps_per_rollout: int,
        resume: bool,
        more: dict[str, Any] | None = None,
        wiring: Wiring | None = None,
    ) -> None:
        """Make the run's folder with its resolved configuration, or find it and its last whole checkpoint.

        `more` are further entries of config.yaml. Of several learners, learner 0 alone writes, and the
        others read the checkpoint that it has chosen.

        Raises:
            RunError: the run exists and is not to be resumed, or the other way round, or is of another kind,
                or has all its iterations.
            CheckpointError: the run has checkpoints, and none is whole.
        """
        self._wiring = wiring or SingleWiring(config.device)
        self._writes = self._wiring.learner == 0
        folder = run_folder(runs_folder, config.run)
        if self._writes:
            folder = _find_run(runs_folder, kind, config, resume)
        self.folder, self._config, self._task, self._steps_per_rollout = (
            folder,
            config,
            task,
            steps_per_rollout,
        )
        self._store: CheckpointStore = folder.checkpoints(
            config.checkpoint.keep_last, config.checkpoint.keep_every
        )
        self.checkpoint: Checkpoint | None = None
        if self._writes and resume and self._store.iterations():
            self.checkpoint = self._store.load_latest()
        if self.checkpoint and self.checkpoint.iteration >= config.iterations:
            raise RunError(
                f"Run '{config.run}' has completed {self.checkpoint.iteration} iterations; "
                f"--iterations {config.iterations} leaves nothing to do"
            )
        if self._writes:
            folder.save_config(kind, config, task, more or {})
        completed = int(self._wiring.agree("completed", str(self.completed) if self._writes else None))
        if not self._writes and completed:
            self.checkpoint = self._store.load(completed)

    @property
    def completed(self) -> int:
        """Return the iterations that were completed before."""
        return self.checkpoint.iteration if self.checkpoint else 0

    def make_env(
        self,
        make_env: MakeEnv,
        groups: tuple[str, ...],
        keep_rollouts: bool = False,
        begin_with: Checkpoint | None = None,
    ) -> VecEnv:
        """Make the environments and seed everything, networks to come among it.

        Their first episodes begin at the level of randomization of the checkpoint that the run goes on from.

        Args:
            make_env: makes a block of them.
            groups: observation groups to make.
            keep_rollouts: whether learning reads observations where they arrive (`ReceivedStorage`).
            begin_with: another run's checkpoint, whose level a run without a checkpoint begins at.
        """
        config = self._config
        placement, synchronous = self._wiring.placement, config.mode == "synchronous"
        # Learners that wait while simulators work, and the other way round, need not share with them.
        waiting = placement.separate and synchronous
        use_threads(config.threads, placement.learners / placement.world_size if waiting else 1.0)
        seed = environment_seed(config.seed, self.completed)
        seed_everything(seed)
        setup = Setup(
            config.num_envs,
            config.blocks(),
            groups,
            config.objects,
            seed,
            turns=config.turns,
            depth=config.depth_type,
            rollout_steps=self._steps_per_rollout if keep_rollouts else 0,
            transport=config.transport,
            level=_level(self.checkpoint or begin_with),
        )
        env = self._wiring.connect(make_env, self._task, setup)
        seed_everything(seed)  # again: whether the environments were made here must not matter
        self._num_envs = env.num_envs
        return env

    def run(
        self,
        make_runner: Callable[[CheckpointStore], CheckpointedRunner],
        stagger_episodes: bool,
    ) -> None:
        """Learn to the end, with progress, logs, checkpoints and curves."""
        config = self._config
        runner = make_runner(self._store)
        if not self._writes:
            self._run_silently(runner, stagger_episodes)
            return
        with TrainingProgress(config.run, self.completed, config.iterations) as progress:
            logger = RunLogger(
                self.folder,
                progress,
                self._num_envs,
                self._steps_per_rollout,
                config.iterations,
                self._wiring.placement.learners,
            )
            runner.use_logger(logger)
            self._restore(runner, logger, progress)
            runner.synchronize()
            try:
                self._learn(runner, stagger_episodes)
                self._wiring.close()
            except KeyboardInterrupt:
                progress.message(
                    f"Stopped; go on with --resume from iteration {(self._store.iterations() or [0])[-1]}"
                )
                raise
            finally:
                logger.close()
                self.folder.draw_curves()
            progress.message(
                f"Run '{config.run}': {config.iterations} iterations, "
                f"{logger.environment_steps / 1e6:.2f} million steps, "
                f"{format_duration(logger.wall_time_s)}; in {self.folder.path}"
            )

    def _run_silently(self, runner: CheckpointedRunner, stagger_episodes: bool) -> None:
        runner.use_logger(SilentLogger())
        if self.checkpoint:
            runner.restore(self.checkpoint)
        runner.synchronize()
        runner.learn_until(self._config.iterations, stagger_episodes)
        self._wiring.close()

    def _learn(self, runner: CheckpointedRunner, stagger_episodes: bool) -> None:
        part = self._config.checkpoint.interval_iterations * _CURVES_EVERY_CHECKPOINTS
        completed = self.completed
        while completed < self._config.iterations:
            completed = min(completed + part, self._config.iterations)
            runner.learn_until(completed, stagger_episodes)
            stagger_episodes = False
            self.folder.draw_curves()

    def _restore(self, runner: CheckpointedRunner, logger: RunLogger, progress: TrainingProgress) -> None:
        if self.checkpoint:
            runner.restore(self.checkpoint)
            self._store.discard_after(self.checkpoint.iteration)
            progress.message(f"Resuming '{self._config.run}' after {self.checkpoint.iteration} iterations")
        logger.resume(self.completed)
