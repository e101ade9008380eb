"""Who simulates and who learns, and which environments go where."""

from __future__ import annotations

import pytest

from grasp_training.disaggregation.placement import Placement, block_sizes
from grasp_training.disaggregation.worker import Setup
from grasp_training.learning import TeacherConfig
from grasp_training.runs import ConfigurationError


@pytest.mark.parametrize("text", ["single", "data-parallel:4", "1:1", "3:1", "6:2", "1:2"])
def test_a_placement_is_written_as_it_is_read(text: str) -> None:
    assert str(Placement.parse(text)) == text


@pytest.mark.parametrize("text", ["", "3", "3:0", "0:1", "data-parallel", "data-parallel:0", "3:1 ", "a:b"])
def test_what_is_no_placement_is_refused_with_what_would_be_one(text: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"'{text}' is none; expected 'single', 'data-parallel:N'"):
        Placement.parse(text)


def test_numbers_that_share_unevenly_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'3:2' shares unevenly"):
        Placement.parse("3:2")


def test_every_rank_has_a_role_and_teams_are_neighbours() -> None:
    names = [str(role) for role in Placement.parse("4:2").roles()]
    assert names == [
        "rank 0 (learner 0)",
        "rank 1 (simulator 0)",
        "rank 2 (simulator 1)",
        "rank 3 (learner 1)",
        "rank 4 (simulator 2)",
        "rank 5 (simulator 3)",
    ]
    assert [role.name for role in Placement.parse("data-parallel:2").roles()] == [
        "learner 0 and simulator 0",
        "learner 1 and simulator 1",
    ]


@pytest.mark.parametrize("text", ["single", "1:1", "3:1", "6:1", "6:2", "1:2", "2:2", "data-parallel:3"])
@pytest.mark.parametrize("groups", [1, 2])
def test_every_block_has_one_simulator_and_one_learner_and_the_order_is_the_same(
    text: str, groups: int
) -> None:
    placement, blocks = Placement.parse(text), 12
    routes = placement.routes(blocks, groups)
    assert [block for route in routes for block in route.blocks] == list(range(blocks))
    assert {route.simulator for route in routes} == set(range(placement.simulators))
    assert {route.learner for route in routes} == set(range(placement.learners))
    for learner in range(placement.learners):
        turns = [route.group for route in routes if route.learner == learner]
        assert turns == sorted(turns), "a learner acts on a slice of its environments"
    keys = [(route.simulator, route.learner, route.group) for route in routes]
    assert len(set(keys)) == len(keys), "messages between two ranks are told apart by their group"


def test_the_ranks_of_a_route_are_in_one_team() -> None:
    placement = Placement.parse("6:2")
    for route in placement.routes(6):
        ranks = placement.rank_of_simulator(route.simulator), placement.rank_of_learner(route.learner)
        assert ranks[0] // 4 == ranks[1] // 4, "on nodes of four, no observation crosses"


def test_blocks_differ_by_one_environment_at_most_and_have_streams_of_their_own() -> None:
    assert block_sizes(10, 4) == (2, 3, 2, 3)
    setup = Setup(12, 6, ("proprioception",), "training", seed=5)
    assert len({setup.block_seed(block) for block in range(6)}) == 6
    assert Setup(12, 1, ("proprioception",), "training", seed=5).block_seed(0) == 5
    assert Setup.from_json(setup.to_json()) == setup


@pytest.mark.parametrize(
    ("placement", "num_envs", "env_blocks", "message"),
    [
        ("3:1", 12, 4, r"4 blocks of environments cannot be shared equally by placement 3:1"),
        ("3:1", 2, 0, r"3 blocks of 2 environments; expected 1 to 2"),
        ("data-parallel:2", 13, 0, r"num_envs is 13; a multiple of the 2 learners"),
    ],
)
def test_environments_that_cannot_be_shared_are_refused(
    placement: str, num_envs: int, env_blocks: int, message: str
) -> None:
    config = TeacherConfig(run="r", placement=placement, num_envs=num_envs, env_blocks=env_blocks)
    with pytest.raises(ConfigurationError, match=message):
        config.blocks()


PLACEMENTS = ("single", "4:1", "4:2", "1:2")


def test_by_default_there_are_as_few_blocks_as_the_placement_allows() -> None:
    found = {text: TeacherConfig(run="r", placement=text).blocks() for text in PLACEMENTS}
    assert found == {"single": 1, "4:1": 4, "4:2": 4, "1:2": 2}
