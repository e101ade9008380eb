"""Trials: real ranks, with stand-ins that sleep or with the real task, and what they did when."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grasp_training.benchmarks.recording import SPANS, RecordedPPO, RecordedTask, make_recorded
from grasp_training.benchmarks.schedule import Costs, Span
from grasp_training.benchmarks.stand_ins import StandInPPO, StandInTask, make_stand_in
from grasp_training.disaggregation import Placement, Setup, SingleWiring, Wiring
from grasp_training.disaggregation.cluster import Cluster
from grasp_training.disaggregation.launch import launch, spare_libraries
from grasp_training.disaggregation.wiring import ClusterWiring, simulate
from grasp_training.learning.config import Mode, NetworkConfig, PpoConfig, TeacherConfig
from grasp_training.learning.random_state import seed_everything
from grasp_training.learning.rsl_rl_settings import teacher_settings
from grasp_training.learning.run_logger import SilentLogger
from grasp_training.learning.runner import CheckpointedRunner, OverlappedRunner
from grasp_training.learning.session import use_threads
from grasp_training.runs import CheckpointStore


@dataclass(frozen=True)
class Trial:
    """A short training: nothing is logged or saved."""

    config: TeacherConfig
    """Placement, mode, environments, iterations and the rest."""
    task: StandInTask | RecordedTask
    """What is simulated; stand-ins learn by sleeping too."""


def stand_in_trial(placement: str, mode: Mode, costs: Costs, iterations: int, num_envs: int = 64) -> Trial:
    """Return a trial of stand-ins."""
    small = NetworkConfig(hidden_sizes=(8,), normalize_observations=False)
    config = TeacherConfig(
        run="bench",
        placement=placement,
        mode=mode,
        num_envs=num_envs,
        iterations=iterations,
        threads=1,
        stagger_episodes=False,
        ppo=PpoConfig(steps_per_rollout=costs.steps),
        actor=small,
        critic=small,
    )
    return Trial(config, StandInTask(costs, num_envs))


def run_trial(trial: Trial, folder: Path) -> list[Span]:
    """Run a trial on this machine and return who did what when, in order of its beginning, from 0 s.

    Args:
        trial: what to run.
        folder: for what the ranks write.

    Raises:
        RankError: a rank failed.
    """
    placement = Placement.parse(trial.config.placement)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("rank-*.json"):
        old.unlink()
    if placement.world_size == 1:
        spare_libraries()
        use_threads(trial.config.threads)
        _learn(SingleWiring(), trial, folder)
        _write(folder, 0, placement)
    else:
        launch(placement, 0, _run_rank, trial, folder)
    found = [json.loads(path.read_text()) for path in folder.glob("rank-*.json")]
    spans = sorted((Span(**span) for rank in found for span in rank), key=lambda span: span.start_s)
    return shifted(spans, spans[0].start_s)


def shifted(spans: Sequence[Span], start_s: float) -> list[Span]:
    """Return spans with their times counted from another start."""
    return [Span(span.who, span.what, span.start_s - start_s, span.end_s - start_s) for span in spans]


def _run_rank(trial: Trial, folder: Path) -> None:
    placement = Placement.parse(trial.config.placement)
    spare_libraries()
    use_threads(trial.config.threads)
    with Cluster.from_environment(placement, trial.config.limits) as cluster:
        if cluster.role.learner is None:
            simulate(cluster, _make(trial), trial.task)
        else:
            _learn(ClusterWiring(cluster), trial, folder)
        _write(folder, cluster.role.rank, placement)


def _make(trial: Trial) -> Any:
    return make_stand_in if isinstance(trial.task, StandInTask) else make_recorded


def _learn(wiring: Wiring, trial: Trial, folder: Path) -> None:
    SPANS.clear()
    config = trial.config
    setup = Setup(
        config.num_envs,
        config.blocks(),
        config.observation_groups(),
        config.objects,
        config.seed,
        turns=config.turns,
        depth=config.depth_type,
        transport=config.transport,
        rollout_steps=config.ppo.steps_per_rollout,
    )
    seed_everything(config.seed)
    env = wiring.connect(_make(trial), trial.task, setup)
    seed_everything(config.seed)
    settings = teacher_settings(config, wiring.learner)
    settings["algorithm"]["class_name"] = _algorithm(trial, wiring.placement)
    arguments: tuple[Any, ...] = (
        env, settings, CheckpointStore(folder), config.checkpoint, config.device, wiring,
    )  # fmt: skip
    runner = (
        OverlappedRunner(*arguments, total_iterations=config.iterations)
        if config.mode == "overlapped"
        else CheckpointedRunner(*arguments)
    )
    runner.use_logger(SilentLogger())
    runner.synchronize()
    runner.learn(config.iterations, init_at_random_ep_len=config.stagger_episodes)
    wiring.close()


def _algorithm(trial: Trial, placement: Placement) -> type:
    if isinstance(trial.task, RecordedTask):
        return RecordedPPO
    costs, learners = trial.task.costs, placement.learners
    StandInPPO.infer_s = costs.infer_s / learners / trial.config.turns
    StandInPPO.transfer_s = costs.transfer_s / learners / trial.config.turns if placement.separate else 0.0
    StandInPPO.learn_s, StandInPPO.average_s = costs.learn_s / learners, costs.average_s
    return StandInPPO


def _write(folder: Path, rank: int, placement: Placement) -> None:
    who = placement.roles()[rank].name
    spans = [dataclasses.asdict(dataclasses.replace(span, who=who)) for span in SPANS]
    (folder / f"rank-{rank}.json").write_text(json.dumps(spans))
