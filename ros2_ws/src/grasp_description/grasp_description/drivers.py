"""What the drivers of arm and hand call their joints, in which order, on which topics.

Read in the drivers' sources:

- LBR: lbr-stack/lbr_fri_ros2_stack 218d723, ``lbr_ros2_control/config/lbr_controllers.yaml`` (joints,
  100 Hz), ``lbr_bringup`` (namespace /lbr).
- Allegro V4: Wonikrobotics-git/allegro_hand_ros2 5600ffd, ``allegro_hand_bringup/config/v4/single_hand``
  (joints, controller, 100 Hz), ``allegro_hand_description_right.xacro`` (joint0x is the thumb, joint1x to 3x
  stand at y = +43.5, 0 and -43.5 mm as index, middle and ring do in our URDF).
- Allegro V5: Wonikrobotics-git/allegro_hand_ros2_v5 2a6de97, ``allegro_node.cpp``, ``allegro_node.h`` (names,
  topics, 2 ms loop), ``allegro_node_grasp.cpp`` (a command is read by place, its names and its length are not
  looked at, and it holds until the next one), ``allegro_hand_description_right_A.urdf`` (ranges).
"""

from dataclasses import dataclass

from grasp_description.robot import ARM_JOINTS, HAND_JOINTS


@dataclass(frozen=True)
class DriverFacts:
    """One driver as it comes from its maker."""

    part: str
    """arm or hand"""
    joints: tuple[str, ...]
    """canonical names in the order of its command"""
    own_names: tuple[str, ...]
    """its own names for the same joints"""
    states_topic: str
    """sensor_msgs/JointState"""
    command_topic: str
    """position command"""
    command_style: str
    """array: std_msgs/Float64MultiArray; joint_state: sensor_msgs/JointState"""
    state_rate_hz: float
    """joint states a second"""
    lower_rad: tuple[float, ...] = ()
    """lower ends of its joints' ranges, in its order; empty where they are the URDF's"""
    upper_rad: tuple[float, ...] = ()
    """upper ends"""


_THUMB_FIRST = HAND_JOINTS[12:] + HAND_JOINTS[:12]

LBR = DriverFacts(
    part="arm",
    joints=ARM_JOINTS,
    own_names=ARM_JOINTS,
    states_topic="/lbr/joint_states",
    command_topic="/lbr/forward_position_controller/commands",
    command_style="array",
    state_rate_hz=100.0,
)
ALLEGRO_V4 = DriverFacts(
    part="hand",
    joints=_THUMB_FIRST,
    own_names=tuple(f"ah_joint{finger}{joint}" for finger in range(4) for joint in range(4)),
    states_topic="/joint_states",
    command_topic="/allegro_hand_position_controller/commands",
    command_style="array",
    state_rate_hz=100.0,
)
ALLEGRO_V5 = DriverFacts(
    part="hand",
    joints=HAND_JOINTS,
    own_names=tuple(f"joint_{joint}_0" for joint in range(16)),
    states_topic="/allegroHand/joint_states",
    command_topic="/allegroHand/joint_cmd",
    command_style="joint_state",
    state_rate_hz=500.0,
    lower_rad=(-0.47, -0.196, -0.174, -0.227) * 3 + (0.0, -0.26, -0.05, -0.09),
    upper_rad=(0.47, 1.8, 1.709, 1.618) * 3 + (1.78, 1.78, 1.85, 1.80),
)
DRIVER_STYLES: dict[str, tuple[DriverFacts, DriverFacts]] = {
    "lbr+allegro_v4": (LBR, ALLEGRO_V4),
    "lbr+allegro_v5": (LBR, ALLEGRO_V5),
}
"""Pairs of arm and hand drivers by name."""
