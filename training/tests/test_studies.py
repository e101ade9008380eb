"""Studies: equal budgets, going on after a kill between any two stages, tables, the commands."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from learning_samples import SMALL_DEPTH_NETWORK, small_student, small_teacher
from toy_environment import ToyEnv, ToyTask, make_toy_env

from grasp_training.cli import main, study
from grasp_training.learning.config import Mode, Preset
from grasp_training.planning import EnvironmentCosts, Line, Memory, Seconds
from grasp_training.runs import ConfigurationError, RunError, RunFolder
from grasp_training.studies import (
    BatchConfig,
    BatchStudy,
    ObservabilityConfig,
    ObservabilityStudy,
    StudyFolder,
    batch_preset,
    batch_report,
    observability,
    observability_preset,
    observability_report,
)
from grasp_training.studies.batch import iterations_for, lacking_rises
from grasp_training.studies.folder import Result
from grasp_training.studies.measures import MeasureConfig
from grasp_training.studies.training import UNSET
from grasp_training.tasks import CurriculumConfig, ImageConfig, TaskConfig


def make_env(config: Any, num_envs: int, groups: tuple[str, ...], objects: str, seed: int) -> ToyEnv:
    return make_toy_env(ToyTask(), num_envs, groups, objects, seed)


def made_up(*_: Any) -> dict[Mode, EnvironmentCosts]:
    """Costs that nobody measured: 100 MB a process, 1 MB an environment to simulate, 2 MB to learn from."""
    process, simulator, learner = Line(100e6, 0.0), Line(0.0, 1e6), Line(0.0, 2e6)
    memory = Memory(process, simulator, Line(0.0, 0.0), Line(0.0, 0.0), learner, Line(0.0, 0.0))
    return {"synchronous": EnvironmentCosts(memory, Seconds(simulate=3e-3, infer=0.0, learn=20e-3, steps=20))}


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


class CountingMeasures:
    """Measures nothing: depth teachers' students succeed oftener; keeps what was asked."""

    def __init__(self, die_at: str = "") -> None:
        self.die_at, self.asked = die_at, []

    def _ask(self, name: str) -> None:
        self.asked.append(name)
        if name == self.die_at:
            raise Killed

    def teacher(self, run: RunFolder, scores: Path) -> Result:
        self._ask(scores.stem)
        shares = [1.0, 0.5, None] if "state" in scores.stem else [1.0, 0.9, 0.8]
        seen = [
            {
                "number": 0,
                "lifted": True,
                "shares": shares,
                "until_lift": shares[1],
                "before_lift": shares[1],
            },
            {"number": 1, "lifted": False, "shares": [1.0], "until_lift": 1.0, "before_lift": None},
        ]
        return {"success": [True, True, False, True], "visibility": {"period_s": 0.1, "episodes": seen}}

    def student(self, run: RunFolder, policy: Path, scores: Path) -> Result:
        self._ask(scores.stem)
        return {"success": [True, "depth" in scores.stem, False, False], "sha256": "0"}

    def explanation(self, teacher: RunFolder, student: RunFolder) -> Result:
        self._ask(f"{student.name}-explained")
        # An action of 1 and -1 in turn; the student of a depth teacher is half wrong, of a state teacher all.
        error = 0.5 if "depth" in student.name else 1.0
        ones = np.ones((2, 11))
        sums = {"steps": [2.0, 2.0], "taught": (0 * ones).tolist(), "taught_squared": (2 * ones).tolist()}
        sums |= {
            "error_squared": (2 * error**2 * ones).tolist(),
            "error_absolute": (2 * error * ones).tolist(),
        }
        return {"student acts": sums, "teacher acts": sums}


class FailingMeasures(CountingMeasures):
    """Cannot score depth teachers."""

    def teacher(self, run: RunFolder, scores: Path) -> Result:
        if "depth" in scores.stem:
            raise RunError("no scores today")
        return super().teacher(run, scores)


def small_study(seeds: int = 1) -> ObservabilityConfig:
    teacher = small_teacher(UNSET, iterations=2)
    return dataclasses.replace(
        observability_preset("smoke"),
        seeds=seeds,
        state_teacher=teacher,
        depth_teacher=dataclasses.replace(teacher, observe="depth", depth=SMALL_DEPTH_NETWORK),
        student=small_student(UNSET, UNSET, iterations=2),
    )


def say_nothing(_: str) -> None:
    """Stands for printing, in any process."""


def run_study(
    folder: Path, config: ObservabilityConfig, measures: Any, resume: bool = False
) -> dict[str, Result]:
    arguments = (StudyFolder(folder / "see"), config, folder / "runs", resume, make_env, measures)
    return ObservabilityStudy(*arguments, report=say_nothing).run()


