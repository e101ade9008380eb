"""The view in the browser: its panel, its errors, its server."""

import socket
import sys
import urllib.request

import numpy as np
import pytest

from grasp_sim.viewer import Viewer, ViewerConfig, ViewerUnavailableError, panel_html, side_by_side
from grasp_sim.world import World

SCORE = {
    "episodes": "8",
    "successes": "6",
    "rate": "0.75",
    "interval_lower": "0.41",
    "interval_upper": "0.93",
    "last_object": "mug_001",
    "last_success": "false",
    "last_cause": "dropped",
}


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.mark.parametrize("missing", ["viser", "mjviser"])
def test_a_missing_package_is_named_with_what_to_do(world, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ViewerUnavailableError, match=rf"{missing}.*pip install viser mjviser"):
        Viewer(world)


def test_the_panel_shows_the_score_and_how_the_last_episode_went():
    page = panel_html({"state": "grasp", "object": "mug_001 [mug]"}, SCORE)
    assert "6 of 8 grasped – 75 %" in page
    assert "41 to 93 %" in page
    assert "dropped" in page
    assert "success" in panel_html({}, SCORE | {"last_success": "true"})


def test_the_panel_says_so_before_the_first_episode_and_escapes_words():
    assert "no episode yet" in panel_html({}, {})
    assert "no episode yet" in panel_html({}, {"episodes": "zero"})
    assert "<script>" not in panel_html({"state": "<script>"}, {})


def test_both_eyes_are_shown_side_by_side_with_their_pixels_visible():
    eyes = np.stack([np.full((4, 6, 3), value, np.uint8) for value in (10, 20)])
    picture = side_by_side(eyes)
    assert picture.shape[0] == 12
    assert np.all(picture[:, :18] == 10)
    assert np.all(picture[:, -18:] == 20)


def test_the_view_serves_a_page_and_takes_updates(world):
    pytest.importorskip("viser")
    pytest.importorskip("mjviser")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    now = [0.0]
    viewer = Viewer(world, ViewerConfig(port=port), now_s=lambda: now[0])
    try:
        with urllib.request.urlopen(viewer.url, timeout=10) as page:
            assert page.status == 200
            assert b"<html" in page.read().lower()
        before = world.data.qpos.copy(), world.data.xpos.copy()
        viewer.show_score(SCORE)
        viewer.show_word("state", "grasp")
        now[0] += 1.0
        viewer.update(np.zeros((2, world.rig.height, world.rig.width, 3), np.uint8))
        world.reset_object()
        viewer.show_object()
        assert np.array_equal(world.data.xpos, before[1])
    finally:
        viewer.close()
