"""The node graph on the real robot, and its rehearsal with grasp_sim in place of drivers and cameras."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from grasp_bringup.files import shared_file
from grasp_bringup.graph import (
    Bringup,
    Graph,
    NodeProcess,
    absolute,
    check_run,
    environment_of_nodes,
    is_none,
    own_node,
    recorder,
    supply,
)
from grasp_bringup.robot_file import RobotFile, read_robot
from grasp_description.urdf import urdf_text

CANONICAL_STATES = "/grasp/joint_states"
"""Where the command node says where all joints are, by canonical names. Not /joint_states: ros2_control's
broadcasters speak there, in a driver's names."""
_DRIVER_TOPICS = (
    "arm_states_topic",
    "hand_states_topic",
    "arm_command_topic",
    "hand_command_topic",
    "arm_session_topic",
)
"""parameters of the command node that name the drivers' topics"""
_CAMERA_NODE = "/grasp_camera"
_BASE_FRAME = "lbr_link_0"


@dataclass(frozen=True)
class RealArguments:
    """What a user says about a run on the robot; the same names in the runner and in real_robot.launch.py."""

    robot_config: str = "lbr_allegro_v4"
    """the robot: a YAML file, or the name of one in config/robots"""
    policy: str = "models/stereo_student.onnx"
    """policy file"""
    calibration: str = "calibration/files"
    """folder that grasp-calibrate wrote"""
    task: str = "episodes"
    """episodes: attempts, one after another; picking: object after object into the bin (bin_arm_rad)"""
    episodes: int = 0
    """episodes to run; 0 runs until Ctrl-C"""
    dry_run: bool = False
    """compute and log, but command nothing"""
    drivers: bool = False
    """also start the drivers that the robot's file names; needs ros2 launch"""
    rehearsal: bool = False
    """grasp_sim in place of drivers and cameras, speaking as they do; no robot is needed"""
    record: str = "none"
    """file that everything the decisions saw is recorded in, NAME.mcap, a new one; or none"""
    rviz: bool = False
    """also show the robot in RViz; needs ros2 launch"""
    report: str = "runs/real/report.json"
    """where the scoreboard is written as JSON"""
    parameters: str = "none"
    """YAML file with parameters that win over the robot's; or none"""

    def __post_init__(self) -> None:
        check_run(self.episodes, self.task, self.report)
        if self.rehearsal and self.drivers:
            raise ValueError(
                "rehearsal and drivers are both asked for; expected one: a rehearsal moves no robot"
            )


def real_graph(arguments: RealArguments) -> Graph:
    """The graph of a run on the robot, or of its rehearsal.

    Drivers start first, then whatever gives images, the command node, the policy node, and the task node
    last. Nothing is active then: the task node activates cameras, command node and policy in that order when
    a person calls ``/grasp/start``, and nothing is armed before. When the run ends, the task node ends first:
    it disarms and deactivates the policy, and the others follow.

    Raises:
        RobotFileError: the robot's file is missing or malformed.
    """
    robot = read_robot(arguments.robot_config)
    policy, report = absolute(arguments.policy), absolute(arguments.report)
    files = [robot.path]
    if arguments.rehearsal:
        files.append(shared_file("config", "rehearsal.yaml"))
    if not is_none(arguments.parameters):
        files.append(absolute(arguments.parameters))
    remapped = {"/joint_states": CANONICAL_STATES}

    process = partial(own_node, tuple(files))
    control = {"dry_run": arguments.dry_run, "canonical_states_topic": CANONICAL_STATES}
    labels = ["mode=rehearsal" if arguments.rehearsal else "mode=real"] + [
        f"{name}={getattr(arguments, name)}" for name in ("robot_config", "task", "policy", "dry_run")
    ]
    task = {
        "mode": arguments.task,
        **(supply(arguments.task) if arguments.rehearsal else {}),
        "episodes": arguments.episodes,
        "report": str(report),
        "labels": labels,
        "camera_node": "" if arguments.rehearsal else _CAMERA_NODE,
    }
    started = _drivers(robot) if arguments.drivers else ([], [])
    processes = [
        *started[1],
        _simulation(process, robot, arguments) if arguments.rehearsal else _cameras(process, arguments),
        process("grasp_control", "control_node", control),
        process("grasp_policy", "policy_node", {"policy": str(policy)}, remappings=remapped),
        *_onlookers(arguments, robot, tuple(files)),
        process("grasp_task", "task_node", task, remappings=remapped, ends_graph=True),
    ]
    return Graph(
        tuple(processes),
        bringups=tuple(started[0]),
        report=report,
        endless=arguments.episodes == 0,
        policy=policy,
        recording=_recording(arguments),
        environment=environment_of_nodes(alone=arguments.rehearsal),
    )


def _cameras(process: Any, arguments: RealArguments) -> NodeProcess:
    told = {"calibration": str(absolute(arguments.calibration)), "policy": str(absolute(arguments.policy))}
    return process("grasp_camera", "camera_node", told)


def _simulation(process: Any, robot: RobotFile, arguments: RealArguments) -> NodeProcess:
    # In a dry run the drivers get no command: lockstep must not wait for one.
    told = {"driver_style": robot.driver_style, "drivers_commanded": not arguments.dry_run}
    return process("grasp_sim", "sim_node", told)


def _recording(arguments: RealArguments) -> Path | None:
    return None if is_none(arguments.record) else absolute(arguments.record)


def _onlookers(arguments: RealArguments, robot: RobotFile, files: tuple[Path, ...]) -> list[NodeProcess]:
    """Who only listens: the recorder and RViz, where they are asked for."""
    found = []
    recording = _recording(arguments)
    if recording is not None:
        # What the drivers really said and got: the arm gets nothing while its session takes nothing.
        told = robot.nodes.get("grasp_control", {})
        found.append(
            recorder(recording, files, [str(told[name]) for name in _DRIVER_TOPICS if told.get(name)])
        )
    if arguments.rviz:
        states = {"/joint_states": CANONICAL_STATES}
        shown = {"robot_description": urdf_text()}
        publisher = "robot_state_publisher"
        found += [
            NodeProcess(publisher, publisher, "", publisher, (), shown, states, onlooker=True),
            NodeProcess("rviz2", "rviz2", "", "rviz2", arguments=("-f", _BASE_FRAME), onlooker=True),
        ]
    return found


def _drivers(robot: RobotFile) -> tuple[list[Bringup], list[NodeProcess]]:
    """Launch files and nodes that start the drivers."""
    launched, nodes = [], []
    for entry in robot.bringups:
        package, what, *rest = entry.split()
        told = dict(part.split(":=", 1) for part in rest)
        if what.endswith(".launch.py"):
            launched.append(Bringup(package, what, told))
        else:
            values = {name: yaml.safe_load(value) for name, value in told.items()}
            nodes.append(NodeProcess(package, what, "", what, parameters=values))
    return launched, nodes
