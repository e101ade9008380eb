"""The learning side: environments that are simulated elsewhere, as rsl_rl sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from grasp_training.disaggregation.links import Link
from grasp_training.disaggregation.messages import (
    DONE,
    HAS_SUCCESS,
    MAX_FIGURES,
    STOP,
    SUCCESS,
    TIME_OUT,
    observation_field,
)
from grasp_training.disaggregation.receiving import Allocate, ReceiveBuffers, memory_on
from grasp_training.disaggregation.worker import Description, FigureNames, NameStore, Setup
from grasp_training.tasks.curriculum import Curriculum

Step = tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]
"""What `VecEnv.step` returns."""

Summary = tuple[torch.Tensor, torch.Tensor, dict[str, Any]]
"""The same without observations."""

SumOutcomes = Callable[[int, int], tuple[int, int]]
"""Adds episodes and successes over all learners."""


@dataclass(frozen=True)
class Result:
    """A step of one group of environments."""

    observations: TensorDict
    """(rows, …) views, valid until the step after next"""
    rewards: torch.Tensor
    """(rows,)"""
    dones: torch.Tensor
    """(rows,) bool"""
    time_outs: torch.Tensor
    """(rows,) bool"""
    success: torch.Tensor | None
    """(rows,) bool, where the environments tell it"""
    figures: dict[str, tuple[float, float]]
    """weighted sum and weight of each scalar that the environments log"""


def own_outcomes(episodes: int, successes: int) -> tuple[int, int]:
    """Return the outcomes as they are: of the only learner."""
    return episodes, successes


class RemoteVecEnv(VecEnv):
    """One learner's environments, wherever they are simulated.

    Observations, rewards and dones are those of the blocks in order. Every step is one message to and one
    from each simulator; the answers arrive in the slots of a rollout in turn (`ReceiveBuffers`), and
    observations are views of them: valid until the step after next. Depth comes as it was sent
    (`messages.read_depth`).

    The curriculum is global: outcomes of all blocks of all learners move it after a step, and the level goes
    out with the next actions. So do the environments whose images are to be lessons in seeing.

    Environments that form groups can be stepped group by group: `send` and `receive` in turn. `step` does so
    with all groups at once.
    """

    def __init__(
        self,
        task: Any,
        setup: Setup,
        description: Description,
        links: Sequence[Link],
        names: NameStore,
        device: torch.device | str = "cpu",
        sum_outcomes: SumOutcomes = own_outcomes,
        allocate: Allocate | None = None,
        staged: bool = False,
    ) -> None:
        """Prepare to step; nothing is received before observations are asked for.

        Args:
            task: the task's configuration.
            setup: what is simulated.
            description: what the simulators made of it.
            links: this learner's routes, by block.
            names: where simulators tell the names of figures.
            device: where records are kept.
            sum_outcomes: adds up over learners.
            allocate: gives the memory that links write into, where they want it to be of a kind.
            staged: whether links write into the CPU's memory, whence records are copied to the device.
        """
        self.cfg, self.device = task, device
        self.num_actions, self.max_episode_length = description.num_actions, description.max_episode_length
        self._links, self._sum_outcomes = list(links), sum_outcomes
        self._block_rows, self._link_rows = _rows(setup, links)
        self.group_rows = _group_rows(links, self._link_rows)
        self.num_envs = self._link_rows[-1].stop
        self._names = [FigureNames(names, link.route.simulator) for link in links]
        self._groups = tuple(description.observations)
        allocate = allocate or memory_on("cpu" if staged else device)
        layout, keep = description.results(setup), memory_on(device) if staged else allocate
        self._received = ReceiveBuffers(layout, self.num_envs, setup.rollout_steps, setup.turns, keep)
        self._arrivals = allocate((self.num_envs, layout.size)) if staged else None
        self._steps = [0] * len(self.group_rows)
        actions = description.actions()
        self._outgoing = allocate((self.num_envs, actions.size))
        self._told = actions.views(self._outgoing)
        self._lengths = torch.zeros(self.num_envs, dtype=torch.long, device=device)
        self._told["episode_length"].fill_(-1)
        self.curriculum = None if description.curriculum is None else Curriculum(description.curriculum)
        self.gives_lessons = description.lessons
        """Whether `draw_elsewhere` can be called."""
        self._started = False

    @property
    def episode_length_buf(self) -> torch.Tensor:  # type: ignore[override]
        """Return the control steps (num_envs,) that the episodes have run for; to be set as a whole."""
        return self._lengths

    @episode_length_buf.setter
    def episode_length_buf(self, lengths: torch.Tensor) -> None:
        self._lengths.copy_(lengths)
        self._told["episode_length"].copy_(lengths)

    def draw_elsewhere(self, which: torch.Tensor) -> None:
        """Make the images of the environments which (num_envs,) bool lessons in seeing from the next step on.

        See `grasp_training.tasks.GraspEnv.draw_elsewhere`.

        Raises:
            ValueError: the environments cannot give lessons.
        """
        if not self.gives_lessons:
            raise ValueError("These environments give no lessons in seeing: they have no draw_elsewhere")
        self._told["lesson"].copy_(which)

    def get_observations(self) -> TensorDict:
        """Return the current observations; all groups have to have made as many steps."""
        if not self._started:
            arrivals = self._arrivals_of(0)
            for link, rows in zip(self._links, self._link_rows, strict=True):
                link.first(arrivals[rows])
            self._keep(0, slice(0, self.num_envs))
            self._started = True
        assert len(set(self._steps)) == 1, f"groups have made {self._steps} steps"
        return self._observations(self._steps[0], slice(0, self.num_envs))

    @property
    def record_bytes(self) -> int:
        """Return the bytes of an environment's results."""
        return self._received.layout.size

    @property
    def rollout_steps(self) -> int:
        """Return the control steps of the rollouts whose observations are kept; 0 where none are."""
        return self._received.rollout_steps

    def kept_observations(self, rollout: int) -> TensorDict:
        """Return the observations (rollout_steps, num_envs, …) of a rollout: views, filled as they arrive.

        With two groups of environments two rollouts (0 and 1) are kept, and written in turn.
        """
        views = self._received.rollout(rollout)
        groups = {name: views[observation_field(name)] for name in self._groups}
        return TensorDict(groups, batch_size=[self.rollout_steps, self.num_envs], device=self.device)

    def step(self, actions: torch.Tensor) -> Step:
        """Step all environments with actions (num_envs, num_actions); see `VecEnv`.

        `extras` has `time_outs` (num_envs,), `log` and, where the environments tell it, `success`
        (num_envs,).
        """
        for group, rows in enumerate(self.group_rows):
            self.send(group, actions[rows])
        return self.join([self.receive(group) for group in range(len(self.group_rows))])

    def send(self, group: int, actions: torch.Tensor) -> None:
        """Begin a step of one group of environments with actions (rows, num_actions)."""
        rows = self.group_rows[group]
        self._steps[group] += 1
        self._told["action"][rows] = actions
        self._told["step"][rows] = self._steps[group]
        self._told["level"][rows] = self.curriculum.level if self.curriculum else 0.0
        self._received.begin(self._steps[group], rows)
        arrivals = self._arrivals_of(self._steps[group])
        for link, own in self._routes(group):
            link.send(self._outgoing[own], arrivals[own])

    def receive(self, group: int) -> Result:
        """Wait for the step that `send` began; return its result."""
        for link, _ in self._routes(group):
            link.wait()
        rows = self.group_rows[group]
        self._keep(self._steps[group], rows)
        self._told["episode_length"][rows] = -1
        return self._result(self._steps[group], rows)

    def join(self, results: Sequence[Result]) -> Step:
        """Return what `step` returns, from the results of all groups after as many steps."""
        return self.get_observations(), *self.summary(results)

    def summary(self, results: Sequence[Result]) -> Summary:
        """Return rewards, dones and extras of a step from the results of all groups."""
        sums: dict[str, float] = {}
        weights: dict[str, float] = {}
        for result in results:
            for name, (total, weight) in result.figures.items():
                sums[name] = sums.get(name, 0.0) + total
                weights[name] = weights.get(name, 0.0) + weight
        log = {name: total / weights[name] for name, total in sums.items() if weights[name]}
        if self.curriculum is not None:
            log["curriculum/level"] = self.curriculum.level
            log["curriculum/recent_success"] = self.curriculum.success_rate
        extras: dict[str, Any] = {"time_outs": torch.cat([result.time_outs for result in results])}
        if all(result.success is not None for result in results):
            extras["success"] = torch.cat([result.success for result in results])  # type: ignore[misc]
        extras["log"] = log
        rewards = torch.cat([result.rewards for result in results])
        return rewards, torch.cat([result.dones for result in results]), extras

    def close(self) -> None:
        """Tell the simulators that the run is over."""
        self._told["step"].fill_(STOP)
        for link, rows in zip(self._links, self._link_rows, strict=True):
            link.close(self._outgoing[rows])

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the environments: the curriculum."""
        return {} if self.curriculum is None else {"curriculum": self.curriculum.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        if self.curriculum is not None:
            self.curriculum.load_state_dict(state["curriculum"])

    def _arrivals_of(self, step: int) -> torch.Tensor:
        """Return where links write the results of a step, uint8 (num_envs, size)."""
        return self._received.records(step) if self._arrivals is None else self._arrivals

    def _keep(self, step: int, rows: slice) -> None:
        """Copy what has arrived of a step to where it is kept, unless it has arrived there."""
        if self._arrivals is not None:
            self._received.records(step)[rows].copy_(self._arrivals[rows])

    def _routes(self, group: int) -> list[tuple[Link, slice]]:
        pairs = zip(self._links, self._link_rows, strict=True)
        return [(link, rows) for link, rows in pairs if link.route.group == group]

    def _observations(self, step: int, rows: slice) -> TensorDict:
        views = self._received.views(step)
        groups = {name: views[observation_field(name)][rows] for name in self._groups}
        return TensorDict(groups, batch_size=[rows.stop - rows.start], device=self.device)

    def _result(self, step: int, rows: slice) -> Result:
        views = {name: view[rows] for name, view in self._received.views(step).items()}
        if bool((views["step"] != step).any()):
            found = sorted(set(views["step"].tolist()) - {step})
            raise RuntimeError(f"Results of step {found[0]} arrived; those of {step} were expected")
        status = views["status"]
        dones, success = (status & DONE) > 0, (status & SUCCESS) > 0
        self._lengths[rows] = torch.where(dones, 0, self._lengths[rows] + 1)
        if self.curriculum is not None:
            outcomes = int(dones.sum()), int((success & dones).sum())
            self.curriculum.update(*self._sum_outcomes(*outcomes))
        return Result(
            observations=self._observations(step, rows),
            rewards=views["reward"].clone(),
            dones=dones,
            time_outs=(status & TIME_OUT) > 0,
            success=success if bool(status[0] & HAS_SUCCESS) else None,
            figures=self._figures(rows, views["figures"].cpu(), dones.cpu()),
        )

    def _figures(
        self, group: slice, figures: torch.Tensor, dones: torch.Tensor
    ) -> dict[str, tuple[float, float]]:
        """Return the blocks' scalars, summed with weights: their environments, or episodes that ended."""
        found: dict[str, tuple[float, float]] = {}
        for rows, link in self._block_rows:
            if not group.start <= rows.start < group.stop:
                continue
            own = slice(rows.start - group.start, rows.stop - group.start)
            episodes = int(dones[own].sum())
            for index, value in enumerate(figures[own].flatten()[:MAX_FIGURES].tolist()):
                if not math.isfinite(value):
                    continue
                name = self._names[link].name(index)
                weight = episodes if name.startswith("episode/") else rows.stop - rows.start
                total, weights = found.get(name, (0.0, 0.0))
                found[name] = total + weight * value, weights + weight
        return found


def _rows(setup: Setup, links: Sequence[Link]) -> tuple[list[tuple[slice, int]], list[slice]]:
    """Return each block's rows among a learner's, with its link's index, and each link's rows."""
    sizes = setup.sizes()
    blocks, routes, first = [], [], 0
    for index, link in enumerate(links):
        start = first
        for block in link.route.blocks:
            blocks.append((slice(first, first + sizes[block]), index))
            first += sizes[block]
        routes.append(slice(start, first))
    return blocks, routes


def _group_rows(links: Sequence[Link], link_rows: Sequence[slice]) -> list[slice]:
    """Return each group's rows among a learner's: contiguous, since links are ordered by group."""
    groups: dict[int, slice] = {}
    for link, rows in zip(links, link_rows, strict=True):
        start = groups[link.route.group].start if link.route.group in groups else rows.start
        groups[link.route.group] = slice(start, rows.stop)
    return [groups[group] for group in sorted(groups)]
