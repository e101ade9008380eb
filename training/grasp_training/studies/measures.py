"""What a study measures of teachers and students, on held-out objects."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from grasp_training.evaluation import (
    Evaluation,
    EvaluationConfig,
    evaluate,
    evaluation_episodes,
    open_subject,
    run_episodes,
)
from grasp_training.evaluation.report import write_json
from grasp_training.evaluation.subjects import teacher_network
from grasp_training.export import ExportConfig, export_policy, load_student_run
from grasp_training.learning import TeacherConfig
from grasp_training.learning.session import use_threads
from grasp_training.learning.student_config import STUDENT_GROUPS
from grasp_training.runs import ConfigurationError, RunFolder, from_mapping
from grasp_training.studies.folder import Result
from grasp_training.studies.predictability import ActionSums, ComparingActor
from grasp_training.studies.visibility import EpisodeVisibility, watch
from grasp_training.tasks import ActionDecoder, ImageConfig, TaskConfig


@dataclass(frozen=True)
class MeasureConfig:
    """What is measured of teachers and students, always on held-out objects."""

    episodes: int = 200
    """Episodes that score each teacher and each student, the same for all."""
    explanation_episodes: int = 64
    """Episodes over which each teacher's actions are compared with its student's: as many with the student
    acting as with the teacher; 0 leaves it out."""
    vision_episodes: int = 64
    """Of each teacher's episodes, how many the object's visible share is measured in; 0 leaves it out."""
    vision_every_steps: int = 2
    """Control steps between two moments in which it is measured."""
    seed: int = 0
    """Seed of the episodes."""
    num_envs: int = 64
    """Environments simulated side by side, at most."""
    level: float = 1.0
    """Level of randomization, 0 (nominal) to 1 (full)."""


def check_measures(measure: MeasureConfig) -> None:
    """Check what is to be measured.

    Raises:
        ConfigurationError: a number is out of its range.
    """
    for name, least in (("episodes", 1), ("num_envs", 1), ("vision_every_steps", 1),
                        ("explanation_episodes", 0), ("vision_episodes", 0)):  # fmt: skip
        if getattr(measure, name) < least:
            raise ConfigurationError(f"{name} is {getattr(measure, name)}; expected at least {least}")
    if not 0.0 <= measure.level <= 1.0:
        raise ConfigurationError(f"level is {measure.level}; expected 0 (nominal) to 1 (full randomization)")


class Measures(Protocol):
    """Measures runs; results are of plain JSON types."""

    def teacher(self, run: RunFolder, scores: Path) -> Result:
        """Score a teacher's run; write its evaluation to the file `scores`."""
        ...

    def student(self, run: RunFolder, policy: Path, scores: Path) -> Result:
        """Export a student's run to the file `policy` and score that."""
        ...

    def explanation(self, teacher: RunFolder, student: RunFolder) -> Result:
        """Compare a teacher's actions with its student's."""
        ...


class Measured:
    """Measures by the project's own evaluation and export.

    Args:
        config: what is measured.
        threads: threads of physics, rendering and networks.
    """

    def __init__(self, config: MeasureConfig, threads: int):
        self._config, self._threads = config, threads

    def teacher(self, run: RunFolder, scores: Path) -> Result:
        """See ``Measures``; `visibility` holds the visible share of the object in the first episodes."""
        evaluation = self._scored(run.path, scores)
        config, rate = self._config, TaskConfig().control_rate_hz
        every = config.vision_every_steps
        seen = watch(evaluation.episodes[: config.vision_episodes], rate, every, self._threads)
        visibility = {"period_s": every / rate, "episodes": [_plain(episode) for episode in seen]}
        return outcomes(evaluation) | {"visibility": visibility}

    def student(self, run: RunFolder, policy: Path, scores: Path) -> Result:
        """See ``Measures``."""
        policy.parent.mkdir(parents=True, exist_ok=True)
        use_threads(self._threads)
        exported = export_policy(run, policy, ActionDecoder(), ExportConfig())
        return outcomes(self._scored(policy, scores)) | {"sha256": exported.sha256}

    def explanation(self, teacher: RunFolder, student: RunFolder) -> Result:
        """See ``Measures``; sums of actions and errors of each episode, by who acts."""
        return {
            name: {column: values.tolist() for column, values in vars(sums).items()}
            for name, sums in (
                ("student acts", self._compared(teacher, student, teacher_acts=False)),
                ("teacher acts", self._compared(teacher, student, teacher_acts=True)),
            )
        }

    def _scored(self, path: Path, scores: Path) -> Evaluation:
        use_threads(self._threads)
        evaluation = evaluate(open_subject(path), self._episodes(self._config.episodes))
        scores.parent.mkdir(parents=True, exist_ok=True)
        write_json(scores, evaluation)
        return evaluation

    def _episodes(self, count: int) -> EvaluationConfig:
        config = self._config
        return EvaluationConfig(
            "held-out", count, config.seed, config.num_envs, config.level, threads=self._threads
        )

    def _compared(self, teacher: RunFolder, student: RunFolder, teacher_acts: bool) -> ActionSums:
        use_threads(self._threads)
        run, document = load_student_run(student), teacher.load_config("teacher")
        config = from_mapping(TeacherConfig, document["training"], f"{teacher.config_path}: training")
        task = from_mapping(TaskConfig, document["task"], f"{teacher.config_path}: task")
        groups = tuple(dict.fromkeys((*STUDENT_GROUPS, *config.actor_groups())))
        image = ImageConfig(run.student.encoder.width, run.student.encoder.height)
        episodes = self._episodes(self._config.explanation_episodes)
        env, schedule = evaluation_episodes(episodes, groups, task.object_seed, image, task.depth_image)
        checkpoint = teacher.checkpoints().load(run.teacher.iteration)  # the one that taught it
        network = teacher_network(config, checkpoint, env.get_observations())
        actor = ComparingActor(network, run.student, schedule, teacher_acts, groups)
        run_episodes(env, actor, schedule)
        return actor.sums


def outcomes(evaluation: Evaluation) -> Result:
    """Return what a study keeps of an evaluation: the outcome of every episode, by number."""
    return {"success": [bool(episode.success) for episode in evaluation.episodes]}


def sums_of(result: Result, who_acts: str) -> ActionSums:
    """Return the sums that ``explanation`` gave."""
    return ActionSums(**{name: np.asarray(values, float) for name, values in result[who_acts].items()})


def _plain(episode: EpisodeVisibility) -> Result:
    """Plain JSON types; null for NaN."""

    def known(value: float) -> float | None:
        return value if math.isfinite(value) else None

    found = dataclasses.asdict(episode)
    numbers = {name: known(found[name]) for name in ("until_lift", "before_lift")}
    return found | numbers | {"shares": [known(share) for share in episode.shares]}
