"""Hostile images end in refusals that say which view and why; hostile sets say what is missing."""

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rendered import BOARD, look_at_board, save
from synthetic_views import seen_by_projection

from grasp_calibration.board import Detection
from grasp_calibration.cli import main
from grasp_calibration.errors import CalibrationRefusedError
from grasp_calibration.geometry import pose
from grasp_calibration.quality import QualityLimits, problem_of_view
from grasp_calibration.stereo import calibrate_stereo
from grasp_calibration.views import Pair, PairViews, judged_views, read_pairs

LIMITS = QualityLimits()


@pytest.fixture(scope="module")
def hostile(rig, good_folder, tmp_path_factory):
    """The good views among everything that goes wrong when somebody is in a hurry."""
    folder = tmp_path_factory.mktemp("hostile") / "views"
    shutil.copytree(good_folder, folder)
    rng = np.random.default_rng(3)
    board = look_at_board(rng, 0.55, 25, 0.05)
    left, right = rig.pair(board, rng)
    blank = np.full_like(left, 90)
    near = look_at_board(rng, 0.42, 15, 0.02)
    save(folder, "bad_motion", rig.pair(near, rng, motion_px=7))
    save(folder, "bad_focus", rig.pair(near, rng, blur_px=2.0))
    save(folder, "bad_dark", rig.pair(board, rng, contrast=0.08))
    save(folder, "bad_nothing", [blank, blank])
    save(folder, "bad_far", rig.pair(look_at_board(rng, 2.6, 10, 0.02), rng))
    small = [cv2.resize(left, (320, 240)), cv2.resize(right, (320, 240))]
    save(folder, "a_bad_size", small)
    save(folder, "bad_sizes", [left, small[1]])
    save(folder, "bad_left_only", [left, blank])
    hidden = left.copy()
    hidden[:, 150:] = 90
    save(folder, "bad_hidden", [hidden, right])
    save(folder, "bad_late", [left, rig.pair(board @ pose([0, 0.02, 0], [0.012, 0.02, 0]), rng)[1]])
    save(folder, "bad_repeated_1", rig.pair(board, rng))
    save(folder, "bad_repeated_2", rig.pair(board, rng))
    (folder / "left" / "bad_file.png").write_bytes(b"not an image")
    (folder / "right" / "bad_file.png").write_bytes(b"")
    cv2.imwrite(str(folder / "left" / "bad_single.png"), left)
    return folder


EXPECTED = {
    "bad_dark": "black and white differ by",
    "bad_far": "left: ",
    "bad_file": "the left file is no readable image",
    "bad_focus": "edges are blurred by",
    "bad_hidden": "left: ",
    "bad_late": "RMS error",
    "bad_left_only": "right: no board found",
    "bad_motion": "edges are blurred by",
    "bad_nothing": "left: no board found",
    "bad_repeated_2": "the board stands where bad_repeated_1 has it",
    "bad_single": "there is no right image",
    "a_bad_size": "images are 320x240 px; expected 640x480 like most",
    "bad_sizes": "the left image is 640x480 px, the right one 320x240 px; expected the same size",
}


@pytest.fixture(scope="module")
def refused(hostile):
    views = judged_views(BOARD, LIMITS, read_pairs(hostile))
    return {one.name: one.reason for one in calibrate_stereo(BOARD, views).refusals}


def test_every_bad_view_is_refused_and_no_good_one(refused):
    assert sorted(refused) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_bad_view_is_refused_for_what_is_wrong_with_it(refused, name):
    assert refused[name]
    assert EXPECTED[name] in refused[name]


def test_bad_views_do_not_move_the_result(hostile, good_result):
    found = calibrate_stereo(BOARD, judged_views(BOARD, LIMITS, read_pairs(hostile)))
    assert found.calibration.baseline_m == pytest.approx(good_result.calibration.baseline_m, abs=2e-4)


