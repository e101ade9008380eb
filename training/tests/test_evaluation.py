"""Evaluation: which episodes count, the figures, a policy file and a teacher from end to end, the command."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grasp_description.objects import HELD_OUT_FAMILIES, TRAINING_FAMILIES, object_set
from grasp_policy.policy_file import load_policy
from grasp_policy.testing import sample_spec, write_sample
from grasp_policy.workcell_contract import workcell_contract
from grasp_training.cli import main
from grasp_training.evaluation import (
    Episode,
    EpisodeSchedule,
    Evaluation,
    EvaluationConfig,
    Rate,
    Summary,
    evaluate,
    open_subject,
    run_episodes,
    wilson_interval,
)
from grasp_training.evaluation.actors import PolicyFileActor
from grasp_training.evaluation.episodes import Trace
from grasp_training.evaluation.pictures import choose
from grasp_training.evaluation.scores import KNOWN, NEW
from grasp_training.evaluation.subjects import teacher_network
from grasp_training.presets import teacher_preset
from grasp_training.runs import Checkpoint, RunFolder
from grasp_training.simulators import ResetState
from grasp_training.tasks import CurriculumConfig, ImageConfig, RandomizationConfig, TaskConfig, make_env

HELD_OUT = object_set("held-out")
CONFIG = RandomizationConfig()
SHORT = TaskConfig(episode_length_s=0.3, curriculum=CurriculumConfig(start_level=1.0, step=0.0), threads=1)


def schedule(num_envs: int, episodes: int, seed: int = 0) -> EpisodeSchedule:
    return EpisodeSchedule(HELD_OUT, CONFIG, seed, num_envs, episodes)


def starts(drawn: EpisodeSchedule, rounds: int) -> dict[int, ResetState]:
    """The start of each episode by number, all environments beginning together."""
    found: dict[int, ResetState] = {}
    for _ in range(rounds):
        chosen = drawn.choose_objects(torch.arange(len(drawn.number)))
        state = drawn.reset_state(chosen, 1.0)
        for row, number in enumerate(drawn.number.tolist()):
            found[number] = ResetState(**{f.name: getattr(state, f.name)[row] for f in fields(ResetState)})
    return found


@pytest.mark.parametrize("episodes", [1, 20, 127, 128, 200, 300])
def test_every_object_is_used_as_often_as_any_other_to_within_one(episodes):
    for seed in range(3):
        drawn = schedule(3, episodes, seed)
        counts = Counter(drawn.object_of(number) for number in range(episodes))
        fair = episodes / len(HELD_OUT)
        assert all(math.floor(fair) <= counts[index] <= math.ceil(fair) for index in range(len(HELD_OUT)))


def test_a_few_episodes_already_have_known_and_new_families_in_equal_shares():
    for seed in range(5):
        drawn = schedule(4, 20, seed)
        families = [HELD_OUT[drawn.object_of(number)].family for number in range(20)]
        assert sum(family in HELD_OUT_FAMILIES for family in families) == 10
        assert len(set(families)) == len(TRAINING_FAMILIES + HELD_OUT_FAMILIES)


def test_episodes_are_the_same_in_any_number_of_environments():
    few, many = starts(schedule(2, 12), 6), starts(schedule(6, 12), 2)
    assert set(few) == set(many) == set(range(12))
    for number in range(12):
        for item in fields(ResetState):
            assert torch.equal(getattr(few[number], item.name), getattr(many[number], item.name)), item.name


def test_fewer_episodes_are_the_first_ones_of_more_and_another_seed_gives_others():
    few, more, other = (starts(schedule(4, n, seed), 1) for n, seed in ((4, 0), (40, 0), (4, 1)))
    assert torch.equal(few[2].object_position, more[2].object_position)
    assert not torch.equal(few[2].object_position, other[2].object_position)


def test_episodes_of_one_object_start_at_different_places():
    drawn = EpisodeSchedule(HELD_OUT[:1], CONFIG, 0, 4, 8)
    positions = torch.stack([state.object_position for state in starts(drawn, 2).values()])
    assert len(torch.unique(positions[:, 0])) == 8


def test_noise_of_an_environment_does_not_depend_on_the_others():
    alone, beside = schedule(1, 4), schedule(4, 4)
    for drawn in (alone, beside):
        starts(drawn, 1)
    assert torch.equal(alone.noise(torch.zeros(1, 5), 1.0)[0], beside.noise(torch.zeros(4, 5), 1.0)[0])


@pytest.mark.parametrize(("num_envs", "episodes", "name"), [(0, 5, "num_envs is 0"), (2, 0, "episodes is 0")])
def test_nothing_to_run_is_refused(num_envs, episodes, name):
    with pytest.raises(ValueError, match=name):
        schedule(num_envs, episodes)


class ShortLivedActor:
    """Holds still; now and then throws every second environment's object away, which ends its episode."""

    groups = ("proprioception",)

    def __init__(self):
        self.begun: list[int] = []
        self.steps = 0

    def begin(self, env_ids, observations):
        self.begun += env_ids.tolist()

    def step(self, env, observations, active):
        target = observations["proprioception"][:, 46:]
        self.steps += 1
        ids = torch.arange(0, env.num_envs, 2)
        if self.steps % 3 == 0:
            velocities = env.simulator._qvel
            velocities[ids.numpy(), 23:26] = [0.0, 100.0, 0.0]
        return env.step_joint_targets(target)


