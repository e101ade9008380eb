"""What an object is to MuJoCo Warp: the fields of its model that vary with the object, worked out beforehand.

A reset then is a look-up on the device. MuJoCo Warp's own ``set_const`` would work out the constants of every
world anew, whichever of them are reset.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
import torch

from grasp_description.objects import ObjectSpec, pack
from grasp_description.scene import OBJECT_BODY, OBJECT_JOINT
from grasp_description.slots import SLOT_TYPES, SlotModel

_NEVER_M = -1e6
"""m, margin of a geom that is not in use: no other is ever near enough, already for the broad phase. A world
cannot have collision bits of its own."""
_AWAY_M, _SPECK_M = 1000.0, 0.001
"""m, where a geom that is not in use is, above the upright object, and how large: no camera sees it."""

BY_GEOM = ("geom_size", "geom_pos", "geom_quat", "geom_aabb", "geom_rbound", "geom_margin")
BY_BODY = ("body_mass", "body_inertia", "body_ipos", "body_iquat", "body_subtreemass", "body_invweight0")
BY_DOF = ("dof_invweight0",)
GROWS_WITH_MASS = ("body_mass", "body_inertia", "body_subtreemass")
SHRINKS_WITH_MASS = ("body_invweight0", "dof_invweight0")


@dataclass(frozen=True)
class ObjectFields:
    """Fields of the model for o objects, float32 on the simulator's device."""

    geoms: torch.Tensor
    """(s,) the object's geoms in the model, slot by slot in the order of ``SLOT_TYPES``"""
    body: int
    """the object's body"""
    dofs: slice
    """its six degrees of freedom"""
    values: dict[str, torch.Tensor]
    """by name: (o, s, …) those of ``BY_GEOM``, (o, …) those of ``BY_BODY``, (o, 6) those of ``BY_DOF``"""


def object_fields(objects: tuple[ObjectSpec, ...], scene: SlotModel, device: torch.device) -> ObjectFields:
    """Work the fields out: those of the slots from the objects, the constants by MuJoCo itself."""
    values = _slot_fields(objects, len(scene.slots)) | _body_fields(objects, scene.model)
    return ObjectFields(
        geoms=torch.as_tensor(scene.slots.reshape(-1), device=device),
        body=scene.model.body(OBJECT_BODY).id,
        dofs=_dofs(scene.model),
        values={
            name: torch.tensor(value, dtype=torch.float32, device=device) for name, value in values.items()
        },
    )


def _slot_fields(objects: tuple[ObjectSpec, ...], slots: int) -> dict[str, np.ndarray]:
    packed = pack(objects)
    shape = len(objects), slots, len(SLOT_TYPES)
    size, position = np.full((*shape, 3), _SPECK_M), np.zeros((*shape, 3))
    quaternion, margin = np.zeros((*shape, 4)), np.full(shape, _NEVER_M)
    half, radius = np.full((*shape, 3), _SPECK_M), np.full(shape, _SPECK_M)
    position[..., 2], quaternion[..., 0] = _AWAY_M, 1.0
    for number, kind in enumerate(SLOT_TYPES):
        used = packed.active & (packed.geom_type == int(kind))
        for target, values in (
            (size, packed.geom_size),
            (position, packed.geom_position),
            (quaternion, packed.geom_quaternion),
            (half, packed.geom_half_extents),
            (radius, packed.geom_bounding_radius),
        ):
            target[:, :, number][used] = values[used]
        margin[:, :, number][used] = 0.0
    fields = {
        "geom_size": size,
        "geom_pos": position,
        "geom_quat": quaternion,
        "geom_aabb": np.stack([np.zeros_like(half), half], axis=-2),
        "geom_rbound": radius,
        "geom_margin": margin,
    }
    return {name: value.reshape(len(objects), -1, *value.shape[3:]) for name, value in fields.items()}


def _body_fields(objects: tuple[ObjectSpec, ...], model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """Mass and inertia, and what follows from them; leaves the model with the last object."""
    packed, body, data = pack(objects), model.body(OBJECT_BODY).id, mujoco.MjData(model)
    dofs = _dofs(model)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in (*BY_BODY, *BY_DOF)}
    for index in range(len(objects)):
        model.body_mass[body], model.body_ipos[body] = packed.mass[index], 0.0
        model.body_inertia[body] = packed.inertia[index]
        model.body_iquat[body] = packed.inertia_quaternion[index]
        mujoco.mj_setConst(model, data)
        for name in BY_BODY:
            rows[name].append(np.array(getattr(model, name)[body]))
        for name in BY_DOF:
            rows[name].append(np.array(getattr(model, name)[dofs]))
    return {name: np.stack(values) for name, values in rows.items()}


def _dofs(model: mujoco.MjModel) -> slice:
    first = int(model.joint(OBJECT_JOINT).dofadr[0])
    return slice(first, first + 6)
