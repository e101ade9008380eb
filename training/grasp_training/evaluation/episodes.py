"""Runs episodes in the task and judges each of them as the robot's scoreboard does."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from grasp_description.objects import ObjectSpec
from grasp_description.workcell import GOAL_POSITION, SuccessCriterion
from grasp_training.evaluation.actors import Actor
from grasp_training.evaluation.schedule import EpisodeSchedule
from grasp_training.simulators import SimulatorState
from grasp_training.tasks import GraspEnv
from grasp_training.tasks.observations import STEREO

VIEWS_PER_EPISODE = 6


@dataclass
class Trace:
    """What happened in an episode, for pictures: one row a control step, the start included."""

    joint_position: list[np.ndarray] = field(default_factory=list)
    """(23,) rad, float32"""
    object_pose: list[np.ndarray] = field(default_factory=list)
    """(7,) position in m, quaternion w-x-y-z, float32"""
    views: dict[int, np.ndarray] = field(default_factory=dict)
    """by step: the left image as the policy saw it (H, W, 3) uint8; empty where it sees none"""

    def add(self, state: SimulatorState, env: int) -> None:
        """Take the state of one environment."""
        self.joint_position.append(state.joint_position[env].numpy())
        self.object_pose.append(np.concatenate([state.object_position[env], state.object_quaternion[env]]))

    def __len__(self) -> int:
        return len(self.joint_position)


@dataclass(frozen=True)
class Episode:
    """The outcome of one episode."""

    number: int
    """0 … episodes - 1"""
    object: ObjectSpec
    """what was to be grasped"""
    success: bool
    """held at the goal for the last half second"""
    lifted_at_s: float | None
    """s from the start until it counted as lifted; None if it never did"""
    dropped: bool
    """lifted, and later fell back"""
    lost: bool
    """left the workspace"""
    goal_distance_m: float
    """m from the goal at the end"""
    length_s: float
    """s; shorter than the task's only where the object was lost"""
    trace: Trace
    """the motion"""


def run_episodes(
    env: GraspEnv, actor: Actor, schedule: EpisodeSchedule, report: Callable[[Episode], None] | None = None
) -> tuple[Episode, ...]:
    """Run the episodes of a schedule, which is the sampler that the environments were made with.

    Args:
        env: environments at the start of their first episodes.
        actor: acts.
        schedule: which episodes count.
        report: is called with every episode that ends.

    Returns:
        The episodes by number: exactly as many as the schedule has.
    """
    referees = [_Referee(env.cfg.control_rate_hz, env.max_episode_length) for _ in range(env.num_envs)]
    finished: dict[int, Episode] = {}

    def begin(env_ids: np.ndarray) -> None:
        state, observations = env.simulator.state, env.get_observations()
        actor.begin(env_ids, observations)
        for index in env_ids:
            referees[index].begin(state, int(index))
            referees[index].look(observations, int(index))

    begin(np.arange(env.num_envs))
    while (counted := schedule.counted).any():
        numbers = schedule.number.copy()
        observations, _, done, extras = actor.step(env, env.get_observations(), counted)
        ended = done.numpy().astype(bool)
        for index in np.flatnonzero(counted):
            referees[index].update(extras["state"], int(index))
            if not ended[index]:
                referees[index].look(observations, int(index))
                continue
            spec = env.simulator.objects[schedule.object_of(int(numbers[index]))]
            episode = referees[index].verdict(int(numbers[index]), spec, bool(extras["lost"][index]))
            finished[episode.number] = episode
            if report is not None:
                report(episode)
        if ended.any():
            begin(np.flatnonzero(ended))
    return tuple(finished[number] for number in sorted(finished))


class _Referee:
    """Follows one environment through an episode."""

    def __init__(self, rate_hz: int, steps: int):
        self._rate_hz = rate_hz
        self._looks = set(np.linspace(0, steps - 1, VIEWS_PER_EPISODE).round().astype(int).tolist())
        self._criterion, self._trace = SuccessCriterion(), Trace()

    def begin(self, state: SimulatorState, env: int) -> None:
        self._criterion, self._trace = SuccessCriterion(), Trace()
        self.update(state, env)

    def update(self, state: SimulatorState, env: int) -> None:
        """Take the state at the start, then after every step."""
        time_s = len(self._trace) / self._rate_hz
        self._criterion.update(state.object_position[env].numpy().astype(np.float64), time_s)
        self._trace.add(state, env)

    def look(self, observations, env: int) -> None:
        """Keep what the policy sees, now and then."""
        step = len(self._trace) - 1
        if STEREO in observations.keys() and step in self._looks:  # noqa: SIM118 (iterating a TensorDict gives rows)
            self._trace.views[step] = observations[STEREO][env, 0].numpy().copy()

    def verdict(self, number: int, spec: ObjectSpec, lost: bool) -> Episode:
        """The episode, at its end."""
        criterion, trace = self._criterion, self._trace
        return Episode(
            number=number,
            object=spec,
            success=criterion.succeeded and not lost,
            lifted_at_s=criterion.lifted_at_s,
            dropped=criterion.dropped,
            lost=lost,
            goal_distance_m=float(np.linalg.norm(trace.object_pose[-1][:3] - GOAL_POSITION)),
            length_s=(len(trace) - 1) / self._rate_hz,
            trace=trace,
        )
