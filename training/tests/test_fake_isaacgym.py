"""The Isaac Gym backend against a recording fake of Isaac Gym: never against the real one.

The bridge is real: a process, a socket, shared memory. What Isaac Gym would do with the calls is not tested.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import torch
from fake_isaacgym_python import FakePython, make_fake_python

from grasp_description.cameras import STEREO_RIG
from grasp_description.object_shapes import rotation_matrix
from grasp_description.objects import object_set
from grasp_description.robot import FINGERTIP_LINKS, HOME_POSITION, JOINT_NAMES
from grasp_description.scene import build_model
from grasp_training.errors import GraspError
from grasp_training.rotations import rotation_from_quaternion
from grasp_training.simulators.base import LINKS, ResetState
from grasp_training.simulators.isaacgym import IsaacGymConfig, IsaacGymSimulator
from grasp_training.tasks import EpisodeSampler, RandomizationConfig

OBJECTS = object_set("training")[:5]
RIG = dataclasses.replace(STEREO_RIG, width=8, height=6)
ENVS, SUBSTEPS = 3, 2
FAKE_ORDER = sorted(JOINT_NAMES, reverse=True)
HELD = [[0, 1], [2, 3], [4, 0]]
ACTORS = 5
"""Actors an environment: robot, table, shelf, two objects."""


@dataclasses.dataclass
class Running:
    simulator: IsaacGymSimulator
    python: FakePython
    made_by: list[list[Any]]
    """the calls that made the scene"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    python = make_fake_python(tmp_path_factory.mktemp("isaac"))
    settings = IsaacGymConfig(str(python.path), objects_per_env=2, reply_limit_s=60.0)
    simulator = IsaacGymSimulator(ENVS, OBJECTS, settings, SUBSTEPS, images=True, depth=True, rig=RIG)
    yield Running(simulator, python, python.calls())
    simulator.close()


def starts(objects: list[int], seed: int = 0) -> ResetState:
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), seed)
    return sampler.reset_state(torch.tensor(objects), 1.0)


def commands(joint_position: torch.Tensor) -> torch.Tensor:
    """Two commands: off by the joint's number in hundredths, then the position itself."""
    offset = 0.01 * torch.arange(len(JOINT_NAMES))
    return torch.stack([joint_position + offset, joint_position], dim=1)


def xyzw(quaternion: torch.Tensor) -> list[float]:
    return quaternion[..., [1, 2, 3, 0]].flatten().tolist()


