"""How well a teacher's action is predictable from what its student sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from rsl_rl.models import MLPModel
from tensordict import TensorDict

from grasp_training.evaluation import EpisodeSchedule
from grasp_training.evaluation.actors import Transition
from grasp_training.learning import StereoStudent
from grasp_training.studies.statistics import Estimate, bootstrap
from grasp_training.tasks import NUM_ACTIONS, GraspEnv

ACTION_GROUPS: dict[str, slice] = {
    "palm translation": slice(0, 3),
    "palm rotation": slice(3, 6),
    "hand": slice(6, NUM_ACTIONS),
}
"""Numbers of an action by what they move (`tasks.actions`)."""

_COLUMNS = ("taught", "taught_squared", "error_squared", "error_absolute")


@dataclass(frozen=True)
class ActionSums:
    """Sums over the steps of each of E episodes: all that R² and mean error need."""

    steps: np.ndarray
    """(E,) steps"""
    taught: np.ndarray
    """(E, 11) of the teacher's action a"""
    taught_squared: np.ndarray
    """(E, 11) of a²"""
    error_squared: np.ndarray
    """(E, 11) of (a − s)², s the student's action"""
    error_absolute: np.ndarray
    """(E, 11) of |a − s|"""

    @staticmethod
    def empty(episodes: int) -> ActionSums:
        """Sums of nothing."""
        return ActionSums(np.zeros(episodes), *(np.zeros((episodes, NUM_ACTIONS)) for _ in _COLUMNS))

    def add(self, numbers: np.ndarray, taught: np.ndarray, own: np.ndarray) -> None:
        """Add one step of the episodes numbers (k,), each there once: actions (k, 11) of both."""
        error = taught - own
        self.steps[numbers] += 1
        values = (taught, taught**2, error**2, np.abs(error))
        for name, value in zip(_COLUMNS, values, strict=True):
            getattr(self, name)[numbers] += value

    def explained_share(self, group: slice, episodes: np.ndarray) -> float:
        """R² of an action group over episodes (k,), repetitions among them; NaN where a never changes.

        1 − Σ (a − s)² / Σ (a − ā)²: both sums run over steps and the group's numbers together, ā is each
        number's mean over all steps. 1: the student knows the action; 0: it knows no more than the mean;
        below 0: less.
        """
        steps = self.steps[episodes].sum()
        if not steps:
            return math.nan
        taught, squared, error = (
            column[episodes, group].sum(0)
            for column in (self.taught, self.taught_squared, self.error_squared)
        )
        spread = float((squared - taught**2 / steps).sum())
        return 1.0 - float(error.sum()) / spread if spread > 1e-9 * steps else math.nan

    def mean_error(self, group: slice, episodes: np.ndarray) -> float:
        """Mean of |a − s| over steps of episodes (k,) and an action group's numbers."""
        steps = self.steps[episodes].sum()
        return float(self.error_absolute[episodes, group].sum(0).mean() / steps) if steps else math.nan


def joined(parts: list[ActionSums]) -> ActionSums:
    """Sums of the episodes of all parts."""
    return ActionSums(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("steps", *_COLUMNS))
    )


@dataclass(frozen=True)
class Predictability:
    """How much of a teacher's action its student knows."""

    explained: dict[str, Estimate]
    """by action group: R², with the bootstrap's interval over episodes"""
    error: dict[str, Estimate]
    """by action group: mean absolute error, in units of the action (-1 to 1)"""

    @staticmethod
    def of(sums: ActionSums) -> Predictability:
        """The figures of some episodes."""
        count = len(sums.steps)
        return Predictability(
            explained={
                name: bootstrap(count, lambda drawn, group=group: sums.explained_share(group, drawn))
                for name, group in ACTION_GROUPS.items()
            },
            error={
                name: bootstrap(count, lambda drawn, group=group: sums.mean_error(group, drawn))
                for name, group in ACTION_GROUPS.items()
            },
        )


class ComparingActor:
    """A teacher and a student on the same states: one acts, both say what they would do.

    Both remember what they saw of the episode. Actions are clipped to [-1, 1], as the decoder and
    distillation do.

    Args:
        teacher: its network, from observations to mean actions (n, 11).
        student: the same of its student.
        schedule: which episode each environment is in.
        teacher_acts: whether the teacher acts; otherwise the student does.
        groups: observation groups that the two read.
    """

    def __init__(
        self,
        teacher: MLPModel,
        student: StereoStudent,
        schedule: EpisodeSchedule,
        teacher_acts: bool,
        groups: tuple[str, ...],
    ):
        self.groups, self.sums = groups, ActionSums.empty(schedule.episodes)
        self._teacher, self._student = teacher.eval(), student.eval()
        self._schedule, self._teacher_acts = schedule, teacher_acts

    def begin(self, env_ids: np.ndarray, observations: TensorDict) -> None:
        """See ``Actor``; both forget."""
        begun = torch.zeros(observations.batch_size[0], dtype=torch.bool)
        begun[torch.from_numpy(env_ids)] = True
        self._teacher.reset(begun)
        self._student.reset(begun)

    def step(self, env: GraspEnv, observations: TensorDict, active: np.ndarray) -> Transition:
        """See ``Actor``."""
        with torch.no_grad():
            taught = self._teacher(observations).clamp(-1.0, 1.0)
            own = self._student(observations).clamp(-1.0, 1.0)
            numbers = self._schedule.number[active]
            self.sums.add(numbers, taught.numpy()[active].astype(float), own.numpy()[active].astype(float))
            return env.step(taught if self._teacher_acts else own)
