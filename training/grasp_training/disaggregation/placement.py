"""Which rank simulates, which learns, and which environments go from whom to whom."""

from __future__ import annotations

import re
from dataclasses import dataclass

from grasp_training.runs import ConfigurationError

_DISAGGREGATED = re.compile(r"^([1-9]\d*):([1-9]\d*)$")
_DATA_PARALLEL = re.compile(r"^data-parallel:([1-9]\d*)$")


@dataclass(frozen=True)
class Role:
    """What one rank does."""

    rank: int
    """Number of the process among all."""
    learner: int | None
    """Number among the learners, if it learns."""
    simulator: int | None
    """Number among the simulators, if it simulates."""

    @property
    def name(self) -> str:
        """Return the role in words, such as `simulator 2`."""
        learner = None if self.learner is None else f"learner {self.learner}"
        simulator = None if self.simulator is None else f"simulator {self.simulator}"
        return " and ".join(part for part in (learner, simulator) if part)

    def __str__(self) -> str:
        return f"rank {self.rank} ({self.name})"


@dataclass(frozen=True)
class Route:
    """Environments that one simulator steps for one learner, in one message at a time."""

    simulator: int
    """Number of the simulator."""
    learner: int
    """Number of the learner."""
    group: int
    """Group of environments that steps together; only overlapped runs have a second."""
    blocks: range
    """Blocks of environments, numbered over the whole run."""


@dataclass(frozen=True)
class Placement:
    """How many ranks simulate and learn."""

    simulators: int
    """Ranks that simulate."""
    learners: int
    """Ranks that learn."""
    separate: bool
    """Whether simulating and learning ranks are different ones."""

    @staticmethod
    def parse(text: str) -> Placement:
        """Read `single`, `data-parallel:N` or `S:L` (S ranks simulate, L others learn).

        Raises:
            ConfigurationError: the text is none of these, or neither of S and L is a multiple of the other.
        """
        if text == "single":
            return Placement(1, 1, separate=False)
        if match := _DATA_PARALLEL.match(text):
            return Placement(int(match[1]), int(match[1]), separate=False)
        if not (match := _DISAGGREGATED.match(text)):
            raise ConfigurationError(
                f"Placement '{text}' is none; expected 'single', 'data-parallel:N' or 'S:L', such as '3:1'"
            )
        simulators, learners = int(match[1]), int(match[2])
        if max(simulators, learners) % min(simulators, learners):
            raise ConfigurationError(
                f"Placement '{text}' shares unevenly; expected one number to be a multiple of the other"
            )
        return Placement(simulators, learners, separate=True)

    def __str__(self) -> str:
        if self.separate:
            return f"{self.simulators}:{self.learners}"
        return "single" if self.learners == 1 else f"data-parallel:{self.learners}"

    @property
    def world_size(self) -> int:
        """Return the number of ranks."""
        return self.simulators + self.learners if self.separate else self.learners

    def roles(self) -> tuple[Role, ...]:
        """Return the role of every rank.

        Ranks that talk to each other are neighbours, so that on nodes that hold whole teams (6:2 on two nodes
        of four devices) no observation crosses between nodes. Rank 0 is learner 0.
        """
        if not self.separate:
            return tuple(Role(rank, rank, rank) for rank in range(self.learners))
        roles: list[Role] = []
        teams = min(self.simulators, self.learners)
        for team in range(teams):
            for learner in _share(self.learners, teams, team):
                roles.append(Role(len(roles), learner, None))
            for simulator in _share(self.simulators, teams, team):
                roles.append(Role(len(roles), None, simulator))
        return tuple(roles)

    def rank_of_learner(self, learner: int) -> int:
        """Return the rank of a learner."""
        return next(role.rank for role in self.roles() if role.learner == learner)

    def rank_of_simulator(self, simulator: int) -> int:
        """Return the rank of a simulator."""
        return next(role.rank for role in self.roles() if role.simulator == simulator)

    def parts(self, groups: int = 1) -> int:
        """Return the least number of blocks: one for each group of each simulator that serves a learner."""
        return self.learners * groups * max(1, self.simulators // self.learners)

    def routes(self, blocks: int, groups: int = 1) -> tuple[Route, ...]:
        """Say who simulates which blocks of environments for whom, ordered by block.

        Each learner gets an equal run of blocks; each of its groups an equal run of these, shared by its
        simulators. The blocks of a group are contiguous, so that a learner acts on a slice.

        Args:
            blocks: number of blocks in the whole run.
            groups: groups of environments that take turns.

        Raises:
            ConfigurationError: the blocks cannot be shared equally.
        """
        serving = max(1, self.simulators // self.learners)
        parts = self.parts(groups)
        if blocks % parts:
            raise ConfigurationError(
                f"{blocks} blocks of environments cannot be shared equally by placement {self} with {groups} "
                f"group(s) a simulator; expected a multiple of {parts}"
            )
        size = blocks // parts
        routes = []
        for index in range(parts):
            learner, rest = divmod(index, groups * serving)
            group, turn = divmod(rest, serving)
            simulator = learner * self.simulators // self.learners + turn
            routes.append(Route(simulator, learner, group, range(index * size, (index + 1) * size)))
        return tuple(routes)


def block_sizes(num_envs: int, blocks: int) -> tuple[int, ...]:
    """Return the number of environments in each block; sizes differ by one at most.

    Raises:
        ConfigurationError: there are more blocks than environments.
    """
    if not 1 <= blocks <= num_envs:
        raise ConfigurationError(f"{blocks} blocks of {num_envs} environments; expected 1 to {num_envs}")
    return tuple(len(_share(num_envs, blocks, block)) for block in range(blocks))


def _share(count: int, parts: int, part: int) -> range:
    """Return part number `part` of `count` things dealt out in order."""
    return range(part * count // parts, (part + 1) * count // parts)