def test_exactly_the_episodes_asked_for_are_counted_and_short_ones_no_oftener():
    """First come, first counted would take most from environments whose episodes are short."""
    drawn = EpisodeSchedule(HELD_OUT, CONFIG, 0, 4, 10)
    env = make_env(SHORT, 4, ("proprioception",), "held-out", 0, drawn)
    actor, reported = ShortLivedActor(), []
    episodes = run_episodes(env, actor, drawn, reported.append)
    assert [episode.number for episode in episodes] == list(range(10))
    assert sorted(episode.number for episode in reported) == list(range(10))
    lost = {episode.number for episode in episodes if episode.lost}
    assert lost == {0, 2, 4, 6, 8}, "environments 0 and 2 run the even episodes"
    for episode in episodes:
        assert episode.object == HELD_OUT[drawn.object_of(episode.number)]
        assert not (episode.lost and episode.success)
        assert episode.length_s == pytest.approx(0.3) or (episode.lost and episode.length_s < 0.2)
        assert len(episode.trace) == round(30 * episode.length_s) + 1


def test_an_episodes_trace_starts_where_the_schedule_put_it():
    drawn = EpisodeSchedule(HELD_OUT, CONFIG, 0, 2, 4)
    env = make_env(SHORT, 2, ("proprioception",), "held-out", 0, drawn)
    episodes = run_episodes(env, ShortLivedActor(), drawn)
    expected = starts(schedule(2, 4), 2)
    for episode in episodes:
        start = expected[episode.number]
        np.testing.assert_array_equal(episode.trace.object_pose[0][:3], start.object_position)
        np.testing.assert_array_equal(episode.trace.joint_position[0], start.joint_position)


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    # By the formula in Brown, Cai and DasGupta, Statistical Science 16(2), 2001, worked out by hand.
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (120, 200, 0.5308, 0.6654)],
)
def test_wilson_interval_has_known_values(successes, episodes, low, high):
    assert wilson_interval(successes, episodes) == pytest.approx((low, high), abs=1e-4)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_share_and_stays_within_zero_and_one(case):
    successes, episodes = case
    low, high = wilson_interval(successes, episodes)
    assert 0.0 <= low <= successes / episodes <= high <= 1.0
    mirrored = wilson_interval(episodes - successes, episodes)
    assert mirrored == pytest.approx((1 - high, 1 - low))


def test_wilson_interval_refuses_more_successes_than_episodes():
    with pytest.raises(ValueError, match="3 successes of 2 episodes"):
        wilson_interval(3, 2)


def episode(number: int, family: str = "box", **changes) -> Episode:
    spec = next(spec for spec in HELD_OUT if spec.family == family)
    trace = Trace()
    for height in (0.05, 0.1):
        trace.joint_position.append(np.zeros(23, np.float32))
        trace.object_pose.append(np.array([0.6, 0.0, height, 1, 0, 0, 0], np.float32))
    made = Episode(number, spec, False, None, False, False, 0.3, 5.0, trace)
    return replace(made, **changes)


def test_summary_counts_by_family_and_kind():
    summary = Summary.of(
        [
            episode(0, "box", success=True, lifted_at_s=1.0),
            episode(1, "mug", lifted_at_s=2.0, dropped=True),
            episode(2, "hammer", success=True, lifted_at_s=3.0),
            episode(3, "hammer", lost=True),
        ]
    )
    assert (summary.success.successes, summary.success.episodes) == (2, 4)
    assert list(summary.by_family) == ["box", "mug", "hammer"]
    assert [rate.rate for rate in summary.by_family.values()] == [1.0, 0.0, 0.5]
    assert {kind: rate.episodes for kind, rate in summary.by_kind.items()} == {KNOWN: 2, NEW: 2}
    assert summary.lifted.successes == 3
    assert summary.mean_time_to_lift_s == 2.0
    assert (summary.dropped, summary.lost) == (1, 1)
    table = {name.strip(): value for name, value, _ in summary.rows()}
    assert table["success"].startswith("50.0 % (15.0 to 85.0)")
    assert table["mean time to lift"] == "2.00 s"


