"""Robot and workcell: the URDF, joint facts with their sources, the MuJoCo scene, the objects.

Importing the package loads neither MuJoCo nor Warp; the modules ``scene``, ``objects`` and ``rendering`` do.
"""

from grasp_description.cameras import CAMERA_NAMES, STEREO_RIG, StereoRig
from grasp_description.robot import (
    ARM_JOINTS,
    FINGERTIP_LINKS,
    HAND_JOINTS,
    HOME_POSITION,
    JOINT_NAMES,
    PALM_LINK,
    JointLimits,
    joint_limits,
)
from grasp_description.urdf import urdf_path, urdf_text
from grasp_description.workcell import (
    CONTROL_RATE_HZ,
    EPISODE_LENGTH_S,
    GOAL_POSITION,
    HOLD_TIME_S,
    PHYSICS_RATE_HZ,
    SPAWN_REGION,
    SUCCESS_TOLERANCE_M,
    SpawnRegion,
    SuccessCriterion,
)

__all__ = [
    "ARM_JOINTS",
    "CAMERA_NAMES",
    "CONTROL_RATE_HZ",
    "EPISODE_LENGTH_S",
    "FINGERTIP_LINKS",
    "GOAL_POSITION",
    "HAND_JOINTS",
    "HOLD_TIME_S",
    "HOME_POSITION",
    "JOINT_NAMES",
    "PALM_LINK",
    "PHYSICS_RATE_HZ",
    "SPAWN_REGION",
    "STEREO_RIG",
    "SUCCESS_TOLERANCE_M",
    "JointLimits",
    "SpawnRegion",
    "StereoRig",
    "SuccessCriterion",
    "joint_limits",
    "urdf_path",
    "urdf_text",
]
