"""The robot's facts: the compiled MuJoCo model against published figures and against Pinocchio."""

from __future__ import annotations

import itertools

import mujoco
import numpy as np
import pinocchio
import pytest

from grasp_description.robot import (
    ARM_JOINTS,
    FINGERTIP_LINKS,
    FINGERTIP_RADIUS_M,
    FLANGE_LINK,
    HAND_CLOSED,
    HAND_JOINTS,
    HAND_OPEN,
    HOME_POSITION,
    JOINT_NAMES,
    PALM_LINK,
    joint_limits,
)
from grasp_description.scene import OBJECT_BODY, TABLE_GEOM, build_model
from grasp_description.urdf import urdf_path
from grasp_description.workcell import PHYSICS_RATE_HZ, SPAWN_REGION

JOINTS = len(JOINT_NAMES)

# KUKA, "LBR iiwa 7 R800, LBR iiwa 14 R820 Specification": range ± deg, speed deg/s, torque N m of A1 … A7.
KUKA = [
    (170, 98, 176),
    (120, 98, 176),
    (170, 100, 110),
    (120, 130, 110),
    (170, 140, 110),
    (120, 180, 40),
    (175, 180, 40),
]
# Base to A2, A2 to A4, A4 to A6, A6 to the flange, in m; from the same.
KUKA_LENGTHS = (0.340, 0.400, 0.400, 0.126)
# lbr_fri_ros2_stack, lbr_description/urdf/iiwa7: masses of link 0 … link 7 in kg.
ARM_MASSES = (4.855658, 3.394011, 4.031991, 3.394011, 4.031989, 1.529239, 2.403626, 0.259474)
# simlabrobotics, allegro_hand_description_right.urdf: ranges in rad of a finger's joints, and of the thumb's.
FINGER = [(-0.47, 0.47), (-0.196, 1.61), (-0.174, 1.709), (-0.227, 1.618)]
THUMB = [(0.263, 1.396), (-0.105, 1.163), (-0.189, 1.644), (-0.162, 1.719)]
HAND_MASS_KG = 0.955
"""Sum of that file's masses with inertia (V4)."""


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model()


@pytest.fixture
def data(model) -> mujoco.MjData:
    """The scene at home, the object out of the way."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    data.joint("object_joint").qpos[:3] = 0.0, 2.0, 1.0
    mujoco.mj_forward(model, data)
    return data


@pytest.fixture(scope="module")
def pin_model() -> pinocchio.Model:
    return pinocchio.buildModelFromUrdf(str(urdf_path()))


def pin_order(pin_model: pinocchio.Model) -> np.ndarray:
    """Index in Pinocchio's vectors of each of JOINT_NAMES."""
    return np.array([pin_model.joints[pin_model.getJointId(name)].idx_q for name in JOINT_NAMES])


def to_pin(pin_model: pinocchio.Model, joint_position: np.ndarray) -> np.ndarray:
    vector = np.empty(JOINTS)
    vector[pin_order(pin_model)] = joint_position
    return vector


def random_positions(count: int) -> np.ndarray:
    limits = joint_limits()
    return np.random.default_rng(0).uniform(limits.lower, limits.upper, (count, JOINTS))


def test_joint_order_is_arm_then_index_middle_ring_thumb():
    assert tuple(f"lbr_A{i}" for i in range(1, 8)) == ARM_JOINTS
    assert HAND_JOINTS[0] == "allegro_index_0"
    assert HAND_JOINTS[-1] == "allegro_thumb_3"
    assert JOINT_NAMES == ARM_JOINTS + HAND_JOINTS
    assert len(set(JOINT_NAMES)) == 23


def test_model_has_joints_and_actuators_in_canonical_order(model):
    assert [model.joint(i).name for i in range(JOINTS)] == list(JOINT_NAMES)
    assert [model.actuator(i).name for i in range(model.nu)] == list(JOINT_NAMES)
    assert [model.joint(name).qposadr[0] for name in JOINT_NAMES] == list(range(JOINTS))


def test_flange_at_zero_stands_where_the_specification_says(model, data):
    data.qpos[:JOINTS] = 0.0
    mujoco.mj_kinematics(model, data)
    flange = data.body(FLANGE_LINK)
    np.testing.assert_allclose(flange.xpos, [0.0, 0.0, 1.266], atol=1e-9)
    np.testing.assert_allclose(flange.xmat, np.eye(3).ravel(), atol=1e-9)
    assert sum(KUKA_LENGTHS) == pytest.approx(1.266)


def test_arm_joints_at_zero_stand_at_the_published_heights(model, data):
    data.qpos[:JOINTS] = 0.0
    mujoco.mj_kinematics(model, data)
    heights = [data.joint(name).xanchor[2] for name in ("lbr_A2", "lbr_A4", "lbr_A6")]
    np.testing.assert_allclose(heights, np.cumsum(KUKA_LENGTHS)[:3], atol=1e-9)