def test_summary_without_a_lift_has_no_time_to_lift():
    summary = Summary.of([episode(0)])
    assert summary.mean_time_to_lift_s is None
    assert ("mean time to lift", "–", "0") in summary.rows()


def test_rate_of_nothing_is_no_number():
    rate = Rate.of([])
    assert math.isnan(rate.rate)
    assert str(rate) == "–"


def test_pictures_are_of_one_family_after_the_other():
    episodes = [episode(n, family) for n, family in enumerate(["box", "box", "box", "mug", "hammer", "mug"])]
    assert [chosen.number for chosen in choose(episodes, 4)] == [0, 3, 4, 1]
    assert choose([], 3) == []


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory) -> Path:
    """A policy for this robot, put together by hand: it moves with what its cameras see."""
    folder = tmp_path_factory.mktemp("models")
    return write_sample(folder, sample_spec(workcell_contract()), name="sample")


def evaluate_sample(policy_file: Path, num_envs: int, threads: int) -> tuple[Episode, ...]:
    policy = load_policy(policy_file, workcell_contract())
    drawn = EpisodeSchedule(HELD_OUT, CONFIG, 0, num_envs, 4)
    env = make_env(replace(SHORT, threads=threads), num_envs, PolicyFileActor.groups, "held-out", 0, drawn)
    return run_episodes(env, PolicyFileActor(policy, num_envs, threads), drawn)


def test_a_policy_files_episodes_do_not_depend_on_environments_or_threads(policy_file):
    """Each environment has memory of its own, started anew with each episode."""
    reference = evaluate_sample(policy_file, 4, 1)
    for num_envs, threads in ((2, 2), (1, 1)):
        for ours, theirs in zip(evaluate_sample(policy_file, num_envs, threads), reference, strict=True):
            np.testing.assert_array_equal(ours.trace.joint_position, theirs.trace.joint_position)
            np.testing.assert_array_equal(ours.trace.object_pose, theirs.trace.object_pose)
    moved = np.ptp([trace.joint_position[-1] for trace in (e.trace for e in reference)], axis=0)
    assert moved.max() > 0.01


def test_views_of_the_policy_are_kept_at_times_over_the_episode(policy_file):
    first = evaluate_sample(policy_file, 4, 1)[0]
    assert sorted(first.trace.views) == [0, 2, 3, 5, 6, 8]
    shapes = {view.shape for view in first.trace.views.values()}
    contract = workcell_contract()
    assert shapes == {(contract.image_height, contract.image_width, 3)}


@pytest.fixture(scope="module")
def teacher_run(tmp_path_factory) -> Path:
    """The folder of a teacher's run of no training."""
    folder = RunFolder(tmp_path_factory.mktemp("runs") / "sample")
    config = teacher_preset("smoke", "sample")
    folder.save_config("teacher", config, TaskConfig(), {})
    network = untrained_network(config)
    content = {"actor_state_dict": network.state_dict(), "iteration": 3, "environment_steps": 384}
    folder.checkpoints().save(3, content)
    return folder.path


def untrained_network(config, task: TaskConfig = SHORT) -> torch.nn.Module:
    """A teacher's network whose actions are not all alike."""
    from rsl_rl.utils import resolve_class

    from grasp_training.learning.rsl_rl_settings import actor_settings

    env = make_env(task, 1, config.actor_groups(), "held-out", 0)
    network_class, settings = resolve_class(actor_settings(config))
    torch.manual_seed(0)
    groups = {"actor": list(config.actor_groups())}
    return network_class(env.get_observations(), groups, "actor", env.num_actions, **settings)


def test_a_teacher_is_loaded_as_it_was_saved_and_acts_by_its_mean(teacher_run):
    folder = RunFolder(teacher_run)
    config = teacher_preset("smoke", "sample")
    env = make_env(SHORT, 2, config.actor_groups(), "held-out", 0)
    checkpoint = folder.checkpoints().load_latest()
    assert isinstance(checkpoint, Checkpoint)
    network = teacher_network(config, checkpoint, env.get_observations())
    expected = untrained_network(config).eval()(env.get_observations())
    for _ in range(2):
        torch.testing.assert_close(network(env.get_observations()), expected)


