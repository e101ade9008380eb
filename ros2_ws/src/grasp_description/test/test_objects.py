"""Procedural objects: sets, limits, mass properties, rest heights, stability."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import mujoco
import numpy as np
import pytest

from grasp_description.object_families import ALONG_X, FAMILIES
from grasp_description.object_shapes import Part, quaternion_of, rotation_matrix
from grasp_description.objects import (
    FEATURE_SIZE,
    HELD_OUT_FAMILIES,
    MAX_PARTS,
    MIN_DIFFERENCE,
    OBJECT_SETS,
    TRAINING_FAMILIES,
    ObjectSpec,
    check_limits,
    difference,
    make_object,
    object_set,
    pack,
    shape_features,
)

TRAINING, HELD_OUT = object_set("training"), object_set("held-out")
EVERY = TRAINING + HELD_OUT
TILTED = (0.9, 0.1, -0.3, 0.3)

every_family = pytest.mark.parametrize("family", FAMILIES)


def members(family: str) -> list[ObjectSpec]:
    """Every object of a family, training and held-out."""
    return [spec for spec in EVERY if spec.family == family]


def compiled(spec: ObjectSpec, plane: bool = False) -> mujoco.MjModel:
    """The object compiled by MuJoCo from its geoms and densities alone, free above a plane if asked for."""
    scene = mujoco.MjSpec()
    scene.option.timestep = 1 / 240
    if plane:
        scene.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1, 1, 0.1])
    body = scene.worldbody.add_body(name="object")
    if plane:
        body.add_freejoint()
    fields = pack([spec])
    for slot, density in enumerate(spec.part_densities()):
        body.add_geom(
            type=mujoco.mjtGeom(int(fields.geom_type[0, slot])),
            size=fields.geom_size[0, slot],
            pos=fields.geom_position[0, slot],
            quat=fields.geom_quaternion[0, slot],
            density=density,
        )
    return scene.compile()


def surface_points(part: Part, rng: np.random.Generator, count: int = 40_000) -> np.ndarray:
    """Random points on (or, for a box's and a cylinder's edges, at) the part's surface, object frame."""
    a, b, _ = part.size
    sphere = rng.normal(size=(count, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    side = rng.choice([-1.0, 1.0], count)
    if part.shape == "box":
        # Corners are the extreme points of a box.
        points = rng.choice([-1.0, 1.0], (count, 3)) * part.size
    elif part.shape == "ellipsoid":
        points = sphere * part.size
    elif part.shape == "capsule":
        points = sphere * a + np.outer(side, [0, 0, b])
    else:
        angle = rng.uniform(0, 2 * np.pi, count)
        points = np.stack([a * np.cos(angle), a * np.sin(angle), b * side], axis=1)
    return points @ rotation_matrix(part.quaternion).T + part.position


def tilt_deg(data: mujoco.MjData) -> float:
    """Angle between the object's z axis and the vertical."""
    return float(np.degrees(np.arccos(np.clip(data.body("object").xmat[8], -1, 1))))


# ------------------------------------------------------------------------------------------------- the sets


@pytest.mark.parametrize("name", OBJECT_SETS)
def test_a_seed_gives_the_same_objects_in_another_process(name):
    program = (
        "import json; from grasp_description.objects import object_set; "
        f"print(json.dumps([spec.to_dict() for spec in object_set({name!r}, 3)]))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    object_set.cache_clear()
    assert tuple(ObjectSpec.from_dict(data) for data in json.loads(out)) == object_set(name, 3)


def test_another_seed_gives_other_objects():
    for first, second in zip(TRAINING, object_set("training", 1), strict=True):
        assert first.name == second.name
        assert difference(first, second) > 0


def test_sets_are_large_enough_and_named_uniquely():
    assert len(TRAINING) >= 200
    assert len(HELD_OUT) >= 100
    assert len({spec.name for spec in EVERY}) == len(EVERY)


def test_training_never_sees_the_held_out_families():
    assert {spec.family for spec in TRAINING} == set(TRAINING_FAMILIES)
    assert not set(TRAINING_FAMILIES) & set(HELD_OUT_FAMILIES)
    assert set(TRAINING_FAMILIES) | set(HELD_OUT_FAMILIES) == set(FAMILIES)
    assert len(HELD_OUT_FAMILIES) >= 2


def test_half_of_the_held_out_set_is_of_training_families():
    families = [spec.family for spec in HELD_OUT]
    assert sum(family in TRAINING_FAMILIES for family in families) == len(HELD_OUT) // 2
    assert set(families) == set(FAMILIES)


def test_any_beginning_of_a_set_is_balanced():
    beginning = [spec.family for spec in TRAINING[: 2 * len(TRAINING_FAMILIES)]]
    assert all(beginning.count(family) == 2 for family in TRAINING_FAMILIES)
    assert sum(spec.family in HELD_OUT_FAMILIES for spec in HELD_OUT[:20]) == 10


@pytest.mark.parametrize("seed", [0, 1])
def test_no_two_objects_of_the_sets_are_alike(seed):
    specs = object_set("training", seed) + object_set("held-out", seed)
    for index, spec in enumerate(specs):
        assert all(difference(spec, other) >= MIN_DIFFERENCE for other in specs[:index]), spec.name


def test_an_unknown_set_is_refused_with_the_names_that_exist():
    with pytest.raises(ValueError, match="'test' does not exist; expected one of training, held-out"):
        object_set("test")


@every_family
def test_objects_suit_the_hand(family):
    for spec in members(family):
        check_limits(spec)


def test_what_the_hand_cannot_hold_is_named():
    with pytest.raises(ValueError, match=r"'crate' has narrow width 0\.2000 m; expected 0\.03 to 0\.075"):
        check_limits(make_object("crate", "box", [Part("box", (0.1, 0.1, 0.05))], 0.2))


def test_objects_survive_json():
    for spec in EVERY:
        assert ObjectSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


# -------------------------------------------------------------------------------------------- mass, extents


@every_family
def test_mass_properties_agree_with_mujocos_compiler(family):
    for spec in members(family):
        body = compiled(spec).body("object")
        assert body.mass[0] == pytest.approx(spec.mass_kg, rel=1e-9)
        np.testing.assert_allclose(body.ipos, 0, atol=1e-9)
        moments, quaternion = spec.principal_inertia()
        # MuJoCo sorts the moments of compounds only.
        np.testing.assert_allclose(moments, np.sort(body.inertia)[::-1], rtol=1e-6)
        # Axes of equal moments are arbitrary: compare the matrices that axes and moments stand for.
        ours, theirs = rotation_matrix(quaternion), rotation_matrix(body.iquat)
        expected = theirs @ np.diag(body.inertia) @ theirs.T
        np.testing.assert_allclose(ours @ np.diag(moments) @ ours.T, expected, atol=1e-6 * moments.max())


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("box", (0.02, 0.03, 0.05)),
        ("cylinder", (0.03, 0.05, 0)),
        ("capsule", (0.02, 0.04, 0)),
        ("ellipsoid", (0.02, 0.03, 0.05)),
    ],
)
def test_a_tilted_part_reaches_exactly_as_far_as_its_surface(shape, size):
    part = Part(shape, size, (0.01, -0.02, 0.03), TILTED)
    points = surface_points(part, np.random.default_rng(0))
    sampled = np.array([points.min(axis=0), points.max(axis=0)])
    assert (part.bounds()[0] <= sampled[0] + 1e-12).all()
    assert (part.bounds()[1] >= sampled[1] - 1e-12).all()
    np.testing.assert_allclose(part.bounds(), sampled, atol=2e-5)
    assert np.linalg.norm(points - part.position, axis=1).max() == pytest.approx(
        part.bounding_radius(), abs=2e-5
    )


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ("box", (0.02, 0.03, 0.05)),
        ("cylinder", (0.03, 0.05, 0)),
        ("capsule", (0.02, 0.04, 0)),
        ("ellipsoid", (0.02, 0.03, 0.05)),
    ],
)
def test_volume_and_inertia_of_a_tilted_part_agree_with_sampling(shape, size):
    part = Part(shape, size, quaternion=TILTED)
    half = part.local_half_extents()
    points = np.random.default_rng(0).uniform(-half, half, (400_000, 3))
    radial, height = np.hypot(points[:, 0], points[:, 1]), np.abs(points[:, 2])
    inside = {
        "box": np.ones(len(points), bool),
        "cylinder": radial <= size[0],
        "capsule": np.hypot(radial, np.maximum(height - size[1], 0)) <= size[0],
        "ellipsoid": np.square(points / half).sum(axis=1) <= 1,
    }[shape]
    assert part.volume == pytest.approx(np.prod(2 * half) * inside.mean(), rel=0.01)
    points = points[inside] @ part.rotation.T
    squares = np.square(points).sum(axis=1)
    sampled = np.mean(squares) * np.eye(3) - points.T @ points / len(points)
    np.testing.assert_allclose(part.unit_inertia(), sampled, atol=0.02 * np.trace(sampled))


