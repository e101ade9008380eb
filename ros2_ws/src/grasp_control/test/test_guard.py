"""The collision guard, judged by geometry that does not come from it."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from grasp_control.braking import Stop
from grasp_control.collision import CollisionModel
from grasp_control.config import GuardConfig
from grasp_control.guard import CollisionGuard
from grasp_control.limiter import MotionState
from grasp_control.safety import State
from grasp_description.robot import HOME_POSITION, JOINT_NAMES, joint_limits
from grasp_description.scene import build_model

LIMITS = joint_limits()
GEOM = mujoco.mjtGeom
OPEN = {"arm_tracking_rad": 1.0, "hand_lead_rad": 2.0}
SLACK_M = 0.0005
"""What motion between the postures that are checked may add (README)."""


class Judge:
    """Heights above the table and distances, from the workcell's own model and the shapes' formulas."""

    def __init__(self) -> None:
        self.model = build_model()
        self.data = mujoco.MjData(self.model)
        names = [self.model.body(self.model.geom_bodyid[g]).name for g in range(self.model.ngeom)]
        self.arm = [g for g, n in enumerate(names) if n.startswith("lbr_link_") and n > "lbr_link_1"]
        self.arm += [g for g, n in enumerate(names) if n == "palm_link"]
        self.fingers = [g for g, n in enumerate(names) if n.startswith(("index", "middle", "ring", "thumb"))]
        self.base = [g for g, n in enumerate(names) if n in ("lbr_link_0", "lbr_link_1", "lbr_link_2")]

    def pose(self, position: np.ndarray) -> None:
        self.data.qpos[:23] = position
        mujoco.mj_kinematics(self.model, self.data)

    def height(self, geom: int) -> float:
        """Height of a geom's lowest point above the table in m, by the formula of its shape."""
        up = np.abs(self.data.geom_xmat[geom].reshape(3, 3)[2])
        size = self.model.geom_size[geom]
        drop = {
            GEOM.mjGEOM_SPHERE: lambda: size[0],
            GEOM.mjGEOM_CAPSULE: lambda: size[0] + size[1] * up[2],
            GEOM.mjGEOM_CYLINDER: lambda: size[1] * up[2] + size[0] * np.sqrt(max(1.0 - up[2] ** 2, 0.0)),
            GEOM.mjGEOM_BOX: lambda: float(size @ up),
        }[GEOM(self.model.geom_type[geom])]()
        return float(self.data.geom_xpos[geom, 2] - drop)

    def lowest(self, positions: np.ndarray, geoms: list[int]) -> float:
        """Least height of any of the geoms over postures (T, 23)."""
        heights = []
        for position in positions:
            self.pose(position)
            heights.append(min(self.height(geom) for geom in geoms))
        return min(heights)

    def nearest(self, positions: np.ndarray, some: list[int], others: list[int]) -> float:
        """Least distance of two groups of geoms over postures (T, 23)."""
        best = 1.0
        for position in positions:
            self.pose(position)
            for a in some:
                for b in others:
                    best = min(best, mujoco.mj_geomDistance(self.model, self.data, a, b, best, None))
        return best

    def extent(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Least and greatest coordinates (3,) of the bounding spheres of arm and hand over postures (T,
        23)."""
        geoms = self.arm + self.fingers
        radius = self.model.geom_rbound[geoms, None]
        lows, highs = [], []
        for position in positions:
            self.pose(position)
            lows.append((self.data.geom_xpos[geoms] - radius).min(axis=0))
            highs.append((self.data.geom_xpos[geoms] + radius).max(axis=0))
        return np.min(lows, axis=0), np.max(highs, axis=0)


@pytest.fixture(scope="module")
def judge() -> Judge:
    """The independent judge."""
    return Judge()


def posture(*arm: float) -> np.ndarray:
    """Joint positions (23,) with these arm angles and an open hand."""
    return np.concatenate([arm, HOME_POSITION[7:]])


def drive(make, start: np.ndarray, target: np.ndarray, guard: GuardConfig | None, duration_s: float = 2.5):
    """A bench armed at ``start``, led towards ``target``."""
    bench = make(guard=guard, **OPEN)
    bench.position = start.copy()
    bench.arm()
    bench.step()
    bench.run(duration_s, lambda _time: target)
    assert bench.core.state is State.ARMED, bench.core.reason
    return bench


FINGERS_DOWN = (HOME_POSITION, posture(0.0, 1.0, 0.0, -1.6, 0.0, 0.75, 0.0))
WRIST_DOWN = (posture(0.0, 1.6, 0.0, 0.0, 0.0, -1.57, 0.0), posture(0.0, 2.05, 0.0, 0.0, 0.0, -1.57, 0.0))
INTO_ITSELF = (
    posture(0.0, -0.41, 0.0, 1.2, 0.03, -1.83, -2.51),
    posture(0.0, -0.41, 0.0, 1.95, 0.03, -1.83, -2.51),
)
SIDEWAYS = (posture(0.0, 0.9, 0.0, -0.9, 0.0, 0.5, 0.0), posture(2.0, 0.9, 0.0, -0.9, 0.0, 0.5, 0.0))
WALLS = ((-9.0, -9.0, -9.0), (9.0, 9.0, 9.0))
"""Corners of a workspace without walls in reach."""
OPEN_GUARD = GuardConfig(workspace_lower_m=WALLS[0], workspace_upper_m=WALLS[1])


# Each scenario: whether its clearance is kept, given a guard. Without the guard, or with that clearance taken
# out, it is not.


def fingers_keep_above_the_table(make, judge, guard):
    bench = drive(make, *FINGERS_DOWN, guard)
    lowest = judge.lowest(bench.positions, judge.fingers)
    assert lowest >= -0.02 - SLACK_M
    return lowest


def arm_keeps_above_the_table(make, judge, guard):
    lowest = judge.lowest(drive(make, *WRIST_DOWN, guard).positions, judge.arm)
    assert lowest >= 0.005 - SLACK_M
    return lowest


def robot_keeps_out_of_itself(make, judge, guard):
    bench = drive(make, *INTO_ITSELF, guard, duration_s=1.5)
    nearest = judge.nearest(bench.positions[::3], judge.fingers, judge.base)
    assert nearest >= 0.01 - SLACK_M
    return nearest


def robot_keeps_in_the_workspace(make, judge, guard):
    bench = drive(make, *SIDEWAYS, guard, duration_s=3.0)
    low, high = judge.extent(bench.positions[::3])
    assert (low >= np.array(GuardConfig().workspace_lower_m) - SLACK_M).all()
    assert (high <= np.array(GuardConfig().workspace_upper_m) + SLACK_M).all()
    return high[1]


def test_fingers_touch_the_table_lightly_at_most(make_bench, judge):
    assert fingers_keep_above_the_table(make_bench, judge, GuardConfig()) < -0.01, "touching is allowed"


def test_the_arm_stops_short_of_the_table(make_bench, judge):
    assert arm_keeps_above_the_table(make_bench, judge, GuardConfig()) < 0.01, "near is allowed"


def test_the_robot_stops_short_of_itself(make_bench, judge):
    assert robot_keeps_out_of_itself(make_bench, judge, OPEN_GUARD) < 0.02


def test_the_robot_stops_short_of_the_workspaces_walls(make_bench, judge):
    assert robot_keeps_in_the_workspace(make_bench, judge, GuardConfig()) > 0.7


@pytest.mark.parametrize(
    ("scenario", "guard"),
    [
        pytest.param(fingers_keep_above_the_table, None, id="guard, fingers over the table"),
        pytest.param(arm_keeps_above_the_table, None, id="guard, arm over the table"),
        pytest.param(robot_keeps_out_of_itself, None, id="guard, robot and itself"),
        pytest.param(robot_keeps_in_the_workspace, None, id="guard, workspace"),
        pytest.param(fingers_keep_above_the_table, GuardConfig(finger_table_depth_m=0.03), id="finger depth"),
        pytest.param(arm_keeps_above_the_table, GuardConfig(table_margin_m=0.0), id="table margin"),
        pytest.param(robot_keeps_out_of_itself, replace(OPEN_GUARD, self_margin_m=0.0), id="self margin"),
        pytest.param(robot_keeps_in_the_workspace, OPEN_GUARD, id="workspace walls"),
    ],
)
def test_a_core_without_its(make_bench, judge, scenario, guard):
    with pytest.raises(AssertionError):
        scenario(make_bench, judge, guard)


@pytest.mark.parametrize(
    ("start", "target"), [FINGERS_DOWN, WRIST_DOWN, INTO_ITSELF], ids=["fingers", "wrist", "itself"]
)
def test_the_way_back_is_free(make_bench, start, target):
    bench = drive(make_bench, start, target, OPEN_GUARD)
    assert np.abs(bench.position - target).max() > 0.02, "was stopped short"
    bench.run(3.0, lambda _time: start)
    np.testing.assert_allclose(bench.position, start, atol=1e-4)


def test_a_robot_armed_too_near_the_table_may_leave_but_not_go_deeper(make_bench, judge):
    _, deep = FINGERS_DOWN
    bench = drive(make_bench, deep, deep, GuardConfig(), duration_s=0.3)
    depth = judge.lowest(bench.positions[:1], judge.fingers)
    assert depth < -0.05
    bench.run(1.0, lambda _time: deep + 0.1 * (np.arange(23) == 1))
    assert judge.lowest(bench.positions, judge.fingers) >= depth - SLACK_M
    bench.run(3.0, lambda _time: HOME_POSITION)
    np.testing.assert_allclose(bench.position, HOME_POSITION, atol=1e-4)


def test_the_hand_slides_along_the_table(make_bench, judge):
    """Down and sideways: down ends at the table, sideways does not."""
    bench = drive(make_bench, *FINGERS_DOWN, GuardConfig())
    sideways = FINGERS_DOWN[1] + 0.5 * (np.arange(23) == 0)
    bench.run(2.0, lambda _time: sideways)
    assert bench.position[0] == pytest.approx(0.5, abs=1e-3)
    assert judge.lowest(bench.positions, judge.fingers) >= -0.02 - SLACK_M


def test_fingers_close_while_the_arm_stands_at_the_table(make_bench):
    bench = drive(make_bench, *WRIST_DOWN, GuardConfig())
    closing = WRIST_DOWN[1].copy()
    closing[[9, 13, 17]] += 0.8
    bench.run(1.0, lambda _time: closing)
    np.testing.assert_allclose(bench.position[[9, 13, 17]], closing[[9, 13, 17]], atol=1e-3)


def test_a_guarded_command_is_within_limits(make_bench, make_checker):
    goals = np.random.default_rng(0).normal(HOME_POSITION, 0.8, (12, 23))
    bench = make_bench(guard=GuardConfig(), **OPEN)
    bench.arm()
    bench.run(6.0, lambda time: goals[int(2.0 * time)])
    assert bench.core.state is State.ARMED
    assert bench.core.figures()["guard_stopped"] > 0
    assert make_checker(bench.period_s).check(bench.positions) == []


BLUNT = GuardConfig(approach_m=0.0, activation_m=0.0)
"""A guard that bends nothing and sees nothing from afar: it can only stop."""


def test_what_stopped_the_robot_is_named(make_bench):
    bench = drive(make_bench, *WRIST_DOWN, BLUNT, duration_s=2.0)
    assert "table and lbr_link_" in bench.core.obstacle


def test_a_robot_at_full_speed_stops_short_of_what_it_could_not_see_from_afar(make_bench, judge):
    bench = make_bench(guard=BLUNT, **OPEN, arm_speed_rad_s=4.0)
    bench.position = WRIST_DOWN[0].copy()
    bench.arm()
    bench.run(2.0, lambda _time: WRIST_DOWN[1])
    assert judge.lowest(bench.positions, judge.arm) >= 0.005 - SLACK_M


def test_a_posture_in_the_table_is_refused_even_at_rest():
    guard, still, (_, deep) = CollisionGuard(GuardConfig()), np.zeros(23), FINGERS_DOWN
    guard.restart(HOME_POSITION)
    assert not guard.allows(
        MotionState(deep, still, still), Stop(deep, still, still, LIMITS.acceleration, LIMITS.jerk)
    )


def test_fingers_that_open_stop_at_the_table_where_the_arm_stopped_before(make_bench, judge):
    curled = [pose.copy() for pose in FINGERS_DOWN]
    for pose in curled:
        pose[[9, 10, 13, 14, 17, 18]] += 0.8
    bench = drive(make_bench, *curled, BLUNT)
    assert bench.core.figures()["guard_stopped"] > 0
    bench.run(2.0, lambda _time: FINGERS_DOWN[1])
    assert bench.core.state is State.ARMED, bench.core.reason
    assert judge.lowest(bench.positions, judge.fingers) >= -0.02 - SLACK_M


# The model behind it.


def test_gradients_are_those_of_the_gaps():
    model = CollisionModel(GuardConfig())
    rng = np.random.default_rng(1)
    compared = 0
    for _ in range(40):
        position = rng.uniform(LIMITS.lower, LIMITS.upper)
        near = model.clearances(position)
        gradients = model.gradients(near)
        keys, counts = np.unique(near.keys, return_counts=True)
        # A box touches a plane with several points under one key: which is which is not told.
        single = set(keys[counts == 1].tolist())
        for joint in range(len(JOINT_NAMES)):
            moved = model.clearances(position + 1e-6 * (np.arange(23) == joint))
            gaps = dict(zip(moved.keys.tolist(), moved.gaps.tolist(), strict=True))
            for row, key in enumerate(near.keys.tolist()):
                if key in single and key in gaps:
                    slope = (gaps[key] - near.gaps[row]) / 1e-6
                    assert slope == pytest.approx(gradients[row, joint], abs=1e-5)
                    compared += 1
    assert compared > 1000


def test_a_model_with_its_joints_in_another_order_is_refused(monkeypatch):
    monkeypatch.setattr("grasp_control.collision.JOINT_NAMES", JOINT_NAMES[::-1])
    with pytest.raises(ValueError, match="not the robot's in canonical order"):
        CollisionModel(GuardConfig())


def test_nothing_is_near_at_home():
    model = CollisionModel(GuardConfig())
    assert len(model.clearances(HOME_POSITION).gaps) == 0
    assert model.violations(HOME_POSITION) == {}


def test_gaps_to_the_table_are_heights_beyond_the_clearance(judge):
    model, (_, deep) = CollisionModel(GuardConfig()), FINGERS_DOWN
    gaps = {model.describe(key): gap for key, gap in model.violations(deep).items()}
    judge.pose(deep)
    for geom in judge.fingers:
        name, height = judge.model.geom(geom).name, judge.height(geom)
        if height < -0.02:
            assert gaps[f"table and {name}"] == pytest.approx(height + 0.02, abs=1e-9)
