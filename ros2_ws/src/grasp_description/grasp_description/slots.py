"""The scene for MuJoCo Warp, which cannot vary a geom's type by world: each object slot has one geom of every
type. Whoever uses it takes those out that a world's object does not have."""

from dataclasses import dataclass

import mujoco
import numpy as np

from grasp_description.cameras import STEREO_RIG, StereoRig
from grasp_description.scene import DEFAULT_SCENE, OBJECT_BODY, OBJECT_GEOMS, SceneConfig, build_spec

SLOT_TYPES = (
    mujoco.mjtGeom.mjGEOM_BOX,
    mujoco.mjtGeom.mjGEOM_CYLINDER,
    mujoco.mjtGeom.mjGEOM_CAPSULE,
    mujoco.mjtGeom.mjGEOM_ELLIPSOID,
)


@dataclass(frozen=True)
class SlotModel:
    """The scene with one geom of every type in each object slot; in all else that of ``build_model``."""

    model: mujoco.MjModel
    """the compiled scene"""
    source: np.ndarray
    """(geoms of the model,) for each the index of the geom of ``build_model`` whose pose and colour it has"""
    slots: np.ndarray
    """(MAX_PARTS, types) geoms of each slot, in the order of ``SLOT_TYPES``"""


def build_slot_model(config: SceneConfig = DEFAULT_SCENE, rig: StereoRig = STEREO_RIG) -> SlotModel:
    """Compile it."""
    spec = build_spec(config, rig)
    names = _geom_names(spec.compile())
    # MuJoCo Warp does not know this flag, and has no such phase.
    spec.option.disableflags &= ~int(mujoco.mjtDisableBit.mjDSBL_MIDPHASE)
    body = spec.body(OBJECT_BODY)
    for geom in list(body.geoms):
        shared = {name: getattr(geom, name) for name in ("contype", "conaffinity", "condim", "friction")}
        shared |= {name: np.array(getattr(geom, name)) for name in ("friction", "rgba", "pos", "quat")}
        for kind in SLOT_TYPES:
            body.add_geom(name=f"{geom.name}/{int(kind)}", type=kind, size=[0.02, 0.02, 0.02], **shared)
        spec.delete(geom)
    model = spec.compile()
    source = np.array([names.index(name.split("/")[0]) for name in _geom_names(model)])
    slots = [[model.geom(f"{name}/{int(kind)}").id for kind in SLOT_TYPES] for name in OBJECT_GEOMS]
    return SlotModel(model, source, np.array(slots))


def _geom_names(model: mujoco.MjModel) -> list[str]:
    return [model.geom(index).name for index in range(model.ngeom)]