def test_a_teacher_from_depth_is_shown_images_of_the_size_that_it_learnt_from(tmp_path):
    folder = RunFolder(tmp_path / "depth")
    config = replace(teacher_preset("smoke", "depth"), observe="depth")
    task = replace(SHORT, depth_image=ImageConfig(40, 30))
    folder.save_config("teacher", config, task, {})
    content = {"actor_state_dict": untrained_network(config, task).state_dict(), "iteration": 1}
    folder.checkpoints().save(1, content)
    subject = open_subject(folder.path)
    assert subject.depth_image == task.depth_image
    assert len(evaluate(subject, EvaluationConfig(episodes=1, num_envs=1)).episodes) == 1


def test_teacher_and_policy_file_meet_the_same_episodes(teacher_run, policy_file):
    config = EvaluationConfig(episodes=2, num_envs=2)
    found = [evaluate(open_subject(path), config) for path in (teacher_run, policy_file)]
    assert all(isinstance(evaluation, Evaluation) for evaluation in found)
    for ours, theirs in zip(*(evaluation.episodes for evaluation in found), strict=True):
        assert ours.object == theirs.object
        np.testing.assert_array_equal(ours.trace.object_pose[0], theirs.trace.object_pose[0])
    assert found[0].facts["teacher's run"] == "sample, 3 iterations"
    assert found[1].facts["SHA-256"] == load_policy(policy_file, None).sha256
    assert set(found[0].scores()) >= {"success_held_out", "success_held_out_low", "success_held_out_high"}


def test_command_prints_the_table_and_writes_json_report_and_video(policy_file, tmp_path, capsys):
    outputs = {ending: tmp_path / "new" / f"out.{ending}" for ending in ("json", "html", "mp4")}
    arguments = ["evaluate", str(policy_file), "--episodes", "2", "--seed", "5", "--threads", "1"]
    arguments += [
        "--json",
        str(outputs["json"]),
        "--report",
        str(outputs["html"]),
        "--video",
        str(outputs["mp4"]),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "sample.onnx on held-out objects" in printed
    assert "mean time to lift" in printed
    document = json.loads(outputs["json"].read_text())
    assert document["settings"]["seed"] == 5
    assert len(document["episodes"]) == document["summary"]["success"]["episodes"] == 2
    assert 0.0 <= document["scores"]["success_held_out"] <= 1.0
    page = outputs["html"].read_text()
    assert page.count("data:image/png;base64,") == 1 + 2, "the plots, and a strip an episode"
    assert "://" not in page, "the report needs nothing else"
    frames = imageio.imread(outputs["mp4"], plugin="FFMPEG")
    assert len(frames) >= 75
    assert frames.std() > 10


def test_no_policy_at_the_path_is_said(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path / "nothing.onnx")]) == 1
    assert "There is nothing at" in capsys.readouterr().err


def test_a_file_that_is_no_policy_is_refused(tmp_path, capsys):
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"PK\x03\x04 not a policy")
    assert main(["evaluate", str(path)]) == 1
    message = capsys.readouterr().err
    assert "bad.onnx" in message
    assert "Traceback" not in message


def test_a_policy_whose_answer_is_no_number_is_refused(tmp_path, capsys):
    path = write_sample(tmp_path, sample_spec(workcell_contract()), name="sick", nan_after_steps=2)
    assert main(["evaluate", str(path), "--episodes", "1", "--threads", "1"]) == 1
    assert "sick.onnx cannot be evaluated: the policy's joint_target[0] is nan" in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path)]) == 1
    assert "There is no run" in capsys.readouterr().err


def test_an_unknown_object_set_is_refused_with_the_names_there_are(policy_file, capsys):
    with pytest.raises(SystemExit):
        main(["evaluate", str(policy_file), "--objects", "all"])
    shown = capsys.readouterr()
    assert "held-out" in shown.out + shown.err
    with pytest.raises(ValueError, match="training, held-out"):
        evaluate(open_subject(policy_file), EvaluationConfig(objects="all"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--video", "out.avi"], "ends in '.avi'; expected '.mp4'"),
        (["--episodes", "0"], "episodes is 0"),
        (["--level", "1.5"], "level is 1.5"),
    ],
)
def test_bad_values_are_refused_before_anything_runs(policy_file, capsys, flags, words):
    assert main(["evaluate", str(policy_file), *flags]) == 1
    assert words in " ".join(capsys.readouterr().err.split())
