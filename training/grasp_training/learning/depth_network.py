"""An actor that sees depth images: encoder, recurrent core, and an estimate of where the object is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from rsl_rl.models import MLPModel
from rsl_rl.modules import MLP, EmpiricalNormalization
from tensordict import TensorDict
from torch import nn
from torch.nn import functional

from grasp_training.learning.depth_encoder import DepthEncoder, DepthEncoderConfig
from grasp_training.learning.memory import EpisodicGRU, Sequences
from grasp_training.learning.micro_batches import in_micro_batches

_POSITION_SIZE = 3


@dataclass(frozen=True)
class DepthNetworkConfig:
    """An actor on proprioception and depth images."""

    encoder: DepthEncoderConfig = field(default_factory=DepthEncoderConfig)
    """The encoder."""
    input_features: int = 256
    """Width of the layer between encoder, proprioception and memory."""
    memory_size: int = 128
    """Units of the recurrent core, a GRU; 0 is an actor without memory."""
    position_weight: float = 1.0
    """Weight of the auxiliary loss, the error of the object's position as the encoder estimates it from the
    image; 0 learns from the reward alone. Simulation gives the label; the actor never sees it."""
    mixed_precision: bool = True
    """Run the encoder in bfloat16 while learning."""
    micro_batch: int = 4096
    """Images encoded at a time; 0 takes all. In a greater mini-batch, activations of the encoder are computed
    twice instead of kept."""


class DepthModel(MLPModel):
    """rsl_rl's model with an encoder of one group of depth images and a recurrent core before it.

    Observations (B, …) are one step, after what is remembered; with `Sequences` for hidden state they are
    (T, B, …), and what is remembered is left alone. The encoder also estimates the object's position, from
    the image alone, and hands the estimate on.
    """

    def __init__(
        self,
        obs: TensorDict,
        obs_groups: dict[str, list[str]],
        obs_set: str,
        output_dim: int,
        config: DepthNetworkConfig,
        label_group: str,
        **settings: Any,
    ) -> None:
        """Build the model; see `rsl_rl.models.MLPModel`.

        Args:
            obs: observations that show the shapes.
            obs_groups: groups of each set; the actor's are vectors (B, P) and one of images (B, 1, H, W).
            obs_set: the actor's set.
            output_dim: number of actions.
            config: sizes.
            label_group: group with the object's position (B, 3), m, which the auxiliary loss alone reads;
                it may be missing where nothing is learnt.
            **settings: of `MLPModel`.

        Raises:
            ValueError: there is not one group of images.
        """
        images = [group for group in obs_groups[obs_set] if obs[group].dim() == 4]
        if len(images) != 1:
            shown = ", ".join(f"{group} {tuple(obs[group].shape)}" for group in obs_groups[obs_set])
            raise ValueError(f"A depth actor wants one group of images (B, 1, H, W); it got {shown}")
        self.image_group, self.label_group = images[0], label_group
        self.memory_size, self.is_recurrent = config.memory_size, config.memory_size > 0
        self.position_weight, self._input_features = config.position_weight, config.input_features
        vectors = [group for group in obs_groups[obs_set] if group != self.image_group]
        super().__init__(obs, {obs_set: vectors}, obs_set, output_dim, **settings)
        self.mixed_precision, self.micro_batch = config.mixed_precision, config.micro_batch
        height, width = obs[self.image_group].shape[2:]
        self.encoder = DepthEncoder(height, width, config.encoder)
        self.sight_head = MLP(self.encoder.output_size, _POSITION_SIZE, [config.input_features // 2], "elu")
        self.position_normalizer = EmpiricalNormalization(_POSITION_SIZE)
        inputs = self.encoder.output_size + _POSITION_SIZE + self.obs_dim
        self.input = nn.Sequential(nn.Linear(inputs, config.input_features), nn.ELU())
        self.gru = EpisodicGRU(config.input_features, config.memory_size) if self.is_recurrent else None
        self._estimate: torch.Tensor | None = None

    def get_latent(self, obs: TensorDict, masks: Any = None, hidden_state: Any = None) -> torch.Tensor:
        """Return features and memory (…, input_features + memory_size)."""
        seen = self._see(obs[self.image_group])
        estimate = self.sight_head(seen)
        self._estimate = estimate
        features = self.input(torch.cat([seen, estimate, super().get_latent(obs)], dim=-1))
        if self.gru is None:
            return features
        if isinstance(hidden_state, Sequences):
            memory, _ = self.gru.unroll(features, hidden_state)
        else:
            memory = self.gru.remember(features)
        return torch.cat([features, memory], dim=-1)

    def position_loss(self, obs: TensorDict) -> torch.Tensor:
        """Return the error of the estimate made last, for these observations, in running deviations."""
        assert self._estimate is not None
        wanted = self.position_normalizer(obs[self.label_group])
        loss = functional.smooth_l1_loss(self._estimate, wanted)
        self._estimate = None
        return loss

    def reset(self, dones: torch.Tensor | None = None, hidden_state: Any = None) -> None:
        """Forget, in the environments that are done (B,); without them, take on a hidden state (1, B, M)."""
        if self.gru is not None:
            self.gru.reset(dones, hidden_state)

    def get_hidden_state(self) -> torch.Tensor | None:
        """Return the memory as (1, B, M); none without memory, and at the start of a rollout."""
        return None if self.gru is None else self.gru.hidden_state()

    def detach_hidden_state(self, dones: torch.Tensor | None = None) -> None:
        """Cut the memory off from the steps that made it."""
        if self.gru is not None:
            self.gru.detach()

    def update_normalization(self, obs: TensorDict) -> None:
        """Take observations (B, …) into the running means, the label's among them."""
        super().update_normalization(obs)
        if self.label_group in obs.keys():  # noqa: SIM118 (a TensorDict is not a mapping)
            self.position_normalizer.update(obs[self.label_group])

    def _see(self, depth: torch.Tensor) -> torch.Tensor:
        """Return the encoder's features (…, F) of images (…, 1, H, W)."""
        lead = depth.shape[:-3]
        learning = torch.is_grad_enabled() and self.training
        with torch.autocast(depth.device.type, torch.bfloat16, enabled=self.mixed_precision and learning):
            seen = in_micro_batches(self.encoder, self.micro_batch, depth.flatten(0, -4))
        return seen.float().unflatten(0, lead)

    def _get_latent_dim(self) -> int:
        return self._input_features + self.memory_size
