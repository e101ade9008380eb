"""What can be set about learning; `rsl_rl_settings` converts it to rsl_rl's dictionaries."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from grasp_training.disaggregation.liveness import Limits
from grasp_training.disaggregation.messages import DEPTH, DepthType, Transport
from grasp_training.disaggregation.placement import Placement, block_sizes
from grasp_training.learning.depth_network import DepthNetworkConfig
from grasp_training.runs import ConfigurationError

Preset = Literal["cpu", "smoke", "h100", "node4"]
Mode = Literal["synchronous", "overlapped"]
Observe = Literal["state", "depth"]

PROPRIOCEPTION = "proprioception"
PRIVILEGED = "privileged"
STEREO = "stereo"
OBJECT_POSITION = "object_position"

ACTOR_GROUPS: dict[str, tuple[str, ...]] = {
    "state": (PROPRIOCEPTION, PRIVILEGED),
    "depth": (PROPRIOCEPTION, DEPTH),
}
"""Observation groups that a teacher acts on, by what it observes."""

CRITIC_GROUPS: tuple[str, ...] = (PROPRIOCEPTION, PRIVILEGED)
"""Observation groups of every teacher's critic: whatever the actor sees, the critic sees the state."""


@dataclass(frozen=True)
class NetworkConfig:
    """A multi-layer perceptron."""

    hidden_sizes: tuple[int, ...] = (256, 256, 128)
    """Widths of the hidden layers."""
    activation: str = "elu"
    """Activation between layers, by rsl_rl's name."""
    normalize_observations: bool = True
    """Subtract the running mean of the observations and divide by their running standard deviation."""


@dataclass(frozen=True)
class PpoConfig:
    """Proximal policy optimization."""

    steps_per_rollout: int = 24
    """Control steps that every environment makes between two updates."""
    epochs: int = 4
    """Passes over a rollout in one update."""
    minibatches: int = 4
    """Parts into which a rollout is cut for one pass."""
    discount: float = 0.985
    """Discount of the reward, per control step."""
    gae_lambda: float = 0.95
    """Decay of generalized advantage estimation."""
    clip: float = 0.2
    """Bound on the change of the probability ratio."""
    clip_value: bool = False
    """Bound the change of the value as well, by `clip` in units of the return; with returns far above 1 the
    critic then lags behind."""
    value_loss_weight: float = 1.0
    """Weight of the critic's loss."""
    entropy_weight: float = 0.0005
    """Weight of the entropy bonus."""
    initial_learning_rate: float = 1e-3
    """Learning rate of the first update; rsl_rl then adapts it between 1e-5 and 1e-2."""
    desired_kl: float = 0.015
    """Divergence between policies that the learning rate aims at; 0 keeps the learning rate as it is."""
    max_gradient_norm: float = 1.0
    """Norm to which gradients are clipped."""
    initial_std: float = 0.7
    """Standard deviation of the actions at the start."""
    min_std: float = 0.05
    """Least standard deviation of the actions."""
    max_std: float = 1.5
    """Greatest standard deviation of the actions."""


@dataclass(frozen=True)
class CheckpointConfig:
    """How often a run is saved, and what is kept."""

    interval_iterations: int = 10
    """Iterations between checkpoints: the work that a kill can lose."""
    keep_last: int = 3
    """How many of the newest checkpoints are kept."""
    keep_every: int = 100
    """Checkpoints whose iteration divides by this are kept for good."""


