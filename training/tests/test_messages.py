"""Records: packed, aligned, views of one buffer, and depth in half its bytes."""

from __future__ import annotations

import pytest
import torch
from torch.distributed import HashStore

from grasp_training.disaggregation.messages import (
    MAX_FIGURES,
    ObservationSpec,
    action_layout,
    read_depth,
    result_layout,
    write,
)
from grasp_training.disaggregation.worker import FigureNames

OBSERVATIONS = {
    "proprioception": ObservationSpec((69,), "float32"),
    "stereo": ObservationSpec((2, 6, 8, 3), "uint8"),
    "depth": ObservationSpec((1, 6, 8), "float32"),
}


def test_every_field_is_a_view_of_the_buffer_and_none_overlaps() -> None:
    layout = result_layout(OBSERVATIONS, "float16", smallest_block=4)
    buffer = layout.new(5)
    views = layout.views(buffer)
    for number, view in enumerate(views.values()):
        view.copy_(torch.full(view.shape, number + 1).to(view.dtype))
    for number, (name, view) in enumerate(views.items()):
        assert view.untyped_storage().data_ptr() == buffer.untyped_storage().data_ptr()
        assert (view.to(torch.int32) == number + 1).all(), f"{name} was overwritten"
    assert views["observation/depth"].shape == (5, 1, 6, 8)
    assert views["observation/stereo"].dtype == torch.uint8


def test_fields_and_records_are_aligned() -> None:
    for layout in (action_layout(11), result_layout(OBSERVATIONS, "uint16", smallest_block=3)):
        assert layout.size % 16 == 0
        assert all(field.offset % 16 == 0 for field in layout.fields)


def test_images_travel_as_bytes_and_depth_in_two() -> None:
    for depth in ("float16", "uint16"):
        sizes = {field.name: field.size for field in result_layout(OBSERVATIONS, depth, 64).fields}
        assert sizes["observation/stereo"] == 2 * 6 * 8 * 3
        assert sizes["observation/depth"] == 2 * 6 * 8
    assert result_layout(OBSERVATIONS, "float16", 64).size < 2 * 6 * 8 * 3 + 2 * 6 * 8 + 4 * 69 + 100


@pytest.mark.parametrize(("dtype", "error_m"), [(torch.float16, 6e-4), (torch.uint16, 5.01e-4)])
def test_depth_arrives_within_a_millimetre(dtype: torch.dtype, error_m: float) -> None:
    depth = torch.linspace(0.0, 2.0, 4001)
    sent = torch.empty(depth.shape, dtype=dtype)
    write(sent, depth)
    assert (read_depth(sent) - depth).abs().max() <= error_m
    assert read_depth(sent).dtype == torch.float32


def test_depth_beyond_what_millimetres_can_say_is_the_farthest() -> None:
    sent = torch.empty(2, dtype=torch.uint16)
    write(sent, torch.tensor([1e9, -1.0]))
    assert read_depth(sent).tolist() == [pytest.approx(65.535), 0.0]


def test_names_of_figures_are_told_once_and_found_by_number() -> None:
    store = HashStore()
    here, there = FigureNames(store, 3), FigureNames(store, 3)
    names = ["reward/reach", "episode/success", "reward/reach"]
    numbers = [here.index(name) for name in names]
    assert numbers == [0, 1, 0]
    assert [there.name(number) for number in reversed(numbers)] == names[::-1]
    for number in range(MAX_FIGURES - 2):
        here.index(f"x{number}")
    with pytest.raises(ValueError, match=rf"'y' as one more than {MAX_FIGURES} figures"):
        here.index("y")
