"""Active vision: the share of the object that the robot leaves visible, where the answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from grasp_description.objects import object_set
from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_description.scene import build_model
from grasp_training.evaluation import Episode
from grasp_training.evaluation.episodes import Trace
from grasp_training.studies.visibility import VIEW, EpisodeVisibility, ObjectWatcher, Views
from grasp_training.tasks.kinematics import GRASP_POINT

BOX = next(spec for spec in object_set("held-out") if spec.family == "box")
ARM_AWAY = np.array([math.pi / 2 * 1.6, *HOME_POSITION[1:]], dtype=np.float32)
"""the arm turned about its base, far from what the camera sees"""


def episode(joints: np.ndarray, position: np.ndarray, lifted_at_s: float | None = None) -> Episode:
    """An episode of one moment."""
    pose = np.array([*position, 1.0, 0.0, 0.0, 0.0], np.float32)
    trace = Trace([joints.astype(np.float32)], [pose])
    return Episode(0, BOX, False, lifted_at_s, False, False, 0.0, 0.0, trace)


def grasp_point() -> np.ndarray:
    """Where the hand grasps at home, m."""
    model = build_model()
    data = mujoco.MjData(model)
    data.qpos[: len(JOINT_NAMES)] = HOME_POSITION
    mujoco.mj_kinematics(model, data)
    from grasp_description.robot import PALM_LINK

    palm = data.body(PALM_LINK)
    return palm.xpos + palm.xmat.reshape(3, 3) @ np.asarray(GRASP_POINT)


@pytest.fixture(scope="module")
def watcher() -> ObjectWatcher:
    return ObjectWatcher(VIEW)


def test_all_of_the_object_is_visible_with_the_arm_away_and_less_with_the_hand_about_it(watcher) -> None:
    place = np.array([0.62, 0.0, BOX.rest_height_m])
    away = watcher.shares(episode(ARM_AWAY, place))[0]
    held = watcher.shares(episode(HOME_POSITION, grasp_point()))[0]
    assert away == 1.0
    assert 0.0 < held < 0.8


def test_an_object_in_the_robot_is_not_visible_and_one_out_of_the_image_has_no_share(watcher) -> None:
    buried = watcher.shares(episode(ARM_AWAY, np.array([0.62, 0.0, -0.5])))[0]
    assert math.isnan(buried), "the table hides it, which is not the robot's doing"
    assert math.isnan(watcher.shares(episode(ARM_AWAY, np.array([0.62, 5.0, 0.1])))[0])


def test_pixels_are_the_objects_where_depth_differs_without_it() -> None:
    empty = np.full((2, 3), 2.0, np.float32)
    alone = np.array([[2.0, 1.0, 1.0], [2.0, 1.0, 1.0]], np.float32)
    full = np.array([[0.5, 1.0, 0.5], [2.0, 1.0, 1.0]], np.float32)
    views = Views(full, alone, empty)
    assert views.object_pixels().tolist() == [[False, True, True], [False, True, True]]
    assert views.visible_pixels().tolist() == [[False, True, False], [False, True, True]]
    assert views.share() == 0.75


def test_means_end_where_the_object_is_lifted() -> None:
    start = episode(ARM_AWAY, np.zeros(3))
    shares = np.array([1.0, 0.8, math.nan, 0.4, 0.0])
    lifted = EpisodeVisibility.of(replace(start, lifted_at_s=1.2), shares, 0.4)
    assert lifted.lifted
    assert lifted.until_lift == pytest.approx((1.0 + 0.8 + 0.4) / 3)
    assert lifted.before_lift == pytest.approx(0.4)
    never = EpisodeVisibility.of(start, shares, 0.4)
    assert never.until_lift == pytest.approx(2.2 / 4)
    assert math.isnan(never.before_lift)