@dataclass(frozen=True)
class RunConfig:
    """What teachers and students have in common; the same flag means the same thing in every command."""

    run: str
    """Name of the run: its folder under the runs folder."""
    preset: Preset = "cpu"
    """Sizes for a purpose: `cpu` learns on a few cores, `h100` on one GPU, `node4` on four (3:1), `smoke`
    only shows that all parts work."""
    seed: int = 0
    """Seed of networks, exploration and environments."""
    iterations: int = 1500
    """Learning iterations in all, those before a resume included."""
    num_envs: int = 512
    """Environments simulated side by side."""
    objects: Literal["training"] = "training"
    """Object set to learn on; the held-out one is for evaluation alone."""
    device: str = "cpu"
    """Torch device that learns, such as `cpu` or `cuda:0`."""
    threads: int = 0
    """Threads of torch on the CPU; 0 uses every core that this process may use (its share, where several
    ranks run on one machine)."""
    placement: str = "single"
    """Who simulates and who learns: `single` is one process; `data-parallel:N` has N ranks that do both;
    `S:L` has S ranks that simulate and L others that learn; `auto` is the plan's best for the devices at
    hand."""
    mode: Mode = "synchronous"
    """`synchronous` collects, then learns; `overlapped` collects while it learns, with a policy that is one
    version older at most, and simulates one half of the environments while it acts on the other."""
    env_blocks: int = 0
    """Blocks of environments, each with a random stream of its own: runs of different placements are equal
    where this is. 0 takes as few as the placement allows."""
    limits: Limits = field(default_factory=Limits)
    """Time limits on waits between ranks."""
    max_restarts: int = 0
    """How often all ranks are started anew, from the last checkpoint, after one has failed."""
    depth_type: DepthType = "float16"
    """How depth is sent and kept: metres as float16, or millimetres as uint16."""
    transport: Transport = "auto"
    """How records cross between ranks: `auto` through memory that ranks of one machine share, and as messages
    of a process group between machines; `messages` always as messages."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """Checkpoints."""

    @property
    def turns(self) -> int:
        """Return the number of groups in which environments take turns."""
        return 2 if self.mode == "overlapped" else 1

    def blocks(self) -> int:
        """Return the number of blocks of environments.

        Raises:
            ConfigurationError: environments cannot be shared as the placement asks for.
        """
        placement = Placement.parse(self.placement)
        blocks = self.env_blocks or placement.parts(self.turns)
        sizes, share = block_sizes(self.num_envs, blocks), blocks // placement.learners
        placement.routes(blocks, self.turns)
        if len({sum(sizes[first : first + share]) for first in range(0, blocks, share)}) > 1:
            raise ConfigurationError(
                f"num_envs is {self.num_envs}; a multiple of the {placement.learners} learners is needed"
            )
        return blocks


@dataclass(frozen=True)
class TeacherConfig(RunConfig):
    """A PPO teacher."""

    observe: Observe = "state"
    """What the actor sees: `state` is proprioception and privileged state, `depth` is proprioception and the
    left camera's depth."""
    stagger_episodes: bool = True
    """Start the first episodes at random ages, so that environments do not reset all at once."""
    ppo: PpoConfig = field(default_factory=PpoConfig)
    """PPO."""
    actor: NetworkConfig = field(default_factory=NetworkConfig)
    """The actor's network."""
    critic: NetworkConfig = field(default_factory=NetworkConfig)
    """The critic's network."""
    depth: DepthNetworkConfig = field(default_factory=DepthNetworkConfig)
    """What comes before the actor's network where it sees depth images."""

    def actor_groups(self) -> tuple[str, ...]:
        """Return the observation groups that the actor reads."""
        return ACTOR_GROUPS[self.observe]

    def observation_groups(self) -> tuple[str, ...]:
        """Return every observation group that the environment has to make."""
        labelled = self.observe == "depth" and self.depth.position_weight > 0
        labels = (OBJECT_POSITION,) if labelled else ()
        return tuple(dict.fromkeys((*self.actor_groups(), *CRITIC_GROUPS, *labels)))


_COUNTS = frozenset(
    {
        "epochs",
        "gradient_steps",
        "interval_iterations",
        "iterations",
        "keep_every",
        "keep_last",
        "minibatches",
        "num_envs",
        "replay_rollouts",
        "sequences_per_step",
        "steps_per_rollout",
    }
)


def check_positive(config: object, prefix: str = "") -> None:
    """Check counts, intervals and sizes of a configuration, nested ones included.

    Raises:
        ConfigurationError: a field that counts something is below 1, with its name and value.
    """
    for item in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, item.name)
        name = f"{prefix}{item.name}"
        if dataclasses.is_dataclass(value):
            check_positive(value, f"{name}.")
        elif item.name in _COUNTS and value < 1:
            raise ConfigurationError(f"{name} is {value}; at least 1 is needed")