def test_forward_kinematics_of_every_link_agree_with_pinocchio(model, data, pin_model):
    pin_data = pin_model.createData()
    links = [model.body(i).name for i in range(1, model.nbody) if model.body(i).name != OBJECT_BODY]
    assert PALM_LINK in links
    assert set(FINGERTIP_LINKS) <= set(links)
    for joint_position in random_positions(20):
        data.qpos[:JOINTS] = joint_position
        mujoco.mj_kinematics(model, data)
        pinocchio.framesForwardKinematics(pin_model, pin_data, to_pin(pin_model, joint_position))
        for link in links:
            pose = pin_data.oMf[pin_model.getFrameId(link)]
            np.testing.assert_allclose(data.body(link).xpos, pose.translation, atol=1e-9, err_msg=link)
            np.testing.assert_allclose(
                data.body(link).xmat.reshape(3, 3), pose.rotation, atol=1e-9, err_msg=link
            )


def test_masses_are_the_published_ones(model):
    arm = [model.body(f"lbr_link_{i}").mass[0] for i in range(8)]
    np.testing.assert_allclose(arm, ARM_MASSES, atol=1e-9)
    robot = sum(model.body_mass) - model.body(OBJECT_BODY).mass[0]
    assert robot - sum(ARM_MASSES) == pytest.approx(HAND_MASS_KG, abs=5e-4)


def test_total_mass_agrees_with_pinocchio(model, pin_model):
    # The base link belongs to Pinocchio's universe, which computeTotalMass leaves out.
    total = pinocchio.computeTotalMass(pin_model) + pin_model.inertias[0].mass
    robot = sum(model.body_mass) - model.body(OBJECT_BODY).mass[0]
    assert total == pytest.approx(robot, abs=1e-9)


def test_mass_matrix_agrees_with_pinocchio(model, data, pin_model):
    pin_data, order = pin_model.createData(), pin_order(pin_model)
    for joint_position in random_positions(5):
        data.qpos[:JOINTS] = joint_position
        mujoco.mj_forward(model, data)
        full = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, data, full)
        ours = full[:JOINTS, :JOINTS] - np.diag(model.dof_armature[:JOINTS])
        theirs = pinocchio.crba(pin_model, pin_data, to_pin(pin_model, joint_position))
        theirs = np.triu(theirs) + np.triu(theirs, 1).T
        np.testing.assert_allclose(ours, theirs[np.ix_(order, order)], atol=1e-8)


def test_arm_limits_are_those_of_the_specification():
    limits = joint_limits()
    ranges, speeds, torques = np.array(KUKA, float).T
    np.testing.assert_allclose(limits.upper[:7], np.radians(ranges), atol=1e-8)
    np.testing.assert_allclose(limits.lower[:7], -np.radians(ranges), atol=1e-8)
    np.testing.assert_allclose(limits.velocity[:7], np.radians(speeds), atol=1e-8)
    np.testing.assert_array_equal(limits.effort[:7], torques)


def test_hand_limits_are_those_of_the_maker():
    limits = joint_limits()
    found = np.column_stack([limits.lower[7:], limits.upper[7:]])
    np.testing.assert_array_equal(found, FINGER * 3 + THUMB)
    np.testing.assert_array_equal(limits.velocity[7:], 7.0)
    np.testing.assert_array_equal(limits.effort[7:], 0.70)


def test_limits_cannot_be_changed_by_accident():
    limits = joint_limits()
    for values in (
        limits.lower,
        limits.upper,
        limits.velocity,
        limits.acceleration,
        limits.jerk,
        limits.effort,
    ):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1.0


def test_compiled_limits_are_the_urdfs(model, pin_model):
    limits, order = joint_limits(), pin_order(pin_model)
    np.testing.assert_allclose(
        model.jnt_range[:JOINTS], np.column_stack([limits.lower, limits.upper]), atol=1e-9
    )
    np.testing.assert_allclose(model.actuator_ctrlrange, model.jnt_range[:JOINTS], atol=1e-9)
    np.testing.assert_allclose(model.jnt_actfrcrange[:JOINTS, 1], limits.effort, atol=1e-9)
    np.testing.assert_allclose(model.jnt_actfrcrange[:JOINTS, 0], -limits.effort, atol=1e-9)
    np.testing.assert_allclose(pin_model.lowerPositionLimit[order], limits.lower, atol=1e-9)
    np.testing.assert_allclose(pin_model.upperPositionLimit[order], limits.upper, atol=1e-9)
    np.testing.assert_allclose(pin_model.velocityLimit[order], limits.velocity, atol=1e-9)


