"""State teachers and depth teachers, and the students that each kind teaches at one budget."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from grasp_description.cameras import STEREO_RIG
from grasp_training.disaggregation.processes import ProcessId, end_with
from grasp_training.learning import StudentConfig, TeacherConfig
from grasp_training.learning.config import Observe, Preset, check_positive
from grasp_training.learning.session import MakeEnv
from grasp_training.learning.student_config import check_distillation, check_mode
from grasp_training.presets import student_preset, task_preset, teacher_preset
from grasp_training.runs import ConfigurationError, RunError, RunFolder, from_mapping, run_folder, to_mapping
from grasp_training.studies.folder import Result, StudyFolder
from grasp_training.studies.measures import MeasureConfig, Measured, Measures, check_measures
from grasp_training.studies.training import (
    UNSET,
    budget,
    check_names_free,
    check_template,
    complete,
    seeded,
)
from grasp_training.tasks import ImageConfig, TaskConfig, make_env

KIND = "observability"
KINDS: tuple[Observe, ...] = ("state", "depth")
"""Kinds of teachers, by what they observe."""


@dataclass(frozen=True)
class ObservabilityConfig:
    """What is trained and measured. Of each seed: both teachers, a student of each, four scores."""

    preset: Preset = "cpu"
    """Sizes for a purpose, which are the defaults of all others."""
    seeds: int = 3
    """Seeds 0 to N - 1; a resumed study may have more."""
    state_teachers: tuple[str, ...] = ()
    """Runs that are the state teachers of the first seeds; those of the others are trained."""
    depth_teachers: tuple[str, ...] = ()
    """The same of depth teachers."""
    measure: Annotated[MeasureConfig, tyro.conf.arg(name="")] = field(default_factory=MeasureConfig)
    """Measurements."""
    state_teacher: TeacherConfig = field(default_factory=lambda: teacher_preset("cpu", UNSET))
    """Learning of state teachers."""
    depth_teacher: TeacherConfig = field(
        default_factory=lambda: dataclasses.replace(teacher_preset("cpu", UNSET), observe="depth")
    )
    """Learning of depth teachers."""
    student: StudentConfig = field(default_factory=lambda: student_preset("cpu", UNSET))
    """Learning of every student, whatever its teacher: the equal budget."""
    task: TaskConfig = field(default_factory=TaskConfig)
    """Task of teachers that are trained."""
    student_task: TaskConfig = field(default_factory=TaskConfig)
    """Task of every student, whatever its teacher's."""
    threads: int = 0
    """Threads of evaluation; 0 uses every core that this process may use, or its share where others run."""
    jobs: int = 1
    """Teachers, with their students, that are trained side by side, each in a process of its own. Give each
    training its share of the cores (`--state-teacher.threads` and the like)."""


def observability_preset(preset: Preset) -> ObservabilityConfig:
    """Return a study's configuration for a purpose.

    Raises:
        ValueError: there is no such preset.
    """
    teacher = teacher_preset(preset, UNSET)
    config = ObservabilityConfig(
        preset=preset,
        state_teacher=teacher,
        depth_teacher=dataclasses.replace(teacher, observe="depth"),
        student=student_preset(preset, UNSET),
        task=task_preset(preset),
        student_task=task_preset(preset),
    )
    if preset == "smoke":
        few = MeasureConfig(episodes=4, explanation_episodes=2, vision_episodes=2, num_envs=4)
        return dataclasses.replace(config, seeds=1, measure=few)
    return config


def load_observability(folder: StudyFolder) -> ObservabilityConfig:
    """Return the configuration that a study in a folder has.

    Raises:
        RunError: there is no study, or one of another kind.
    """
    saved = folder.load_config(KIND)
    return from_mapping(ObservabilityConfig, saved, f"{folder.settings_path}: config")


