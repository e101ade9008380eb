"""The learning side: environments that are simulated elsewhere, as rsl_rl sees them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
from grasp_training.disaggregation.worker import Description, FigureNames, NameStore, Setup
from grasp_training.tasks.curriculum import Curriculum

SumOutcomes = Callable[[int, int], tuple[int, int]]
"""Adds episodes and successes over all learners."""


def own_outcomes(episodes: int, successes: int) -> tuple[int, int]:
    """Return the outcomes as they are: of the only learner."""
    return episodes, successes


class RemoteVecEnv(VecEnv):
    """One learner's environments, wherever they are simulated.

    Observations, rewards and dones are those of the blocks in order. Every step is one message to and one
    from each simulator; the answers arrive in one of two buffers in turn, and observations are views of it:
    valid until the step after next. Depth comes as it was sent (`messages.read_depth`).

    The curriculum is global: outcomes of all blocks of all learners move it after a step, and the level goes
    out with the next actions.
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
    ) -> None:
        """Prepare to step; nothing is received before observations are asked for.

        Args:
            task: the task's configuration.
            setup: what is simulated.
            description: what the simulators made of it.
            links: this learner's routes, by block.
            names: where simulators tell the names of figures.
            device: where records arrive.
            sum_outcomes: adds up over learners.
        """
        self.cfg, self.device = task, device
        self.num_actions, self.max_episode_length = description.num_actions, description.max_episode_length
        self._links, self._sum_outcomes = list(links), sum_outcomes
        self._block_rows, self._link_rows = _rows(setup, links)
        self.num_envs = self._link_rows[-1].stop
        self._names = [FigureNames(names, link.route.simulator) for link in links]
        self._groups = tuple(description.observations)
        results = description.results(setup)
        self._buffers = [results.new(self.num_envs, device) for _ in range(2)]
        self._views = [results.views(buffer) for buffer in self._buffers]
        self._current, self._steps = 0, 0
        actions = description.actions()
        self._outgoing = actions.new(self.num_envs, device)
        self._told = actions.views(self._outgoing)
        self._lengths = torch.zeros(self.num_envs, dtype=torch.long, device=device)
        self._told["episode_length"].fill_(-1)
        self.curriculum = None if description.curriculum is None else Curriculum(description.curriculum)
        self._started = False

    @property
    def episode_length_buf(self) -> torch.Tensor:  # type: ignore[override]
        """Return the control steps (num_envs,) that the episodes have run for; to be set as a whole."""
        return self._lengths

    @episode_length_buf.setter
    def episode_length_buf(self, lengths: torch.Tensor) -> None:
        self._lengths.copy_(lengths)
        self._told["episode_length"].copy_(lengths)

    def get_observations(self) -> TensorDict:
        """Return the current observations."""
        if not self._started:
            for link, rows in zip(self._links, self._link_rows, strict=True):
                link.first(self._buffers[0][rows])
            self._started = True
        views = self._views[self._current]
        groups = {name: views[observation_field(name)] for name in self._groups}
        return TensorDict(groups, batch_size=[self.num_envs], device=self.device)

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Step all environments with actions (num_envs, num_actions); see `VecEnv`.

        `extras` has `time_outs` (num_envs,), `log` and, where the environments tell it, `success`
        (num_envs,).
        """
        self._steps += 1
        self._current = 1 - self._current
        self._told["action"].copy_(actions)
        self._told["step"].fill_(self._steps)
        self._told["level"].fill_(self.curriculum.level if self.curriculum else 0.0)
        buffer = self._buffers[self._current]
        for link, rows in zip(self._links, self._link_rows, strict=True):
            link.send(self._outgoing[rows], buffer[rows])
        for link in self._links:
            link.wait()
        self._told["episode_length"].fill_(-1)
        return self._result()

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

    def _result(self) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        views = self._views[self._current]
        if bool((views["step"] != self._steps).any()):
            found = sorted(set(views["step"].tolist()) - {self._steps})
            raise RuntimeError(f"Results of step {found[0]} arrived; those of {self._steps} were expected")
        status = views["status"]
        dones = (status & DONE) > 0
        self._lengths.add_(1).masked_fill_(dones, 0)
        extras: dict[str, Any] = {"time_outs": (status & TIME_OUT) > 0}
        success = (status & SUCCESS) > 0
        if bool(status[0] & HAS_SUCCESS):
            extras["success"] = success
        extras["log"] = self._log(views["figures"], dones)
        self._move_curriculum(dones, success, extras["log"])
        return self.get_observations(), views["reward"].clone(), dones, extras

    def _log(self, figures: torch.Tensor, dones: torch.Tensor) -> dict[str, float]:
        """Return the blocks' scalars, averaged: over environments, those of episodes over episodes."""
        sums: dict[str, float] = {}
        weights: dict[str, float] = {}
        figures, dones = figures.cpu(), dones.cpu()
        for rows, link in self._block_rows:
            episodes = int(dones[rows].sum())
            for index, value in enumerate(figures[rows].flatten()[:MAX_FIGURES].tolist()):
                if not math.isfinite(value):
                    continue
                name = self._names[link].name(index)
                weight = episodes if name.startswith("episode/") else rows.stop - rows.start
                sums[name] = sums.get(name, 0.0) + weight * value
                weights[name] = weights.get(name, 0.0) + weight
        return {name: total / weights[name] for name, total in sums.items() if weights[name]}

    def _move_curriculum(self, dones: torch.Tensor, success: torch.Tensor, log: dict[str, float]) -> None:
        if self.curriculum is None:
            return
        self.curriculum.update(*self._sum_outcomes(int(dones.sum()), int((success & dones).sum())))
        log["curriculum/level"] = self.curriculum.level
        log["curriculum/recent_success"] = self.curriculum.success_rate


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
