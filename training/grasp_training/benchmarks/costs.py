"""What the parts of a training cost: measured on a small run of the real task, or read from figures."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence

from grasp_training.benchmarks.recording import RecordedTask
from grasp_training.benchmarks.schedule import Costs, Span, iteration_s
from grasp_training.benchmarks.trials import Trial
from grasp_training.disaggregation import Placement
from grasp_training.learning.config import Mode, TeacherConfig
from grasp_training.runs import MetricsLog, RunError
from grasp_training.tasks import TaskConfig

BLOCKS = 2
"""Blocks of environments of real trials: as many as 1:1 overlapped needs, so that all simulate the same."""


def real_trial(placement: str, mode: Mode, num_envs: int, iterations: int) -> Trial:
    """Return a trial of the real task: the state teacher with its usual settings.

    Where learning and simulating take turns, a learner has every core to itself; overlapped it has its share.
    """
    cores, ranks = len(os.sched_getaffinity(0)), Placement.parse(placement)
    working = ranks.world_size if mode == "overlapped" else ranks.learners
    config = TeacherConfig(
        run="bench",
        placement=placement,
        mode=mode,
        num_envs=num_envs,
        iterations=iterations,
        env_blocks=BLOCKS,
        threads=max(1, cores // working),
    )
    return Trial(config, RecordedTask(TaskConfig()))


def costs_of_spans(spans: Sequence[Span], steps: int, blocks: int = BLOCKS) -> Costs:
    """Return costs from what one process did, one thing after another: medians.

    What is neither simulating nor learning is the learner's part in a step.
    """

    def median(what: str) -> float:
        return statistics.median(span.end_s - span.start_s for span in spans if span.what == what)

    simulate, learn = blocks * median("simulate"), median("learn")
    infer = max(0.0, (iteration_s(spans) - learn) / steps - simulate)
    return Costs(simulate, infer, 0.0, learn, steps)


def costs_of_run(metrics: MetricsLog, steps: int) -> Costs:
    """Return costs from the figures of a run in one process: medians over its iterations.

    Inference counts as simulating: the figures do not tell them apart.

    Raises:
        RunError: the run has no iterations.
    """
    rows = metrics.rows()
    if not rows:
        raise RunError(f"{metrics.path} has no iterations to take costs from")
    collect = statistics.median(row["performance/collect_s"] for row in rows)
    learn = statistics.median(row["performance/learn_s"] for row in rows)
    return Costs(collect / steps, 0.0, 0.0, learn, steps)
