"""The simulating side: blocks of environments that step when told to and answer with packed records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from rsl_rl.env import VecEnv

from grasp_training.disaggregation.messages import (
    DONE,
    HAS_SUCCESS,
    MAX_FIGURES,
    SUCCESS,
    TIME_OUT,
    DepthType,
    ObservationSpec,
    RecordLayout,
    Transport,
    action_layout,
    observation_field,
    result_layout,
    specification,
    write,
)
from grasp_training.disaggregation.placement import Placement, Route, block_sizes
from grasp_training.runs import from_mapping, to_mapping
from grasp_training.tasks.config import CurriculumConfig
from grasp_training.tasks.curriculum import Curriculum, FollowedCurriculum

MakeBlock = Callable[[Any, int, tuple[str, ...], str, int], VecEnv]
"""As `grasp_training.tasks.make_env`: task, number of environments, observation groups, objects, seed."""


class NameStore(Protocol):
    """The little of a `torch.distributed.Store` that names need."""

    def set(self, key: str, value: str) -> None:
        """Keep a value."""
        ...

    def get(self, key: str) -> bytes:
        """Return it."""
        ...


@runtime_checkable
class HasCurriculum(Protocol):
    """Environments whose difficulty follows their success."""

    curriculum: Curriculum


@runtime_checkable
class SightLessons(Protocol):
    """Environments whose images can be lessons in seeing: each a scene of its own."""

    def draw_elsewhere(self, which: torch.Tensor) -> None:
        """Turn the images of the environments which (n,) bool into lessons, and those of the others back."""
        ...


@dataclass(frozen=True)
class Setup:
    """What simulators need to know of a run, beside the task."""

    num_envs: int
    """Environments in the whole run."""
    blocks: int
    """Blocks of environments; each has its own random stream, so results do not depend on who steps it."""
    observation_groups: tuple[str, ...]
    """Observation groups to make."""
    objects: str
    """Object set."""
    seed: int
    """Seed of the environments."""
    turns: int = 1
    """Groups of environments that take turns (2 in overlapped runs)."""
    depth: DepthType = "float16"
    """How depth is sent."""
    rollout_steps: int = 0
    """Control steps of a rollout whose observations learners keep where they arrive; 0 keeps none."""
    transport: Transport = "auto"
    """How records cross between ranks."""
    level: float | None = None
    """Level of randomization at which the first episodes begin; None: the task's."""

    def sizes(self) -> tuple[int, ...]:
        """Return the environments in each block."""
        return block_sizes(self.num_envs, self.blocks)

    def block_seed(self, block: int) -> int:
        """Return a block's seed: the run's own where there is but one."""
        if self.blocks == 1:
            return self.seed
        return int(np.random.SeedSequence((self.seed, block)).generate_state(1)[0] % 2**31)

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(to_mapping(self))

    @staticmethod
    def from_json(text: str | bytes) -> Setup:
        """Read what `to_json` wrote."""
        return from_mapping(Setup, json.loads(text), "the learner's setup")


@dataclass(frozen=True)
class Description:
    """What a learner needs to know of the environments that a simulator made."""

    observations: dict[str, ObservationSpec]
    """Observation groups."""
    num_actions: int
    """Actions of an environment."""
    max_episode_length: int
    """Control steps of the longest episode."""
    curriculum: CurriculumConfig | None
    """Curriculum of the environments, if they have one."""
    lessons: bool
    """Whether their images can be lessons in seeing."""

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps(to_mapping(self))

    @staticmethod
    def from_json(text: str | bytes) -> Description:
        """Read what `to_json` wrote."""
        return from_mapping(Description, json.loads(text), "the simulator's description")

    def actions(self) -> RecordLayout:
        """Return the record of an environment's actions."""
        return action_layout(self.num_actions)

    def results(self, setup: Setup) -> RecordLayout:
        """Return the record of an environment's results."""
        return result_layout(self.observations, setup.depth, min(setup.sizes()))


class FigureNames:
    """Numbers for the names of logged scalars: told once through a store, then sent as positions."""

    def __init__(self, store: NameStore, simulator: int) -> None:
        self._store, self._simulator = store, simulator
        self._names: list[str] = []

    def index(self, name: str) -> int:
        """Return a name's number, the same on every call; the store knows it before this returns.

        Raises:
            ValueError: there are more than `MAX_FIGURES` names.
        """
        if name not in self._names:
            if len(self._names) == MAX_FIGURES:
                raise ValueError(f"The environments log '{name}' as one more than {MAX_FIGURES} figures")
            self._store.set(self._key(len(self._names)), name)
            self._names.append(name)
        return self._names.index(name)

    def name(self, index: int) -> str:
        """Return the name of a number that a simulator gave."""
        while len(self._names) <= index:
            self._names.append(self._store.get(self._key(len(self._names))).decode())
        return self._names[index]

    def _key(self, index: int) -> str:
        return f"figures/{self._simulator}/{index}"


@dataclass(frozen=True)
class _Block:
    """A block's environments and its rows in the messages of its route."""

    env: VecEnv
    rows: slice


_Fields = dict[str, torch.Tensor]
"""Fields of one block's records, by name."""