def test_the_fake_is_asked_to_make_everything_before_prepare_sim(running: Running) -> None:
    names = [call[0] for call in running.made_by]
    before, after = names[: names.index("prepare_sim")], names[names.index("prepare_sim") :]
    assert before.count("create_env") == ENVS
    assert before.count("create_actor") == ENVS * ACTORS
    assert before.count("create_camera_sensor") == ENVS * 2
    assert before.count("load_asset") == 1 + len(OBJECTS)
    assert not {"create_env", "create_actor", "create_camera_sensor", "load_asset"} & set(after)
    assert [name for name in after if name.startswith("acquire")] == [
        "acquire_dof_state_tensor",
        "acquire_actor_root_state_tensor",
        "acquire_rigid_body_state_tensor",
        "acquire_net_contact_force_tensor",
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FakePython:
    """The record of a scene made without images, on the GPU pipeline, with one object an environment."""
    python = make_fake_python(tmp_path_factory.mktemp("isaac"))
    settings = IsaacGymConfig(str(python.path), gpu=1, gpu_pipeline=True)
    simulator = IsaacGymSimulator(2, OBJECTS, settings)
    start = starts([0, 1])
    one = torch.ones(2)
    simulator.reset(torch.arange(2), dataclasses.replace(start, mass_scale=one))
    with pytest.raises(GraspError, match=r"mass_scale of 1\.5 .* simulation 1, but on the GPU pipeline"):
        simulator.reset(torch.arange(2), dataclasses.replace(start, mass_scale=one + torch.tensor([0, 0.5])))
    return python


def test_the_fake_gets_the_physics_of_the_scene(made: FakePython) -> None:
    ((_, compute, graphics, engine, params),) = made.calls("create_sim")
    assert (compute, graphics, engine) == (1, -1, "SIM_PHYSX"), "without images there are no graphics"
    assert params["dt"] == pytest.approx(1 / 120)
    assert params["substeps"] == 1
    assert (params["up_axis"], params["gravity"]) == ("UP_AXIS_Z", {"x": 0.0, "y": 0.0, "z": -9.81})
    assert params["use_gpu_pipeline"]
    assert params["physx"]["use_gpu"]
    assert not made.calls("create_camera_sensor")


def test_the_fake_gets_robots_that_stand_fast_and_carry_their_own_weight(made: FakePython) -> None:
    robot, *things = [call[-1] for call in made.calls("load_asset")]
    assert robot["fix_base_link"]
    assert robot["disable_gravity"]
    assert not robot["collapse_fixed_joints"], "palm and fingertips hang on fixed joints"
    assert all(thing == {"angular_damping": 0.0, "linear_damping": 0.0} for thing in things)


def test_the_fake_gets_gains_by_the_name_of_the_joint(made: FakePython) -> None:
    first, *_ = [call[-1] for call in made.calls("set_actor_dof_properties")]
    model = build_model()
    for number, name in enumerate(FAKE_ORDER):
        actuator, joint = model.actuator(name), model.joint(name)
        assert first["driveMode"][number] == 1
        assert first["stiffness"][number] == pytest.approx(actuator.gainprm[0])
        assert first["damping"][number] == pytest.approx(-actuator.biasprm[2])
        assert first["armature"][number] == pytest.approx(joint.armature[0])
        assert first["effort"][number] == pytest.approx(model.jnt_actfrcrange[joint.id, 1])


def test_the_fake_gets_masks_that_let_the_thumb_meet_the_fingers_alone(made: FakePython) -> None:
    shapes = made.calls("set_actor_rigid_shape_properties")[0][-1]
    masks = {shape["filter"] for shape in shapes}
    meeting = {(a, b) for a, b in itertools.product(masks, masks) if not a & b}
    assert len(meeting) == 2, "one pair, both ways round"
    assert all(mask for mask in masks), "two parts without a bit would meet"
    groups = [call[5] for call in made.calls("create_actor")]
    assert groups == [0, 0, 0, 1, 1, 1], "environments do not meet"


def test_the_fake_gets_cameras_that_look_where_the_rig_looks(running: Running) -> None:
    made, moved = (
        [call for call in running.made_by if call[0] == name]
        for name in ("create_camera_sensor", "set_camera_transform")
    )
    for _, _, properties in made:
        assert (properties["width"], properties["height"], properties["enable_tensors"]) == (8, 6, True)
        half = np.tan(np.radians(properties["horizontal_fov"]) / 2)
        assert half / np.tan(np.radians(RIG.fovy_deg) / 2) == pytest.approx(8 / 6)
    assert [(camera, env) for _, camera, env, _ in moved] == [
        (0, 0),
        (1, 0),
        (2, 1),
        (3, 1),
        (4, 2),
        (5, 2),
    ]
    target = np.array(RIG.target) - np.array(RIG.position)
    for (_, camera, _, pose), position in zip(moved, [*RIG.positions()] * ENVS, strict=True):
        np.testing.assert_allclose(
            [pose["p"][axis] for axis in "xyz"], position, atol=1e-6, err_msg=str(camera)
        )
        rotation = rotation_matrix([pose["r"][axis] for axis in "wxyz"])
        np.testing.assert_allclose(rotation[:, 0], target / np.linalg.norm(target), atol=1e-6)
        assert abs(rotation[2, 1]) < 1e-6, "rows of the image are level"
        assert rotation[2, 2] > 0, "and not upside down"


def test_a_reset_of_some_is_told_to_the_fake_when_it_simulates(running: Running) -> None:
    simulator, python = running.simulator, running.python
    everyone = starts([0, 2, 4])
    simulator.reset(torch.arange(ENVS), everyone)
    simulator.step(commands(everyone.joint_position))
    python.forget()
    start = starts([1, 4], seed=3)
    simulator.reset(torch.tensor([0, 2]), start)
    assert not {"set_dof_state_tensor_indexed", "simulate"} & set(python.names())
    simulator.step(commands(simulator.state.joint_position))
    assert python.names()[-8:] == [
        "set_dof_state_tensor_indexed",
        "set_actor_root_state_tensor_indexed",
        *["set_dof_position_target_tensor", "simulate", "fetch_results"] * SUBSTEPS,
    ]
    ((_, _, joints, robots, count),) = python.calls("set_dof_state_tensor_indexed")
    assert (robots, count) == ([0, 2 * ACTORS], 2)
    joints = torch.tensor(joints).view(ENVS, len(JOINT_NAMES), 2)[[0, 2]]
    expected = start.joint_position[:, [JOINT_NAMES.index(name) for name in FAKE_ORDER]]
    assert torch.equal(joints[..., 0], expected)
    assert not joints[..., 1].any()
    ((_, _, roots, objects, count),) = python.calls("set_actor_root_state_tensor_indexed")
    assert (objects, count) == ([3, 4, 2 * ACTORS + 3, 2 * ACTORS + 4], 4)
    roots = torch.tensor(roots)
    for row, (chosen, other, held) in enumerate([(4, 3, 0), (13, 14, 0)]):
        assert torch.equal(roots[chosen, :3], start.object_position[row])
        assert roots[chosen, 3:7].tolist() == xyzw(start.object_quaternion[row])
        assert not roots[chosen, 7:].any()
        height = OBJECTS[held].rest_height_m
        assert roots[other, 2].item() == pytest.approx(-2.0 + height), "the other object lies on the shelf"
        assert roots[other, 3:].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]