STAGES = [
    f"{kind}-{what}-0"
    for kind in ("state", "depth")
    for what in ("teacher", "teacher-score", "student", "student-score", "explanation")
]


@pytest.fixture(scope="module")
def killed_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[CountingMeasures]]:
    """A study that was killed twice between stages, and then went on to its end."""
    folder, measures = tmp_path_factory.mktemp("study"), []
    for die_at in ("state-student-0", "depth-teacher-0", ""):
        measures.append(CountingMeasures(die_at))
        if die_at:
            with pytest.raises(Killed):
                run_study(folder, small_study(), measures[-1], resume=len(measures) > 1)
    run_study(folder, small_study(), measures[-1], resume=True)
    return folder, measures


def test_what_is_complete_is_not_done_again(killed_study: tuple[Path, list[CountingMeasures]]) -> None:
    folder, measures = killed_study
    assert list(json.loads((folder / "see" / "results.json").read_text())) == STAGES
    assert [asked.asked for asked in measures] == [
        ["state-teacher-0", "state-student-0"],
        ["state-student-0", "see-state-student-0-explained", "depth-teacher-0"],
        ["depth-teacher-0", "depth-student-0", "see-depth-student-0-explained"],
    ]
    for run in (folder / "runs").iterdir():
        assert len(RunFolder(run).load_config()["made_with"]) == 1, f"{run.name} was trained once"


def test_students_of_both_kinds_have_one_budget(killed_study: tuple[Path, list[CountingMeasures]]) -> None:
    folder, _ = killed_study
    saved = [
        RunFolder(folder / "runs" / f"see-{kind}-student-0").load_config() for kind in ("state", "depth")
    ]
    own = {name: [document["training"].pop(name) for document in saved] for name in ("run", "teacher")}
    assert own["teacher"] == ["see-state-teacher-0", "see-depth-teacher-0"]
    assert saved[0]["training"] == saved[1]["training"]
    assert saved[0]["task"] == saved[1]["task"]
    results = StudyFolder(folder / "see").results()
    steps = {results[f"{kind}-student-0"]["environment_steps"] for kind in ("state", "depth")}
    assert steps == {2 * 16 * 6}


def test_side_by_side_the_same_is_learnt_and_found(
    tmp_path: Path, killed_study: tuple[Path, list[CountingMeasures]]
) -> None:
    results = run_study(tmp_path, dataclasses.replace(small_study(), jobs=2), CountingMeasures())
    alone = StudyFolder(killed_study[0] / "see").results()
    assert set(results) == set(STAGES)
    for stage, found in results.items():
        assert found | {"wall_time_s": 0.0} == alone[stage] | {"wall_time_s": 0.0}


def test_a_failure_side_by_side_is_told_and_loses_nothing(tmp_path: Path) -> None:
    config = dataclasses.replace(small_study(), jobs=2)
    with pytest.raises(RunError, match="no scores today"):
        run_study(tmp_path, config, FailingMeasures())
    found = StudyFolder(tmp_path / "see").results()
    assert {stage for stage in STAGES if "state" in stage} <= set(found)
    assert set(run_study(tmp_path, config, CountingMeasures(), resume=True)) == set(STAGES)


def test_a_training_that_was_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    config = small_study()

    def dying_env(*arguments: Any) -> ToyEnv:
        env = make_env(*arguments)
        step, left = env.step, iter(range(config.state_teacher.ppo.steps_per_rollout + 3))
        env.step = lambda actions: step(actions) if next(left, None) is not None else kill()  # type: ignore[method-assign]
        return env

    def kill() -> Any:
        raise Killed

    folder = StudyFolder(tmp_path / "see")
    with pytest.raises(Killed):
        ObservabilityStudy(folder, config, tmp_path / "runs", False, dying_env, CountingMeasures()).run()
    run = RunFolder(tmp_path / "runs" / "see-state-teacher-0")
    assert run.checkpoints().iterations() == [1]
    with pytest.raises(Killed):
        run_study(tmp_path, config, CountingMeasures("state-teacher-0"), resume=True)
    assert [row["iteration"] for row in run.metrics.rows()] == [1, 2]
    assert len(run.load_config()["made_with"]) == 2


