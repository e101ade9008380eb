"""Memory that ranks of one machine share: written there, read here, and nothing copied between."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from learning_samples import small_teacher
from ranks_in_threads import train_in_threads
from toy_environment import ToyTask, make_toy_env

from grasp_training.disaggregation.links import GroupLink
from grasp_training.disaggregation.shared_links import SharedLink
from grasp_training.disaggregation.shared_memory import MappedMemory, Place, SharedMemory, can_share
from grasp_training.learning import TeacherConfig

pytestmark = pytest.mark.skipif(not can_share(), reason="this system has no memfd")


_THERE = """
import json, sys
import torch
from grasp_training.disaggregation.shared_memory import MappedMemory, Place
told, place = json.load(sys.stdin)
MappedMemory(3, told.__getitem__).records(Place(**place), (2, 4)).add_(torch.arange(8).view(2, 4).byte())
"""


def shared() -> tuple[SharedMemory, dict[str, str]]:
    told: dict[str, str] = {}
    return SharedMemory(3, told.__setitem__), told


def test_what_another_process_writes_is_here() -> None:
    memory, told = shared()
    records = memory.new((5, 3, 4))
    assert not records.any()
    records[2, 1:] = 10
    place = dataclasses.asdict(memory.place(records[2, 1:]))
    subprocess.run(
        [sys.executable, "-c", _THERE],
        input=json.dumps([told, place]),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        text=True,
        check=True,
        timeout=120.0,
    )
    assert records[2, 1:].flatten().tolist() == list(range(10, 18))
    assert records.sum() == sum(range(10, 18)), "and nothing else has changed"


def test_records_are_found_in_whichever_region_they_lie() -> None:
    memory, _ = shared()
    first, second = memory.new((4, 6)), memory.new((2, 3, 8))
    assert memory.place(first) == Place(1, 0)
    assert memory.place(second[1, 1:]) == Place(2, 32)
    for strange in (torch.zeros(4, 6, dtype=torch.uint8), first[:, :3]):
        with pytest.raises(ValueError, match="do not lie in memory that ranks share"):
            memory.place(strange)


@pytest.mark.parametrize(
    "change", [{"machine": "another"}, {"process": 2**22 + 1}, {"file": 10**6}, {"name": "another"}]
)
def test_memory_out_of_sight_is_not_reached(change: dict[str, Any]) -> None:
    memory, told = shared()
    assert MappedMemory(3, told.__getitem__).reachable()
    (key,) = told
    told[key] = json.dumps(json.loads(told[key]) | change)
    assert not MappedMemory(3, told.__getitem__).reachable()
    del memory


def test_memory_goes_with_the_last_that_uses_it() -> None:
    before = open_files()
    memory, _ = shared()
    memory.new((10, 10))
    assert len(open_files() - before) == 2
    del memory
    assert open_files() <= before


def open_files() -> set[str]:
    """Return the names of the shared memory that this process has open."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the folder's own, closed by now
            found.add(str(path.readlink()))
    return {name for name in found if "grasp-" in name}


def config(run: str, transport: str, mode: Any = "synchronous") -> TeacherConfig:
    small = small_teacher(run, 3, num_envs=8)
    return dataclasses.replace(small, placement="2:1", env_blocks=4, transport=transport, mode=mode)


@pytest.mark.parametrize("mode", ["synchronous", "overlapped"])
def test_how_records_cross_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Any
) -> None:
    """As messages, through shared memory, and with one simulator out of reach of it: equal to the bit."""
    made: list[str] = []
    for kind in (GroupLink, SharedLink):
        monkeypatch.setattr(kind, "first", telling(kind.first, made))
    runs = [
        train_in_threads(config(run, run, mode), ToyTask(episode_steps=7), make_toy_env, tmp_path)
        for run in ("messages", "auto")
    ]
    reachable = iter([True, False])
    monkeypatch.setattr(MappedMemory, "reachable", lambda memory: next(reachable))
    runs.append(train_in_threads(config("both", "auto", mode), ToyTask(7), make_toy_env, tmp_path))
    groups = 2 if mode == "overlapped" else 1
    assert made[: 2 * groups] == ["GroupLink"] * 2 * groups
    assert made[2 * groups : 4 * groups] == ["SharedLink"] * 2 * groups
    assert sorted(made[4 * groups :]) == sorted(["GroupLink", "SharedLink"] * groups)
    first, *others = [run.checkpoints().load_latest().content["actor_state_dict"] for run in runs]
    for other in others:
        assert all(torch.equal(value, other[name]) for name, value in first.items())


def telling(function: Any, made: list[str]) -> Any:
    def tell(link: Any, results: torch.Tensor) -> None:
        made.append(type(link).__name__)
        function(link, results)

    return tell