def test_the_fake_gets_friction_mass_and_gains_of_the_simulations_that_are_reset(running: Running) -> None:
    simulator, python = running.simulator, running.python
    python.forget()
    start = starts([3], seed=5)
    start.friction[0], start.mass_scale[0] = 0.834, 1.25
    simulator.reset(torch.tensor([1]), start)
    shapes = python.calls("set_actor_rigid_shape_properties")
    assert [(env, actor) for _, env, actor, _ in shapes] == [(1, 0), (1, 1), (1, 4)]
    friction = {shape["friction"] for *_, actor in shapes for shape in actor}
    assert list(friction) == pytest.approx([0.83]), "in steps, of which PhysX can hold enough"
    ((_, env, actor, bodies, recompute),) = python.calls("set_actor_rigid_body_properties")
    assert (env, actor, recompute) == (1, 4, False)
    assert bodies[0]["mass"] == pytest.approx(1.25 * OBJECTS[3].mass_kg)
    assert bodies[0]["inertia"]["y"] == {"x": 0.0, "y": pytest.approx(2.5e-4), "z": 0.0}
    ((_, env, actor, drives),) = python.calls("set_actor_dof_properties")
    assert (env, actor) == (1, 0)
    number = FAKE_ORDER.index("allegro_ring_2")
    scale = start.stiffness_scale[0, JOINT_NAMES.index("allegro_ring_2")].item()
    assert drives["stiffness"][number] == pytest.approx(3.0 * scale)
    assert drives["damping"][number] == pytest.approx(0.15 * scale)


def test_masses_do_not_grow_from_reset_to_reset_of_the_fake(running: Running) -> None:
    start = starts([3], seed=5)
    start.mass_scale[0] = 1.25
    for _ in range(2):
        running.simulator.reset(torch.tensor([1]), start)
    *_, (_, _, _, bodies, _) = running.python.calls("set_actor_rigid_body_properties")
    assert bodies[0]["mass"] == pytest.approx(1.25 * OBJECTS[3].mass_kg)


