"""The depth teacher's actor: memory, holes, and the estimate of where the object is."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from learning_samples import SMALL_DEPTH_NETWORK, small_teacher
from tensordict import TensorDict
from toy_environment import ToyTask, make_toy_env

from grasp_training.learning import NetworkConfig, PpoConfig, TeacherConfig, train_teacher
from grasp_training.learning.depth_encoder import DepthEncoder, DepthEncoderConfig
from grasp_training.learning.depth_network import DepthModel, DepthNetworkConfig
from grasp_training.learning.memory import Sequences
from grasp_training.learning.received_storage import ReceivingPPO

GROUPS = {"actor": ["proprioception", "depth"]}


def seen(*batch: int, seed: int = 0) -> TensorDict:
    generator = torch.Generator().manual_seed(seed)
    groups = {
        "proprioception": torch.randn(*batch, 69, generator=generator),
        "depth": torch.rand(*batch, 1, 16, 24, generator=generator).half(),
        "object_position": torch.randn(*batch, 3, generator=generator),
    }
    return TensorDict(groups, batch_size=list(batch))


def depth_model(**changes: Any) -> DepthModel:
    torch.manual_seed(0)
    config = dataclasses.replace(SMALL_DEPTH_NETWORK, **changes)
    return DepthModel(seen(2), GROUPS, "actor", 11, config, "object_position", hidden_dims=[32])


def test_a_sequence_is_what_its_steps_are_one_by_one() -> None:
    model, steps, dones = depth_model().eval(), seen(7, 3), torch.rand(7, 3) < 0.3
    assert 0 < dones.sum() < dones.numel()
    model.reset(hidden_state=torch.randn(1, 3, 16))
    before = model.get_hidden_state()
    assert before is not None
    with torch.no_grad():
        together = model(steps, hidden_state=Sequences(before[0], dones))
        assert torch.equal(model.get_hidden_state(), before), (
            "what is remembered in the rollout is left alone"
        )
        alone = []
        for step in range(7):
            alone.append(model(steps[step]))
            model.reset(dones[step])
    torch.testing.assert_close(together, torch.stack(alone))


def test_what_an_actor_with_memory_does_depends_on_what_it_saw() -> None:
    model = depth_model().eval()
    with torch.no_grad():
        first = model(seen(3))
        assert not torch.allclose(model(seen(3)), first)
        model.reset(torch.ones(3))
        torch.testing.assert_close(model(seen(3)), first)


def test_an_actor_without_memory_acts_on_what_it_sees() -> None:
    model = depth_model(memory_size=0).eval()
    assert not model.is_recurrent
    with torch.no_grad():
        assert torch.equal(model(seen(3)), model(seen(3)))
    assert model.get_hidden_state() is None


def test_depth_that_was_not_measured_is_told_from_any_that_was() -> None:
    encoder = DepthEncoder(16, 24, DepthEncoderConfig())
    middle = torch.full((1, 1, 16, 24), DepthEncoderConfig().middle_m).half()
    with torch.no_grad():
        assert not torch.allclose(encoder(middle), encoder(torch.zeros_like(middle)))
        beyond = [torch.full_like(middle, depth) for depth in (2.0, 9.0)]
        assert torch.equal(encoder(beyond[0]), encoder(beyond[1])), "beyond the range all is equally far"


def test_depth_is_seen_the_same_in_both_transport_types() -> None:
    encoder = DepthEncoder(16, 24, DepthEncoderConfig())
    millimetres = torch.randint(300, 1900, (4, 1, 16, 24)).to(torch.uint16)
    metres = (millimetres.float() / 1000).half()
    with torch.no_grad():
        torch.testing.assert_close(encoder(millimetres), encoder(metres), atol=0.02, rtol=0.02)


def test_a_keypoint_has_the_depth_that_was_measured_where_it_lies() -> None:
    encoder = DepthEncoder(16, 24, DepthEncoderConfig())
    depth = torch.linspace(0.5, 1.5, 24).expand(1, 1, 16, 24).clone()
    depth[..., ::2, ::3] = 0.0
    cells = encoder._depth_by_cell(encoder._image(depth))[0, :, 0].view(4, 6)
    config = encoder.config
    found = cells * config.deviation_m + config.middle_m
    expected = torch.linspace(0.5, 1.5, 24).view(6, 4).mean(1).expand(4, 6)
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0.0)


def test_images_of_the_wrong_shape_are_refused() -> None:
    two = seen(2).set("more", torch.zeros(2, 1, 16, 24))
    with pytest.raises(
        ValueError, match=r"one group of images .* got proprioception .* more \(2, 1, 16, 24\)"
    ):
        DepthModel(
            two,
            {"actor": ["proprioception", "depth", "more"]},
            "actor",
            11,
            SMALL_DEPTH_NETWORK,
            "object_position",
        )
    with pytest.raises(ValueError, match="4x24 pixels; at least 8"):
        DepthEncoder(4, 24, DepthEncoderConfig())


def depth_teacher(run: str, **changes: Any) -> TeacherConfig:
    settings: dict[str, Any] = {"observe": "depth", "depth": SMALL_DEPTH_NETWORK, "env_blocks": 2} | changes
    return dataclasses.replace(small_teacher(run), **settings)


@pytest.mark.parametrize("memory_size", [0, 16])
def test_the_first_mini_batch_finds_the_policy_that_acted(
    memory_size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else PPO's ratios are not 1 where they should be: memory, or its order, is mixed up."""
    differences: list[float] = []
    update = ReceivingPPO.update

    def compare_and_update(algorithm: ReceivingPPO) -> dict[str, float]:
        storage, actor = algorithm.storage, algorithm.actor
        batches = storage.recurrent_mini_batch_generator if memory_size else storage.mini_batch_generator
        for batch in batches(2, 1):
            with torch.no_grad():
                actor(batch.observations, hidden_state=batch.hidden_states[0], stochastic_output=True)
            said = actor.get_output_log_prob(batch.actions)
            differences.append(float((said - batch.old_actions_log_prob.squeeze(-1)).abs().max()))
        return update(algorithm)

    monkeypatch.setattr(ReceivingPPO, "update", compare_and_update)
    network = dataclasses.replace(SMALL_DEPTH_NETWORK, memory_size=memory_size, mixed_precision=False)
    train_teacher(depth_teacher("r", depth=network), ToyTask(episode_steps=5), make_toy_env, tmp_path)
    assert len(differences) == 6
    assert max(differences) < 1e-4


