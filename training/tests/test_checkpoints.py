"""Checkpoints are whole or not there, and a damaged one is passed over with a message."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from grasp_training.runs import CheckpointError, CheckpointStore, load_checkpoint


class Code:
    """Something a checkpoint must not hold: loading it would run code."""

    def __reduce__(self) -> tuple:
        return (print, ("executed",))


def store_with(folder: Path, iterations: list[int], messages: list[str] | None = None) -> CheckpointStore:
    store = CheckpointStore(folder, report=(messages if messages is not None else []).append)
    for iteration in iterations:
        store.save(iteration, {"iteration": iteration, "weights": torch.full((1000,), float(iteration))})
    return store


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint = store_with(tmp_path, [7]).load_latest()
    assert checkpoint.iteration == 7
    assert torch.equal(checkpoint.content["weights"], torch.full((1000,), 7.0))


def test_the_last_three_and_every_hundredth_are_kept(tmp_path: Path) -> None:
    store = store_with(tmp_path, [90, 100, 110, 120, 190, 200, 210, 220])
    assert store.iterations() == [100, 200, 210, 220]
    names = {path.name for path in tmp_path.iterdir()}
    assert len(names) == 8, f"a checksum lies beside each and nothing else: {names}"


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.999])
def test_a_truncated_checkpoint_gives_way_to_the_one_before(tmp_path: Path, kept: float) -> None:
    messages: list[str] = []
    store = store_with(tmp_path, [10, 20], messages)
    data = store.path(20).read_bytes()
    store.path(20).write_bytes(data[: int(kept * len(data)) if isinstance(kept, float) else kept])
    assert store.load_latest().iteration == 10
    assert len(messages) == 1
    assert "iteration_00000020.pt is damaged" in messages[0]


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    store = store_with(tmp_path, [10])
    data = bytearray(store.path(10).read_bytes())
    data[len(data) // 2] ^= 1
    store.path(10).write_bytes(data)
    with pytest.raises(CheckpointError, match="is damaged"):
        store.load(10)
    with pytest.raises(CheckpointError, match="none of the 1 there is whole"):
        store.load_latest()


def test_a_checkpoint_without_its_checksum_is_not_trusted(tmp_path: Path) -> None:
    store = store_with(tmp_path, [10])
    store.path(10).with_suffix(".sha256").unlink()
    with pytest.raises(CheckpointError, match="checksum cannot be read"):
        store.load(10)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = CheckpointStore(tmp_path)
    store.save(1, {"iteration": 1, "code": Code()})
    with pytest.raises(CheckpointError, match="not a file of plain tensors"):
        store.load(1)
    assert capsys.readouterr().out == ""
    assert pickle.dumps(Code()), "the same object is one that pickle takes"


def test_what_a_kill_leaves_behind_is_neither_loaded_nor_kept(tmp_path: Path) -> None:
    store = store_with(tmp_path, [10])
    (tmp_path / "iteration_00000020.sha256").write_text("0" * 64 + "  iteration_00000020.pt\n")
    (tmp_path / "iteration_00000020.pt.tmp").write_bytes(b"half")
    assert store.load_latest().iteration == 10
    store.save(20, {"iteration": 20})
    assert store.load_latest().iteration == 20
    assert not list(tmp_path.glob("*.tmp"))


def test_a_store_without_checkpoints_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it has none"):
        CheckpointStore(tmp_path / "none").load_latest()
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "iteration_00000001.pt")
