"""The sequence of objects and of their poses."""

import numpy as np
import pytest

from grasp_description.objects import object_set
from grasp_description.workcell import SPAWN_CLEARANCE_M, SPAWN_REGION
from grasp_sim.spawning import SpawnSequence


def pose_list(sequence: SpawnSequence, count: int) -> list[tuple]:
    return [(entry.spec.name, *entry.pose) for entry in map(sequence.spawn, range(count))]


def test_the_same_seed_gives_the_same_sequence():
    assert pose_list(SpawnSequence("held-out", 7), 30) == pose_list(SpawnSequence("held-out", 7), 30)


def test_another_seed_gives_another_order_and_other_poses():
    first, second = (pose_list(SpawnSequence("held-out", seed), 30) for seed in (0, 1))
    assert [entry[0] for entry in first] != [entry[0] for entry in second]
    assert all(a[1:] != b[1:] for a, b in zip(first, second, strict=True))


def test_an_entry_does_not_depend_on_what_was_asked_before():
    used, fresh = SpawnSequence("training", 3), SpawnSequence("training", 3)
    pose_list(used, 12)
    used.spawn(12, attempt=5)
    assert np.array_equal(used.spawn(12).pose, fresh.spawn(12).pose)


@pytest.mark.parametrize("objects", ["training", "held-out"])
def test_every_object_comes_once_before_any_comes_again(objects):
    names = {spec.name for spec in object_set(objects)}
    sequence = SpawnSequence(objects, 0)
    cycles = [
        [sequence.spawn(cycle * len(names) + i).spec.name for i in range(len(names))] for cycle in (0, 1)
    ]
    assert set(cycles[0]) == set(cycles[1]) == names
    assert cycles[0] != cycles[1]


def test_objects_start_upright_just_above_the_table_within_the_region():
    sequence = SpawnSequence("held-out", 0)
    for entry in map(sequence.spawn, range(50)):
        offset = np.abs(entry.position[:2] - SPAWN_REGION.centre)
        assert np.all(offset <= SPAWN_REGION.half_size)
        assert entry.position[2] == pytest.approx(entry.spec.rest_height_m + SPAWN_CLEARANCE_M)
        assert np.linalg.norm(entry.quaternion) == pytest.approx(1.0)
        assert entry.quaternion[1] == entry.quaternion[2] == 0.0


def test_a_further_attempt_moves_the_same_object():
    sequence = SpawnSequence("held-out", 0)
    first, second = sequence.spawn(4), sequence.spawn(4, attempt=1)
    assert first.spec is second.spec
    assert not np.array_equal(first.position, second.position)


def test_an_unknown_set_and_a_negative_seed_are_refused():
    with pytest.raises(ValueError, match="does not exist"):
        SpawnSequence("fruit", 0)
    with pytest.raises(ValueError, match="seed=-1"):
        SpawnSequence("training", -1)
