"""The task as rsl_rl sees it: groups, episodes, verdicts, determinism."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

import grasp_training.tasks
from grasp_description.objects import object_set
from grasp_description.robot import HOME_POSITION, JOINT_NAMES
from grasp_description.workcell import (
    GOAL_POSITION,
    HOLD_TIME_S,
    LIFTED_M,
    WORKSPACE_UPPER,
    SuccessCriterion,
)
from grasp_training.runs import ConfigurationError
from grasp_training.simulators import LINKS, MujocoSimulator, ResetState, SimulatorState
from grasp_training.tasks import (
    GROUPS,
    NUM_ACTIONS,
    CurriculumConfig,
    GraspEnv,
    RandomizationConfig,
    TaskConfig,
    make_env,
)
from grasp_training.tasks.observations import PRIVILEGED_SIZE, PROPRIOCEPTION_SIZE

JOINTS = len(JOINT_NAMES)
OBJECTS = object_set("training")[:9]
FULL = TaskConfig(curriculum=CurriculumConfig(start_level=1.0))
QUIET = TaskConfig(
    randomization=RandomizationConfig(joint_noise_rad=0, joint_velocity_noise=0, object_noise_m=0)
)


class FakeSimulator:
    """No physics: joints are where they are commanded, the object is where the test puts it."""

    device = torch.device("cpu")
    substeps = 4

    def __init__(self, num_envs: int):
        self.num_envs, self.objects = num_envs, OBJECTS
        self.nominal_rgba, self.nominal_light = torch.zeros(1, 4), torch.zeros(3)
        self.robot_geoms = torch.ones(1, dtype=torch.bool)
        n = num_envs
        self._state = SimulatorState(
            joint_position=torch.zeros(n, JOINTS),
            joint_velocity=torch.zeros(n, JOINTS),
            link_position=torch.tensor([0.6, 0.0, 0.3]).expand(n, len(LINKS), 3).clone(),
            link_rotation=torch.eye(3).expand(n, len(LINKS), 3, 3).clone(),
            object_position=torch.zeros(n, 3),
            object_quaternion=torch.tensor([1.0, 0, 0, 0]).expand(n, 4).clone(),
            object_velocity=torch.zeros(n, 6),
            touch=torch.zeros(n, 4),
        )
        self.resets: list[torch.Tensor] = []
        self.put: dict[int, torch.Tensor] = {}
        self.diverge: dict[int, str] = {}

    @property
    def state(self) -> SimulatorState:
        return replace(self._state, **{name: value.clone() for name, value in vars(self._state).items()})

    def reset(self, env_ids: torch.Tensor, state: ResetState) -> None:
        self.resets.append(env_ids)
        self._state.joint_position[env_ids] = state.joint_position
        self._state.joint_velocity[env_ids] = 0.0
        self._state.object_velocity[env_ids] = 0.0
        self._state.object_position[env_ids] = state.object_position
        self._state.object_quaternion[env_ids] = state.object_quaternion

    def step(self, joint_command: torch.Tensor) -> None:
        self._state.joint_position[:] = joint_command[:, -1]
        for env, position in self.put.items():
            self._state.object_position[env] = position
        for env, name in self.diverge.items():
            getattr(self._state, name)[env] = torch.nan

    def figures(self) -> dict[str, float]:
        return {}

    def randomize_appearance(self, env_ids, appearance) -> None:
        raise AssertionError("no images were asked for")

    def render(self):
        raise AssertionError("no images were asked for")


def fake_env(num_envs: int = 2, config: TaskConfig = QUIET) -> tuple[GraspEnv, FakeSimulator]:
    simulator = FakeSimulator(num_envs)
    return GraspEnv(config, simulator, ("proprioception", "privileged"), seed=0), simulator


def idle(env: GraspEnv) -> torch.Tensor:
    return torch.zeros(env.num_envs, NUM_ACTIONS)


def actions(steps: int, count: int, seed: int = 0) -> torch.Tensor:
    """Noise that tends down and closes the hand, so that there are contacts."""
    noise = torch.randn(steps, count, NUM_ACTIONS, generator=torch.Generator().manual_seed(seed))
    noise[..., 2] -= 0.8
    noise[..., 6:] += torch.linspace(-1, 2, steps)[:, None, None]
    return noise


def test_unknown_groups_are_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"\['dept'\]") as caught:
        make_env(TaskConfig(), 1, ("proprioception", "dept"), "training", 0)
    for group in GROUPS:
        assert group in str(caught.value)


def test_unknown_object_sets_are_refused_with_the_names_there_are():
    with pytest.raises(ValueError, match=r"'heldout'.*training, held-out"):
        make_env(TaskConfig(), 1, ("proprioception",), "heldout", 0)


@pytest.mark.parametrize("rates", [(50, 120), (60, 120), (30, 240)])
def test_other_rates_than_the_workcells_are_refused(rates: tuple[int, int]):
    """Scene, speed limits and policy files are made for these: another rate would be wrong in silence."""
    control, physics = rates
    task = TaskConfig(control_rate_hz=control, physics_rate_hz=physics)
    message = f"control_rate_hz {control} and physics_rate_hz {physics}; expected the workcell's, 30 and 120"
    with pytest.raises(ConfigurationError, match=message):
        make_env(task, 1, ("proprioception",), "training", 0)


def test_only_the_groups_asked_for_are_given_in_their_shapes():
    env = make_env(TaskConfig(), 3, ("proprioception", "privileged", "object_position"), "training", 0)
    observations = env.get_observations()
    shapes = {name: tuple(observations[name].shape) for name in observations.keys()}  # noqa: SIM118
    assert shapes == {
        "proprioception": (3, PROPRIOCEPTION_SIZE),
        "privileged": (3, PRIVILEGED_SIZE),
        "object_position": (3, 3),
    }
    assert all(observations[name].dtype == torch.float32 for name in shapes)


def test_proprioception_is_position_velocity_and_previous_target():
    env = make_env(QUIET, 3, ("proprioception",), "training", 0)
    start = env.get_observations()["proprioception"]
    assert torch.equal(start[:, :JOINTS], env.simulator.state.joint_position)
    assert torch.equal(start[:, 2 * JOINTS :], start[:, :JOINTS]), "after a reset: the measured position"
    target = torch.tensor(HOME_POSITION).float() + 0.02
    after = env.step_joint_targets(target.expand(3, -1))[0]["proprioception"]
    state = env.simulator.state
    expected = torch.cat([state.joint_position, state.joint_velocity, target.expand(3, -1)], dim=1)
    assert torch.equal(after, expected)


def test_observation_noise_follows_the_level():
    def spread(level: float) -> tuple[float, float, float]:
        config = TaskConfig(curriculum=CurriculumConfig(start_level=level))
        env = make_env(config, 32, ("proprioception", "privileged"), "training", 0)
        observed, state = env.get_observations(), env.simulator.state
        joints, target = observed["proprioception"], observed["proprioception"][:, 2 * JOINTS :]
        assert torch.equal(target, state.joint_position), "targets are known exactly"
        return tuple(
            float((a - b).std())
            for a, b in (
                (joints[:, :JOINTS], state.joint_position),
                (joints[:, JOINTS : 2 * JOINTS], state.joint_velocity),
                (observed["privileged"][:, :3], state.object_position),
            )
        )

    assert spread(0.0) == (0.0, 0.0, 0.0)
    noise = RandomizationConfig()
    expected = (noise.joint_noise_rad, noise.joint_velocity_noise, noise.object_noise_m)
    assert spread(1.0) == pytest.approx(expected, rel=0.25)


def test_what_is_privileged_is_not_in_proprioception():
    """Other objects, masses and places, out of the hand's reach: proprioception is the same to the bit."""
    histories = []
    for objects in ("training", "held-out"):
        env = make_env(QUIET, 4, ("proprioception", "privileged"), objects, seed=0)
        upwards = 0.3 * actions(30, 4).abs()
        start = env.simulator.state.object_position
        histories.append([env.step(action)[0].clone() for action in upwards])
        moved = (env.simulator.state.object_position - start).abs().max()
        assert moved < 0.002, "no more than settling on the table"
    for first, second in zip(*histories, strict=True):
        assert torch.equal(first["proprioception"], second["proprioception"])
        assert not torch.equal(first["privileged"], second["privileged"])


