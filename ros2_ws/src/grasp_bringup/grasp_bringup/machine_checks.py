"""What a run needs of this machine: packages, providers, policy file, interfaces, real-time permissions."""

import importlib.util
import os
import resource
from collections.abc import Sequence
from pathlib import Path

from grasp_bringup.findings import Finding, fail, ok, warn
from grasp_bringup.robot_file import RobotFile

_NODES = ("grasp_control", "grasp_policy", "grasp_task")
_LIBRARIES = ("rclpy", "numpy", "mujoco", "onnx", "onnxruntime", "ruckig")
_DRIVER_PRIORITY = 80
"""real-time priority that the LBR stack asks for (rt_prio in its lbr_system_config.yaml)"""
_INTERFACE_UP = 0x1
"""IFF_UP of netdevice(7)"""


def check_packages(robot: RobotFile, rehearsal: bool) -> list[Finding]:
    """Whether the Python packages of a run are installed."""
    needed = [*_LIBRARIES, *_NODES, "grasp_sim" if rehearsal else "grasp_camera"]
    source = robot.nodes.get("grasp_camera", {}).get("source", "realsense_pair")
    if not rehearsal:
        needed += ["cv2", *(["pyrealsense2"] if source.startswith("realsense") else [])]
    missing = [name for name in needed if not _is_here(name)]
    found = [
        fail("packages", f"{name} is not installed", "install it into the environment of the nodes")
        for name in missing
    ]
    if not missing:
        found.append(ok("packages", f"{', '.join(needed)} are installed"))
    if not _is_here("launch_ros"):
        text = "ROS 2's launch is not installed: no ros2 launch, drivers or RViz from here"
        found.append(warn("packages", text, "use python -m grasp_bringup.runner real"))
    session = robot.nodes.get("grasp_control", {}).get("arm_session_topic")
    if session and not rehearsal and not _is_here("lbr_fri_idl"):
        text = f"lbr_fri_idl is not installed: {session} is not heard, and the arm's session is not asked"
        found.append(warn("packages", text, "source the workspace of the LBR stack"))
    return found


def check_providers(asked: Sequence[str]) -> list[Finding]:
    """Whether ONNX Runtime has the execution providers that are asked for."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    missing = [name for name in asked if name not in there]
    if missing:
        advice = f"install the onnxruntime that has them, or ask for some of {', '.join(there)}"
        return [fail("providers", f"onnxruntime lacks {', '.join(missing)}", advice)]
    return [ok("providers", f"onnxruntime has {', '.join(asked)}")]


def check_policy(path: Path, providers: Sequence[str]) -> list[Finding]:
    """Whether the policy file is sound, fits the robot description, and gets its providers."""
    from grasp_policy.policy_file import PolicyFileError, load_policy
    from grasp_policy.workcell_contract import workcell_contract

    try:
        policy = load_policy(path, workcell_contract(), list(providers))
    except PolicyFileError as error:
        return [fail("policy", str(error), "export it for this robot, or name another: --policy")]
    spec = policy.spec
    return [
        ok("policy", f"{path.name}, {spec.image_width}x{spec.image_height} px, {spec.control_rate_hz:g} Hz")
    ]


def check_interfaces(names: Sequence[str], root: Path = Path("/sys/class/net")) -> list[Finding]:
    """Whether the network interfaces that drivers use are up."""
    found = []
    for name in names:
        try:
            up = int((root / name / "flags").read_text(), 16) & _INTERFACE_UP
        except (OSError, ValueError):
            found.append(fail("interface", f"{name} is not there", "plug in the adapter, load its driver"))
            continue
        advice = f"sudo ip link set {name} up type can bitrate 1000000"
        found.append(ok("interface", f"{name} is up") if up else fail("interface", f"{name} is down", advice))
    return found


def check_real_time(
    priority: int | None = None, kernel: Path = Path("/sys/kernel/realtime")
) -> list[Finding]:
    """Whether drivers may have real-time priority, and who runs this.

    Args:
        priority: the highest that this user may have; None asks the system
        kernel: file that a real-time kernel has
    """
    most = resource.getrlimit(resource.RLIMIT_RTPRIO)[1] if priority is None else priority
    found = []
    if most in (resource.RLIM_INFINITY, 99) or most >= _DRIVER_PRIORITY:
        found.append(ok("real time", "this user may have real-time priority"))
    else:
        text = (
            f"the highest real-time priority allowed is {most}; the arm's driver asks for {_DRIVER_PRIORITY}"
        )
        found.append(
            warn("real time", text, "add '@realtime - rtprio 99' to /etc/security/limits.conf, log in anew")
        )
    if not kernel.exists():
        advice = "use a PREEMPT_RT kernel where the arm's session drops"
        found.append(warn("real time", "the kernel is not a real-time one", advice))
    if os.geteuid() == 0:
        found.append(warn("user", "this is root", "run as a user: nothing here needs to be root"))
    return found


def _is_here(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
