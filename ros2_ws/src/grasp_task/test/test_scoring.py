"""The verdict on one episode."""

import numpy as np

from grasp_description.workcell import GOAL_POSITION
from grasp_task.events import NO_PROGRESS
from grasp_task.scoring import EpisodeScorer

ON_TABLE = np.array([0.55, 0.0, 0.04])
RATE_HZ = 120


def played(path: list[tuple[np.ndarray, float]], scored: bool = True, cause: str = ""):
    """An episode in which the object is at each place for so many seconds."""
    scorer = EpisodeScorer(scored)
    scorer.open("mug-3", "mug", wall_s=50.0)
    ticks = 0
    for place, seconds in path:
        for _ in range(round(seconds * RATE_HZ)):
            scorer.see(place, ticks / RATE_HZ)
            ticks += 1
    return scorer.close(cause, True, ticks / RATE_HZ, wall_s=53.0)


def test_an_object_held_at_the_goal_at_the_end_is_a_success():
    result = played([(ON_TABLE, 1.0), (GOAL_POSITION, 1.0)])
    assert result.success
    assert result.cause == ""
    assert result.lifted_at_s == 1.0
    assert (result.object_name, result.family, result.wall_s) == ("mug-3", "mug", 3.0)


def test_failures_say_what_happened():
    away = GOAL_POSITION + np.array([0.0, 0.0, 0.2])
    beyond = np.array([2.0, 0.0, 0.0])
    assert played([(ON_TABLE, 5.0)]).cause == "not lifted"
    assert played([(ON_TABLE, 1.0), (GOAL_POSITION, 1.0), (ON_TABLE, 1.0)]).cause == "dropped"
    assert played([(ON_TABLE, 1.0), (away, 1.0)]).cause == "lifted but not held at the goal to the end"
    assert played([(ON_TABLE, 1.0), (beyond, 0.1)]).cause == "object left the workspace"
    assert played([]).cause == "no pose of the object arrived"


def test_an_episode_that_was_cut_short_fails_with_its_cause_even_with_the_object_at_the_goal():
    result = played([(GOAL_POSITION, 2.0)], cause="the command node went to 'holding'")
    assert not result.success
    assert result.counts
    assert result.cause == "the command node went to 'holding'"


def test_without_a_source_of_poses_an_episode_does_not_count():
    result = played([], scored=False)
    assert not result.counts
    assert "score_source" in result.cause


def test_progress_tells_lifted_at_goal_dropped_and_lost():
    scorer = EpisodeScorer(True)
    scorer.open("mug-3", "mug", wall_s=0.0)
    assert not scorer.see(ON_TABLE, 0.0).lifted
    high = scorer.see(GOAL_POSITION, 0.1)
    assert high.lifted
    assert high.at_goal
    assert not scorer.see(ON_TABLE, 0.2).lifted
    assert scorer.see(np.array([0.0, 0.0, -1.0]), 0.3).lost


def test_an_episode_remembers_nothing_of_the_one_before():
    scorer = EpisodeScorer(True)
    scorer.open("mug-3", "mug", wall_s=0.0)
    for time_s, place in enumerate([ON_TABLE, GOAL_POSITION, ON_TABLE, np.array([2.0, 0.0, 0.0])]):
        scorer.see(place, float(time_s))
    assert scorer.close("", True, 4.0, wall_s=4.0).dropped
    scorer.open("box-1", "box", wall_s=10.0)
    assert scorer.see(ON_TABLE, 10.0) == NO_PROGRESS
    result = scorer.close("", True, 1.0, wall_s=11.0)
    assert (result.lifted_at_s, result.dropped, result.cause) == (None, False, "not lifted")