def test_same_seed_gives_the_same_200_steps_bit_for_bit_at_one_and_two_threads():
    groups = ("proprioception", "privileged", "object_position")
    before, histories = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            env = make_env(replace(FULL, threads=threads), 16, groups, "training", 7)
            history = [(env.get_observations(), torch.zeros(16), torch.zeros(16))]
            history += [env.step(action)[:3] for action in actions(200, 16)]
            histories.append(history)
    finally:
        torch.set_num_threads(before)
    for (obs, reward, done), (other_obs, other_reward, other_done) in zip(*histories, strict=True):
        for group in groups:
            assert torch.equal(obs[group], other_obs[group])
        assert torch.equal(reward, other_reward)
        assert torch.equal(done, other_done)
    ended = torch.stack([done for _, _, done in histories[0]]).sum()
    assert ended >= 16, "the steps must go over the end of episodes"


def test_another_seed_gives_other_episodes():
    first, second = (make_env(FULL, 4, ("privileged",), "training", seed) for seed in (0, 1))
    assert not torch.equal(first.get_observations()["privileged"], second.get_observations()["privileged"])


def test_episodes_end_by_time_and_begin_again():
    env, simulator = fake_env()
    for step in range(env.max_episode_length):
        _, _, done, extras = env.step(idle(env))
        assert done.all() == (step == env.max_episode_length - 1)
    assert extras["time_outs"].all()
    assert [ids.tolist() for ids in simulator.resets] == [[0, 1], [0, 1]]
    assert (env.episode_length_buf == 0).all()


