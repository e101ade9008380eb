"""Families of procedural objects: one function a family draws the parts of one random member.

Every function takes a numpy Generator and returns parts in an arbitrary frame whose z points up in the
object's resting pose (objects.py moves the origin to the centre of mass). All lengths in metres. Solids stand
for hollow things: a mug is a full cylinder, because its inside does not matter to a grasp from outside.

Ranges come from the hand: the Allegro's fingers are about 10 cm long and open about 10 cm wide, so what it is
to hold is 3.0 to 7.5 cm wide and stands 4 to 14 cm high (`objects.check_limits` holds every object to it).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from grasp_description.object_shapes import Part, Vector4

_HALF_TURN = float(np.sqrt(0.5))
ALONG_X: Vector4 = (_HALF_TURN, 0.0, _HALF_TURN, 0.0)
"""Turns a part's own z axis to the object's x."""
ALONG_Y: Vector4 = (_HALF_TURN, -_HALF_TURN, 0.0, 0.0)
"""Turns a part's own z axis to the object's y."""
MAX_SLENDERNESS = 2.5
"""Largest height of a standing object relative to its base's narrow side: more would topple at a touch."""

Parts = tuple[Part, ...]


def draw_box(rng: np.random.Generator) -> Parts:
    """A box, its narrow side along y, standing on any of its faces."""
    width = rng.uniform(0.03, 0.075)
    length = rng.uniform(width, min(0.16, 3.5 * width))
    height = rng.uniform(0.04, min(0.14, MAX_SLENDERNESS * width))
    return (Part("box", (length / 2, width / 2, height / 2)),)


def draw_cylinder(rng: np.random.Generator) -> Parts:
    """A cylinder: two of three stand; the others lie along x."""
    if rng.random() < 2 / 3:
        radius = rng.uniform(0.015, 0.0375)
        height = rng.uniform(0.04, min(0.14, MAX_SLENDERNESS * 2 * radius))
        return (Part("cylinder", (radius, height / 2, 0)),)
    radius = rng.uniform(0.02, 0.0375)
    length = rng.uniform(max(0.05, 2 * radius), 0.16)
    return (Part("cylinder", (radius, length / 2, 0), quaternion=ALONG_X),)


def draw_capsule(rng: np.random.Generator) -> Parts:
    """A capsule lying along x (it cannot stand)."""
    radius = rng.uniform(0.02, 0.0375)
    length = rng.uniform(0.025, 0.175 - 2 * radius)
    return (Part("capsule", (radius, length / 2, 0), quaternion=ALONG_X),)


def draw_ellipsoid(rng: np.random.Generator) -> Parts:
    """An ellipsoid resting on its shortest axis, the one pose in which it is stable."""
    width = rng.uniform(0.043, 0.075)
    height = rng.uniform(0.04, width)
    length = rng.uniform(width, min(0.16, 2.5 * width))
    return (Part("ellipsoid", (length / 2, width / 2, height / 2)),)


def draw_mug(rng: np.random.Generator) -> Parts:
    """A cylinder with a handle on its +x side: an ear, a slanted bar, or a bar on a bracket."""
    radius = rng.uniform(0.026, 0.0375)
    height = rng.uniform(0.055, min(0.115, 1.8 * 2 * radius))
    body = Part("cylinder", (radius, height / 2, 0))
    stick_out = rng.uniform(0.018, 0.032)
    thick = rng.uniform(0.005, 0.008)
    tall = height * rng.uniform(0.25, 0.38)
    # Handles begin 4 mm inside the wall so that no gap opens between a flat end and a round wall.
    inside = radius - 0.004
    style = rng.integers(3)
    if style == 0:
        half = (stick_out + 0.004) / 2
        return body, Part("box", (half, thick, tall), (inside + half, 0, 0))
    if style == 1:
        lean = rng.uniform(0.3, 0.6)
        quaternion = (float(np.cos(lean / 2)), 0.0, float(np.sin(lean / 2)), 0.0)
        return body, Part("capsule", (thick, tall, 0), (radius + np.sin(lean) * tall, 0, 0), quaternion)
    bar_x = radius + stick_out - thick
    bracket = (bar_x - inside) / 2
    return (
        body,
        Part("box", (bracket, thick, thick), (inside + bracket, 0, tall - thick)),
        Part("capsule", (thick, tall - thick, 0), (bar_x, 0, 0)),
    )


