"""What a decision saw and what became of it: the topics of a recording, and how rosbag2 writes their QoS."""

from collections.abc import Iterable
from dataclasses import dataclass

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

_DEPTH = 200
"""messages of a topic that may wait for the recorder"""
_BEST_EFFORT = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
_RELIABLE = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
_LATCHED = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)

TOPICS: dict[str, tuple[str, QoSProfile]] = {
    "/clock": ("rosgraph_msgs/msg/Clock", _BEST_EFFORT),
    "/stereo/left/image_rect": ("sensor_msgs/msg/Image", _BEST_EFFORT),
    "/stereo/right/image_rect": ("sensor_msgs/msg/Image", _BEST_EFFORT),
    "/stereo/left/camera_info": ("sensor_msgs/msg/CameraInfo", _BEST_EFFORT),
    "/stereo/right/camera_info": ("sensor_msgs/msg/CameraInfo", _BEST_EFFORT),
    "/joint_states": ("sensor_msgs/msg/JointState", _BEST_EFFORT),
    "/grasp/joint_states": ("sensor_msgs/msg/JointState", _BEST_EFFORT),  # in their place on a robot
    "/policy/joint_target": ("trajectory_msgs/msg/JointTrajectory", _RELIABLE),
    "/policy/object_position": ("geometry_msgs/msg/PointStamped", _RELIABLE),
    "/policy/decision": ("diagnostic_msgs/msg/DiagnosticArray", _RELIABLE),
    "/control/accepted_target": ("std_msgs/msg/Header", _RELIABLE),
    "/control/command": ("sensor_msgs/msg/JointState", _RELIABLE),
    "/control/state": ("std_msgs/msg/String", _LATCHED),
    "/arm/joint_command": ("std_msgs/msg/Float64MultiArray", _RELIABLE),
    "/hand/joint_command": ("std_msgs/msg/Float64MultiArray", _RELIABLE),
    "/grasp/state": ("std_msgs/msg/String", _LATCHED),
    "/grasp/score": ("diagnostic_msgs/msg/DiagnosticStatus", _LATCHED),
    "/sim/object_pose": ("geometry_msgs/msg/PoseStamped", _BEST_EFFORT),
    "/tf_static": ("tf2_msgs/msg/TFMessage", _LATCHED),
    "/diagnostics": ("diagnostic_msgs/msg/DiagnosticArray", _RELIABLE),
}
"""What decisions see and what becomes of them: types and quality of service as the stack's nodes offer them.

With these the recorder listens from its start: to find them out would cost the first messages. Topics that
nobody publishes (a robot has no /clock) cost nothing.
"""

IMAGES = ("/stereo/left/image_rect", "/stereo/right/image_rect")
"""without the first of these a recorded episode cannot be decided again"""
COMMANDS = "/control/command"
"""while somebody publishes these, the robot may still come to rest"""
NEEDED = (*IMAGES, "/policy/decision", "/control/accepted_target", COMMANDS)
"""whose publishers are there before an episode begins, and have to be found by then"""


@dataclass
class Listening:
    """How a topic is listened to."""

    kind: str
    """type of the messages"""
    definition: str
    """its text, with that of all types in it"""
    qos: QoSProfile
    """what is asked of publishers"""
    subscription: Subscription
    """what hears it"""
    described: bool = False
    """whether the recording knows the topic"""


def suitable_qos(offered: Iterable[QoSProfile]) -> QoSProfile:
    """The most that every publisher gives. The history is the recorder's own: no publisher waits for it."""
    offered = list(offered)
    reliable = all(one.reliability == ReliabilityPolicy.RELIABLE for one in offered)
    latched = all(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in offered)
    if not reliable:
        return _BEST_EFFORT
    return _LATCHED if latched else _RELIABLE


def hears(wanted: QoSProfile, offered: Iterable[QoSProfile]) -> bool:
    """Whether a subscription with ``wanted`` hears all of these publishers."""
    return all(
        (wanted.reliability != ReliabilityPolicy.RELIABLE or one.reliability == ReliabilityPolicy.RELIABLE)
        and (
            wanted.durability != DurabilityPolicy.TRANSIENT_LOCAL
            or one.durability == DurabilityPolicy.TRANSIENT_LOCAL
        )
        for one in offered
    )


def offered_qos(profiles: Iterable[QoSProfile]) -> tuple[dict[str, object], ...]:
    """Quality of service as rosbag2 (Jazzy) writes it."""
    return tuple(
        {
            "history": one.history.name.lower(),
            "depth": one.depth,
            "reliability": one.reliability.name.lower(),
            "durability": one.durability.name.lower(),
            "deadline": _duration(one.deadline),
            "lifespan": _duration(one.lifespan),
            "liveliness": one.liveliness.name.lower(),
            "liveliness_lease_duration": _duration(one.liveliness_lease_duration),
            "avoid_ros_namespace_conventions": one.avoid_ros_namespace_conventions,
        }
        for one in profiles
    )


def _duration(duration: Duration) -> dict[str, int]:
    return dict(zip(("sec", "nsec"), divmod(duration.nanoseconds, 1_000_000_000), strict=True))
