"""Joint names, order, limits and home posture of the KUKA LBR iiwa 7 R800 with a right Wonik Allegro Hand V4.

Position, velocity and effort limits are read from the URDF, where each has its source. Acceleration and jerk
limits are not published for either machine; the figures here are ours: the arm's leave a margin below what
the FRI interface of the iiwa accepts without a stop, the hand's reach its full speed within 50 ms.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import cache

import numpy as np

from grasp_description.urdf import urdf_text

ARM_JOINTS = tuple(f"lbr_A{i}" for i in range(1, 8))
FINGERS = ("index", "middle", "ring", "thumb")
HAND_JOINTS = tuple(f"allegro_{finger}_{i}" for finger in FINGERS for i in range(4))
JOINT_NAMES = ARM_JOINTS + HAND_JOINTS
"""The canonical joint order of the whole stack: arm base to flange, then index, middle, ring, thumb, each
base to tip."""

FLANGE_LINK = "lbr_link_ee"
PALM_LINK = "palm_link"
FINGERTIP_LINKS = tuple(f"{finger}_tip" for finger in FINGERS)
FINGERTIP_RADIUS_M = 0.012
"""m, radius of a fingertip's sphere in the URDF."""

ARM_ACCELERATION = 10.0
"""rad/s², ours (see the module's docstring)."""
ARM_JERK = 500.0
"""rad/s³, ours."""
HAND_ACCELERATION = 150.0
"""rad/s², ours."""
HAND_JERK = 8000.0
"""rad/s³, ours."""

HAND_OPEN = np.array([0.0, 0.3, 0.3, 0.3] * 3 + [1.2, 0.3, 0.2, 0.2])
"""rad, the hand's joints (16) when open: fingers slightly bent, thumb opposed to them."""
HAND_CLOSED = np.array([0.0, 1.4, 1.3, 1.0] * 3 + [1.35, 0.8, 0.9, 1.2])
"""rad, the hand's joints (16) when closed around nothing."""

HOME_ARM = np.array([0.0, 0.281, 0.0, -1.872, 0.0, 0.291, 0.0])
"""rad, the arm's joints (7) at home: palm at (0.60, 0, 0.32) m, fingers pointing forward and 50 degrees
down."""
HOME_POSITION = np.concatenate([HOME_ARM, HAND_OPEN])
"""rad, canonical order (23)."""


@dataclass(frozen=True)
class JointLimits:
    """Limits of the 23 joints in canonical order; every array has shape (23,) and type float64."""

    lower: np.ndarray
    """rad"""
    upper: np.ndarray
    """rad"""
    velocity: np.ndarray
    """rad/s, magnitude"""
    acceleration: np.ndarray
    """rad/s², magnitude"""
    jerk: np.ndarray
    """rad/s³, magnitude"""
    effort: np.ndarray
    """N m, magnitude"""


@cache
def joint_limits() -> JointLimits:
    """Limits of every joint, from the URDF and this module's acceleration and jerk figures.

    Raises:
        ValueError: the URDF lacks a joint of ``JOINT_NAMES`` or one of its limits.
    """
    joints = ElementTree.fromstring(urdf_text()).iter("joint")
    found = {joint.get("name"): joint.find("limit") for joint in joints}

    def column(attribute: str) -> np.ndarray:
        values = np.empty(len(JOINT_NAMES))
        for index, name in enumerate(JOINT_NAMES):
            limit = found.get(name)
            text = None if limit is None else limit.get(attribute)
            if text is None:
                raise ValueError(f"Joint {name!r} has no <limit {attribute}=…> in the URDF; each needs it")
            values[index] = float(text)
        values.setflags(write=False)
        return values

    def constant(arm: float, hand: float) -> np.ndarray:
        values = np.array([arm] * len(ARM_JOINTS) + [hand] * len(HAND_JOINTS))
        values.setflags(write=False)
        return values

    return JointLimits(
        lower=column("lower"),
        upper=column("upper"),
        velocity=column("velocity"),
        acceleration=constant(ARM_ACCELERATION, HAND_ACCELERATION),
        jerk=constant(ARM_JERK, HAND_JERK),
        effort=column("effort"),
    )