@pytest.mark.parametrize("mode", ["synchronous", "overlapped"])
def test_a_depth_teacher_learns_the_toy_task(mode: Any, tmp_path: Path) -> None:
    config = depth_teacher(
        f"learns-{mode}",
        mode=mode,
        seed=1,
        iterations=25,
        num_envs=64,
        ppo=PpoConfig(steps_per_rollout=20, epochs=4, minibatches=4),
        actor=NetworkConfig(hidden_sizes=(64,)),
        critic=NetworkConfig(hidden_sizes=(64, 64)),
        depth=dataclasses.replace(SMALL_DEPTH_NETWORK, mixed_precision=False),
    )
    rows = train_teacher(config, ToyTask(), make_toy_env, tmp_path).metrics.rows()
    first, last = rows[1]["train/mean_reward"], rows[-1]["train/mean_reward"]
    assert last > first + 3.0, f"mean reward went from {first:.2f} to {last:.2f}"
    assert rows[-1]["loss/position"] < 0.3 * rows[0]["loss/position"]


def test_without_weight_no_position_is_asked_for(tmp_path: Path) -> None:
    network = dataclasses.replace(SMALL_DEPTH_NETWORK, position_weight=0.0)
    config = depth_teacher("r", depth=network)
    assert config.observation_groups() == ("proprioception", "depth", "privileged")
    rows = train_teacher(config, ToyTask(), make_toy_env, tmp_path).metrics.rows()
    assert "loss/position" not in rows[-1]


def test_the_actor_never_reads_the_label() -> None:
    model, steps = depth_model().eval(), seen(3)
    with torch.no_grad():
        expected = model(steps)
        model.reset()
        assert torch.equal(model(steps.exclude("object_position")), expected)
    assert "object_position" not in TeacherConfig(run="r", observe="depth").actor_groups()
    assert DepthNetworkConfig().position_weight > 0
