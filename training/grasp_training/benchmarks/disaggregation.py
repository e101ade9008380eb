"""`grasp bench disaggregation`: real ranks with stand-ins that sleep, beside what the schedule says."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grasp_training.benchmarks import stand_ins
from grasp_training.benchmarks.schedule import Costs, Span, bound_s, iteration_s, schedule
from grasp_training.benchmarks.stand_ins import StandInPPO, StandInTask, make_stand_in
from grasp_training.disaggregation import Placement, Setup, SingleWiring, Wiring
from grasp_training.disaggregation.cluster import Cluster
from grasp_training.disaggregation.launch import launch
from grasp_training.disaggregation.liveness import Limits
from grasp_training.disaggregation.wiring import ClusterWiring, simulate
from grasp_training.learning.config import (
    CheckpointConfig,
    Mode,
    NetworkConfig,
    PpoConfig,
    TeacherConfig,
)
from grasp_training.learning.rsl_rl_settings import teacher_settings
from grasp_training.learning.run_logger import SilentLogger
from grasp_training.learning.runner import CheckpointedRunner, OverlappedRunner
from grasp_training.runs import CheckpointStore, MetricsLog, RunError

_GROUPS = ("proprioception", "privileged")


@dataclass(frozen=True)
class Trial:
    """One placement and mode to run."""

    placement: str
    """Who simulates and who learns."""
    mode: Mode
    """Whether collecting and learning overlap."""
    costs: Costs
    """Of the stand-ins."""
    num_envs: int
    """Environments."""
    image_size: tuple[int, int] | None
    """Height and width of depth images that cross."""
    iterations: int
    """Updates."""


@dataclass(frozen=True)
class Outcome:
    """What a trial took."""

    trial: Trial
    """The trial."""
    measured_s: float
    """s, an iteration of the real ranks"""
    scheduled_s: float
    """s, an iteration as the schedule has it"""
    bound_s: float
    """s, the least that an iteration can take"""
    spans: list[Span]
    """who really did what when"""


def measured_costs(metrics: MetricsLog, steps: int) -> Costs:
    """Return costs from the figures of a run in one process: medians over its iterations.

    Raises:
        RunError: the run has no iterations.
    """
    rows = metrics.rows()
    if not rows:
        raise RunError(f"{metrics.path} has no iterations to take costs from")
    collect = statistics.median(row["performance/collect_s"] for row in rows)
    learn = statistics.median(row["performance/learn_s"] for row in rows)
    return Costs(collect / steps, 0.0, 0.0, learn, steps)


def run_trial(trial: Trial, folder: Path) -> Outcome:
    """Run stand-ins under a placement on this machine.

    Args:
        trial: what to run.
        folder: for what the ranks write.

    Raises:
        RankError: a rank failed.
    """
    placement = Placement.parse(trial.placement)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("rank-*.json"):
        old.unlink()
    if placement.world_size == 1:
        stand_ins.SPANS.clear()
        _learn(SingleWiring(), trial, folder)
        _write(folder, 0, placement)
    else:
        launch(placement, 0, _run_rank, trial, folder)
    spans = [
        Span(**span) for path in sorted(folder.glob("rank-*.json")) for span in json.loads(path.read_text())
    ]
    start = min(span.start_s for span in spans)
    spans = [
        Span(span.who, span.what, span.start_s - start, span.end_s - start)
        for span in sorted(spans, key=lambda span: span.start_s)
    ]
    planned = schedule(placement, trial.mode, trial.costs, trial.iterations)
    return Outcome(trial, iteration_s(spans), iteration_s(planned), bound_s(placement, trial.costs), spans)


def _run_rank(trial: Trial, folder: Path) -> None:
    placement = Placement.parse(trial.placement)
    with Cluster.from_environment(placement, Limits()) as cluster:
        if cluster.role.learner is None:
            simulate(cluster, make_stand_in, _task(trial))
        else:
            _learn(ClusterWiring(cluster), trial, folder)
        _write(folder, cluster.role.rank, placement)


def _task(trial: Trial) -> StandInTask:
    return StandInTask(trial.costs, trial.num_envs, trial.image_size)


def _learn(wiring: Wiring, trial: Trial, folder: Path) -> None:
    groups = (*_GROUPS, "depth") if trial.image_size else _GROUPS
    config = TeacherConfig(
        run="bench",
        placement=trial.placement,
        mode=trial.mode,
        num_envs=trial.num_envs,
        ppo=PpoConfig(steps_per_rollout=trial.costs.steps),
        actor=NetworkConfig(hidden_sizes=(8,)),
        critic=NetworkConfig(hidden_sizes=(8,)),
    )
    setup = Setup(trial.num_envs, config.blocks(), groups, "training", 0, turns=config.turns)
    env = wiring.connect(make_stand_in, _task(trial), setup)
    settings = teacher_settings(config, wiring.learner)
    settings["algorithm"]["class_name"] = StandInPPO
    learners = wiring.placement.learners
    StandInPPO.environments = env.num_envs
    StandInPPO.infer_s, StandInPPO.learn_s = trial.costs.infer_s / learners, trial.costs.learn_s / learners
    arguments: tuple[Any, ...] = (
        env, settings, CheckpointStore(folder), CheckpointConfig(), "cpu", wiring,
    )  # fmt: skip
    runner = (
        OverlappedRunner(*arguments, total_iterations=trial.iterations)
        if trial.mode == "overlapped"
        else CheckpointedRunner(*arguments)
    )
    runner.use_logger(SilentLogger())
    runner.learn(trial.iterations)
    wiring.close()


def _write(folder: Path, rank: int, placement: Placement) -> None:
    who = placement.roles()[rank].name
    spans = [dataclasses.asdict(dataclasses.replace(span, who=who)) for span in stand_ins.SPANS]
    (folder / f"rank-{rank}.json").write_text(json.dumps(spans))


def transfer_s(num_envs: int, image_size: tuple[int, int], folder: Path, steps: int = 20) -> float:
    """Return the seconds that a step's messages take between two ranks: what a step costs beyond one process.

    Stand-ins that cost nothing exchange depth images under `1:1`; packing and inference are included.
    """
    costs = Costs(0.0, 0.0, 0.0, 1e-3, steps)
    outcome = run_trial(Trial("1:1", "synchronous", costs, num_envs, image_size, 6), folder)
    return (outcome.measured_s - costs.learn_s) / steps


def stamp() -> str:
    """Return the time, for the names of results."""
    return time.strftime("%Y%m%d-%H%M%S")
