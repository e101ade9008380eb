"""How much of a teacher's action a student knows, by hand and on real episodes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from grasp_description.objects import object_set
from grasp_training.evaluation import EpisodeSchedule, run_episodes
from grasp_training.studies.predictability import (
    ACTION_GROUPS,
    ActionSums,
    ComparingActor,
    Predictability,
    joined,
)
from grasp_training.studies.statistics import Estimate, bootstrap, bootstrap_difference
from grasp_training.tasks import CurriculumConfig, RandomizationConfig, TaskConfig, make_env

EVERY = np.array([0, 1])


def sums_of(taught: dict[int, list[float]], own: dict[int, list[float]]) -> ActionSums:
    """Two episodes of two steps whose first action numbers are given by column; the others are 0."""
    sums = ActionSums.empty(2)
    for step in range(2):
        actions = [np.zeros((2, 11)) for _ in range(2)]
        for array, columns in zip(actions, (taught, own), strict=True):
            for column, values in columns.items():
                array[:, column] = values[2 * step : 2 * step + 2]
        sums.add(EVERY, *actions)
    return sums


def test_explained_share_and_error_are_those_worked_out_by_hand() -> None:
    # Column 0: mean 0, squares sum to 4 × 1; errors 0, 0, 0.5, 0.5. Column 1: mean 0.5, deviations
    # -0.5, -0.5, 0.5, 0.5, squares sum to 1; errors all 0.5.
    sums = sums_of(
        {0: [1.0, -1.0, 1.0, -1.0], 1: [0.0, 0.0, 1.0, 1.0]},
        {0: [1.0, -1.0, 0.5, -0.5], 1: [0.5, 0.5, 0.5, 0.5]},
    )
    translation = ACTION_GROUPS["palm translation"]
    assert sums.explained_share(translation, EVERY) == pytest.approx(1 - (0.5 + 1.0) / (4.0 + 1.0))
    assert sums.mean_error(translation, EVERY) == pytest.approx((1.0 + 2.0) / (4 * 3))
    assert math.isnan(sums.explained_share(ACTION_GROUPS["hand"], EVERY)), "it never changes"
    assert sums.mean_error(ACTION_GROUPS["hand"], EVERY) == 0.0


def test_a_perfect_student_explains_all_the_mean_nothing_and_the_opposite_less() -> None:
    taught = {6: [1.0, -1.0, 1.0, -1.0]}
    hand = ACTION_GROUPS["hand"]
    expected = ((taught, 1.0), ({6: [0.0] * 4}, 0.0), ({6: [-1.0, 1.0, -1.0, 1.0]}, -3.0))
    for own, share in expected:
        assert sums_of(taught, own).explained_share(hand, EVERY) == pytest.approx(share)


def test_episodes_of_several_seeds_are_one_set() -> None:
    sums = sums_of({0: [1.0, -1.0, 1.0, -1.0]}, {0: [0.0] * 4})
    both = joined([sums, sums])
    assert both.steps.tolist() == [2, 2, 2, 2]
    assert Predictability.of(both).explained["palm translation"].value == pytest.approx(0.0)


def test_an_interval_narrows_with_episodes_and_holds_the_figure() -> None:
    def interval(count: int) -> Estimate:
        values = np.tile([0.0, 1.0], count // 2)
        return bootstrap(count, lambda drawn: float(values[drawn].mean()), resamples=400)

    few, many = interval(20), interval(2000)
    assert few.low < 0.5 < few.high
    assert many.high - many.low < 0.2 * (few.high - few.low)
    # The deviation of a mean of 2000 such outcomes is 0.5 / √2000; the interval is four of them wide.
    assert many.high - many.low == pytest.approx(3.92 * 0.5 / math.sqrt(2000), rel=0.15)
    assert math.isnan(bootstrap(0, lambda drawn: 0.0).value)


def test_a_difference_of_kinds_is_as_unsure_as_their_seeds() -> None:
    alike = [np.repeat([0.0, 1.0], 50)] * 3
    better = [np.repeat([0.0, 1.0], [20, 80])] * 3
    found = bootstrap_difference(alike, better, resamples=400)
    assert found.value == pytest.approx(0.3)
    assert found.low > 0.1
    spread = [np.zeros(100), np.ones(100), np.repeat([0.0, 1.0], [10, 90])]
    unsure = bootstrap_difference(alike, spread, resamples=400)
    assert unsure.high - unsure.low > 2 * (found.high - found.low)


class Scripted(nn.Module):
    """Says the number of steps since its episode began, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.age = factor, torch.zeros(2)

    def reset(self, dones: torch.Tensor) -> None:
        self.age[dones] = 0

    def forward(self, observations: object) -> torch.Tensor:
        self.age += 1
        return (self.factor * self.age)[:, None].expand(2, 11).clone()


@pytest.mark.parametrize("teacher_acts", [True, False])
def test_both_are_asked_on_the_states_of_the_one_that_acts(teacher_acts: bool) -> None:
    task = TaskConfig(episode_length_s=0.2, threads=1, curriculum=CurriculumConfig(start_level=1.0, step=0.0))
    schedule = EpisodeSchedule(object_set("held-out"), RandomizationConfig(), 0, 2, 3)
    env = make_env(task, 2, ("proprioception",), "held-out", 0, schedule)
    acted: list[torch.Tensor] = []
    step = env.step
    env.step = lambda actions: (acted.append(actions), step(actions))[1]  # type: ignore[method-assign]
    actor = ComparingActor(Scripted(0.1), Scripted(0.3), schedule, teacher_acts, ("proprioception",))
    episodes = run_episodes(env, actor, schedule)
    assert len(episodes) == 3
    assert actor.sums.steps.tolist() == [6, 6, 6], "and nothing of the episode that does not count"
    steps = np.arange(1, 7)
    taught, own = np.minimum(0.1 * steps, 1.0), np.minimum(0.3 * steps, 1.0)
    np.testing.assert_allclose(actor.sums.error_squared[2], ((taught - own) ** 2).sum(), rtol=1e-5)
    assert acted[4][0, 0] == pytest.approx(0.5 if teacher_acts else 1.0)