@every_family
def test_rest_height_is_the_lowest_surface_point(family):
    for spec in members(family):
        rng = np.random.default_rng(1)
        points = np.concatenate([surface_points(part, rng, 4000) for part in spec.parts])
        assert spec.rest_height_m >= -points[:, 2].min() - 1e-9
        assert spec.rest_height_m == pytest.approx(-points[:, 2].min(), abs=1e-4), spec.name
        assert np.linalg.norm(points, axis=1).max() <= spec.bounding_radius() + 1e-9


def test_quaternions_and_matrices_are_inverse_of_each_other():
    rng = np.random.default_rng(2)
    quaternions = rng.normal(size=(200, 4))
    quaternions[:8, :] = np.eye(4).repeat(2, axis=0)
    for quaternion in quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True):
        rotation = rotation_matrix(quaternion)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(rotation_matrix(quaternion_of(rotation)), rotation, atol=1e-9)


# ------------------------------------------------------------------------------------------------ stability


@every_family
def test_an_object_dropped_upright_stays_where_it_is(family):
    for spec in members(family):
        model = compiled(spec, plane=True)
        data = mujoco.MjData(model)
        data.qpos[2] = spec.rest_height_m + 0.003
        mujoco.mj_step(model, data, 240)
        assert tilt_deg(data) < 1.0, spec.name
        assert np.hypot(*data.qpos[:2]) < 0.005, spec.name
        assert data.qpos[2] == pytest.approx(spec.rest_height_m, abs=2e-3), spec.name