def test_only_bad_views_end_in_a_clear_refusal_of_the_command(hostile, tmp_path, capsys):
    only_bad = tmp_path / "views"
    shutil.copytree(hostile, only_bad, ignore=shutil.ignore_patterns("good_*"))
    assert main(["stereo", str(only_bad), "--output", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert "usable views; expected at least 10" in message
    for name in set(EXPECTED) - {"bad_late"}:
        assert f"refused {name}: " in message
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path):
    with pytest.raises(CalibrationRefusedError, match="no such folder"):
        judged_views(BOARD, LIMITS, read_pairs(tmp_path))
    for eye in ("left", "right"):
        (tmp_path / eye).mkdir()
    with pytest.raises(CalibrationRefusedError, match="no images"):
        judged_views(BOARD, LIMITS, read_pairs(tmp_path))


def test_another_board_is_not_taken_for_this_one(good_folder):
    other = replace(BOARD, dictionary="DICT_4X4_100")
    views = judged_views(other, LIMITS, read_pairs(good_folder))
    assert views.pairs == ()
    assert {one.reason for one in views.refusals} == {
        "left: no board found (another board, hidden, too blurred or too dark)"
    }


def test_too_few_views_are_refused_with_their_number(good_views):
    few = PairViews(good_views.size, good_views.pairs[:9], ())
    with pytest.raises(CalibrationRefusedError, match="9 usable views; expected at least 10"):
        calibrate_stereo(BOARD, few)


def test_swapped_eyes_are_refused(good_views):
    swapped = tuple(Pair(one.name, (one.eyes[1], one.eyes[0])) for one in good_views.pairs)
    with pytest.raises(CalibrationRefusedError, match="left and right swapped"):
        calibrate_stereo(BOARD, PairViews(good_views.size, swapped, ()))


def test_a_lens_that_the_model_does_not_describe_is_refused(good_views):
    def through_ripples(found: Detection) -> Detection:
        return Detection(found.ids, found.points + 1.5 * np.sin(found.points[:, ::-1] / 25.0))

    bent = tuple(Pair(one.name, tuple(map(through_ripples, one.eyes))) for one in good_views.pairs)
    with pytest.raises(CalibrationRefusedError, match="a lens that plumb_bob does not describe"):
        calibrate_stereo(BOARD, PairViews(good_views.size, bent, ()))


def test_eyes_that_never_saw_the_same_moment_are_refused(good_views):
    rng = np.random.default_rng(9)

    def later(found: Detection) -> Detection:
        return Detection(found.ids, found.points + rng.uniform(-6, 6, 2))

    late = tuple(Pair(one.name, (one.eyes[0], later(one.eyes[1]))) for one in good_views.pairs)
    with pytest.raises(CalibrationRefusedError, match=r"in both eyes together, .* the same moment"):
        calibrate_stereo(BOARD, PairViews(good_views.size, late, ()))


def test_boards_that_are_never_tilted_are_refused(rig):
    rng = np.random.default_rng(5)
    parallel = [look_at_board(rng, rng.uniform(0.35, 0.7), 0, 0.3) for _ in range(25)]
    with pytest.raises(CalibrationRefusedError, match="the board's plane turned by"):
        calibrate_stereo(BOARD, seen_by_projection(rig, parallel, rng))


def test_a_board_that_stays_in_the_middle_is_refused_with_the_parts_never_seen(rig):
    rng = np.random.default_rng(6)
    middle = [look_at_board(rng, 1.2, rng.uniform(10, 40), 0.02) for _ in range(25)]
    with pytest.raises(CalibrationRefusedError, match=r"covered \d+ % of the image.*left top"):
        calibrate_stereo(BOARD, seen_by_projection(rig, middle, rng))


def test_corners_in_one_line_are_refused(good_views):
    whole = good_views.pairs[0].eyes[0]
    line = np.flatnonzero(whole.ids // (BOARD.columns - 1) == 1)
    limits = replace(LIMITS, least_corners=4)
    found = Detection(whole.ids[line], whole.points[line])
    problem = problem_of_view(BOARD, limits, np.zeros((480, 640), np.uint8), found)
    assert problem is not None
    assert "lie in one line" in problem
