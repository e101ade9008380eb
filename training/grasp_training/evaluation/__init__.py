"""Evaluation: success tables on held-out objects, videos, reports."""

from grasp_training.evaluation.episodes import Episode, run_episodes
from grasp_training.evaluation.evaluate import Evaluation, EvaluationConfig, evaluate, evaluation_episodes
from grasp_training.evaluation.schedule import EpisodeSchedule
from grasp_training.evaluation.scores import Rate, Summary, wilson_interval
from grasp_training.evaluation.subjects import Subject, open_subject

__all__ = [
    "Episode",
    "EpisodeSchedule",
    "Evaluation",
    "EvaluationConfig",
    "Rate",
    "Subject",
    "Summary",
    "evaluate",
    "evaluation_episodes",
    "open_subject",
    "run_episodes",
    "wilson_interval",
]