def test_postures_are_within_limits():
    limits = joint_limits()
    arm = HOME_POSITION[:7]
    for posture in (HOME_POSITION, np.concatenate([arm, HAND_OPEN]), np.concatenate([arm, HAND_CLOSED])):
        assert (posture > limits.lower).all()
        assert (posture < limits.upper).all()


def test_fingertip_radius_is_the_urdfs(model):
    for link in FINGERTIP_LINKS:
        sizes = [
            model.geom_size[g, 0] for g in range(model.ngeom) if model.geom_bodyid[g] == model.body(link).id
        ]
        assert sizes == [FINGERTIP_RADIUS_M]


def test_home_touches_nothing(model, data):
    assert data.ncon == 0


def test_home_keeps_a_distance_from_the_table_and_within_the_robot(model, data):
    """Also where the collision bits look away; neighbours along the chain overlap by design."""
    geoms = [g for g in range(model.ngeom) if model.geom_bodyid[g] not in (0, model.body(OBJECT_BODY).id)]
    table = model.geom(TABLE_GEOM).id
    base = model.body("lbr_link_0").id
    for geom in geoms:
        if model.geom_bodyid[geom] != base:
            assert distance(model, data, geom, table) > 0.05, model.geom(geom).name
    for first, second in itertools.combinations(geoms, 2):
        if steps_between(model, model.geom_bodyid[first], model.geom_bodyid[second]) > 2:
            names = model.geom(first).name, model.geom(second).name
            assert distance(model, data, first, second) > 0.0, names


def distance(model: mujoco.MjModel, data: mujoco.MjData, first: int, second: int) -> float:
    return mujoco.mj_geomDistance(model, data, first, second, 1.0, None)


def steps_between(model: mujoco.MjModel, first: int, second: int) -> int:
    """Joints and fixed joints between two bodies."""

    def ancestors(body: int) -> list[int]:
        chain = [body]
        while chain[-1] != 0:
            chain.append(model.body_parentid[chain[-1]])
        return chain

    up, down = ancestors(first), ancestors(second)
    meeting = next(body for body in up if body in down)
    return up.index(meeting) + down.index(meeting)


def test_palm_at_home_is_over_the_spawn_region(data):
    palm = data.body(PALM_LINK).xpos
    assert abs(palm[0] - SPAWN_REGION.centre[0]) < 0.05
    assert abs(palm[1] - SPAWN_REGION.centre[1]) < 0.01
    assert 0.25 < palm[2] < 0.40


def test_servos_hold_home_within_a_hundredth_of_a_radian(model, data):
    worst = 0.0
    for _ in range(2 * PHYSICS_RATE_HZ):
        mujoco.mj_step(model, data)
        worst = max(worst, float(np.abs(data.qpos[:JOINTS] - HOME_POSITION).max()))
    assert worst < 0.01
    assert np.abs(data.qvel[:JOINTS]).max() < 1e-3


def test_servos_hold_any_posture_in_the_air(model, data):
    """With gravity compensated there is nothing for a servo to sag under, wherever the arm stands."""
    target = HOME_POSITION.copy()
    target[:7] = 0.6, -0.4, 0.5, -1.2, 0.4, 0.7, -0.8
    data.qpos[:JOINTS], data.ctrl[:] = target, target
    for _ in range(2 * PHYSICS_RATE_HZ):
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(data.qpos[:JOINTS], target, atol=1e-3)


def test_gravity_compensation_is_pinocchios_gravity_torque(model, data, pin_model):
    pin_data, order = pin_model.createData(), pin_order(pin_model)
    for joint_position in random_positions(10):
        data.qpos[:JOINTS] = joint_position
        data.qvel[:] = 0.0
        mujoco.mj_forward(model, data)
        gravity = pinocchio.computeGeneralizedGravity(pin_model, pin_data, to_pin(pin_model, joint_position))
        np.testing.assert_allclose(data.qfrc_gravcomp[:JOINTS], gravity[order], atol=1e-8)


def test_drives_can_hold_the_robot_against_gravity_anywhere(model, data):
    effort = joint_limits().effort
    for joint_position in random_positions(200):
        data.qpos[:JOINTS] = joint_position
        mujoco.mj_forward(model, data)
        assert (np.abs(data.qfrc_gravcomp[:JOINTS]) < effort).all()


def test_drives_give_no_more_than_their_torque(model, data):
    """The servo's demand and the compensation together stay within the effort limit."""
    data.ctrl[:] = joint_limits().upper
    data.qpos[:JOINTS] = joint_limits().lower
    mujoco.mj_forward(model, data)
    assert (np.abs(data.qfrc_actuator[:JOINTS]) <= joint_limits().effort + 1e-9).all()
    assert np.abs(data.qfrc_actuator[:7]).max() > 100.0
