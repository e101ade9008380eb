"""Where episodes start, what varies between them, and how the curriculum widens it."""

from __future__ import annotations

import itertools
import math
from dataclasses import fields

import pytest
import torch

from grasp_description.cameras import STEREO_RIG
from grasp_description.objects import object_set
from grasp_description.robot import ARM_JOINTS, HOME_POSITION, joint_limits
from grasp_description.workcell import SPAWN_REGION, WORKSPACE_LOWER, WORKSPACE_UPPER
from grasp_training.rotations import rotation_from_vector
from grasp_training.simulators import MujocoSimulator, ResetState
from grasp_training.simulators.base import Appearance
from grasp_training.tasks import CurriculumConfig, EpisodeSampler, RandomizationConfig
from grasp_training.tasks.curriculum import Curriculum

OBJECTS = object_set("training")[:18]
CONFIG = RandomizationConfig()
ARM = len(ARM_JOINTS)
MANY = 4000


def sampler(seed: int = 0) -> EpisodeSampler:
    return EpisodeSampler(OBJECTS, CONFIG, seed)


def starts(level: float, count: int = MANY) -> ResetState:
    drawn = sampler()
    return drawn.reset_state(drawn.choose_objects(torch.arange(count)), level)


def assert_fills(values: torch.Tensor, low: float, high: float) -> None:
    """Within the range, and over nearly all of it."""
    margin = 0.02 * (high - low)
    assert values.min() >= low - 1e-6
    assert values.max() <= high + 1e-6
    assert values.min() < low + margin
    assert values.max() > high - margin


def test_full_randomization_fills_its_ranges_and_no_more():
    start = starts(1.0)
    assert_fills(start.mass_scale, *CONFIG.mass)
    assert_fills(start.friction, *CONFIG.friction)
    assert_fills(start.stiffness_scale, *CONFIG.stiffness)
    home = torch.tensor(HOME_POSITION, dtype=torch.float32)
    offset = start.joint_position - home
    assert_fills(offset[:, :ARM], -CONFIG.start_position_rad, CONFIG.start_position_rad)
    assert (offset[:, ARM:] == 0).all()
    for axis in range(2):
        centre, half = SPAWN_REGION.centre[axis], SPAWN_REGION.half_size[axis] * CONFIG.spawn_scale[1]
        assert_fills(start.object_position[:, axis], centre - half, centre + half)


def test_level_zero_is_nominal_with_a_small_spawn_region():
    start = starts(0.0)
    assert (start.mass_scale == 1).all()
    assert (start.friction == 1).all()
    assert (start.stiffness_scale == 1).all()
    assert torch.equal(start.joint_position, torch.tensor(HOME_POSITION).float().expand(MANY, -1))
    for axis in range(2):
        centre, half = SPAWN_REGION.centre[axis], SPAWN_REGION.half_size[axis] * CONFIG.spawn_scale[0]
        assert_fills(start.object_position[:, axis], centre - half, centre + half)


def test_objects_start_upright_at_any_yaw_just_above_the_table_and_in_the_workspace():
    start = starts(1.0)
    rest = torch.tensor([OBJECTS[index].rest_height_m for index in start.object_index])
    above = start.object_position[:, 2] - rest
    assert (above > 0).all()
    assert (above < 2e-3).all()
    assert (start.object_quaternion[:, 1:3] == 0).all()
    assert torch.linalg.norm(start.object_quaternion, dim=1) == pytest.approx(torch.ones(MANY))
    yaw = 2 * torch.atan2(start.object_quaternion[:, 3], start.object_quaternion[:, 0])
    assert_fills(yaw, -math.pi, math.pi)
    assert (start.object_position > torch.tensor(WORKSPACE_LOWER)).all()
    assert (start.object_position < torch.tensor(WORKSPACE_UPPER)).all()


def test_starts_are_within_joint_limits():
    start, limits = starts(1.0), joint_limits()
    assert (start.joint_position >= torch.tensor(limits.lower) - 1e-6).all()
    assert (start.joint_position <= torch.tensor(limits.upper) + 1e-6).all()


def test_every_object_is_drawn_about_as_often():
    counts = torch.bincount(sampler().choose_objects(torch.arange(MANY)), minlength=len(OBJECTS))
    expected = MANY / len(OBJECTS)
    assert ((counts - expected).abs() < 5 * math.sqrt(expected)).all()


def test_same_seed_draws_the_same_and_another_seed_another():
    def draw(seed: int) -> tuple[ResetState, torch.Tensor]:
        drawn = sampler(seed)
        return drawn.reset_state(drawn.choose_objects(torch.arange(8)), 1.0), drawn.noise(torch.zeros(4), 1.0)

    (first, noise), (again, same_noise), (other, _) = draw(3), draw(3), draw(4)
    assert all(torch.equal(getattr(first, f.name), getattr(again, f.name)) for f in fields(ResetState))
    assert torch.equal(noise, same_noise)
    assert not torch.equal(first.object_position, other.object_position)


def test_noise_has_the_deviation_asked_for():
    noise = sampler().noise(torch.zeros(100, 100), 0.3)
    assert float(noise.std()) == pytest.approx(0.3, rel=0.03)
    assert abs(float(noise.mean())) < 0.02
    assert torch.equal(sampler().noise(torch.ones(5), 0.0), torch.ones(5))


