"""The student: a recurrent policy on two images and proprioception, which also says where the object is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from rsl_rl.modules import MLP, EmpiricalNormalization
from tensordict import TensorDict
from torch import nn

from grasp_training.learning.micro_batches import in_micro_batches
from grasp_training.learning.stereo_encoder import StereoEncoder, StereoEncoderConfig

POSITION_SIZE = 3


@dataclass(frozen=True)
class StudentNetworkConfig:
    """Sizes of the student."""

    encoder: StereoEncoderConfig = field(default_factory=StereoEncoderConfig)
    """The stereo encoder."""
    input_features: int = 256
    """Width of the layer between encoder, proprioception and memory."""
    memory_size: int = 256
    """Units of the GRU: the M of the policy file's memory_in and memory_out."""
    head_sizes: tuple[int, ...] = (256, 128)
    """Hidden layers between memory and actions."""
    mixed_precision: bool = True
    """Run the image encoder in bfloat16 while learning; the policy file runs in float32."""
    micro_batch: int = 0
    """Pairs of images encoded at a time; 0 takes all. In a greater batch, activations of the encoder are
    computed twice instead of kept."""


class StudentOutput(NamedTuple):
    """What the student makes of one step, or of a sequence of steps with a leading time axis.

    Positions are the object's, in units of the label's running standard deviations from its running mean.
    """

    action: torch.Tensor
    """(…, B, 11) mean actions; the decoder clips them to [-1, 1]."""
    position: torch.Tensor
    """(…, B, 3) estimate of the position from memory."""
    seen_position: torch.Tensor
    """(…, B, 3) estimate of the position from this step's images alone."""
    memory: torch.Tensor
    """(B, M) recurrent state after the last step."""