def test_a_lost_object_ends_the_episode_of_its_environment_as_a_failure():
    env, simulator = fake_env()
    simulator.put[1] = torch.tensor(WORKSPACE_UPPER).float() + 0.01
    _, _, done, extras = env.step(idle(env))
    assert done.tolist() == [False, True]
    assert extras["lost"].tolist() == [False, True]
    assert not extras["time_outs"].any(), "the value of what follows must not be added"
    assert not extras["success"].any()
    assert env.episode_length_buf.tolist() == [1, 0]


@pytest.mark.parametrize("part", ["object_position", "object_velocity", "joint_position", "joint_velocity"])
def test_what_is_at_no_number_is_lost_and_makes_nothing_else_no_number(part: str):
    env, simulator = fake_env()
    simulator.diverge = {0: part}
    for step in range(2):
        observations, reward, done, extras = env.step(idle(env))
        assert all(torch.isfinite(observations[group]).all() for group in env.groups)
        assert torch.isfinite(reward).all()
        assert torch.isfinite(extras["height"]).all()
        assert all(np.isfinite(value) for value in extras["log"].values())
        assert not extras["time_outs"].any()
        if step == 0:
            assert done.tolist() == extras["lost"].tolist() == [True, False]
            assert reward[0] == 0.0
            assert reward[1] != 0.0, "the others earn what they earn"
            simulator.diverge.clear()
    assert not done.any()


def test_success_is_the_scoreboards():
    """The task and ``SuccessCriterion`` say the same of the same positions, to the step."""
    held_steps = (0, 14, 15, 16, 17, 40)
    env, simulator = fake_env(len(held_steps))
    criteria, steps = [SuccessCriterion() for _ in held_steps], env.max_episode_length
    away, goal = torch.tensor([0.6, 0.0, 0.05]), torch.tensor(GOAL_POSITION).float()
    for step in range(steps + 1):
        for index, (criterion, held) in enumerate(zip(criteria, held_steps, strict=True)):
            simulator.put[index] = goal if step > steps - held else away
            criterion.update(simulator.put[index].numpy(), step / env.cfg.control_rate_hz)
        if step > 0:
            extras = env.step(idle(env))[3]
    assert extras["success"].tolist() == [criterion.succeeded for criterion in criteria]
    needed = HOLD_TIME_S * env.cfg.control_rate_hz
    assert extras["success"].tolist() == [held > needed for held in held_steps]


def test_an_object_that_left_the_goal_at_the_end_is_no_success():
    env, simulator = fake_env()
    goal = torch.tensor(GOAL_POSITION).float()
    for step in range(env.max_episode_length):
        simulator.put[0] = goal if step < env.max_episode_length - 1 else goal - torch.tensor([0, 0, 0.2])
        extras = env.step(idle(env))[3]
    assert not extras["success"].any()


def test_lifted_is_remembered_until_the_episode_ends():
    env, simulator = fake_env()
    rest = simulator.state.object_position[0].clone()
    simulator.put[0] = rest + torch.tensor([0, 0, LIFTED_M + 0.01])
    assert env.step(idle(env))[3]["lifted"].tolist() == [True, False]
    simulator.put[0] = rest
    assert env.step(idle(env))[3]["lifted"].tolist() == [True, False]
    simulator.put[0] = torch.tensor(WORKSPACE_UPPER).float() + 1.0
    env.step(idle(env))
    simulator.put.clear()
    assert not env.step(idle(env))[3]["lifted"].any()


