"""Where a learner's results arrive: straight into the rollouts that it learns from."""

from __future__ import annotations

from collections.abc import Callable

import torch

from grasp_training.disaggregation.messages import RecordLayout

Allocate = Callable[[tuple[int, ...]], torch.Tensor]
"""Returns zeroed bytes uint8 of a shape, for records to lie in."""


def memory_on(device: torch.device | str) -> Allocate:
    """Return what allocates on a device."""
    return lambda shape: torch.zeros(shape, dtype=torch.uint8, device=device)


class ReceiveBuffers:
    """Records of all environments of a learner, for several steps.

    With `rollout_steps` = T, a rollout has T + 1 slots: what was seen before its first step, and after each.
    The first T are what a learner learns from, so nothing is copied after the receipt but the last slot to
    the first of the next rollout. Rollouts are written in turn. Without (0), two slots alternate.
    """

    def __init__(
        self,
        layout: RecordLayout,
        num_envs: int,
        rollout_steps: int = 0,
        rollouts: int = 1,
        allocate: Allocate = memory_on("cpu"),
    ) -> None:
        """Allocate.

        Args:
            layout: of a record.
            num_envs: rows of every slot.
            rollout_steps: control steps of a rollout that is kept, or 0.
            rollouts: rollouts that are kept; 2 where one is learnt from while the other is collected.
            allocate: gives the memory.
        """
        self.layout, self.rollout_steps = layout, rollout_steps
        self._rollouts = rollouts if rollout_steps else 1
        self._slots = rollout_steps + 1 if rollout_steps else 2
        shape = (self._rollouts, self._slots, num_envs, layout.size)
        self._records = allocate(shape)
        self._views = [[layout.views(records) for records in rollout] for rollout in self._records]

    @property
    def nbytes(self) -> int:
        """Return the bytes of all slots."""
        return self._records.nbytes

    def records(self, step: int) -> torch.Tensor:
        """Return where the results of a step (0: the first observations) arrive: uint8 (num_envs, size)."""
        rollout, slot = self._place(step)
        return self._records[rollout, slot]

    def views(self, step: int) -> dict[str, torch.Tensor]:
        """Return every field (num_envs, …) of the results of a step."""
        rollout, slot = self._place(step)
        return self._views[rollout][slot]

    def begin(self, step: int, rows: slice) -> None:
        """Prepare to send a step: the last results of a rollout are the first of the next."""
        if self.rollout_steps and step > 1 and (step - 1) % self.rollout_steps == 0:
            self._records[self._rollout_of(step), 0, rows] = self.records(step - 1)[rows]

    def rollout(self, index: int) -> dict[str, torch.Tensor]:
        """Return every field (rollout_steps, num_envs, …) of a rollout's first slots."""
        rollouts = self._rollouts if self.rollout_steps else 0
        if not 0 <= index < rollouts:
            raise ValueError(f"Rollout {index} was asked for; {rollouts} kept")
        kept = self._records[index, : self.rollout_steps]
        views = self.layout.views(kept.flatten(0, 1))
        return {name: view.unflatten(0, kept.shape[:2]) for name, view in views.items()}

    def _rollout_of(self, step: int) -> int:
        return (step - 1) // self.rollout_steps % self._rollouts

    def _place(self, step: int) -> tuple[int, int]:
        """Return the rollout and the slot of a step's results."""
        if not self.rollout_steps:
            return 0, step % 2
        if step == 0:
            return 0, 0
        return self._rollout_of(step), (step - 1) % self.rollout_steps + 1
