"""Distance to the objects' surface, against MuJoCo's own geometry and against points on the surface."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
import torch

from grasp_description.objects import HELD_OUT_FAMILIES, TRAINING_FAMILIES, ObjectSpec, object_set, pack
from grasp_description.scene import OBJECT_BODY, OBJECT_GEOMS, apply_object, build_model
from grasp_training.rotations import rotation_from_quaternion
from grasp_training.tasks.surface import object_distance

FAMILIES = TRAINING_FAMILIES + HELD_OUT_FAMILIES
PROBE_RADIUS = 1e-3


def samples(family: str, count: int = 3) -> list[ObjectSpec]:
    objects = object_set("training") + object_set("held-out")
    return [spec for spec in objects if spec.family == family][:count]


def distances(spec: ObjectSpec, points: np.ndarray) -> np.ndarray:
    """``object_distance`` (p,) of points (p, 3) in the object's frame."""
    packed = pack([spec])

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32)

    rotation = rotation_from_quaternion(tensor(packed.geom_quaternion))
    kind, size = torch.as_tensor(packed.geom_type), tensor(packed.geom_size)
    return object_distance(tensor(points)[None], kind, size, tensor(packed.geom_position), rotation)[
        0
    ].numpy()


@pytest.fixture(scope="module")
def probe() -> tuple[mujoco.MjModel, mujoco.MjData]:
    """The scene with a fingertip-like probe: a tiny sphere that can be put anywhere."""
    model = build_model()
    model.geom_size[model.geom("index_tip_geom_0").id, 0] = PROBE_RADIUS
    return model, mujoco.MjData(model)


def mujocos_distances(probe, spec: ObjectSpec, points: np.ndarray) -> np.ndarray:
    """mj_geomDistance from each point to the nearest part (p,)."""
    model, data = probe
    apply_object(model, spec)
    sphere, body = model.geom("index_tip_geom_0").id, model.body(OBJECT_BODY).id
    slots = [model.geom(name).id for name in OBJECT_GEOMS[: len(spec.parts)]]
    data.qpos[:] = model.key("home").qpos
    mujoco.mj_kinematics(model, data)
    rotation = data.xmat[body].reshape(3, 3)
    found = []
    for point in points:
        data.geom_xpos[sphere] = data.xpos[body] + rotation @ point
        found.append(min(mujoco.mj_geomDistance(model, data, sphere, slot, 1.0, None) for slot in slots))
    return np.array(found) + PROBE_RADIUS


def cloud(spec: ObjectSpec, count: int = 60) -> np.ndarray:
    reach = spec.bounding_radius() + 0.05
    return np.random.default_rng(0).uniform(-reach, reach, (count, 3))


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "ellipsoid"])
def test_distance_is_mujocos(probe, family):
    for spec in samples(family):
        points = cloud(spec)
        ours, theirs = distances(spec, points), mujocos_distances(probe, spec, points)
        outside = theirs > 2 * PROBE_RADIUS
        np.testing.assert_allclose(ours[outside], theirs[outside], atol=1e-6)
        assert (ours[~outside] < 3 * PROBE_RADIUS).all()


def test_distance_to_ellipsoids_is_close_and_exact_at_the_surface(probe):
    for spec in samples("ellipsoid", 6):
        points = cloud(spec)
        ours, theirs = distances(spec, points), mujocos_distances(probe, spec, points)
        outside = theirs > 2 * PROBE_RADIUS
        np.testing.assert_allclose(ours[outside], theirs[outside], rtol=0.2)
        near = outside & (theirs < 0.02)
        np.testing.assert_allclose(ours[near], theirs[near], atol=2e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_signs_tell_inside_from_outside(family):
    """By brute force: a point is inside the object if it is inside one of its parts."""
    for spec in samples(family):
        points = cloud(spec, 2000)
        inside = np.zeros(len(points), bool)
        for part in spec.parts:
            local = (points - part.position) @ rotation_of(part.quaternion)
            inside |= contains(part.shape, np.asarray(part.size), local)
        assert 0 < inside.sum() < len(points)
        ours = distances(spec, points)
        clear = np.abs(ours) > 1e-6
        np.testing.assert_array_equal(ours[clear] < 0, inside[clear])


def rotation_of(quaternion) -> np.ndarray:
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quaternion, float))
    return matrix.reshape(3, 3)


def contains(shape: str, size: np.ndarray, points: np.ndarray) -> np.ndarray:
    radial, along = np.linalg.norm(points[:, :2], axis=1), np.abs(points[:, 2])
    if shape == "box":
        return (np.abs(points) < size).all(1)
    if shape == "ellipsoid":
        return ((points / size) ** 2).sum(1) < 1
    if shape == "cylinder":
        return (radial < size[0]) & (along < size[1])
    return np.hypot(radial, np.maximum(along - size[1], 0)) < size[0]


def test_empty_slots_are_infinitely_far_away():
    nothing = torch.full((1, 3), int(mujoco.mjtGeom.mjGEOM_SPHERE))
    zeros, identity = torch.zeros(1, 3, 3), torch.eye(3).expand(1, 3, 3, 3)
    found = object_distance(torch.zeros(1, 2, 3), nothing, torch.full((1, 3, 3), 0.01), zeros, identity)
    assert torch.isinf(found).all()


def test_environments_of_a_batch_are_told_apart():
    first, second = samples("box", 1)[0], samples("mug", 1)[0]
    packed = pack([first, second])
    points = torch.tensor(np.stack([cloud(first), cloud(second)]), dtype=torch.float32)
    together = object_distance(
        points,
        torch.as_tensor(packed.geom_type),
        torch.as_tensor(packed.geom_size, dtype=torch.float32),
        torch.as_tensor(packed.geom_position, dtype=torch.float32),
        rotation_from_quaternion(torch.as_tensor(packed.geom_quaternion, dtype=torch.float32)),
    )
    for row, spec in enumerate((first, second)):
        np.testing.assert_allclose(together[row], distances(spec, points[row].numpy()), atol=1e-7)