def test_a_study_is_neither_begun_twice_nor_resumed_with_other_settings(
    killed_study: tuple[Path, list[CountingMeasures]], tmp_path: Path
) -> None:
    folder, _ = killed_study
    with pytest.raises(RunError, match="Run 'see-state-teacher-0' exists"):
        run_study(folder, small_study(), CountingMeasures())
    other = dataclasses.replace(small_study(), measure=MeasureConfig(episodes=7))
    with pytest.raises(ConfigurationError, match=r"measure\.episodes: 4 -> 7"):
        run_study(folder, other, CountingMeasures(), resume=True)
    with pytest.raises(RunError, match="There is no study to resume"):
        run_study(tmp_path, small_study(), CountingMeasures(), resume=True)
    more = dataclasses.replace(small_study(), seeds=2)
    study_folder = StudyFolder(tmp_path / "see")
    study_folder.begin("observability", {"seeds": 1}, resume=False)
    study_folder.begin("observability", {"seeds": more.seeds}, resume=True)
    assert study_folder.load_config("observability")["seeds"] == 2
    with pytest.raises(RunError, match="is of observability; expected batch"):
        study_folder.begin("batch", {}, resume=True)


def test_given_teachers_are_taken_as_they_are_and_of_the_wrong_kind_refused(
    killed_study: tuple[Path, list[CountingMeasures]],
) -> None:
    folder, _ = killed_study
    runs = folder / "runs"
    given = dataclasses.replace(small_study(), state_teachers=("see-state-teacher-0",))
    again = ObservabilityStudy(
        StudyFolder(folder / "again"), given, runs, False, make_env, CountingMeasures("depth-teacher-0")
    )
    with pytest.raises(Killed):
        again.run()
    assert not (runs / "again-state-teacher-0").exists()
    saved = RunFolder(runs / "again-state-student-0").load_config("student")
    assert saved["training"]["teacher"] == "see-state-teacher-0"
    wrong = dataclasses.replace(small_study(), depth_teachers=("see-state-teacher-0",))
    with pytest.raises(RunError, match="is a teacher on state; one on depth is expected"):
        ObservabilityStudy(StudyFolder(folder / "wrong"), wrong, runs, False, make_env)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seeds": 0}, "--seeds is 0"),
        ({"jobs": 0}, "--jobs is 0"),
        ({"student": small_student("mine", UNSET)}, "--student.run is 'mine'; a study sets it"),
        ({"measure": MeasureConfig(level=2.0)}, "level is 2.0"),
        ({"student_task": TaskConfig(image=ImageConfig(160, 120))}, "student_task.image is 160×120 px"),
        ({"task": TaskConfig(object_seed=1)}, r"^task\.object_seed is 1; expected 0"),
        (
            {"task": TaskConfig(object_seed=1), "student_task": TaskConfig(object_seed=1)},
            "scored on the objects that this seed holds out",
        ),
    ],
)
def test_bad_settings_are_refused_before_anything_runs(tmp_path: Path, change: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        run_study(tmp_path, dataclasses.replace(small_study(), **change), CountingMeasures())
    assert not (tmp_path / "see").exists()


def rows_of(text: str) -> dict[tuple[str, ...], list[str]]:
    """A page's table rows by their first two cells."""
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if "|" in line
    ]
    return {tuple(cells[:2]): cells[2:] for cells in rows}


def test_the_tables_say_success_explanation_and_visible_share(
    killed_study: tuple[Path, list[CountingMeasures]], tmp_path: Path
) -> None:
    folder, _ = killed_study
    findings = observability_report.Findings(StudyFolder(folder / "see").results(), 1)
    text = observability_report.markdown(findings)
    rows = rows_of(text)
    assert rows["**state**", "all"][2].startswith("75.0 % (30.1 to 95.4)")
    assert rows["**state**", "all"][4].startswith("**25.0 %")
    assert rows["depth", "0"][4].startswith("50.0 %")
    assert "Depth minus state, students: 25.0 (" in text
    assert rows["student acts", "hand"][:2] == ["0.00 (0.00 to 0.00)", "0.75 (0.75 to 0.75)"]
    assert rows["teacher acts", "palm rotation"][2:] == ["1.00 (1.00 to 1.00)", "0.50 (0.50 to 0.50)"]
    assert rows["until the lift, or the end", "75.0 (50.0 to 100.0)"] == ["95.0 (90.0 to 100.0)"]
    assert rows["episodes (lifted)", "2 (1)"] == ["2 (1)"]
    times, (_, mean, _) = observability_report.visible_over_time(findings, "state")
    assert (times.tolist(), mean.tolist()) == ([0.0], [1.0]), "later only one episode goes on"
    observability_report.draw(findings, tmp_path / "study.png")
    assert (tmp_path / "study.png").stat().st_size > 10_000
    assert json.loads(json.dumps(findings.to_dict()))["depth"]["visible"]["before_lift"]["value"] == 0.9