class StereoStudent(nn.Module):
    """A student as rsl_rl's algorithms call it, and a pure function of its memory for sequences and export.

    Image scaling and normalization of proprioception are inside.
    """

    is_recurrent = True

    def __init__(
        self,
        obs: TensorDict,
        obs_groups: dict[str, list[str]],
        obs_set: str,
        output_dim: int,
        config: StudentNetworkConfig,
        label_group: str,
    ) -> None:
        """Build the student for the observations at hand.

        Args:
            obs: observations that show the shapes.
            obs_groups: groups of each set; the student's are stereo uint8 (B, 2, H, W, 3) and
                proprioception (B, P).
            obs_set: the student's set.
            output_dim: number of actions.
            config: sizes.
            label_group: group with the object's position (B, 3), m, which only `update_normalization` reads.

        Raises:
            ValueError: the images are not uint8 (B, 2, H, W, 3).
        """
        super().__init__()
        self.stereo_group, self.proprioception_group = obs_groups[obs_set]
        self.label_group = label_group
        images = obs[self.stereo_group]
        if images.dtype != torch.uint8 or images.dim() != 5 or images.shape[1] != 2 or images.shape[4] != 3:
            raise ValueError(
                f"Group '{self.stereo_group}' is {images.dtype} {tuple(images.shape)}; "
                "uint8 (B, 2, H, W, 3) is expected"
            )
        self.mixed_precision = config.mixed_precision
        self.micro_batch, self.memory_size = config.micro_batch, config.memory_size
        self.encoder = StereoEncoder(images.shape[2], images.shape[3], config.encoder)
        joints = obs[self.proprioception_group].shape[-1]
        self.joint_count = joints // 3  # positions, velocities, previous targets
        self.normalizer = EmpiricalNormalization(joints)
        self.position_normalizer = EmpiricalNormalization(POSITION_SIZE)
        self.sight_head = MLP(self.encoder.output_size, POSITION_SIZE, config.head_sizes[-1:], "elu")
        inputs = self.encoder.output_size + POSITION_SIZE + joints
        self.input = nn.Sequential(nn.Linear(inputs, config.input_features), nn.ELU())
        self.gru = nn.GRUCell(config.input_features, config.memory_size)
        self.head = MLP(config.memory_size, output_dim, config.head_sizes, "elu")
        self.position_head = MLP(config.memory_size, POSITION_SIZE, config.head_sizes[-1:], "elu")
        self._memory: torch.Tensor | None = None

    def encode(self, stereo: torch.Tensor, proprioception: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode images and joints.

        The position is estimated from images alone, and handed on: an estimate that saw the joints would
        learn to tell the object from where the arm goes.

        Args:
            stereo: uint8 (B, 2, H, W, 3).
            proprioception: (B, P).

        Returns:
            The memory's input (B, F) and the object's position as seen (B, 3), normalized.
        """
        with torch.autocast(
            stereo.device.type, torch.bfloat16, enabled=self.mixed_precision and self.training
        ):
            seen = in_micro_batches(self.encoder, self.micro_batch, stereo[:, 0], stereo[:, 1])
        seen = seen.float()
        position = self.sight_head(seen)
        return self.input(torch.cat([seen, position, self.normalizer(proprioception)], dim=1)), position

    def step(self, stereo: torch.Tensor, proprioception: torch.Tensor, memory: torch.Tensor) -> StudentOutput:
        """Make one step from stereo (B, 2, H, W, 3), proprioception (B, P) and memory (B, M)."""
        features, seen_position = self.encode(stereo, proprioception)
        memory = self.gru(features, memory)
        return StudentOutput(self.head(memory), self.position_head(memory), seen_position, memory)

    def unroll(
        self, stereo: torch.Tensor, proprioception: torch.Tensor, dones: torch.Tensor, memory: torch.Tensor
    ) -> StudentOutput:
        """Make the steps of a sequence, forgetting where an episode ended.

        Args:
            stereo: (T, B, 2, H, W, 3), bytes of any type.
            proprioception: (T, B, P).
            dones: (T, B), whether the episode ended with that step; the next step starts from zero memory.
            memory: (B, M) before the first step.
        """
        steps, batch = stereo.shape[:2]
        flat, seen_position = self.encode(stereo.flatten(0, 1), proprioception.flatten(0, 1))
        features = flat.unflatten(0, (steps, batch))
        going_on = (~dones.bool()).float()[..., None]
        memories = []
        for step in range(steps):
            memory = self.gru(features[step], memory)
            memories.append(memory)
            memory = memory * going_on[step]
        every = torch.stack(memories)
        seen_position = seen_position.unflatten(0, (steps, batch))
        return StudentOutput(self.head(every), self.position_head(every), seen_position, memory)

    def position_m(self, position: torch.Tensor) -> torch.Tensor:
        """Turn the head's estimate (…, 3) into metres in the arm's base frame."""
        normalizer = self.position_normalizer
        return position * (normalizer._std + normalizer.eps) + normalizer._mean

    def forward(
        self, obs: TensorDict, masks: Any = None, hidden_state: Any = None, stochastic_output: bool = False
    ) -> torch.Tensor:
        """Return the actions (B, 11) for the observations, and remember; there is no noise."""
        stereo, proprioception = obs[self.stereo_group], obs[self.proprioception_group]
        memory = self.memory(stereo.shape[0], proprioception)
        output = self.step(stereo, proprioception, memory)
        self._memory = output.memory
        return output.action

    def memory(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """Return the memory (batch, M) of the rollout, zeros at its start."""
        return like.new_zeros(batch, self.memory_size) if self._memory is None else self._memory

    def reset(self, dones: torch.Tensor | None = None, hidden_state: torch.Tensor | None = None) -> None:
        """Forget, in the environments that are done (B,), or in all."""
        if dones is None:
            self._memory = None if hidden_state is None else hidden_state[0]
        elif self._memory is not None:
            self._memory = self._memory * (dones == 0).to(self._memory.dtype)[:, None]

    def get_hidden_state(self) -> torch.Tensor | None:
        """Return the memory as (1, B, M), the layout of rsl_rl's storage."""
        return None if self._memory is None else self._memory[None]

    def detach_hidden_state(self, dones: torch.Tensor | None = None) -> None:
        """Cut the memory off from the steps that made it."""
        if self._memory is not None:
            self._memory = self._memory.detach()

    def update_normalization(self, obs: TensorDict) -> None:
        """Take observations (B, …) into the running means."""
        self.normalizer.update(obs[self.proprioception_group])
        self.position_normalizer.update(obs[self.label_group])

    @property
    def output_std(self) -> torch.Tensor:
        """Return zero: the student acts without noise (rsl_rl's runner logs this)."""
        return torch.zeros(1)
