"""What the reward pays for, and what not."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import grasp_training.tasks
from grasp_training.tasks import NUM_ACTIONS, RewardConfig
from grasp_training.tasks.rewards import GraspGeometry, reward_terms

CONFIG = RewardConfig()
THUMB = torch.tensor([[-1.0, 0.0, 0.0]])
FINGERS = torch.tensor([[1.0, 0.0, 0.0]]).expand(3, 3)


def geometry(**changes) -> GraspGeometry:
    """A hand with its fingers 2 cm from an object on the table, thumb and fingers face to face."""
    values = {
        "grasp_point_distance": 0.04,
        "tip_distance": 0.06,
        "tip_gap": [0.02] * 4,
        "surface_distance": 0.02,
        "tip_direction": torch.cat([FINGERS, THUMB]),
        "height": 0.0,
        "goal_distance": 0.2,
        "at_goal": False,
    }
    return GraspGeometry(**{name: torch.as_tensor(value)[None] for name, value in (values | changes).items()})


def reward(state: GraspGeometry, action: float = 0.0, config: RewardConfig = CONFIG) -> float:
    terms = reward_terms(state, torch.full((1, NUM_ACTIONS), action), config)
    return float(torch.stack(list(terms.values())).sum())


def term(name: str, state: GraspGeometry, action: float = 0.0) -> float:
    return float(reward_terms(state, torch.full((1, NUM_ACTIONS), action), CONFIG)[name])


def falls(values: list[float]) -> bool:
    return all(first > second for first, second in itertools.pairwise(values))


def test_nearer_is_more():
    distances = (0.05, 0.1, 0.2, 0.4, 0.8)
    assert falls([term("reach", geometry(grasp_point_distance=d, tip_distance=0.1)) for d in distances])
    assert falls([term("reach", geometry(grasp_point_distance=0.1, tip_distance=d)) for d in distances])


def test_fingers_on_the_surface_are_more_than_fingers_off_it():
    assert falls([term("opposition", geometry(tip_gap=[gap] * 4)) for gap in (0.0, 0.01, 0.03, 0.08)])


def test_an_open_hand_over_the_object_pays_less_than_a_closed_one():
    """Pure reaching has a local optimum there: the thumb has to close in."""
    open_hand = geometry(tip_gap=[0.05, 0.05, 0.05, 0.08])
    thumb_only = geometry(tip_gap=[0.05, 0.05, 0.05, 0.0])
    closed = geometry(tip_gap=[0.0] * 4)
    assert falls([reward(state) for state in (closed, thumb_only, open_hand)])


def test_opposite_is_more_than_side_by_side():
    beside = torch.cat([FINGERS, FINGERS[:1]])
    assert term("opposition", geometry(tip_gap=[0.0] * 4)) > term(
        "opposition", geometry(tip_gap=[0.0] * 4, tip_direction=beside)
    )


def test_lifting_pays_from_the_first_millimetre_and_up_to_its_full_height():
    heights = (0.2, 0.1, 0.05, 0.01, 0.001, 0.0)
    assert falls([term("lift", geometry(height=height)) for height in heights])
    full = CONFIG.lift_height_m
    assert term("lift", geometry(height=2 * full)) == term("lift", geometry(height=full))
    assert term("lift", geometry(height=-0.01)) == 0.0


def test_the_goal_pays_once_lifted_and_more_when_nearer():
    assert term("goal", geometry(height=0.0, goal_distance=0.05)) == 0.0
    assert falls([term("goal", geometry(height=0.05, goal_distance=d)) for d in (0.0, 0.1, 0.3)])


def test_holding_at_the_goal_pays_most():
    held = geometry(tip_gap=[0.0] * 4, height=0.2, goal_distance=0.02, at_goal=True)
    nearly = replace(held, goal_distance=torch.tensor([0.12]), at_goal=torch.tensor([False]))
    lifted = replace(nearly, goal_distance=torch.tensor([0.2]), height=torch.tensor([0.05]))
    grasped = replace(lifted, goal_distance=torch.tensor([0.25]), height=torch.tensor([0.0]))
    assert falls([reward(state) for state in (held, nearly, lifted, grasped, geometry())])


def test_a_thrown_object_pays_nothing_but_reach():
    thrown = geometry(
        surface_distance=CONFIG.near_m + 0.01, height=0.3, goal_distance=0.0, at_goal=True, tip_gap=[0.13] * 4
    )
    for name in ("opposition", "lift", "goal", "success"):
        assert term(name, thrown) == 0.0
    assert reward(thrown) == pytest.approx(term("reach", thrown))


def test_actions_cost_a_little():
    costs = [term("action", geometry(), action) for action in (0.0, 0.5, 1.0)]
    assert falls(costs)
    assert costs[0] == 0.0
    assert term("action", geometry(), 5.0) == pytest.approx(costs[2]), "what is clipped costs no more"
    assert -costs[2] < 0.1 * CONFIG.scale * CONFIG.success


def test_weights_scale_their_terms():
    state = geometry(tip_gap=[0.0] * 4, height=0.1, goal_distance=0.05, at_goal=True)
    before = reward_terms(state, torch.zeros(1, NUM_ACTIONS), CONFIG)
    for name in ("reach", "opposition", "lift", "goal", "success"):
        doubled = replace(CONFIG, **{name: 2 * getattr(CONFIG, name)})
        after = reward_terms(state, torch.zeros(1, NUM_ACTIONS), doubled)
        assert float(after[name]) == pytest.approx(2 * float(before[name])), name
        assert float(before[name]) > 0, name


def test_actions_far_beyond_their_range_cost_more_than_those_at_its_end():
    assert term("saturation", geometry(), 1.0) == 0.0
    assert falls([term("saturation", geometry(), action) for action in (1.0, 1.5, 3.0)])
    assert term("saturation", geometry(), -3.0) == term("saturation", geometry(), 3.0)


def test_the_readme_has_the_weights_that_the_code_has():
    table = (Path(grasp_training.tasks.__file__).parent / "README.md").read_text().partition("## Reward")[2]
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\d.]+) \|$", table.partition("## ")[0], re.MULTILINE)
    assert {name: float(weight) for name, weight in rows} == {
        name: getattr(CONFIG, name) for name in reward_terms(geometry(), torch.zeros(1, NUM_ACTIONS), CONFIG)
    }


def test_reward_is_finite_far_away():
    far = geometry(
        grasp_point_distance=1e3, tip_distance=1e3, tip_gap=[1e3] * 4, surface_distance=1e3, height=-1.0
    )
    assert reward(far) == pytest.approx(0.0, abs=1e-6)