def test_tables_of_a_study_that_has_just_begun_have_dashes(tmp_path: Path) -> None:
    findings = observability_report.Findings({}, 3)
    assert "| **depth** | all |  |  | – |" in observability_report.markdown(findings)
    observability_report.draw(findings, tmp_path / "study.png")


def small_batch(**changes: Any) -> BatchConfig:
    teacher = small_teacher(UNSET)
    config = dataclasses.replace(batch_preset("smoke"), teacher=teacher, environment_steps=512, seeds=1)
    return dataclasses.replace(config, **changes)


def run_batch(folder: Path, config: BatchConfig, resume: bool = False, **more: Any) -> BatchStudy:
    study = BatchStudy(StudyFolder(folder / "batch"), config, folder / "runs", resume, make_env, **more)
    study.run()
    return study


def test_both_batches_make_the_same_steps_and_nothing_is_done_twice(tmp_path: Path) -> None:
    config = small_batch(num_envs=(80, 160), scale=0.1)
    results = run_batch(tmp_path, config).folder.results()
    assert results["plan"]["data-parallel"] == {"placement": "given", "environments": 80, "trained": 8}
    assert results["plan"]["disaggregated"]["trained"] == 16
    runs = [results[name] for name in ("data-parallel-0", "disaggregated-0")]
    assert [found["iterations"] for found in runs] == [8, 4]
    assert [found["environment_steps"] for found in runs] == [512, 512]
    assert results["plan"]["min_episodes"] == 2000, "the task's own, which is more than four of each of 16"
    study = run_batch(tmp_path, config, resume=True)
    for folder in study.run_folders():
        assert len(folder.load_config("teacher")["made_with"]) == 1
        assert folder.load_config("teacher")["task"]["curriculum"]["min_episodes"] == 2000
    batch_report.draw(study.run_folders(), tmp_path / "study.png")
    assert (tmp_path / "study.png").stat().st_size > 10_000


def test_both_batches_have_one_task_whose_level_rises_after_as_many_episodes(tmp_path: Path) -> None:
    task = TaskConfig(curriculum=CurriculumConfig(min_episodes=10))
    said: list[str] = []
    study = run_batch(tmp_path, small_batch(num_envs=(8, 16), task=task), report=said.append)
    assert study.folder.results()["plan"]["min_episodes"] == 4 * 16
    tasks = [folder.load_config("teacher")["task"] for folder in study.run_folders()]
    assert [saved["curriculum"]["min_episodes"] for saved in tasks] == [64, 64]
    lack = "10 rises of the level, each after 64 episodes of 150 steps, and 0.000512 million steps allow 0"
    text = batch_report.markdown(study.folder.results(), study.config)
    assert "on both sides after at least 64 episodes" in text
    assert lack in text
    assert any(lack in line for line in said)


@pytest.mark.parametrize(("preset", "num_envs"), [("h100", 4096), ("node4", 8400)])
def test_the_steps_of_presets_for_gpus_reach_full_randomization(preset: Preset, num_envs: int) -> None:
    config = batch_preset(preset)
    planned = {"min_episodes": max(config.task.curriculum.min_episodes, 4 * num_envs)}
    assert lacking_rises(planned, config) == ""
    short = lacking_rises(planned, dataclasses.replace(config, environment_steps=20_000_000))
    assert f"--environment-steps {10 * 4 * 150 * num_envs} is the least" in short


def test_the_plan_says_how_many_environments_both_sides_hold(tmp_path: Path) -> None:
    """Of 700 MB a device, 600 are for environments: 4 × 200 where each device does both; two learners hold
    2 × 300, as their two simulators would 2 × 600."""
    config = small_batch(memory_gb=0.7, scale=0.01, num_envs=None)
    folder, runs = StudyFolder(tmp_path / "batch"), tmp_path / "runs"
    planned = BatchStudy(folder, config, runs, False, make_env, made_up)._plan()
    assert planned["data-parallel"] == {"placement": "data-parallel:4", "environments": 800, "trained": 8}
    assert planned["disaggregated"] == {"placement": "2:2", "environments": 600, "trained": 6}
    tight = BatchStudy(
        StudyFolder(tmp_path / "tight"),
        dataclasses.replace(config, memory_gb=0.1),
        runs,
        False,
        make_env,
        made_up,
    )
    with pytest.raises(
        ConfigurationError, match=r"No environment fits data-parallel:4 with --memory-gb 0\.1"
    ):
        tight._plan()


