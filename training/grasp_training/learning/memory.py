"""Recurrent state of policies: kept from step to step in a rollout, unrolled over sequences in learning."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn


class Sequences(NamedTuple):
    """Where recurrent state starts from and ends in sequences of T steps in B environments."""

    memory: torch.Tensor
    """(B, M) before the first step."""
    dones: torch.Tensor
    """(T, B), whether the episode ended with that step; the next step starts from zero memory."""


class EpisodicGRU(nn.GRUCell):
    """A GRU cell that remembers what it has seen of an episode."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        """Build the cell; see `torch.nn.GRUCell`."""
        super().__init__(input_size, hidden_size)
        self._memory: torch.Tensor | None = None

    def remember(self, features: torch.Tensor) -> torch.Tensor:
        """Return the memory (B, M) after features (B, F), and keep it for the next step."""
        memory = self(features, self.memory(features))
        self._memory = memory
        return memory

    def unroll(self, features: torch.Tensor, sequences: Sequences) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the memories (T, B, M) after each step of features (T, B, F), and that for the next step.

        What is kept from step to step in a rollout is left alone.
        """
        going_on = (~sequences.dones.bool()).to(features.dtype)[..., None]
        memory, memories = sequences.memory, []
        for step in range(len(features)):
            memory = self(features[step], memory)
            memories.append(memory)
            memory = memory * going_on[step]
        return torch.stack(memories), memory

    def memory(self, like: torch.Tensor) -> torch.Tensor:
        """Return the memory (B, M) of the rollout, zeros at its start; B is that of `like` (B, …)."""
        return like.new_zeros(len(like), self.hidden_size) if self._memory is None else self._memory

    def reset(self, dones: torch.Tensor | None = None, hidden_state: torch.Tensor | None = None) -> None:
        """Forget, in the environments that are done (B,); without them, take on a hidden state (1, B, M)."""
        if dones is None:
            self._memory = None if hidden_state is None else hidden_state[0]
        elif self._memory is not None:
            self._memory = self._memory * (dones == 0).to(self._memory.dtype)[:, None]

    def hidden_state(self) -> torch.Tensor | None:
        """Return the memory as (1, B, M), the layout of rsl_rl; none at the start of a rollout."""
        return None if self._memory is None else self._memory[None]

    def detach(self) -> None:
        """Cut the memory off from the steps that made it."""
        if self._memory is not None:
            self._memory = self._memory.detach()
