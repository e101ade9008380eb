"""Looks, before anything moves, whether a run on the robot would go: `python -m grasp_bringup.doctor`.

It says nothing on any topic and opens no camera. One line a finding: OK, WARN or FAIL, and what to do. The
exit status is 0 where nothing fails, 1 where something does, 2 for wrong arguments.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import rclpy

from grasp_bringup.files import shared_file
from grasp_bringup.findings import Finding, Level, fail, ok, warn
from grasp_bringup.graph import absolute, arguments_from, described_arguments, is_none
from grasp_bringup.graph_checks import check_drivers, control_settings, listen, new_context
from grasp_bringup.machine_checks import (
    check_interfaces,
    check_packages,
    check_policy,
    check_providers,
    check_real_time,
)
from grasp_bringup.robot_file import RobotFile, RobotFileError, overlaid, read_robot

SOUND, FAILED, WRONG = 0, 1, 2
"""Exit status: nothing fails; something does; wrong arguments or no such robot."""


@dataclass(frozen=True)
class DoctorArguments:
    """What a user says; the same names as for a run."""

    robot_config: str = "lbr_allegro_v4"
    """the robot: a YAML file, or the name of one in config/robots"""
    policy: str = "models/stereo_student.onnx"
    """policy file"""
    calibration: str = "calibration/files"
    """folder that grasp-calibrate wrote"""
    parameters: str = "none"
    """YAML file with parameters that win over the robot's; or none"""
    rehearsal: bool = False
    """look only at what a rehearsal needs: no cameras, interfaces or drivers"""
    listen_s: float = 3.0
    """s to listen to the drivers; 0 does not"""


def examine(arguments: DoctorArguments) -> Iterator[Finding]:
    """Every finding, as soon as it is known.

    Raises:
        RobotFileError: the robot's file, or that of parameters, is missing or malformed.
    """
    robot = read_robot(arguments.robot_config)
    if not is_none(arguments.parameters):
        robot = overlaid(robot, absolute(arguments.parameters))
    yield ok("robot", f"{robot.path}")
    yield from check_packages(robot, arguments.rehearsal)
    providers = list(robot.nodes.get("grasp_policy", {}).get("providers", ["CPUExecutionProvider"]))
    yield from check_providers(providers)
    yield from check_policy(absolute(arguments.policy), providers)
    if not arguments.rehearsal:
        yield from check_eyes(robot, absolute(arguments.calibration), absolute(arguments.policy))
        yield from check_hand(robot)
        yield from check_interfaces(robot.interfaces)
        yield from check_real_time()
    yield from _check_graph(robot, arguments)


def check_eyes(robot: RobotFile, calibration: Path, policy: Path) -> list[Finding]:
    """Cameras and their calibration, where grasp_camera is installed; a simulation does without."""
    try:
        preflight = import_module("grasp_camera.preflight")
        read_spec = import_module("grasp_policy.policy_file").read_spec
        told = robot.nodes.get("grasp_camera", {})
        spec = read_spec(policy) if policy.is_file() else None
    except (ImportError, ValueError) as error:
        return [fail("cameras", f"cannot be looked at: {error}", "see the lines above")]
    try:
        asked = preflight.asked_source(told)
    except ValueError as error:
        return [fail("cameras", f"{robot.path}: {error}", "correct /grasp_camera in the robot's file")]
    groups: dict[str, list[Any]] = {
        "cameras": preflight.camera_troubles(asked.kind, asked.devices),
        "calibration": preflight.calibration_troubles(calibration, robot.calibration_days, spec, asked),
    }
    found = []
    for what, troubles in groups.items():
        found += [(fail if grave else warn)(what, text, advice) for grave, text, advice in troubles]
        if not troubles:
            found.append(ok(what, "as the robot's file and the policy want it"))
    return found


def check_hand(robot: RobotFile) -> list[Finding]:
    """Whether the robot description is of this robot's hand."""
    if robot.driver_style != "lbr+allegro_v5":
        return []
    text = (
        "the description is of an Allegro V4; a V5's thumb tip lies 25 to 30 mm from where policy and "
        "collision guard take it to be, its finger tips 5 to 7 mm"
    )
    advice = "measure on your hand; do not rely on the guard between thumb and table or arm"
    return [warn("hand", text, advice)]


def _check_graph(robot: RobotFile, arguments: DoctorArguments) -> list[Finding]:
    files = [robot.path]
    files += [shared_file("config", "rehearsal.yaml")] if arguments.rehearsal else []
    files += [] if is_none(arguments.parameters) else [absolute(arguments.parameters)]
    context = new_context()
    try:
        settings, found = control_settings(robot, files, context)
        if settings is not None and arguments.listen_s > 0.0 and not arguments.rehearsal:
            found += check_drivers(settings, listen(settings, arguments.listen_s, context))
        return found
    finally:
        rclpy.shutdown(context=context)


def parse_arguments(arguments: list[str]) -> DoctorArguments:
    """Read the command line; exits with status 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="doctor", description="Look whether a run on the robot would go.")
    for name, default, description in described_arguments(DoctorArguments):
        text = f"{description} (default: {default})"
        parser.add_argument(
            f"--{name.replace('_', '-')}", dest=name, default=default, metavar="VALUE", help=text
        )
    try:
        return arguments_from(DoctorArguments, vars(parser.parse_args(arguments)))
    except ValueError as error:
        parser.error(str(error))


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `doctor`."""
    asked = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    worst, counts = Level.OK, dict.fromkeys(Level, 0)
    try:
        for finding in examine(asked):
            print(finding, flush=True)
            counts[finding.level] += 1
            worst = max(worst, finding.level)
    except RobotFileError as error:
        print(f"doctor: {error}", file=sys.stderr)
        sys.exit(WRONG)
    print(", ".join(f"{count} {level.name}" for level, count in counts.items()))
    sys.exit(FAILED if worst is Level.FAIL else SOUND)


if __name__ == "__main__":
    main()
