"""Results arrive where they are learnt from: in the slots of a rollout."""

from __future__ import annotations

import pytest
import torch
from rsl_rl.storage import RolloutStorage
from torch.distributed import HashStore
from toy_environment import ToyTask, make_toy_env

from grasp_training.disaggregation import Placement, RemoteVecEnv, Setup, SimulationWorker
from grasp_training.disaggregation.links import LocalLink
from grasp_training.disaggregation.messages import RecordLayout
from grasp_training.disaggregation.receiving import ReceiveBuffers
from grasp_training.learning.received_storage import ReceivedStorage, ReceivingPPO

LAYOUT = RecordLayout.of({"step": ((), torch.int64), "image": ((2, 2), torch.uint8)})


def toy_env(rollout_steps: int, turns: int = 1, staged: bool = False) -> RemoteVecEnv:
    placement = Placement.parse("single")
    setup = Setup(
        6, 2, ("proprioception", "privileged"), "training", 0, turns=turns, rollout_steps=rollout_steps
    )
    names = HashStore()
    worker = SimulationWorker(0, placement, setup, make_toy_env, ToyTask(), names)
    links = [LocalLink(worker, route) for route in worker.routes]
    return RemoteVecEnv(ToyTask(), setup, worker.description, links, names, staged=staged)


@pytest.mark.parametrize(("rollout_steps", "rollouts"), [(1, 1), (3, 1), (3, 2), (1, 2)])
def test_a_rollout_holds_what_was_seen_before_each_of_its_steps(rollout_steps: int, rollouts: int) -> None:
    buffers = ReceiveBuffers(LAYOUT, 4, rollout_steps, rollouts)
    for step in range(1, 5 * rollout_steps + 1):
        buffers.begin(step, slice(0, 2))
        buffers.begin(step, slice(2, 4))
        buffers.views(step)["step"].fill_(step)
        assert (buffers.views(step)["step"] == step).all()
        if step % rollout_steps == 0:
            first = step - rollout_steps
            kept = buffers.rollout((step // rollout_steps - 1) % rollouts)["step"]
            assert kept[:, 0].tolist() == list(range(first, step))
            assert (kept == kept[:, :1]).all()


def test_without_rollouts_two_slots_alternate() -> None:
    buffers = ReceiveBuffers(LAYOUT, 4)
    addresses = [buffers.records(step).data_ptr() for step in range(4)]
    assert addresses[0] == addresses[2]
    assert addresses[1] == addresses[3]
    assert addresses[0] != addresses[1]
    with pytest.raises(ValueError, match="Rollout 0 was asked for; 0 kept"):
        buffers.rollout(0)


@pytest.mark.parametrize("turns", [1, 2])
def test_records_that_come_by_another_memory_are_the_same(turns: int) -> None:
    direct, staged = (toy_env(3, turns, staged=staged) for staged in (False, True))
    first, again = direct.get_observations(), staged.get_observations()
    assert all(torch.equal(first[name], again[name]) for name in first.keys())  # noqa: SIM118
    for step in range(8):
        actions = torch.full((6, direct.num_actions), 0.1 * step)
        one, other = direct.step(actions), staged.step(actions)
        assert all(torch.equal(one[0][name], other[0][name]) for name in one[0].keys())  # noqa: SIM118
        assert torch.equal(one[1], other[1])
        assert torch.equal(one[2], other[2])
    for rollout in range(turns):
        kept, copied = direct.kept_observations(rollout), staged.kept_observations(rollout)
        assert all(torch.equal(kept[name], copied[name]) for name in kept.keys())  # noqa: SIM118


def test_the_storage_learns_from_the_records_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    env, steps = toy_env(rollout_steps=5), 5
    storage = ReceivedStorage(env, 0, "cpu")
    plain = RolloutStorage("rl", 6, steps, env.get_observations(), [env.num_actions])
    for _ in range(2):
        for _ in range(steps):
            for each in (plain, storage):
                transition = RolloutStorage.Transition()
                transition.observations = env.get_observations()
                transition.actions, transition.values = torch.ones(6, env.num_actions), torch.ones(6, 1)
                transition.rewards = transition.dones = torch.ones(6)
                transition.actions_log_prob = torch.ones(6)
                transition.distribution_params = (torch.ones(6, env.num_actions),)
                each.add_transition(transition)
            env.step(torch.rand(6, env.num_actions))
        for name in ("proprioception", "privileged"):
            assert torch.equal(storage.observations[name], plain.observations[name])
            assert storage.observations[name].abs().sum() > 0
        storage.clear()
        plain.clear()
    env.kept_observations(0)["privileged"].fill_(7.0)
    assert (storage.observations["privileged"] == 7.0).all(), "the same memory"


def test_rollouts_of_another_length_are_refused() -> None:
    env = toy_env(rollout_steps=5)
    with pytest.raises(ValueError, match="keeps rollouts of 5 steps; num_steps_per_env is 4"):
        ReceivingPPO.construct_algorithm(env.get_observations(), env, {"num_steps_per_env": 4}, "cpu")