def test_two_resets_before_a_step_both_reach_the_fake_which_keeps_only_the_last_setting(
    running: Running,
) -> None:
    simulator = running.simulator
    first, second = starts([0], seed=6), starts([4], seed=7)
    simulator.reset(torch.tensor([0]), first)
    simulator.reset(torch.tensor([2]), second)
    simulator.step(commands(simulator.state.joint_position))
    assert torch.equal(simulator.state.object_position[0], first.object_position[0])
    assert torch.equal(simulator.state.object_position[2], second.object_position[0])


def test_the_state_is_current_after_a_reset_though_the_fake_has_not_simulated(running: Running) -> None:
    simulator = running.simulator
    simulator.step(torch.full((ENVS, SUBSTEPS, len(JOINT_NAMES)), 0.3))
    before, start = simulator.state, starts([0], seed=8)
    simulator.reset(torch.tensor([2]), start)
    state = simulator.state
    for item in dataclasses.fields(state):
        old, new = getattr(before, item.name), getattr(state, item.name)
        assert torch.equal(old[:2], new[:2]), item.name
    assert torch.equal(state.joint_position[2], start.joint_position[0])
    assert torch.equal(state.object_position[2], start.object_position[0])
    assert torch.equal(state.object_quaternion[2], start.object_quaternion[0])
    assert not state.joint_velocity[2].any()
    assert not state.object_velocity[2].any()
    assert not state.touch[2].any()
    model = build_model()
    data = mujoco.MjData(model)
    data.qpos[: len(JOINT_NAMES)] = start.joint_position[0]
    mujoco.mj_forward(model, data)
    for row, name in enumerate(LINKS):
        np.testing.assert_allclose(state.link_position[2, row], data.body(name).xpos, atol=1e-6)
        np.testing.assert_allclose(state.link_rotation[2, row].flatten(), data.body(name).xmat, atol=1e-6)


def test_a_step_tells_the_fake_one_command_a_physics_step_in_its_own_order(running: Running) -> None:
    simulator, python = running.simulator, running.python
    command = torch.rand(ENVS, SUBSTEPS, len(JOINT_NAMES))
    python.forget()
    simulator.step(command)
    told = torch.tensor([call[-1] for call in python.calls("set_dof_position_target_tensor")])
    order = [JOINT_NAMES.index(name) for name in FAKE_ORDER]
    assert torch.equal(told, command[:, :, order].transpose(0, 1))
    state = simulator.state
    assert torch.equal(state.joint_position, command[:, -1])
    torch.testing.assert_close(state.joint_velocity, 120.0 * (command[:, 1] - command[:, 0]))


def test_the_fakes_poses_velocities_and_forces_arrive_in_our_frames(running: Running) -> None:
    simulator = running.simulator
    start = starts([0, 2, 4], seed=9)
    simulator.reset(torch.arange(ENVS), start)
    simulator.step(commands(start.joint_position))
    state = simulator.state
    names = [body.name for body in mujoco.MjSpec.from_string(_urdf()).bodies if body.name != "world"]
    numbers = torch.tensor([names.index(name) for name in LINKS], dtype=torch.float32)
    for env in range(ENVS):
        assert torch.equal(state.link_position[env, :, 0], torch.full((len(LINKS),), float(env)))
        assert torch.equal(state.link_position[env, :, 1], numbers)
    assert torch.equal(state.link_rotation[0, 0], torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]))
    tips = torch.tensor([names.index(name) for name in FINGERTIP_LINKS], dtype=torch.float32)
    torch.testing.assert_close(state.touch[1], 5.0 * tips)
    assert torch.equal(state.object_quaternion, start.object_quaternion)
    assert torch.equal(state.object_velocity[:, :3], torch.tensor([[1.0, 2.0, 3.0]]).expand(ENVS, 3))
    world = torch.einsum(
        "nij,nj->ni", rotation_from_quaternion(state.object_quaternion), state.object_velocity[:, 3:]
    )
    torch.testing.assert_close(world, torch.tensor([[4.0, 5.0, 6.0]]).expand(ENVS, 3))


def _urdf() -> str:
    from grasp_description.urdf import urdf_text

    return urdf_text()


