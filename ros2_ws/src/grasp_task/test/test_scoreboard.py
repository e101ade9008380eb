"""Figures of the scoreboard."""

import json

import pytest
from rich.console import Console

from grasp_task.diagnostics import collect_counters
from grasp_task.scoreboard import Counters, EpisodeResult, Scoreboard, tally, wilson_interval


def result(success: bool, family: str = "mug", **changes) -> EpisodeResult:
    values = {"cause": "" if success else "not lifted", "duration_s": 5.0, "wall_s": 2.0} | changes
    return EpisodeResult(object_name=f"{family}-1", family=family, success=success, **values)


def printed(scoreboard: Scoreboard) -> str:
    console = Console(width=110)
    with console.capture() as capture:
        console.print(scoreboard.table())
    return capture.get()


@pytest.mark.parametrize(
    ("successes", "episodes", "lower", "upper"),
    # Figures of Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_wilson_interval_agrees_with_published_figures(successes, episodes, lower, upper):
    assert wilson_interval(successes, episodes) == pytest.approx((lower, upper), abs=6e-5)


def test_the_wilson_interval_is_symmetric_and_stays_within_zero_and_one():
    for episodes in (1, 2, 7, 200):
        for successes in range(episodes + 1):
            lower, upper = wilson_interval(successes, episodes)
            assert 0.0 <= lower <= successes / episodes <= upper <= 1.0
            assert wilson_interval(episodes - successes, episodes) == pytest.approx((1 - upper, 1 - lower))


def test_no_episode_says_nothing():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert str(tally([])) == "no episodes"


@pytest.mark.parametrize(("successes", "episodes"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(successes, episodes):
    with pytest.raises(ValueError, match=f"{successes} successes in {episodes} episodes"):
        wilson_interval(successes, episodes)


def test_episodes_that_do_not_count_change_no_figure():
    scoreboard = Scoreboard(results=[result(True), result(False), result(False, counts=False)])
    assert (scoreboard.total.episodes, scoreboard.total.successes) == (2, 1)
    assert scoreboard.by_family()["mug"].episodes == 2


def test_families_are_counted_apart():
    scoreboard = Scoreboard(results=[result(True, "mug"), result(False, "mug"), result(True, "box")])
    families = scoreboard.by_family()
    assert list(families) == ["box", "mug"]
    assert (families["mug"].successes, families["mug"].episodes) == (1, 2)


def test_the_mean_time_to_lift_is_over_the_episodes_that_lifted():
    results = [result(True, lifted_at_s=1.0), result(False), result(True, lifted_at_s=2.0)]
    assert Scoreboard(results=results).mean_lift_time_s() == 1.5
    assert Scoreboard(results=[result(False)]).mean_lift_time_s() is None


def test_the_live_line_tells_the_latest_result():
    scoreboard = Scoreboard(wanted=20, results=[result(True, lifted_at_s=1.25)])
    assert scoreboard.live_line() == (
        "episode 1/20  mug-1 [mug]  success  lifted after 1.2 s  2.0 s  score 1/1 = 100 %, 1 in a row"
    )
    scoreboard.add(result(False, cause="dropped", lifted_at_s=1.0))
    assert "failure (dropped)" in scoreboard.live_line()
    assert Scoreboard().live_line() == "no episode yet"


def test_the_table_shows_score_interval_families_causes_and_counters():
    scoreboard = Scoreboard(wanted=3, results=[result(True), result(False), result(False, "box")])
    scoreboard.faults.append("moving home took longer than 15 s")
    scoreboard.counters = Counters(inferences=450, commands=1800, commands_clipped=7, images_late=3)
    text = printed(scoreboard)
    for words in ("1/3", "33.3 %", "family box", "family mug", "not lifted", "2 ×", "moving home took"):
        assert words in text
    for words in ("7 of 1800", "450"):
        assert words in text


def test_an_empty_table_prints_too():
    assert "no episodes" in printed(Scoreboard())


def test_the_report_holds_the_same_figures_and_appears_whole(tmp_path):
    scoreboard = Scoreboard(wanted=2, results=[result(True), result(False)], settings={"seed": "0"})
    path = tmp_path / "deep" / "report.json"
    scoreboard.write(path)
    told = json.loads(path.read_text(encoding="utf-8"))
    assert (told["episodes"], told["successes"], told["rate"]) == (2, 1, 0.5)
    assert told["interval_95"] == list(scoreboard.total.interval)
    assert told["by_family"]["mug"]["episodes"] == 2
    assert told["settings"] == {"seed": "0"}
    assert [one["success"] for one in told["results"]] == [True, False]
    assert [one.name for one in path.parent.iterdir()] == ["report.json"]


def test_score_values_are_texts_for_a_diagnostic_status():
    values = Scoreboard(wanted=5, results=[result(False, cause="dropped")]).key_values()
    assert all(isinstance(value, str) for value in values.values())
    assert (values["episodes"], values["successes"], values["last_cause"]) == ("1", "0", "dropped")


def test_counters_are_read_from_the_statuses_of_their_nodes():
    counters = Counters()
    statuses = {
        "grasp_policy": {"skipped_old": "3", "skipped_unpaired": "2", "skipped_repeated": "1"},
        "something_else": {"skipped_old": "100"},
    }
    collect_counters(counters, statuses)
    assert (counters.images_late, counters.images_unusable) == (3, 3)


def test_a_counter_that_is_no_number_keeps_the_last_one():
    counters = Counters(images_late=5)
    collect_counters(counters, {"grasp_policy": {"skipped_old": "nan"}})
    assert counters.images_late == 5


def test_successes_in_a_row_are_broken_by_failures_and_by_nothing_else():
    scoreboard = Scoreboard()
    for success, counts in [
        (True, True),
        (True, True),
        (False, False),
        (True, True),
        (False, True),
        (True, True),
    ]:
        scoreboard.add(result(success, counts=counts))
    assert scoreboard.streaks == (1, 3)
    assert scoreboard.key_values()["longest_streak"] == "3"
    assert Scoreboard().streaks == (0, 0)


def test_successes_an_hour_take_in_all_the_time_between_and_no_pause():
    results = [result(True, cycle_s=10.0), result(False, cycle_s=20.0), result(True, cycle_s=30.0)]
    paused = result(False, cycle_s=1000.0, counts=False)
    assert Scoreboard(results=[*results, paused]).successes_per_hour == pytest.approx(2 * 3600 / 60)
    assert Scoreboard().successes_per_hour == 0.0