def test_the_batches_table_counts_seeds_that_reach_full_randomization() -> None:
    side = {"placement": "3:1", "environments": 8400, "trained": 84}
    results: dict[str, Result] = {
        "plan": {"data-parallel": side | {"placement": "given"}, "disaggregated": side}
    }
    for seed, (success, full) in enumerate([(0.3, None), (0.5, 400)]):
        results[f"disaggregated-{seed}"] = {
            "success": success,
            "greatest_level": 1.0 if full else 0.5,
            "full_after_steps": full,
        }
    config = small_batch(num_envs=(4096, 8400), scale=0.01, seeds=2)
    text = batch_report.markdown(results, config)
    rows = rows_of(text)
    assert rows["state", "disaggregated (3:1)"] == [
        "8400",
        "84",
        "50.0 % (9.5 to 90.5)",
        "0.75 (0.50 to 1.00)",
        "0.40 (0.30 to 0.50)",
    ]
    assert rows["state", "data-parallel"][2:] == ["–", "–", "–"]
    assert rows["depth 160×120", "disaggregated"] == ["8400", "8400", "100 %", "–", "0.42"]
    assert "times 0.01 here" in text


def test_iterations_make_the_steps_asked_for() -> None:
    teacher = small_teacher(UNSET)
    assert iterations_for(1000, 16, teacher) == round(1000 / (16 * 8))
    assert iterations_for(1, 16, teacher) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"devices": 1}, "devices is 1"),
        ({"scale": 0.0}, "scale is 0.0"),
        ({"num_envs": (0, 4)}, "num_envs is"),
    ],
)
def test_a_bad_batch_study_is_refused(tmp_path: Path, change: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        run_batch(tmp_path, small_batch(**change))


def test_the_commands_write_tables_plots_and_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "make_env", make_env)
    monkeypatch.setattr(observability, "Measured", lambda *_: CountingMeasures())
    folders = ["--runs-folder", str(tmp_path / "runs"), "--output"]
    see = ["study", "observability", *folders, str(tmp_path / "see")]
    small = [
        "--preset",
        "smoke",
        "--teacher-iterations",
        "1",
        "--student-iterations",
        "1",
        "--student.num-envs",
        "4",
    ]
    assert main([*see, *small]) == 0
    assert "Depth minus state" in capsys.readouterr().out
    saved = RunFolder(tmp_path / "runs" / "see-depth-student-0").load_config("student")["training"]
    assert (saved["iterations"], saved["num_envs"]) == (1, 4)
    assert main([*see, "--resume"]) == 0, "its own settings are the defaults"
    assert main([*see, "--resume", "--episodes", "9"]) == 1
    assert "measure.episodes: 4 -> 9" in capsys.readouterr().err
    batch = [
        "study",
        "batch",
        *folders,
        str(tmp_path / "batch"),
        "--preset",
        "smoke",
        "--environment-steps",
        "64",
    ]
    assert main([*batch, "--teacher.observe", "state"]) == 0
    assert "seeds at full randomization" in capsys.readouterr().out
    for name in ("see", "batch"):
        assert {path.name for path in (tmp_path / name).iterdir()} >= {
            "study.yaml",
            "results.json",
            "study.md",
            "study.png",
        }
    assert json.loads((tmp_path / "see" / "figures.json").read_text())["student_gap"]["value"] == 0.25


def test_the_command_names_its_studies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "--help"]) == 0
    assert "observability|batch" in capsys.readouterr().out
    assert main(["study", "nothing"]) == 2


@pytest.mark.slow
def test_a_small_study_of_the_real_task_ends_with_policy_files_and_all_figures(tmp_path: Path) -> None:
    counts = ["--teacher-iterations", "1", "--student-iterations", "1", "--episodes", "1", "--threads", "1"]
    counts += ["--explanation-episodes", "1", "--vision-episodes", "1", "--vision-every-steps", "50"]
    folders = ["--runs-folder", str(tmp_path / "runs"), "--output", str(tmp_path / "see")]
    assert main(["study", "observability", *folders, "--preset", "smoke", *counts]) == 0
    figures = json.loads((tmp_path / "see" / "figures.json").read_text())
    for kind in ("state", "depth"):
        assert (tmp_path / "see" / "models" / f"{kind}-student-0.onnx").exists()
        assert figures[kind]["student_success"]["episodes"] == 1
        assert 0.0 < figures[kind]["visible"]["until_lift"]["value"] <= 1.0
        for who_acts in ("student acts", "teacher acts"):
            assert figures[kind][who_acts]["explained"]["hand"]["value"] <= 1.0
            assert 0.0 < figures[kind][who_acts]["error"]["palm rotation"]["value"] <= 2.0
