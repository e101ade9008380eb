"""An evaluation from beginning to end."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from grasp_description.objects import object_set
from grasp_policy.policy_file import PolicyOutputError
from grasp_training.errors import GraspError
from grasp_training.evaluation.episodes import Episode, run_episodes
from grasp_training.evaluation.schedule import EpisodeSchedule
from grasp_training.evaluation.scores import KNOWN, NEW, Summary
from grasp_training.evaluation.subjects import Subject
from grasp_training.tasks import CurriculumConfig, GraspEnv, ImageConfig, TaskConfig, make_env


@dataclass(frozen=True)
class EvaluationConfig:
    """What is run."""

    objects: str = "held-out"
    """object set: held-out or training"""
    episodes: int = 200
    """episodes that are counted"""
    seed: int = 0
    """seed of the episodes"""
    num_envs: int = 64
    """environments simulated side by side, at most"""
    level: float = 1.0
    """level of randomization, 0 to 1"""
    threads: int = 1
    """threads of physics, rendering and inference"""


@dataclass(frozen=True)
class Evaluation:
    """What came out."""

    subject: str
    """name of what was evaluated"""
    facts: dict[str, str]
    """what identifies it"""
    settings: dict[str, Any]
    """what was run, plain types"""
    episodes: Sequence[Episode]
    """all episodes, by number"""
    summary: Summary = field(init=False)
    """the figures"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "summary", Summary.of(self.episodes))

    def scores(self) -> dict[str, float]:
        """Shares by the names that model cards use, such as ``success_held_out``."""
        summary, suffix = self.summary, str(self.settings["objects"]).replace("-", "_")
        scores = {f"success_{suffix}": summary.success.rate}
        for end, value in (("low", summary.success.low), ("high", summary.success.high)):
            scores[f"success_{suffix}_{end}"] = value
        names = {KNOWN: "known_families", NEW: "new_families"}
        for kind, rate in summary.by_kind.items():
            scores[f"success_{suffix}_{names[kind]}"] = rate.rate
        return {name: round(value, 4) for name, value in scores.items()}


def evaluate(
    subject: Subject, config: EvaluationConfig, report: Callable[[Episode], None] | None = None
) -> Evaluation:
    """Run a subject in the task.

    The episodes depend on the objects, the seed and the level only: two subjects meet the same ones.

    Args:
        subject: what is evaluated.
        config: what is run.
        report: is called with every episode that ends.

    Raises:
        ValueError: the object set does not exist, or a number is out of its range.
        GraspError: the policy's answer is not finite.
    """
    sizes = subject.image, subject.depth_image
    env, schedule = evaluation_episodes(config, subject.groups, subject.object_seed, *sizes)
    try:
        episodes = run_episodes(env, subject.make_actor(env, config.threads), schedule, report)
    except PolicyOutputError as error:
        raise GraspError(f"{subject.name} cannot be evaluated: {error}") from error
    settings = {
        "objects": config.objects,
        "episodes": config.episodes,
        "seed": config.seed,
        "randomization level": config.level,
        "object seed": env.cfg.object_seed,
        "episode length": f"{env.cfg.episode_length_s} s at {env.cfg.control_rate_hz} Hz",
    }
    return Evaluation(subject.name, subject.facts, settings, episodes)


def evaluation_episodes(
    config: EvaluationConfig,
    groups: tuple[str, ...],
    object_seed: int,
    image: ImageConfig,
    depth_image: ImageConfig,
) -> tuple[GraspEnv, EpisodeSchedule]:
    """Environments at the start of the episodes that count, and the schedule of these.

    Args:
        config: what is run.
        groups: observation groups to give.
        object_seed: seed of the object sets.
        image: size of stereo images.
        depth_image: size of depth images.

    Raises:
        ValueError: the object set does not exist, or a number is out of its range.
    """
    if not 0.0 <= config.level <= 1.0:
        raise ValueError(f"level is {config.level}; expected 0 (nominal) to 1 (full randomization)")
    for name in ("episodes", "num_envs", "threads"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} is {getattr(config, name)}; expected at least 1")
    task = replace(
        TaskConfig(object_seed=object_seed, image=image, depth_image=depth_image, threads=config.threads),
        curriculum=CurriculumConfig(start_level=config.level, step=0.0),
    )
    # As few environments as give the same number of rounds.
    num_envs = math.ceil(config.episodes / math.ceil(config.episodes / config.num_envs))
    objects = object_set(config.objects, task.object_seed)
    schedule = EpisodeSchedule(objects, task.randomization, config.seed, num_envs, config.episodes)
    return make_env(task, num_envs, groups, config.objects, config.seed, schedule), schedule