def test_extras_are_of_the_step_and_observations_of_the_new_episode():
    env, simulator = fake_env()
    out = torch.tensor(WORKSPACE_UPPER).float() + 0.01
    simulator.put[0] = out
    observations, _, _, extras = env.step(idle(env))
    assert torch.equal(extras["state"].object_position[0], out)
    assert (observations["privileged"][0, :3] < torch.tensor(WORKSPACE_UPPER).float()).all()


def test_one_environments_reset_leaves_the_observations_of_the_others():
    """But for noise, which is off here, an episode is the same whether its neighbours end or not."""
    histories = []
    for lose_one in (False, True):
        env = make_env(QUIET, 4, ("proprioception", "privileged"), "training", 0)
        history = []
        for step, action in enumerate(actions(40, 4)):
            if lose_one and step == 20:
                env._reset(torch.tensor([2]))
            history.append(env.step(action)[0].clone())
        histories.append(history)
    others = [0, 1, 3]
    for first, second in zip(*histories, strict=True):
        for group in ("proprioception", "privileged"):
            assert torch.equal(first[group][others], second[group][others])
    assert not torch.equal(histories[0][-1]["privileged"][2], histories[1][-1]["privileged"][2])


def test_level_rises_in_training_and_is_kept_by_the_state():
    config = replace(QUIET, curriculum=CurriculumConfig(step=0.5, threshold=0.1, min_episodes=1))
    env, simulator = fake_env(config=config)
    goal = torch.tensor(GOAL_POSITION).float()
    env.curriculum.success_rate = 0.5
    for _ in range(env.max_episode_length):
        simulator.put = {0: goal, 1: goal}
        log = env.step(idle(env))[3]["log"]
    assert log["curriculum/level"] == 0.5
    assert log["episode/success"] == 1.0
    other, _ = fake_env(config=config)
    other.load_state_dict(env.state_dict())
    assert other.state_dict() == env.state_dict()
    assert other.curriculum.level == 0.5


def test_rewards_are_the_sum_of_the_logged_terms():
    env = make_env(QUIET, 4, ("proprioception",), "training", 0)
    for action in actions(5, 4):
        _, reward, _, extras = env.step(action)
        terms = [value for name, value in extras["log"].items() if name.startswith("reward/")]
        assert float(reward.mean()) == pytest.approx(sum(terms), abs=1e-5)


def test_privileged_group_holds_what_its_table_says():
    """Positions in the vector, against the state: teachers, critics and the README rely on them."""
    env = make_env(QUIET, 5, ("privileged",), "training", 0)
    for action in actions(40, 5):
        observations = env.step(action)[0]["privileged"]
    state = env.simulator.state
    palm, tips, thing = state.link_position[:, 0], state.link_position[:, 1:], state.object_position
    parts = {
        (0, 3): thing,
        (9, 12): state.object_velocity[:, :3],
        (12, 15): 0.1 * state.object_velocity[:, 3:],
        (15, 18): torch.tensor(GOAL_POSITION).float() - thing,
        (18, 21): ((thing - palm)[:, None] @ state.link_rotation[:, 0])[:, 0],
        (21, 24): palm,
        (30, 42): (tips - thing[:, None]).flatten(1),
        (46, 50): (state.touch / 5.0).clamp(max=2.0),
    }
    for (first, last), expected in parts.items():
        torch.testing.assert_close(observations[:, first:last], expected, atol=1e-5, rtol=1e-5)
    mass = torch.tensor([env.simulator.objects[index].mass_kg for index in env.object_index])
    torch.testing.assert_close(observations[:, -2], mass, atol=1e-6, rtol=1e-5)


def test_the_readme_has_the_sizes_that_the_groups_have():
    page = (Path(grasp_training.tasks.__file__).parent / "README.md").read_text()
    for group, size in (("proprioception", PROPRIOCEPTION_SIZE), ("privileged", PRIVILEGED_SIZE)):
        assert f"| `{group}` | {size} |" in page
    assert f"| mass, friction | {PRIVILEGED_SIZE - 2}, {PRIVILEGED_SIZE - 1} |" in page


def test_state_of_the_real_simulator_is_that_of_the_fake():
    """The fake has to have what the interface has."""
    real = MujocoSimulator(1, OBJECTS).state
    for item in fields(SimulatorState):
        assert getattr(real, item.name).shape == getattr(FakeSimulator(1).state, item.name).shape
    assert np.isfinite(real.joint_position.numpy()).all()
