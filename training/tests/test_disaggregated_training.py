"""Where environments are simulated does not matter: parameters are equal bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from learning_samples import SMALL_DEPTH_NETWORK, small_student, small_teacher
from ranks_in_threads import train_in_threads
from toy_environment import LessonToyEnv, ToyEnv, ToyTask, make_lesson_env, make_toy_env

from grasp_description.workcell import SPAWN_REGION
from grasp_training.disaggregation import RemoteVecEnv, Setup, SingleWiring
from grasp_training.learning import TeacherConfig, train_student, train_teacher
from grasp_training.runs import RunFolder
from grasp_training.tasks import CurriculumConfig, TaskConfig, make_env

UPDATES = 5
RISING = CurriculumConfig(threshold=0.0, min_episodes=5)
"""A curriculum that rises with every few episodes, so that the level has to reach all simulators."""


def teacher(run: str, placement: str, num_envs: int = 12, **changes: Any) -> TeacherConfig:
    config = small_teacher(run, UPDATES, num_envs)
    return dataclasses.replace(config, placement=placement, env_blocks=6, **changes)


def parameters(folder: RunFolder) -> dict[str, torch.Tensor]:
    content = folder.checkpoints().load_latest().content
    assert content["iteration"] == UPDATES
    networks = {"actor": content["actor_state_dict"], "critic": content["critic_state_dict"]}
    return {f"{name}.{key}": value for name, state in networks.items() for key, value in state.items()}


def figures(folder: RunFolder) -> list[dict[str, float]]:
    own = ("performance/", "wall_time_s")
    return [
        {name: value for name, value in row.items() if not name.startswith(own)}
        for row in folder.metrics.rows()
    ]


def assert_equal_runs(first: RunFolder, second: RunFolder) -> None:
    """Parameters, observation statistics, curriculum and figures are equal to the bit."""
    before, after = parameters(first), parameters(second)
    assert list(before) == list(after)
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    states = [folder.checkpoints().load_latest().content["environment"] for folder in (first, second)]
    assert states[0] == states[1]
    assert states[0]["curriculum"]["level"] > 0.0, "the level has to move in this test"
    assert figures(first) == figures(second)


@pytest.mark.parametrize("placement", ["1:1", "2:1", "3:1"])
@pytest.mark.parametrize("observe", ["state", "depth"])
def test_the_grasp_task_is_learnt_the_same_bit_for_bit(
    observe: Any, placement: str, single_runs: dict[str, RunFolder], tmp_path: Path
) -> None:
    assert_equal_runs(
        single_runs[observe], train_in_threads(grasp_teacher(observe, placement), GRASP, make_env, tmp_path)
    )


GRASP = TaskConfig(episode_length_s=0.5, threads=1, curriculum=RISING)


def grasp_teacher(observe: Any, placement: str) -> TeacherConfig:
    config = teacher(f"{observe}-run", placement, observe=observe, depth=SMALL_DEPTH_NETWORK)
    if observe == "state":
        return config
    # Images are rendered by the CPU: few, but over the end of an episode.
    return dataclasses.replace(config, num_envs=6, ppo=dataclasses.replace(config.ppo, steps_per_rollout=4))


@pytest.fixture(scope="module")
def single_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """Runs in one process, by what they observe."""
    folder = tmp_path_factory.mktemp("single")
    return {
        observe: train_teacher(grasp_teacher(observe, "single"), GRASP, make_env, folder)
        for observe in ("state", "depth")
    }


def test_other_environments_give_other_parameters(tmp_path: Path) -> None:
    """What the tests here compare can differ: blocks cut otherwise have other random streams."""
    found = []
    for blocks in (6, 3):
        config = dataclasses.replace(teacher(f"blocks-{blocks}", "single"), env_blocks=blocks)
        found.append(parameters(train_teacher(config, ToyTask(), make_toy_env, tmp_path)))
    assert not torch.equal(found[0]["actor.mlp.0.weight"], found[1]["actor.mlp.0.weight"])


def test_the_level_that_the_learner_keeps_reaches_every_block(tmp_path: Path) -> None:
    made: list[ToyEnv] = []

    def make(*arguments: Any) -> ToyEnv:
        made.append(make_toy_env(*arguments))
        return made[-1]

    folder = train_in_threads(teacher("toy", "3:1"), ToyTask(episode_steps=7), make, tmp_path)
    level = folder.checkpoints().load_latest().content["environment"]["curriculum"]["level"]
    assert level > 0.0
    assert len(made) == 6
    assert len({env.seed for env in made}) == 6
    before = [row["curriculum/level"] for row in folder.metrics.rows()]
    assert before == sorted(before)
    levels = {env.curriculum.level for env in made}
    assert len(levels) == 1
    assert level - levels.pop() in (0.0, pytest.approx(0.01)), (
        "what the last step moved is sent with the next"
    )


@dataclasses.dataclass(frozen=True)
class LevelledToyTask(ToyTask):
    """A toy task that says, as the grasp task does, at which level it begins."""

    curriculum: CurriculumConfig = dataclasses.field(default_factory=CurriculumConfig)


def test_first_episodes_begin_at_the_level_that_a_run_or_its_teacher_had_reached(tmp_path: Path) -> None:
    begun: list[float] = []

    def make(task: LevelledToyTask, *arguments: Any) -> ToyEnv:
        begun.append(task.curriculum.start_level)
        return make_toy_env(task, *arguments)

    def levels_of(train: Any, config: Any, resume: bool = False) -> tuple[set[float], float]:
        """The levels at which blocks began, and the level at the end."""
        begun.clear()
        folder = train(config, task, make, tmp_path, resume)
        state = folder.checkpoints().load_latest().content["environment"]
        return set(begun), state["curriculum"]["level"]

    task = LevelledToyTask(episode_steps=5)
    before, reached = levels_of(train_teacher, dataclasses.replace(teacher("t", "single"), iterations=3))
    assert before == {0.0}
    assert reached > 0.0
    before, taught = levels_of(train_in_threads, teacher("t", "2:1"), resume=True)
    assert before == {reached}
    assert taught > reached
    before, learnt = levels_of(train_student, small_student("s", "t"))
    assert before == {taught}
    assert learnt > taught
    before, _ = levels_of(train_student, small_student("s", "t", iterations=4), resume=True)
    assert before == {learnt}


def test_environments_that_begin_at_a_level_spawn_objects_as_far_out_as_it_says() -> None:
    def farthest(level: float | None) -> float:
        setup = Setup(32, 2, ("privileged",), "training", seed=0, level=level)
        env = SingleWiring().connect(make_env, TaskConfig(), Setup.from_json(setup.to_json()))
        away = env.get_observations()["privileged"][:, :2] - torch.tensor(SPAWN_REGION.centre).float()
        return float((away.abs() / torch.tensor(SPAWN_REGION.half_size).float()).max())

    near = TaskConfig().randomization.spawn_scale[0] + 0.01
    assert farthest(None) == farthest(0.0) < near
    assert farthest(1.0) > 2.0 * near


@pytest.mark.parametrize("make", [make_toy_env, make_lesson_env], ids=["plain", "lessons"])
def test_a_student_is_distilled_the_same_bit_for_bit(make: Any, tmp_path: Path) -> None:
    """Images, the recurrent student's memory, who acts when, who sees what: all of it is the learner's."""
    made: list[ToyEnv] = []

    def make_env_and_keep(*arguments: Any) -> ToyEnv:
        made.append(make(*arguments))
        return made[-1]

    task = ToyTask(episode_steps=5)
    train_teacher(teacher("teacher", "single"), task, make_toy_env, tmp_path)
    contents = []
    for name, placement in (("here", "single"), ("there", "2:1")):
        config = dataclasses.replace(
            small_student(name, "teacher"), placement=placement, env_blocks=4, num_envs=8
        )
        if placement == "single":
            folder = train_student(config, task, make_env_and_keep, tmp_path)
        else:
            folder = train_in_threads(config, task, make_env_and_keep, tmp_path, train=train_student)
        contents.append(folder.checkpoints().load_latest().content)
    first, second = contents
    for key, value in first["student_state_dict"].items():
        assert torch.equal(value, second["student_state_dict"][key]), key
    assert first["environment"] == second["environment"]
    assert first["iteration"] == 3
    if make is make_lesson_env:
        given = sorted(int(env.lessons.sum()) for env in made if isinstance(env, LessonToyEnv))
        assert given == [0, 0, 0, 0, 0, 0, 2, 2], "a quarter of the environments, in either run"


def seven_environments(make: Any) -> RemoteVecEnv:
    """Seven environments in three blocks, with places and their labels."""
    setup = Setup(7, 3, ("privileged", "object_position"), "training", seed=0)
    env = SingleWiring().connect(make, ToyTask(), setup)
    assert isinstance(env, RemoteVecEnv)
    return env


def test_lessons_are_given_by_the_environments_asked_for_from_the_next_step_on() -> None:
    env = seven_environments(make_lesson_env)

    def drawn_elsewhere() -> list[bool]:
        shown = env.get_observations()
        return (shown["object_position"][:, :2] != shown["privileged"][:, :2]).all(dim=1).tolist()

    which = [True, False, False, True, True, False, True]
    env.draw_elsewhere(torch.tensor(which))
    assert drawn_elsewhere() == [False] * 7
    for _ in range(2):
        env.step(torch.zeros(7, 11))
        assert drawn_elsewhere() == which
    env.draw_elsewhere(torch.zeros(7, dtype=torch.bool))
    env.step(torch.zeros(7, 11))
    assert drawn_elsewhere() == [False] * 7


def test_environments_that_give_no_lessons_say_so() -> None:
    env = seven_environments(make_toy_env)
    assert not env.gives_lessons
    with pytest.raises(ValueError, match="give no lessons in seeing"):
        env.draw_elsewhere(torch.ones(7, dtype=torch.bool))


def test_a_run_goes_on_under_another_placement_from_its_checkpoint(tmp_path: Path) -> None:
    for name, placements in {"here": ("single", "single"), "there": ("2:1", "3:1")}.items():
        config = dataclasses.replace(teacher(name, placements[0]), iterations=3)
        for iterations, placement in zip((3, UPDATES), placements, strict=True):
            config = dataclasses.replace(config, iterations=iterations, placement=placement)
            train = train_teacher if placement == "single" else train_in_threads
            folder = train(config, ToyTask(episode_steps=7), make_toy_env, tmp_path, resume=iterations > 3)
        if name == "here":
            first = folder
    assert_equal_runs(first, folder)