@pytest.mark.parametrize("axis", [0, 1])
@every_family
def test_a_standing_object_tipped_by_five_degrees_does_not_fall(family, axis):
    for spec in members(family):
        angle = np.radians(5)
        quaternion = np.eye(4)[0] * np.cos(angle / 2) + np.eye(4)[1 + axis] * np.sin(angle / 2)
        model = compiled(spec, plane=True)
        data = mujoco.MjData(model)
        rotation = rotation_matrix(quaternion)
        tilted = [part.reach(rotation.T @ [0, 0, 1]) - rotation[2] @ part.position for part in spec.parts]
        data.qpos[2:7] = [max(tilted) + 1e-4, *quaternion]
        mujoco.mj_step(model, data, 240)
        # Round things roll or rock about: for them it is enough that they do not fall onto another side.
        assert data.qpos[2] == pytest.approx(spec.rest_height_m, abs=0.004), spec.name


# ----------------------------------------------------------------------------------- observation and arrays


def test_shape_features_have_one_layout_for_every_object():
    for spec in EVERY:
        features = shape_features(spec)
        assert features.shape == (FEATURE_SIZE,)
        assert features.dtype == np.float32
        np.testing.assert_allclose(2 * features[:3], spec.extents(), rtol=1e-6)
        slots = features[3:].reshape(MAX_PARTS, 6)
        for slot, part in enumerate(spec.parts):
            np.testing.assert_allclose(slots[slot], [*part.size, *part.position], rtol=1e-5, atol=1e-9)
        assert not slots[len(spec.parts) :].any()


