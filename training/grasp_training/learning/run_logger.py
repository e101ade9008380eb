"""Takes the place of rsl_rl's logger: TensorBoard, the run's table of figures and the progress display."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict, deque
from typing import Any

import torch
from torch.utils.tensorboard import SummaryWriter

from grasp_training.learning.progress import TrainingProgress
from grasp_training.runs import RunFolder, find_success


class RunLogger:
    """Has the methods that `rsl_rl.runners.OnPolicyRunner` calls on its logger.

    Every scalar of the environment's `extras["log"]` is averaged over an iteration; a value that is absent or
    not finite (a success rate in a step in which no episode ended) does not count.
    """

    def __init__(
        self,
        folder: RunFolder,
        progress: TrainingProgress,
        num_envs: int,
        steps_per_rollout: int,
        total: int,
        learners: int = 1,
    ) -> None:
        """Open the run's logs.

        Args:
            folder: where they lie.
            progress: what is shown on the terminal.
            num_envs: environments of this learner.
            steps_per_rollout: control steps an environment makes in an iteration.
            total: iterations when the run ends.
            learners: learners with as many environments each; rewards and lengths are those of this one's.
        """
        self.log_dir = str(folder.path)
        self.writer: SummaryWriter | None = None
        self._folder, self._progress, self._total = folder, progress, total
        self._steps_per_iteration = num_envs * learners * steps_per_rollout
        self._rewards: deque[float] = deque(maxlen=max(100, num_envs))
        self._lengths: deque[float] = deque(maxlen=max(100, num_envs))
        self._reward_sum = torch.zeros(num_envs)
        self._length = torch.zeros(num_envs)
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)
        self._recent_s: deque[float] = deque(maxlen=20)
        self._success: deque[float] = deque(maxlen=10)
        self.environment_steps = 0
        self.wall_time_s = 0.0

    def resume(self, completed: int) -> None:
        """Go on after `completed` iterations: drop what was logged after them."""
        self._folder.metrics.truncate(completed)
        rows = self._folder.metrics.rows()
        if rows:
            self.environment_steps = int(rows[-1]["environment_steps"])
            self.wall_time_s = rows[-1]["wall_time_s"]
        self._open_writer(purge_step=completed + 1)

    def init_logging_writer(self) -> None:
        """Open TensorBoard's file, unless it is open already."""
        if self.writer is None:
            self._open_writer()

    def process_env_step(
        self,
        rewards: torch.Tensor,
        dones: torch.Tensor,
        extras: dict[str, Any],
        intrinsic_rewards: Any = None,
    ) -> None:
        """Take in the rewards (num_envs,), dones (num_envs,) and extras of one control step."""
        self._reward_sum += rewards.cpu()
        self._length += 1
        ended = (dones > 0).cpu().nonzero().flatten()
        if len(ended):
            self._rewards.extend(self._reward_sum[ended].tolist())
            self._lengths.extend(self._length[ended].tolist())
            self._reward_sum[ended] = 0
            self._length[ended] = 0
        for name, value in extras.get("log", {}).items():
            scalar = float(value.float().mean()) if isinstance(value, torch.Tensor) else float(value)
            if math.isfinite(scalar):
                self._sums[name.lstrip("/")] += scalar
                self._counts[name.lstrip("/")] += 1

    def log(
        self,
        it: int,
        start_it: int,
        total_it: int,
        collect_time: float,
        learn_time: float,
        loss_dict: dict[str, float],
        learning_rate: float,
        action_std: torch.Tensor,
        rnd_weight: float | None = None,
        **_: Any,
    ) -> None:
        """Write the figures of iteration `it` (counted from 0); times in seconds."""
        seconds = collect_time + learn_time
        self._recent_s.append(seconds)
        self.environment_steps += self._steps_per_iteration
        self.wall_time_s += seconds
        row = {name: total / self._counts[name] for name, total in self._sums.items()}
        row |= {name if "/" in name else f"loss/{name}": value for name, value in loss_dict.items()}
        row |= {"policy/learning_rate": learning_rate, "policy/action_std": float(action_std.detach().mean())}
        row |= {"performance/collect_s": collect_time, "performance/learn_s": learn_time}
        row["performance/steps_per_s"] = self._steps_per_iteration * len(self._recent_s) / sum(self._recent_s)
        if self._rewards:
            row["train/mean_reward"] = statistics.fmean(self._rewards)
            row["train/mean_episode_length"] = statistics.fmean(self._lengths)
        self._sums.clear()
        self._counts.clear()
        self._write(it + 1, row)

    def save_model(self, path: str, it: int) -> None:
        """Do nothing: checkpoints are not uploaded anywhere."""

    def stop_logging_writer(self) -> None:
        """Flush; the file stays open, since the runner learns in parts."""
        if self.writer:
            self.writer.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self.writer:
            self.writer.close()
            self.writer = None

    def _open_writer(self, purge_step: int | None = None) -> None:
        self.writer = SummaryWriter(log_dir=self.log_dir, flush_secs=10, purge_step=purge_step)

    def _write(self, completed: int, row: dict[str, float]) -> None:
        for name, value in row.items():
            self.writer.add_scalar(name, value, completed)  # type: ignore[union-attr]
        header = {
            "iteration": completed,
            "environment_steps": self.environment_steps,
            "wall_time_s": round(self.wall_time_s, 3),
        }
        self._folder.metrics.append(header | row)
        success = find_success(row)
        if success is not None:
            self._success.append(success)
        left_s = statistics.fmean(self._recent_s) * (self._total - completed)
        self._progress.update(completed, left_s, self._figures(row))

    def _figures(self, row: dict[str, float]) -> dict[str, str]:
        figures = {
            "steps/s": f"{row['performance/steps_per_s']:.0f}",
            "steps": f"{self.environment_steps / 1e6:.2f}M",
        }
        if self._success:
            figures["success"] = f"{100 * statistics.fmean(self._success):.1f}%"
        if "train/mean_reward" in row:
            figures["reward"] = f"{row['train/mean_reward']:.2f}"
        return figures


class SilentLogger:
    """Takes the place of the logger where another learner logs: a runner without a writer does not save."""

    log_dir = None
    writer = None

    def init_logging_writer(self) -> None:
        """Open nothing."""

    def process_env_step(self, *_: Any) -> None:
        """Take in nothing."""

    def log(self, **_: Any) -> None:
        """Write nothing."""

    def stop_logging_writer(self) -> None:
        """Flush nothing."""
