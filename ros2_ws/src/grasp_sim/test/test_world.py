"""The simulated workcell: determinism, holding, resets."""

from dataclasses import replace

import numpy as np
import pytest

from grasp_description.robot import HOME_POSITION, JOINT_NAMES, PALM_LINK, joint_limits
from grasp_sim.spawning import Spawn
from grasp_sim.timing import is_frame_tick, tick_time_ns
from grasp_sim.world import PlacementRefusedError, World, WorldConfig, WorldDivergedError


@pytest.fixture
def world() -> World:
    return World(WorldConfig(seed=5))


def state_of(world: World) -> np.ndarray:
    return np.concatenate([world.data.qpos, world.data.qvel, world.data.qacc_warmstart])


def command_at(tick: int) -> np.ndarray:
    """A motion that sweeps the hand down through the object."""
    command = HOME_POSITION.copy()
    command[1] += 0.25 * np.sin(0.02 * tick)
    command[3] += 0.2 * np.sin(0.05 * tick)
    command[7:] += 0.3 * np.sin(0.1 * tick)
    return command


def play(world: World, ticks: int, look: bool = False) -> list[np.ndarray]:
    states = []
    for _ in range(ticks):
        if world.tick in (60, 150):
            world.reset_object()
        if look and is_frame_tick(world.tick):
            world.scene_state()
        world.step(command_at(world.tick))
        states.append(state_of(world))
    return states


def test_the_same_seed_and_commands_give_the_same_states_bit_for_bit():
    first, second = (play(World(WorldConfig(seed=5)), 240) for _ in range(2))
    assert np.array_equal(first, second)


def test_taking_pictures_does_not_change_what_happens():
    first, second = play(World(WorldConfig(seed=5)), 240), play(World(WorldConfig(seed=5)), 240, look=True)
    assert np.array_equal(first, second)


def test_another_seed_gives_another_world():
    assert not np.array_equal(play(World(WorldConfig(seed=5)), 10), play(World(WorldConfig(seed=6)), 10))


def test_the_arm_holds_home_while_nothing_else_is_commanded(world):
    for _ in range(240):
        world.step(HOME_POSITION)
    assert np.abs(world.joint_position - HOME_POSITION).max() < 0.01
    assert np.abs(world.joint_velocity).max() < 0.01


def test_objects_stay_where_they_are_put_while_nothing_touches_them(world):
    for _ in range(8):
        spawn = world.reset_object()
        for _ in range(120):
            world.step(HOME_POSITION)
        moved = world.object_position - spawn.position
        assert np.linalg.norm(moved) < 0.015, spawn.spec.name


def test_the_servos_follow_a_command_and_stop_at_the_range_end(world):
    limits = joint_limits()
    command = HOME_POSITION.copy()
    command[0] = limits.upper[0] + 1.0
    for _ in range(600):
        world.step(command)
    assert world.joint_position[0] == pytest.approx(limits.upper[0], abs=0.02)


def test_ticks_have_times_without_drift(world):
    assert world.time_ns == 0
    world.step(HOME_POSITION)
    assert world.time_ns == tick_time_ns(1) == 8_333_333
    assert [tick_time_ns(tick) for tick in (2, 3, 120)] == [16_666_667, 25_000_000, 1_000_000_000]
    assert tick_time_ns(120 * 86_400) == 86_400 * 1_000_000_000


def test_the_first_reset_repeats_the_start_and_the_next_brings_the_next_object(world):
    start = world.spawn
    first, second = world.reset_object(), world.reset_object()
    assert (first.index, second.index) == (0, 1)
    assert first.spec is start.spec
    assert np.array_equal(first.pose, start.pose)
    assert second.spec is not first.spec
    assert np.array_equal(world.object_position, second.position)


def test_a_reset_places_the_object_and_leaves_the_robot_alone(world):
    play(world, 50)
    joints = world.data.qpos[:23].copy(), world.data.qvel[:23].copy(), world.data.ctrl.copy()
    spawn = world.reset_object()
    assert np.array_equal(world.joint_position, joints[0])
    assert np.array_equal(world.joint_velocity, joints[1])
    assert np.array_equal(world.data.ctrl, joints[2])
    assert np.array_equal(world.object_position, spawn.position)
    assert np.array_equal(world.data.qvel[23:], np.zeros(6))


