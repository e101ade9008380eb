"""The student's network: shapes, shared weights, places kept, memory."""

from __future__ import annotations

import pytest
import torch
from learning_samples import HEIGHT, WIDTH, new_student, student_observations

from grasp_training.learning import StudentNetworkConfig
from grasp_training.learning.augmentation import recolour
from grasp_training.learning.stereo_encoder import StereoEncoder, StereoEncoderConfig


def test_outputs_have_the_promised_shapes() -> None:
    student, obs = new_student(), student_observations(5)
    assert student(obs).shape == (5, 11)
    assert student.get_hidden_state().shape == (1, 5, 32)
    dones, memory = torch.zeros(3, 5), torch.zeros(5, 32)
    stereo, proprioception = (
        obs["stereo"].expand(3, -1, -1, -1, -1, -1),
        obs["proprioception"].expand(3, -1, -1),
    )
    output = student.unroll(stereo, proprioception, dones, memory)
    assert output.action.shape == (3, 5, 11)
    assert output.position.shape == (3, 5, 3)
    assert output.memory.shape == (5, 32)


@pytest.mark.parametrize(("height", "width"), [(48, 64), (60, 80), (72, 96), (49, 67)])
def test_the_encoder_takes_any_usual_image_size(height: int, width: int) -> None:
    encoder = StereoEncoder(height, width, StereoEncoderConfig())
    image = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    assert encoder(image, image).shape == (2, encoder.output_size)


def test_images_of_the_wrong_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 each way are needed"):
        StereoEncoder(6, 80, StereoEncoderConfig())
    obs = student_observations(2)
    obs["stereo"] = obs["stereo"].float()
    from grasp_training.learning import StereoStudent

    with pytest.raises(ValueError, match=r"uint8 \(B, 2, H, W, 3\) is expected"):
        StereoStudent(
            obs, {"s": ["stereo", "proprioception"]}, "s", 11, StudentNetworkConfig(), "object_position"
        )


def test_both_eyes_are_seen_by_the_same_weights() -> None:
    encoder = new_student().encoder.eval()
    left, right = student_observations(4)["stereo"].unbind(1)
    seen: list[torch.Tensor] = []
    handle = encoder.eye.register_forward_hook(lambda module, inputs, output: seen.append(output))
    forward, swapped = encoder(left, right), encoder(right, left)
    handle.remove()
    assert torch.allclose(seen[0][:4], seen[1][4:], atol=1e-6), "an image's features do not depend on the eye"
    assert not torch.allclose(forward, swapped), "which eye saw what matters to the whole"
    count = 2 * encoder.keypoints.heat.out_channels
    disparity, reversed_disparity = forward[:, count : 2 * count], swapped[:, count : 2 * count]
    assert torch.allclose(disparity, -reversed_disparity, atol=1e-5), "swapped eyes give negative disparities"


def test_bytes_are_normalized_inside_the_network() -> None:
    eye = new_student().encoder.eye
    image = torch.randint(0, 256, (2, 3, HEIGHT, WIDTH)).float()
    first = eye[0]
    plain = torch.nn.functional.conv2d((image - 127.5) / 64.0, first.weight, first.bias, 2)
    scaled = first(image)[:, :, 1:, 1:]
    inside = (slice(None), slice(None), slice(0, plain.shape[2] - 1), slice(0, plain.shape[3] - 1))
    assert torch.allclose(scaled[inside], plain[inside], atol=1e-3), "away from the padded border"


def test_correlation_peaks_at_the_disparity() -> None:
    encoder = StereoEncoder(32, 64, StereoEncoderConfig(max_disparity_px=20))
    scene = torch.nn.functional.normalize(torch.randn(1, 32, 8, 16), dim=1)
    for shift in range(encoder.disparities):
        right = torch.roll(scene, -shift, dims=3)
        agreement = encoder.correlate(scene, right)
        assert agreement.shape == (1, encoder.disparities, 8, 16)
        assert (agreement[0, :, :, shift:].argmax(0) == shift).all(), f"disparity {shift}"
        assert (agreement[0, shift, :, :shift] == 0).all(), "nothing is seen beyond the right image's edge"


def test_a_moved_object_moves_the_features() -> None:
    encoder = new_student().encoder.eval()
    images = torch.full((2, HEIGHT, WIDTH, 3), 30, dtype=torch.uint8)
    images[0, 4:8, 4:8] = 255
    images[1, 4:8, 16:20] = 255
    here, there = encoder(images, images)
    assert not torch.allclose(here, there, atol=1e-5)


def test_memory_is_forgotten_only_where_an_episode_ended() -> None:
    student, obs = new_student().eval(), student_observations(3)
    fresh = student(obs)
    student(obs)
    student.reset(torch.tensor([1, 0, 1]))
    again = student(obs)
    assert torch.allclose(again[[0, 2]], fresh[[0, 2]], atol=1e-6)
    assert not torch.allclose(again[1], fresh[1], atol=1e-6)


def test_unrolling_a_sequence_is_acting_step_by_step() -> None:
    student = new_student().eval()
    steps = [student_observations(4, seed) for seed in range(5)]
    dones = torch.zeros(5, 4)
    dones[1, 2] = dones[3, 0] = 1
    acted = []
    for obs, done in zip(steps, dones, strict=True):
        acted.append(student(obs))
        student.reset(done)
    stacked = torch.stack(steps)  # type: ignore[arg-type]
    output = student.unroll(stacked["stereo"], stacked["proprioception"], dones, torch.zeros(4, 32))
    assert torch.allclose(output.action, torch.stack(acted), atol=1e-5)
    assert torch.allclose(output.memory, student.memory(output.memory), atol=1e-5)


def test_the_position_estimate_is_in_metres() -> None:
    student = new_student()
    labels = torch.tensor([0.6, 0.0, 0.1]) + 0.05 * torch.randn(4096, 3)
    obs = student_observations(4096)
    obs["object_position"] = labels
    student.update_normalization(obs)
    normalized = student.position_normalizer(labels)
    assert torch.allclose(student.position_m(normalized), labels, atol=1e-5)


def test_recolouring_treats_both_eyes_alike_and_keeps_every_edge() -> None:
    torch.manual_seed(0)
    images = torch.full((8, 2, 6, 6, 3), 60, dtype=torch.uint8)
    images[:, :, :, 3:] = torch.tensor([200, 40, 120], dtype=torch.uint8)
    changed = recolour(images, 0.3).float()
    assert changed.shape == images.shape
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert (changed[..., :3, :] - changed[..., :1, :]).abs().max() == 0.0
    steps = (changed[:, 0, 0, 3] - changed[:, 0, 0, 2]).abs()
    assert (steps.amax(dim=1) > 20).all(), "the object still stands out"
    assert torch.equal(recolour(images, 0.0), images)
