"""``python -m grasp_description`` prints robot, cameras and objects; ``--picture out.png`` draws them."""

from __future__ import annotations

import argparse
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np

from grasp_description.cameras import CAMERA_NAMES, STEREO_RIG
from grasp_description.objects import (
    HELD_OUT_FAMILIES,
    OBJECT_SETS,
    TRAINING_FAMILIES,
    ObjectSpec,
    object_set,
)
from grasp_description.robot import ARM_JOINTS, FLANGE_LINK, JOINT_NAMES, PALM_LINK, joint_limits
from grasp_description.scene import OBJECT_BODY, build_model
from grasp_description.urdf import urdf_path, urdf_text
from grasp_description.workcell import (
    CONTROL_RATE_HZ,
    EPISODE_LENGTH_S,
    GOAL_POSITION,
    HOLD_TIME_S,
    PHYSICS_RATE_HZ,
    SPAWN_REGION,
    SUCCESS_TOLERANCE_M,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the description and, if asked, draw it. Returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.picture is not None and not options.picture.absolute().parent.is_dir():
        parser.error(f"--picture {options.picture}: there is no folder {options.picture.absolute().parent}")
    if options.picture is not None and options.picture.suffix.lower() != ".png":
        parser.error(f"--picture {options.picture}: expected a name that ends in .png")
    try:
        spec = find_object(options.object, options.seed)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    sections = (
        _sources(),
        _joints(),
        _robot(),
        _workcell(),
        _cameras(),
        _objects(options.seed),
        _one_object(spec),
    )
    print("\n\n".join(sections))
    if options.picture is not None:
        # Imported here: the tables need neither Warp nor Pillow.
        from grasp_description.pictures import draw_description

        draw_description(spec, options.seed).save(options.picture)
        print(f"\nPicture: {options.picture}")
    return 0


def find_object(name: str, seed: int) -> ObjectSpec:
    """The object of that name in the sets of a seed. Raises ValueError, naming others, if there is none."""
    specs = {spec.name: spec for set_name in OBJECT_SETS for spec in object_set(set_name, seed)}
    if name not in specs:
        family = name.rpartition("_")[0]
        known = [other for other in specs if other.startswith(family)] if family else []
        names = ", ".join((known or list(specs))[:12])
        raise ValueError(
            f"Object {name!r} is in none of the sets of seed {seed}; expected one like {names} …"
        )
    return specs[name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m grasp_description",
        description="Print the robot's joints, limits and masses with their sources, cameras and objects.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--picture", type=Path, default=None, metavar="PNG", help="draw everything into this file"
    )
    parser.add_argument(
        "--object", default="mug_000", metavar="NAME", help="the object to describe and to draw"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the object sets")
    return parser


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words in columns: the first one left-aligned, the others right-aligned."""
    widths = [max(len(row[column]) for row in rows if len(row) > 1) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = row
        aligned = [word.rjust(width) for word, width in zip(others, widths[1:], strict=False)]
        lines.append("  ".join([first.ljust(widths[0]), *aligned]).rstrip() if others else first)
    return "\n".join(lines)


def _sources() -> str:
    comment = re.search(r"<!--(.*?)-->", urdf_text(), re.DOTALL)
    lines = comment[1].strip().splitlines() if comment else []
    return "\n".join([f"Robot description: {urdf_path().name}", "", *(line.strip() for line in lines)])


def joint_sources() -> dict[str, str]:
    """What the URDF says above each joint's group about where its figures come from."""
    parser = ElementTree.XMLParser(target=ElementTree.TreeBuilder(insert_comments=True))
    sources, group = {}, ""
    for element in ElementTree.fromstring(urdf_text(), parser):
        if element.tag is ElementTree.Comment:
            group = (element.text or "").strip()
        elif element.tag == "joint" and element.get("type") == "revolute":
            sources[element.get("name", "")] = group
    return sources


def _joints() -> str:
    limits, sources = joint_limits(), joint_sources()
    header = ("joint", "lower", "upper", "velocity", "acceleration", "jerk", "effort")
    rows: list[Sequence[str]] = [header, ("", "rad", "rad", "rad/s", "rad/s²", "rad/s³", "N m")]
    group = None
    for index, name in enumerate(JOINT_NAMES):
        if sources[name] != group:
            group = sources[name]
            rows.append((f"— {group}",))
        columns = (limits.lower, limits.upper, limits.velocity)
        figures = [f"{column[index]:.3f}" for column in columns]
        figures += [
            f"{limits.acceleration[index]:.0f}",
            f"{limits.jerk[index]:.0f}",
            f"{limits.effort[index]:.2f}",
        ]
        rows.append((name, *figures))
    note = "Acceleration and jerk limits are ours (grasp_description/robot.py says why)."
    return f"{len(JOINT_NAMES)} joints\n{_table(rows)}\n{note}"


def _robot() -> str:
    model = build_model()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    below = {model.body(PALM_LINK).id}
    for body in range(model.nbody):
        if model.body_parentid[body] in below:
            below.add(body)
    hand = sum(model.body_mass[body] for body in below)
    total = model.body_mass.sum() - model.body(OBJECT_BODY).mass[0]
    flange, palm = data.body(FLANGE_LINK).xpos, data.body(PALM_LINK).xpos
    rows = [
        ("Robot (compiled model)", ""),
        ("arm's mass", f"{total - hand:.3f} kg"),
        ("hand's mass", f"{hand:.3f} kg"),
        ("total mass", f"{total:.3f} kg"),
        ("flange above the base, joints at zero", f"{flange[2]:.4f} m"),
        ("flange to palm frame, along the flange's z", f"{palm[2] - flange[2]:.4f} m"),
        ("degrees of freedom", f"{len(ARM_JOINTS)} + {len(JOINT_NAMES) - len(ARM_JOINTS)}"),
    ]
    return _table(rows)


def _workcell() -> str:
    x, y = SPAWN_REGION.centre
    half_x, half_y = SPAWN_REGION.half_size
    rows = [
        ("Workcell (arm base frame; table top at z = 0)", ""),
        ("spawn region", f"x {x} ± {half_x} m, y {y} ± {half_y} m, any yaw"),
        ("goal", f"{_vector(GOAL_POSITION)} m, within {SUCCESS_TOLERANCE_M} m for {HOLD_TIME_S} s"),
        ("episode", f"{EPISODE_LENGTH_S} s"),
        ("rates", f"control {CONTROL_RATE_HZ} Hz, physics {PHYSICS_RATE_HZ} Hz"),
    ]
    return _table(rows)


def _cameras() -> str:
    rig = STEREO_RIG
    fx, fy, cx, cy = rig.intrinsics()
    fovx = 2 * np.degrees(np.arctan(np.tan(np.radians(rig.fovy_deg) / 2) * rig.width / rig.height))
    rows = [
        ("Cameras", ""),
        ("image", f"{rig.width} × {rig.height} px"),
        ("field of view", f"{fovx:.1f}° × {rig.fovy_deg:.1f}°"),
        ("fx, fy, cx, cy", f"{fx:.2f}, {fy:.2f}, {cx:.1f}, {cy:.1f} px"),
        ("baseline", f"{rig.baseline_m} m"),
        ("looking at", f"{_vector(rig.target)} m"),
        *((name, f"{_vector(at)} m") for name, at in zip(CAMERA_NAMES, rig.positions(), strict=True)),
    ]
    return _table(rows)


def _objects(seed: int) -> str:
    counts = {name: Counter(spec.family for spec in object_set(name, seed)) for name in OBJECT_SETS}
    header = ("family", *OBJECT_SETS, "narrow width", "height", "longest", "mass")
    rows: list[Sequence[str]] = [header, ("", "", "", "cm", "cm", "cm", "g")]
    specs = [spec for name in OBJECT_SETS for spec in object_set(name, seed)]
    for family in TRAINING_FAMILIES + HELD_OUT_FAMILIES:
        members = [spec for spec in specs if spec.family == family]
        ranges = (
            _range([100 * spec.narrow_width_m for spec in members], 1),
            _range([100 * spec.height_m for spec in members], 1),
            _range([100 * spec.extents().max() for spec in members], 1),
            _range([1000 * spec.mass_kg for spec in members], 0),
        )
        rows.append((family, *(str(counts[name][family]) for name in OBJECT_SETS), *ranges))
    rows.append(("all", *(str(counts[name].total()) for name in OBJECT_SETS), "", "", "", ""))
    held_out = " and ".join(HELD_OUT_FAMILIES)
    return f"Objects, seed {seed}; training never sees {held_out}\n{_table(rows)}"


def _one_object(spec: ObjectSpec) -> str:
    moments, _ = spec.principal_inertia()
    inertia = " ".join(f"{1e4 * moment:.2f}" for moment in moments)
    lines = [
        f"Object {spec.name}: {1000 * spec.mass_kg:.0f} g, stands {100 * spec.height_m:.1f} cm high",
        f"  centre of mass {100 * spec.rest_height_m:.1f} cm above the table",
        f"  principal moments {inertia} kg cm²",
    ]
    for part in spec.parts:
        size, position = (_vector(100 * np.array(values), 1) for values in (part.size, part.position))
        lines.append(f"  {part.shape}: size {size} cm at {position} cm")
    return "\n".join(lines)


def _range(values: Sequence[float], digits: int) -> str:
    return f"{min(values):.{digits}f}–{max(values):.{digits}f}"


def _vector(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    return "(" + ", ".join(f"{value:.{digits}f}" for value in values) + ")"


if __name__ == "__main__":
    sys.exit(main())