@pytest.fixture(scope="module")
def simulator() -> MujocoSimulator:
    return MujocoSimulator(1, OBJECTS)


def looks(simulator: MujocoSimulator, count: int = 500) -> Appearance:
    return sampler().appearance(count, simulator.nominal_rgba, simulator.robot_geoms, simulator.nominal_light)


def test_table_and_objects_have_any_colour_and_the_robot_keeps_its_hue(simulator):
    look, robot, nominal = looks(simulator), simulator.robot_geoms, simulator.nominal_rgba
    assert (look.geom_rgba[..., 3] == nominal[:, 3]).all()
    assert (look.geom_rgba >= 0).all()
    assert (look.geom_rgba <= 1).all()
    free = look.geom_rgba[:, ~robot, :3]
    assert_fills(free, 0.05, 0.95)
    ratio = look.geom_rgba[:, robot, :3] / nominal[robot, :3]
    assert (ratio < 1.301).all()
    assert (ratio[look.geom_rgba[:, robot, :3] < 1.0] > 0.699).all()
    assert robot.sum() == len(robot) - 4, "the table and three slots are not the robot's"


def test_cameras_stay_within_their_ranges_and_move_as_a_pair(simulator):
    look = looks(simulator)
    nominal = torch.tensor(STEREO_RIG.positions()).float()
    shift = look.camera_position - nominal
    limit = CONFIG.camera_position_m
    assert shift.abs().max() <= limit + 1e-6
    assert shift.abs().max() > 0.9 * limit
    apart = (shift[:, 0] - shift[:, 1]).abs()
    assert 0 < apart.max() < 0.25 * limit
    turn = look.camera_rotation @ torch.tensor(STEREO_RIG.rotation()).float().T
    cosine = 0.5 * (turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1)
    assert torch.arccos(cosine.clamp(max=1)).max() <= math.sqrt(3) * CONFIG.camera_rotation_rad + 1e-3
    orthogonal = look.camera_rotation @ look.camera_rotation.transpose(-1, -2)
    assert (orthogonal - torch.eye(3)).abs().max() < 1e-5


def test_the_light_shines_down_on_the_table(simulator):
    look = looks(simulator)
    assert torch.linalg.norm(look.light_direction, dim=1) == pytest.approx(torch.ones(500), abs=1e-5)
    assert (look.light_direction[:, 2] < -0.3).all()
    assert (look.light_position[:, 2] > 0.5).all()
    assert (look.light_diffuse > 0.2).all()


def test_rotation_from_vector_turns_about_the_vector_by_its_length():
    angle = 0.4
    turned = rotation_from_vector(torch.tensor([0.0, 0.0, angle])) @ torch.tensor([1.0, 0.0, 0.0])
    assert turned == pytest.approx(torch.tensor([math.cos(angle), math.sin(angle), 0.0]), abs=2e-5)


def grown(episodes: int, successes: float, times: int, config: CurriculumConfig) -> Curriculum:
    curriculum = Curriculum(config)
    for _ in range(times):
        curriculum.update(episodes, successes)
    return curriculum


QUICK = CurriculumConfig(step=0.25, threshold=0.5, min_episodes=1000)


def test_the_level_rises_while_episodes_succeed_and_ends_at_one():
    levels = [grown(100, 90, times, QUICK).level for times in range(0, 300, 10)]
    assert levels == sorted(levels)
    assert levels[0] == 0.0
    assert levels[-1] == 1.0
    rises = {round(b - a, 6) for a, b in itertools.pairwise(levels)}
    assert rises <= {0.0, 0.25}


def test_the_level_stays_where_episodes_fail():
    assert grown(100, 40, 300, QUICK).level == 0.0


def test_the_level_waits_between_two_rises():
    curriculum = grown(100, 100, 10, QUICK)
    assert curriculum.level == 0.25
    curriculum.update(999, 999)
    assert curriculum.level == 0.25
    curriculum.update(1, 1)
    assert curriculum.level == 0.5


def test_success_rate_does_not_depend_on_how_episodes_come_in():
    one_by_one, at_once = Curriculum(QUICK), Curriculum(QUICK)
    for _ in range(500):
        one_by_one.update(1, 1)
    at_once.update(500, 500)
    assert one_by_one.success_rate == pytest.approx(at_once.success_rate)


def test_no_finished_episodes_change_nothing():
    curriculum = grown(100, 80, 5, QUICK)
    before = curriculum.state_dict()
    curriculum.update(0, 0)
    assert curriculum.state_dict() == before


def test_curriculum_goes_on_from_its_saved_state():
    curriculum = grown(100, 90, 37, QUICK)
    restored = Curriculum(QUICK)
    restored.load_state_dict(curriculum.state_dict())
    for _ in range(50):
        curriculum.update(60, 50)
        restored.update(60, 50)
    assert restored.state_dict() == curriculum.state_dict()


def test_evaluation_starts_at_full_randomization():
    assert Curriculum(CurriculumConfig(start_level=1.0)).level == 1.0
