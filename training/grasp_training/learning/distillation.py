"""Distillation of a teacher into a recurrent stereo student, as an rsl_rl algorithm.

rsl_rl's `Distillation` acts with the student, stores the teacher's actions and makes one pass over the
rollout, a step at a time. This subclass keeps its interface, storage, saving and loading, and changes three
things: what is shown (first lessons in seeing alone, later in some environments), who acts (at first the
teacher begins some episodes), and the update (sequences from the last few rollouts, images encoded in one go,
auxiliary losses).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from rsl_rl.algorithms import Distillation
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import nn
from torch.nn import functional

from grasp_training.learning.augmentation import recolour
from grasp_training.learning.student import StereoStudent, StudentOutput
from grasp_training.learning.student_config import DistillationConfig

_OWN = "student_acts"
"""Name under which the storage keeps, with the observations, whether the student has taken over."""

_SETTLING_STEPS = 2
"""Steps after the student took over in which the joints still show what the teacher did."""


class _Sequences(NamedTuple):
    """Some environments of one rollout."""

    storage: RolloutStorage
    environments: torch.Tensor
    fresh: bool


class StereoDistillation(Distillation):
    """DAgger with a recurrent student, replayed rollouts and an auxiliary head."""

    student: StereoStudent  # type: ignore[assignment]

    def __init__(
        self,
        student: StereoStudent,
        teacher: nn.Module,
        storage: RolloutStorage,
        settings: DistillationConfig,
        total_iterations: int,
        device: str = "cpu",
        multi_gpu_cfg: dict | None = None,
        **_: Any,
    ) -> None:
        """Prepare to distil; see `rsl_rl.algorithms.Distillation`.

        Args:
            student: learns.
            teacher: labels; it acts on its own groups of the same observations.
            storage: the first rollout's storage; more of its kind are made for replay.
            settings: how to learn.
            total_iterations: iterations of the whole run, over which the learning rate falls.
            device: torch device.
            multi_gpu_cfg: rsl_rl's settings of several GPUs.
        """
        super().__init__(
            student, teacher, storage, gradient_length=storage.num_transitions_per_env,  # type: ignore[arg-type]
            learning_rate=settings.learning_rate, max_grad_norm=settings.max_gradient_norm, device=device,
            multi_gpu_cfg=multi_gpu_cfg,
        )  # fmt: skip
        self.settings, self.total_iterations = settings, max(1, total_iterations)
        self.storage = _storage_like(storage)
        self._replay: deque[RolloutStorage] = deque([self.storage])
        self._alone = torch.zeros(storage.num_envs, dtype=torch.bool, device=device)
        self._alone[: round(settings.unmixed_share * storage.num_envs)] = True
        self._lessons = torch.zeros_like(self._alone)
        self._give_lessons: Callable[[torch.Tensor], None] | None = None
        self._age = torch.zeros(storage.num_envs, device=device)
        self._takeover = self._draw_takeover()
        self._alone_episodes, self._alone_successes = 0, 0.0
        self._errors_m: dict[str, float] = {}

    def use_lessons(self, give: Callable[[torch.Tensor], None]) -> None:
        """Let `give` turn the images of the environments which (B,) bool into lessons in seeing."""
        self._give_lessons = give
        self._choose_lessons()

    @property
    def learns_to_see(self) -> bool:
        """Return whether all images are lessons still."""
        return self._give_lessons is not None and self.num_updates < self.settings.sight_iterations

    def _choose_lessons(self) -> None:
        """Choose the environments that give lessons in this iteration: the teacher acts there throughout."""
        if self._give_lessons is None:
            return
        count = self.storage.num_envs
        first = 0 if self.learns_to_see else count - round(self.settings.sight_share * count)
        lessons = torch.arange(count, device=self._alone.device) >= first
        self._give_lessons(lessons.cpu())
        # The student takes over where lessons end, with an empty memory.
        ended = self._lessons & ~lessons
        self._takeover = torch.where(ended, self._age, self._takeover)
        self._takeover[lessons] = torch.inf
        self.student.reset(ended)
        self._lessons = lessons

    @property
    def teacher_share(self) -> float:
        """Return the share of episodes that the teacher begins now, outside the unmixed environments."""
        settings = self.settings
        mixed = max(0, self.num_updates - settings.sight_iterations)
        return settings.teacher_share * max(0.0, 1.0 - mixed / max(1, settings.mixing_iterations))

    def act(self, obs: TensorDict) -> torch.Tensor:
        """Return actions (B, 11), the teacher's until the student takes over, and store what either says."""
        memory = self.student.memory(obs[self.student.proprioception_group])
        self.transition.hidden_states = (memory[None], None)
        taught = self.teacher(obs).detach().clamp(-1.0, 1.0)
        own = taught if self.learns_to_see else self.student(obs).detach()
        teaching = self._age < self._takeover
        self.transition.actions = torch.where(teaching[:, None], taught, own)
        self.transition.privileged_actions = taught
        settled = self._age >= self._takeover + _SETTLING_STEPS * (self._takeover > 0)
        self.transition.observations = obs.copy().set(_OWN, settled)
        return self.transition.actions

    def process_env_step(
        self, obs: TensorDict, rewards: torch.Tensor, dones: torch.Tensor, extras: dict[str, Any]
    ) -> None:
        """Store the step; count the student's own successes where `extras["success"]` (B,) tells them."""
        ended = (dones > 0).to(self.device)
        success = extras.get("success")
        if isinstance(success, torch.Tensor):
            counted = ended & (self._takeover == 0)
            self._alone_episodes += int(counted.sum())
            self._alone_successes += float(success.to(self.device)[counted].float().sum())
        self._age = torch.where(ended, 0.0, self._age + 1.0)
        self._takeover = torch.where(ended, self._draw_takeover(), self._takeover)
        super().process_env_step(obs, rewards, dones, extras)

    def _draw_takeover(self) -> torch.Tensor:
        """Draw the steps (B,) after which the student takes over, were an episode to begin now; often 0."""
        begins = (torch.rand(self._alone.shape, device=self.device) < self.teacher_share) & ~self._alone
        steps = torch.rand(self._alone.shape, device=self.device) * self.settings.teacher_steps
        return torch.where(self._lessons, torch.inf, begins * steps.ceil())

    def update(self) -> dict[str, float]:
        """Make the optimizer steps of one iteration and return the mean losses."""
        self._set_learning_rate()
        self.student.update_normalization(self.storage.observations.flatten(0, 1))
        totals, batches = torch.zeros(2, device=self.device), 0
        for batch in self._batches():
            behaviour, position = self._losses(batch)
            self.optimizer.zero_grad()
            (behaviour + self.settings.position_weight * position).backward()
            if self.is_multi_gpu:
                self.reduce_parameters()
            nn.utils.clip_grad_norm_(self.student.parameters(), self.settings.max_gradient_norm)
            self.optimizer.step()
            totals += torch.stack([behaviour.detach(), position.detach()])  # where they are: no waiting
            batches += 1
        behaviour_loss, position_loss = (totals / batches).tolist()
        figures = {"behaviour": behaviour_loss, "position": position_loss}
        figures |= {"policy/teacher_share": self.teacher_share, **self._errors_m}
        figures |= self._own_success()
        self.num_updates += 1
        self._next_storage()
        self._choose_lessons()
        return figures

    def reduce_parameters(self) -> None:
        """Average the gradients of all learners; see `rsl_rl.algorithms.Distillation`.

        rsl_rl takes flat views of them, which gradients of channels-last weights do not have.
        """
        for parameter in self.student.parameters():
            if parameter.grad is not None:
                parameter.grad = parameter.grad.contiguous()
        super().reduce_parameters()

    def save(self) -> dict[str, Any]:
        """Return what a checkpoint holds of the algorithm."""
        return {**super().save(), "num_updates": self.num_updates}

    def load(self, loaded_dict: dict, load_cfg: dict | None, strict: bool) -> bool:
        """Load a teacher's checkpoint (its actor becomes the teacher) or one of this algorithm."""
        self.num_updates = loaded_dict.get("num_updates", self.num_updates)
        self._choose_lessons()
        return super().load(loaded_dict, load_cfg, strict)

    def _losses(self, batch: list[_Sequences]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the behaviour loss and the auxiliary loss of sequences from several rollouts."""

        def stored(group: str) -> torch.Tensor:
            return torch.cat(
                [part.storage.observations[group][:, part.environments] for part in batch], dim=1
            )

        student = self.student
        place = stored(student.label_group)
        dones = torch.cat([part.storage.dones[:, part.environments, 0] for part in batch], dim=1)
        taught = torch.cat([part.storage.privileged_actions[:, part.environments] for part in batch], dim=1)
        memory = torch.cat([part.storage.saved_hidden_state_a[0][0, 0, part.environments] for part in batch])  # type: ignore[index]
        counts = stored(_OWN).float()
        first = 0
        for part in batch:
            last = first + len(part.environments)
            if not part.fresh:
                counts[: self.settings.burn_in_steps, first:last] = 0.0
            first = last
        images = stored(student.stereo_group)
        images = recolour(images.flatten(0, 1), self.settings.recolouring).view(images.shape)
        output = student.unroll(images, stored(student.proprioception_group), dones, memory)
        behaviour = self._behaviour_loss(output.action, taught).mean(dim=2)
        normalized = student.position_normalizer(place)
        remembered = functional.smooth_l1_loss(output.position, normalized, reduction="none").mean(dim=2)
        seen = functional.smooth_l1_loss(output.seen_position, normalized)
        with torch.no_grad():
            self._measure_errors(output, place)
        count = counts.sum().clamp(min=1.0)
        return (behaviour * counts).sum() / count, (remembered * counts).sum() / count + seen

    def _measure_errors(self, output: StudentOutput, place: torch.Tensor) -> None:
        for name, estimate in (("position", output.position), ("seen_position", output.seen_position)):
            error = (self.student.position_m(estimate) - place).norm(dim=2).mean()
            self._errors_m[f"policy/{name}_error_m"] = float(error)

    def _behaviour_loss(self, action: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        if self.settings.loss == "mse":
            return functional.mse_loss(action, taught, reduction="none")
        return functional.huber_loss(action, taught, reduction="none", delta=self.settings.huber_delta)

    def _batches(self) -> Iterator[list[_Sequences]]:
        """Yield the sequences of each optimizer step: every fresh one comes up before any comes up twice."""
        settings, older = self.settings, list(self._replay)[:-1]
        parts = settings.sight_batches if self.learns_to_see else 1
        size = settings.sequences_per_step // parts
        fresh_count = round(settings.fresh_share * size) if older else size
        fresh = self._shuffled_forever()
        for _ in range(settings.gradient_steps * parts):
            batch = []
            if fresh_count:
                chosen = torch.tensor([next(fresh) for _ in range(fresh_count)], device=self.device)
                batch.append(_Sequences(self.storage, chosen, True))
            if fresh_count < size:
                batch += self._replayed(older, size - fresh_count)
            yield batch

    def _replayed(self, older: list[RolloutStorage], count: int) -> list[_Sequences]:
        rollouts = torch.randint(len(older), (count,)).tolist()
        environments = torch.randint(self.storage.num_envs, (count,))
        parts = []
        for index in sorted(set(rollouts)):
            chosen = [environments[i] for i in range(count) if rollouts[i] == index]
            parts.append(_Sequences(older[index], torch.stack(chosen).to(self.device), False))
        return parts

    def _shuffled_forever(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.storage.num_envs).tolist()

    def _next_storage(self) -> None:
        """Go on to an empty storage: a new one, or the oldest rollout's."""
        if len(self._replay) < self.settings.replay_rollouts:
            self.storage = _storage_like(self.storage)
        else:
            self.storage = self._replay.popleft()
        self._replay.append(self.storage)
        self.storage.clear()

    def _own_success(self) -> dict[str, float]:
        episodes, successes = self._alone_episodes, self._alone_successes
        self._alone_episodes, self._alone_successes = 0, 0.0
        return {"episode/student_success": successes / episodes} if episodes else {}

    def _set_learning_rate(self) -> None:
        settings = self.settings
        done = min(1.0, self.num_updates / self.total_iterations)
        span = settings.learning_rate - settings.final_learning_rate
        self.learning_rate = settings.final_learning_rate + 0.5 * span * (1.0 + math.cos(math.pi * done))
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate


def _storage_like(storage: RolloutStorage) -> RolloutStorage:
    """Return an empty storage for the same observations, and for whether the student has taken over."""
    shown = storage.observations[0].clone().set(_OWN, torch.zeros(storage.num_envs, dtype=torch.bool))
    steps, actions = storage.num_transitions_per_env, storage.actions_shape
    return RolloutStorage("distillation", storage.num_envs, steps, shown, actions, storage.device)