def test_packed_arrays_have_the_promised_shapes_and_values():
    fields, count = pack(TRAINING), len(TRAINING)
    tails = {
        "geom_type": (3,),
        "geom_size": (3, 3),
        "geom_position": (3, 3),
        "geom_quaternion": (3, 4),
        "geom_rgba": (3, 4),
        "geom_half_extents": (3, 3),
        "geom_bounding_radius": (3,),
        "active": (3,),
        "mass": (),
        "inertia": (3,),
        "inertia_quaternion": (4,),
        "rest_height": (),
        "bounding_radius": (),
    }
    for name, tail in tails.items():
        assert getattr(fields, name).shape == (count, *tail), name
    assert fields.geom_type.dtype == np.int32
    assert fields.active.dtype == bool
    np.testing.assert_array_equal(fields.active.sum(axis=1), [len(spec.parts) for spec in TRAINING])
    np.testing.assert_allclose(np.linalg.norm(fields.geom_quaternion, axis=-1), 1)
    assert (fields.geom_rgba[..., 3] == fields.active).all()
    assert fields.rest_height[5] == TRAINING[5].rest_height_m


def test_packed_bounds_are_those_that_mujoco_computes():
    for spec in EVERY[::7]:
        fields, model = pack([spec]), compiled(spec)
        used = fields.active[0]
        np.testing.assert_allclose(fields.geom_half_extents[0][used], model.geom_aabb[:, 3:], rtol=1e-9)
        np.testing.assert_allclose(fields.geom_bounding_radius[0][used], model.geom_rbound, rtol=1e-9)


def test_an_empty_pack_is_refused():
    with pytest.raises(ValueError, match="got no objects"):
        pack([])


# ----------------------------------------------------------------------------------------- bad descriptions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": "cone"}, "shape 'cone'; expected one of box"),
        ({"size": (0.01, 0.0, 0.01)}, "expected 3 positive numbers"),
        ({"size": (0.01, float("nan"), 0.01)}, "expected 3 finite numbers"),
        ({"shape": "capsule", "size": (0.01, 0.02, 0.03)}, "expected 2 positive numbers, then zeros"),
        ({"quaternion": (2.0, 0.0, 0.0, 0.0)}, "expected unit length"),
        ({"position": (0.0, 0.0)}, "expected 3 finite numbers"),
        ({"relative_density": 0.0}, "expected a positive number"),
    ],
)
def test_parts_that_are_not_solids_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Part(**{"shape": "box", "size": (0.01, 0.02, 0.03), **arguments})


def test_objects_that_contradict_themselves_are_refused():
    spec = make_object("tube", "capsule", [Part("capsule", (0.02, 0.05, 0), (1, 2, 3), ALONG_X)], 0.2)
    assert spec.rest_height_m == pytest.approx(0.02)
    for change, message in [
        ({"rest_height_m": 0.03}, "has rest height 0.03 m; its parts reach 0.02"),
        ({"mass_kg": float("nan")}, "has mass nan kg"),
        ({"parts": ()}, "has 0 parts; expected 1 to 3"),
        ({"parts": spec.parts * 4}, "has 4 parts; expected 1 to 3"),
        (
            {"parts": (replace(spec.parts[0], position=(0.01, 0, 0)),)},
            "centre of mass at .* expected its origin",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            replace(spec, **change)