class SimulationWorker:
    """Holds one simulator's blocks of environments and steps them, one route at a time."""

    def __init__(
        self,
        simulator: int,
        placement: Placement,
        setup: Setup,
        make_env: MakeBlock,
        task: Any,
        names: NameStore,
    ) -> None:
        """Make the environments.

        Args:
            simulator: number of this simulator.
            placement: who simulates what.
            setup: what to simulate.
            make_env: makes a block.
            task: the task's configuration.
            names: where names of figures are told.
        """
        self.simulator = simulator
        self.routes = tuple(
            route for route in placement.routes(setup.blocks, setup.turns) if route.simulator == simulator
        )
        self._names = FigureNames(names, simulator)
        self._blocks: dict[Route, list[_Block]] = {}
        self._views: dict[tuple[bool, int, Route], list[_Fields]] = {}
        sizes, task = setup.sizes(), _at_level(task, setup.level)
        for route in self.routes:
            first = 0
            self._blocks[route] = []
            for number in route.blocks:
                seed = setup.block_seed(number)
                env = make_env(task, sizes[number], setup.observation_groups, setup.objects, seed)
                self._blocks[route].append(_Block(env, slice(first, first + sizes[number])))
                first += sizes[number]
        self._one = self._blocks[self.routes[0]][0].env
        self.description = self._describe()
        self._follow_curriculum()
        self.actions = self.description.actions()
        self.results = self.description.results(setup)

    def rows(self, route: Route) -> int:
        """Return the environments of a route."""
        return self._blocks[route][-1].rows.stop

    def first(self, route: Route, results: torch.Tensor) -> None:
        """Write the observations before the first step into records (rows, size)."""
        for block, answer in zip(
            self._blocks[route], self._fields(route, self.results, results), strict=True
        ):
            answer["step"].zero_()
            self._write_observations(block.env, answer)

    @torch.inference_mode()
    def step(self, route: Route, actions: torch.Tensor, results: torch.Tensor) -> None:
        """Step the environments of a route.

        Args:
            route: which.
            actions: records uint8 (rows, size of `actions`).
            results: records uint8 (rows, size of `results`), written.
        """
        told = self._fields(route, self.actions, actions)
        answers = self._fields(route, self.results, results)
        for block, asked, answer in zip(self._blocks[route], told, answers, strict=True):
            answer["step"].copy_(asked["step"])
            self._step_block(block.env, asked, answer)

    def _step_block(self, env: VecEnv, told: _Fields, answer: _Fields) -> None:
        if isinstance(env, HasCurriculum):
            env.curriculum.level = float(told["level"][0])
        if isinstance(env, SightLessons):
            env.draw_elsewhere(told["lesson"] > 0)
        # Records may be elsewhere than the environments: those of a simulator on CUDA cross as the CPU's do.
        lengths = told["episode_length"].to(env.device)
        if bool((lengths >= 0).any()):
            env.episode_length_buf = torch.where(lengths >= 0, lengths, env.episode_length_buf)
        _, rewards, dones, extras = env.step(told["action"].to(env.device, copy=True))
        answer["reward"].copy_(rewards)
        answer["status"].copy_(_status(dones, extras))
        self._write_figures(answer["figures"], extras.get("log", {}))
        self._write_observations(env, answer)

    def _fields(self, route: Route, layout: RecordLayout, records: torch.Tensor) -> list[_Fields]:
        """Return each block's fields of a route's records; the same records come again and again."""
        key = layout is self.results, records.data_ptr(), route
        if key not in self._views:
            self._views[key] = [layout.views(records[block.rows]) for block in self._blocks[route]]
        return self._views[key]

    def _write_observations(self, env: VecEnv, answer: _Fields) -> None:
        shown = env.get_observations()
        for name in self.description.observations:
            write(answer[observation_field(name)], shown[name])

    def _write_figures(self, target: torch.Tensor, log: dict[str, Any]) -> None:
        if not log:
            target.fill_(torch.nan)
            return
        figures = torch.full(target.shape, torch.nan)
        flat = figures.view(-1)
        for name, value in log.items():
            flat[self._names.index(name)] = (
                float(value.float().mean()) if isinstance(value, torch.Tensor) else float(value)
            )
        target.copy_(figures)

    def _describe(self) -> Description:
        env = self._one
        shown = env.get_observations()
        observations = {str(name): specification(shown[name]) for name in shown.keys()}  # noqa: SIM118
        curriculum = env.curriculum.config if isinstance(env, HasCurriculum) else None
        lessons = isinstance(env, SightLessons)
        return Description(observations, env.num_actions, int(env.max_episode_length), curriculum, lessons)

    def _follow_curriculum(self) -> None:
        for blocks in self._blocks.values():
            for block in blocks:
                if isinstance(block.env, HasCurriculum):
                    block.env.curriculum = FollowedCurriculum(block.env.curriculum.config)


def _at_level(task: Any, level: float | None) -> Any:
    """Return the task with another level to begin at, where a level is given and the task has one."""
    curriculum = getattr(task, "curriculum", None)
    if level is None or not isinstance(curriculum, CurriculumConfig):
        return task
    return dataclasses.replace(task, curriculum=dataclasses.replace(curriculum, start_level=level))


def _status(dones: torch.Tensor, extras: dict[str, Any]) -> torch.Tensor:
    """Return done, time-out and success as bits uint8 (n,)."""
    status = DONE * (dones > 0).to(torch.uint8)
    if "time_outs" in extras:
        status |= TIME_OUT * (extras["time_outs"] > 0).to(torch.uint8)
    if isinstance(success := extras.get("success"), torch.Tensor):
        status |= HAS_SUCCESS | (SUCCESS * (success > 0).to(torch.uint8))
    return status
