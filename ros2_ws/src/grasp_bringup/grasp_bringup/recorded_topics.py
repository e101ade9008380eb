"""What a decision saw and what became of it: the topics of a recording, and how rosbag2 writes their QoS."""

from collections.abc import Iterable

from rclpy.duration import Duration
from rclpy.qos import QoSProfile

TOPICS = (
    "/clock",
    "/stereo/left/image_rect",
    "/stereo/right/image_rect",
    "/stereo/left/camera_info",
    "/stereo/right/camera_info",
    "/joint_states",
    "/policy/joint_target",
    "/policy/object_position",
    "/policy/decision",
    "/control/accepted_target",
    "/control/command",
    "/control/state",
    "/arm/joint_command",
    "/hand/joint_command",
    "/grasp/state",
    "/grasp/score",
    "/sim/object_pose",
    "/tf_static",
    "/diagnostics",
)
"""Those that nobody publishes (a robot has no /clock) cost nothing."""


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