def draw_bottle(rng: np.random.Generator) -> Parts:
    """A standing cylinder with a neck and, on every second one, a cap."""
    radius = rng.uniform(0.024, 0.0375)
    neck_radius = radius * rng.uniform(0.35, 0.6)
    neck = rng.uniform(0.02, 0.04)
    cap = rng.uniform(0.008, 0.015) if rng.random() < 0.5 else 0.0
    tallest = min(0.138, MAX_SLENDERNESS * 2 * radius) - neck - cap
    height = rng.uniform(0.035, tallest)
    body = Part("cylinder", (radius, height / 2, 0))
    parts = (body, Part("cylinder", (neck_radius, neck / 2, 0), (0, 0, (height + neck) / 2)))
    if not cap:
        return parts
    top = Part("cylinder", (neck_radius * 1.2, cap / 2, 0), (0, 0, height / 2 + neck + cap / 2))
    return (*parts, top)


def draw_l_shape(rng: np.random.Generator) -> Parts:
    """Two boxes at a right angle: flat on the table, or one standing at the end of the other."""
    if rng.random() < 0.5:
        height = rng.uniform(0.04, 0.06)
        width, leg_width = rng.uniform(0.03, 0.045, 2)
        length = rng.uniform(0.08, 0.14)
        leg = rng.uniform(0.04, 0.09)
        return (
            Part("box", (length / 2, width / 2, height / 2)),
            Part(
                "box", (leg_width / 2, leg / 2, height / 2), ((length - leg_width) / 2, (width + leg) / 2, 0)
            ),
        )
    return _foot_and_upright(rng, at_end=True)


def draw_t_shape(rng: np.random.Generator) -> Parts:
    """Two boxes as a T: flat on the table, or upside down on its bar."""
    if rng.random() < 0.5:
        height = rng.uniform(0.04, 0.06)
        width, stem_width = rng.uniform(0.03, 0.045, 2)
        length = rng.uniform(0.09, 0.15)
        stem = rng.uniform(0.04, 0.09)
        return (
            Part("box", (length / 2, width / 2, height / 2)),
            Part("box", (stem_width / 2, stem / 2, height / 2), (0, (width + stem) / 2, 0)),
        )
    return _foot_and_upright(rng, at_end=False)


def _foot_and_upright(rng: np.random.Generator, at_end: bool) -> Parts:
    thickness = rng.uniform(0.035, 0.06)
    foot, foot_height = rng.uniform(0.075, 0.13), rng.uniform(0.02, 0.035)
    width = rng.uniform(0.03, 0.04)
    rise = rng.uniform(0.035, min(0.1, MAX_SLENDERNESS * thickness - foot_height))
    x = (foot - width) / 2 if at_end else 0.0
    return (
        Part("box", (foot / 2, thickness / 2, foot_height / 2)),
        Part("box", (width / 2, thickness / 2, rise / 2), (x, 0, (foot_height + rise) / 2)),
    )


def draw_hammer(rng: np.random.Generator) -> Parts:
    """A lying hammer: handle along x, a heavier head across its end, sometimes with a round face."""
    grip = rng.uniform(0.03, 0.037)
    head_height, head_width = rng.uniform(0.04, 0.055), rng.uniform(0.03, 0.045)
    head_length = rng.uniform(0.06, 0.09)
    handle_length = rng.uniform(0.07, 0.175 - head_width)
    # Undersides are flush: on the table it rests on head and handle both, without tilting.
    drop = (grip - head_height) / 2
    x = -(handle_length + head_width) / 2
    if rng.random() < 0.5:
        handle = Part("box", (handle_length / 2, grip / 2, grip / 2), (x, 0, drop))
    else:
        # The round handle's far cap is within the length drawn; its near cap is inside the head.
        straight = handle_length - grip / 2
        handle = Part("capsule", (grip / 2, straight / 2, 0), (x + grip / 4, 0, drop), ALONG_X)
    weight = rng.uniform(1.5, 3.0)
    head = Part("box", (head_width / 2, head_length / 2, head_height / 2), relative_density=weight)
    if rng.random() < 0.5:
        return handle, head
    face, radius = rng.uniform(0.01, 0.02), 0.45 * min(head_height, head_width)
    position = (0, (head_length + face) / 2, 0)
    return handle, head, Part("cylinder", (radius, face / 2, 0), position, ALONG_Y, relative_density=weight)


FAMILIES: dict[str, Callable[[np.random.Generator], Parts]] = {
    "box": draw_box,
    "cylinder": draw_cylinder,
    "capsule": draw_capsule,
    "ellipsoid": draw_ellipsoid,
    "mug": draw_mug,
    "bottle": draw_bottle,
    "l_shape": draw_l_shape,
    "hammer": draw_hammer,
    "t_shape": draw_t_shape,
}
"""Every family's drawing function by name."""
TRAINING_FAMILIES = ("box", "cylinder", "capsule", "ellipsoid", "mug", "bottle", "l_shape")
HELD_OUT_FAMILIES = ("hammer", "t_shape")
"""Families that no training set contains."""