class ObservabilityStudy:
    """Trains what is missing, measures it, and keeps each result as soon as it is known.

    Stages are named `KIND-WHAT-SEED`, such as `depth-student-0`; a stage whose result is there is not done
    again, and a training that was killed goes on from its last checkpoint.
    """

    def __init__(
        self,
        folder: StudyFolder,
        config: ObservabilityConfig,
        runs: Path,
        resume: bool = False,
        make_env: MakeEnv = make_env,
        measures: Measures | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        """Check the settings and write them down.

        Args:
            folder: of the study.
            config: what is trained and measured.
            runs: folder that holds the runs' folders, given teachers among them.
            resume: go on with the study in the folder.
            make_env: makes environments to learn in; a function of a module.
            measures: measures teachers and students.
            report: is told which stage begins.

        Raises:
            ConfigurationError: settings contradict each other, or those that the study began with.
            RunError: a given teacher is not there or observes something else; or the study exists, or not.
        """
        check(config, runs)
        self.folder, self.config = folder, config
        self._runs, self._make_env, self._report = runs, make_env, report
        threads = config.threads or max(1, len(os.sched_getaffinity(0)) // config.jobs)
        self._measures = measures or Measured(config.measure, threads)
        if not resume:
            check_names_free(self._run_names(), runs)
        folder.begin(KIND, to_mapping(config), resume)

    def _run_names(self) -> list[str]:
        """Names of the runs that the study is to make."""
        names = []
        for kind in KINDS:
            for seed in range(self.config.seeds):
                if given_teacher(self.config, kind, seed) is None:
                    names.append(self._teacher(kind, seed).run)
                names.append(self._student(kind, seed).run)
        return names

    def run(self) -> dict[str, Result]:
        """Do every stage that is missing, seed by seed, and return the results of all by name."""
        wanted: list[tuple[Observe, int]] = [
            (kind, seed) for seed in range(self.config.seeds) for kind in KINDS
        ]
        if self.config.jobs == 1:
            for kind, seed in wanted:
                self.run_one(kind, seed)
            return self.folder.results()
        # A process for each: what a training has set up must not reach the next one.
        pool = ProcessPoolExecutor(
            self.config.jobs,
            multiprocessing.get_context("spawn"),
            initializer=end_with,
            initargs=(ProcessId.of(os.getpid()), 1, "the study"),
            max_tasks_per_child=1,
        )
        with pool:
            running = [pool.submit(self.run_one, kind, seed) for kind, seed in wanted]
            try:
                for one in running:
                    one.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return self.folder.results()

    def run_one(self, kind: Observe, seed: int) -> None:
        """One teacher and its student, from learning to measurements."""
        config, measures = self.config, self._measures
        given = given_teacher(config, kind, seed)
        teacher, student = self._teacher(kind, seed), self._student(kind, seed)
        taught_by = run_folder(self._runs, given or teacher.run)
        learnt = run_folder(self._runs, student.run)
        policy = self.folder.path / "models" / f"{kind}-student-{seed}.onnx"

        def learn(training: TeacherConfig | StudentConfig, task: TaskConfig) -> Result:
            return budget(complete(training, task, self._make_env, self._runs))

        stages: dict[str, Callable[[], Result]] = {
            "teacher": lambda: budget(taught_by) if given else learn(teacher, config.task),
            "teacher-score": lambda: measures.teacher(taught_by, self._scores(f"{kind}-teacher-{seed}")),
            "student": lambda: learn(student, config.student_task),
            "student-score": lambda: measures.student(learnt, policy, self._scores(policy.stem)),
        }
        if config.measure.explanation_episodes:
            stages["explanation"] = lambda: measures.explanation(taught_by, learnt)
        for what, make in stages.items():
            self.folder.ensure(f"{kind}-{what}-{seed}", make, self._report)

    def _scores(self, name: str) -> Path:
        return self.folder.path / "evaluations" / f"{name}.json"

    def _teacher(self, kind: Observe, seed: int) -> TeacherConfig:
        template = template_of(self.config, kind)
        return seeded(template, f"{self.folder.name}-{kind}-teacher-{seed}", seed, observe=kind)

    def _student(self, kind: Observe, seed: int) -> StudentConfig:
        teacher = given_teacher(self.config, kind, seed) or self._teacher(kind, seed).run
        return seeded(self.config.student, f"{self.folder.name}-{kind}-student-{seed}", seed, teacher=teacher)


def template_of(config: ObservabilityConfig, kind: Observe) -> TeacherConfig:
    """Return the settings of a kind's teachers."""
    return config.state_teacher if kind == "state" else config.depth_teacher


def given_teacher(config: ObservabilityConfig, kind: Observe, seed: int) -> str | None:
    """Return the run that is given as a seed's teacher, if one is."""
    given = config.state_teachers if kind == "state" else config.depth_teachers
    return given[seed] if seed < len(given) else None


def check(config: ObservabilityConfig, runs: Path) -> None:
    """Check a study's settings before hours of learning.

    Raises:
        ConfigurationError: a setting is out of its range, is the study's own to set, or contradicts another.
        RunError: a given teacher is not there, or observes something else.
    """
    for name in ("seeds", "jobs"):
        if getattr(config, name) < 1:
            raise ConfigurationError(f"--{name} is {getattr(config, name)}; expected at least 1")
    for name in ("state_teacher", "depth_teacher", "student"):
        template = getattr(config, name)
        check_template(name, template)
        check_positive(template, f"{name}.")
    for kind in KINDS:
        if template_of(config, kind).observe != kind:
            raise ConfigurationError(
                f"{kind}_teacher.observe is {template_of(config, kind).observe}; expected {kind}"
            )
    check_distillation(config.student.distillation)
    check_mode(config.student)
    check_measures(config.measure)
    _check_tasks(config)
    for kind in KINDS:
        for seed in range(config.seeds):
            given = given_teacher(config, kind, seed)
            if given is not None:
                _check_given(run_folder(runs, given), kind, config.student_task)


def _check_tasks(config: ObservabilityConfig) -> None:
    robot, object_seed = ImageConfig(STEREO_RIG.width, STEREO_RIG.height), TaskConfig().object_seed
    for name in ("task", "student_task"):
        task: TaskConfig = getattr(config, name)
        if task.image != robot:
            raise ConfigurationError(
                f"{name}.image is {task.image} px; the robot's cameras give {robot}, and would refuse the "
                "students' policy files, which this study scores"
            )
        if task.object_seed != object_seed:
            raise ConfigurationError(
                f"{name}.object_seed is {task.object_seed}; expected {object_seed}: a policy file does not "
                "say its own, and is scored on the objects that this seed holds out"
            )


def _check_given(folder: RunFolder, kind: Observe, student_task: TaskConfig) -> None:
    saved = folder.load_config("teacher")
    observed = saved["training"].get("observe", "state")
    if observed != kind:
        raise RunError(f"Run '{folder.name}' is a teacher on {observed}; one on {kind} is expected")
    task = from_mapping(TaskConfig, saved["task"], f"{folder.config_path}: task")
    for name in ("object_seed", "depth_image"):
        found, wanted = getattr(task, name), getattr(student_task, name)
        if found != wanted and (name != "depth_image" or kind == "depth"):
            raise ConfigurationError(
                f"Teacher '{folder.name}' learnt with task.{name} {found}; students have {wanted}"
            )
