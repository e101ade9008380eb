"""Distance from points to the surface of the objects, for many environments at once."""

import mujoco
import torch


def object_distance(
    points: torch.Tensor,
    kind: torch.Tensor,
    size: torch.Tensor,
    position: torch.Tensor,
    rotation: torch.Tensor,
) -> torch.Tensor:
    """Distance of points (n, p, 3) in the object's frame to the union of its parts; negative inside. Metres.

    Args:
        kind: (n, s) mjtGeom of each slot; other kinds than box, cylinder, capsule and ellipsoid are empty
        slots.
        size: (n, s, 3) MuJoCo's geom sizes.
        position: (n, s, 3) of the part in the object's frame.
        rotation: (n, s, 3, 3) part to object.

    Returns:
        (n, p). Exact but for ellipsoids, where it is a first-order estimate.
    """
    local = torch.einsum("nsij,npsi->npsj", rotation, points[:, :, None] - position[:, None])
    size = size[:, None]
    radial = torch.linalg.norm(local[..., :2], dim=-1)
    along = local[..., 2].abs()
    box = _outside_box(local.abs() - size)
    cylinder = _outside_box(torch.stack([radial - size[..., 0], along - size[..., 1]], dim=-1))
    capsule = torch.hypot(radial, (along - size[..., 1]).clamp(min=0.0)) - size[..., 0]
    scaled = local / size.clamp(min=1e-6)
    level = torch.linalg.norm(scaled, dim=-1)
    ellipsoid = (
        (level - 1.0) * level / torch.linalg.norm(scaled / size.clamp(min=1e-6), dim=-1).clamp(min=1e-6)
    )
    distance = torch.full_like(radial, torch.inf)
    kinds = mujoco.mjtGeom
    for name, value in (
        (kinds.mjGEOM_BOX, box),
        (kinds.mjGEOM_CYLINDER, cylinder),
        (kinds.mjGEOM_CAPSULE, capsule),
        (kinds.mjGEOM_ELLIPSOID, ellipsoid),
    ):
        distance = torch.where((kind == int(name))[:, None], value, distance)
    return distance.amin(dim=-1)


def _outside_box(excess: torch.Tensor) -> torch.Tensor:
    """Signed distance from how far a point exceeds each half side."""
    return torch.linalg.norm(excess.clamp(min=0.0), dim=-1) + excess.amax(dim=-1).clamp(max=0.0)