def test_a_state_keeps_its_values_when_the_fake_goes_on(running: Running) -> None:
    simulator = running.simulator
    simulator.step(torch.full((ENVS, SUBSTEPS, len(JOINT_NAMES)), 0.1))
    state = simulator.state
    simulator.step(torch.full((ENVS, SUBSTEPS, len(JOINT_NAMES)), 0.2))
    assert (state.joint_position == 0.1).all()


def test_the_fakes_negative_depth_becomes_metres_ahead_and_nothing_becomes_zero(running: Running) -> None:
    running.python.forget()
    rgb, depth = running.simulator.render()
    assert running.python.names() == [
        "step_graphics",
        "render_all_camera_sensors",
        "start_access_image_tensors",
        "end_access_image_tensors",
    ]
    assert depth is not None
    assert depth.shape == (ENVS, 1, 6, 8)
    assert depth[1, 0, 3, 4] == 1.5
    assert (depth[:, :, 0, 0] == 0).all()
    assert rgb.shape == (ENVS, 2, 6, 8, 3)
    assert rgb[2, 0, 5, 7].tolist() == [14, 24, 34]


def test_the_fake_gets_colours_of_bodies_table_and_object_and_camera_poses(running: Running) -> None:
    simulator, python = running.simulator, running.python
    sampler = EpisodeSampler(OBJECTS, RandomizationConfig(), 0)
    looks = sampler.appearance(1, simulator.nominal_rgba, simulator.robot_geoms, simulator.nominal_light)
    python.forget()
    simulator.randomize_appearance(torch.tensor([1]), looks)
    painted = python.calls("set_rigid_body_color")
    assert {(env, mesh) for _, env, _, _, mesh, _ in painted} == {(1, "visual")}
    colours = {(actor, body): colour for _, _, actor, body, _, colour in painted}
    assert list(colours[1, 0].values()) == pytest.approx(looks.geom_rgba[0, -2, :3].tolist())
    for actor in (3, 4):
        assert list(colours[actor, 0].values()) == pytest.approx(looks.geom_rgba[0, -1, :3].tolist())
    robot = [actor for actor, _ in colours if actor == 0]
    assert len(robot) == int(simulator.robot_geoms.sum())
    poses = python.calls("set_camera_transform")
    assert [(camera, env) for _, camera, env, _ in poses] == [(2, 1), (3, 1)]
    for (*_, pose), position in zip(poses, looks.camera_position[0], strict=True):
        assert list(pose["p"].values()) == pytest.approx(position.tolist())


def test_an_object_that_a_simulation_does_not_have_is_refused_before_the_fake_is_asked(
    running: Running,
) -> None:
    assert running.simulator.held_objects.tolist() == HELD
    running.python.forget()
    with pytest.raises(ValueError, match=f"Simulation 1 .* {OBJECTS[4].name!r} .*objects_per_env = 5"):
        running.simulator.reset(torch.tensor([0, 1]), starts([1, 4]))
    assert not running.python.calls()


def test_objects_cannot_be_drawn_elsewhere_by_the_fake(running: Running) -> None:
    state = running.simulator.state
    with pytest.raises(GraspError, match="sight_iterations to 0"):
        running.simulator.render((state.object_position, state.object_quaternion))


def test_a_simulation_starts_at_home_in_the_fake(running: Running) -> None:
    settings = IsaacGymConfig(str(running.python.path))
    simulator = IsaacGymSimulator(1, OBJECTS, settings)
    assert torch.equal(simulator.state.joint_position[0], torch.tensor(HOME_POSITION, dtype=torch.float32))
    with pytest.raises(RuntimeError, match="images=False"):
        simulator.render()


@pytest.mark.parametrize(
    ("num_envs", "objects_per_env", "named"), [(0, 1, "num_envs=0"), (1, 6, "per_env is 6")]
)
def test_numbers_out_of_range_are_refused_before_the_fake_starts(
    tmp_path: Path, num_envs: int, objects_per_env: int, named: str
) -> None:
    settings = IsaacGymConfig(str(tmp_path / "none"), objects_per_env=objects_per_env)
    with pytest.raises(ValueError, match=named):
        IsaacGymSimulator(num_envs, OBJECTS, settings)