def test_a_reset_of_an_episode_leaves_nothing_but_time_of_what_came_before():
    stirred, fresh = World(WorldConfig(seed=5)), World(WorldConfig(seed=5))
    play(stirred, 100)
    fresh.reset_object()
    for world in (stirred, fresh):
        world.reset_object(robot_home=True)
    assert stirred.spawn.index == fresh.spawn.index == 1
    assert np.array_equal(stirred.joint_position, HOME_POSITION)
    for tick in range(240):
        for world in (stirred, fresh):
            world.step(command_at(tick))
        assert np.array_equal(state_of(stirred), state_of(fresh))
    assert stirred.tick == fresh.tick + 100


def test_while_the_world_stands_only_time_goes_on(world):
    play(world, 20)
    before = state_of(world)
    world.stand()
    assert world.tick == 21
    assert world.time_ns == tick_time_ns(21)
    assert np.array_equal(state_of(world), before)


def test_a_reset_is_refused_where_the_robot_is_in_the_way_and_changes_nothing(world):
    world.reset_object()
    before, mass = state_of(world), world.model.body_mass.copy()
    world.config = replace(world.config, clearance_m=0.6)
    for robot_home in (False, True):
        with pytest.raises(PlacementRefusedError, match=r"within 0\.6 m"):
            world.reset_object(robot_home)
    assert np.array_equal(state_of(world), before)
    assert np.array_equal(world.model.body_mass, mass)
    assert world.spawn.index == 0
    world.config = replace(world.config, clearance_m=0.01)
    assert world.reset_object().index == 1


def test_an_object_is_never_placed_inside_the_hand(world, monkeypatch):
    """A pose within the palm is passed over for the next that is free."""
    world.scene_state()
    palm = world.data.xpos[world.model.body(PALM_LINK).id].copy()
    ordinary = world._sequence.spawn

    def inside_first(index: int, attempt: int = 0) -> Spawn:
        spawn = ordinary(index, attempt)
        return replace(spawn, position=palm) if attempt < 3 else spawn

    monkeypatch.setattr(world._sequence, "spawn", inside_first)
    spawn = world.reset_object()
    assert np.array_equal(spawn.position, ordinary(0, 3).position)
    monkeypatch.setattr(world._sequence, "spawn", lambda i, a=0: replace(ordinary(i, a), position=palm))
    with pytest.raises(PlacementRefusedError, match=r"palm_link|index|middle|ring|thumb"):
        world.reset_object()


@pytest.mark.parametrize("command", [np.zeros(22), np.zeros((1, 23))])
def test_a_command_of_the_wrong_shape_is_refused(world, command):
    with pytest.raises(ValueError, match="shape"):
        world.step(command)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_command_that_is_not_finite_is_refused_by_joint_name(world, bad):
    command = HOME_POSITION.copy()
    command[9] = bad
    with pytest.raises(ValueError, match=JOINT_NAMES[9]):
        world.step(command)
    assert world.tick == 0


def test_physics_that_blow_up_are_reported_not_reset_in_silence(world):
    world.data.qvel[3] = 1e12
    with pytest.raises(WorldDivergedError, match="mjWARN"):
        world.step(HOME_POSITION)


def test_a_supply_leaves_an_object_within_reach_alone_and_replaces_one_that_is_not(world):
    joints, first, lies = world.joint_position, world.spawn, world.object_position
    assert world.supply_object() is first
    assert np.array_equal(world.object_position, lies)
    world.data.qpos[23:26] = [0.35, 0.45, 0.05]
    second = world.supply_object()
    assert second.index == 1, "the first stood there from the start: it has had its turn"
    assert np.array_equal(world.object_position, second.position)
    assert np.array_equal(world.joint_position, joints)


def test_an_object_that_is_missed_again_and_again_is_replaced():
    world = World(WorldConfig(seed=5, supply_patience=2))
    assert [world.supply_object().index for _ in range(7)] == [0, 0, 1, 1, 1, 2, 2]
