"""The one YAML file of a robot: what it says to the launch file, the runner and the doctor."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from grasp_bringup.files import shared_file

_OWN = "/grasp_bringup"
"""Heading of what is for no node."""


class RobotFileError(ValueError):
    """A robot's file is missing or says something that cannot be."""


@dataclass(frozen=True)
class RobotFile:
    """What a robot's file says beside its nodes' parameters."""

    path: Path
    """where it lies"""
    nodes: Mapping[str, Mapping[str, Any]]
    """parameters by node, without the slash"""
    driver_style: str
    """what grasp_sim speaks as in a rehearsal"""
    bringups: tuple[str, ...]
    """drivers to start: PACKAGE FILE.launch.py or PACKAGE EXECUTABLE, then name:=value"""
    interfaces: tuple[str, ...] = ()
    """network interfaces that have to be up"""
    calibration_days: float = 30.0
    """age in days from which a calibration is old"""


def robot_path(robot_config: str) -> Path:
    """The file that ``robot_config`` means: a path, or the name of one of the package's own.

    Raises:
        RobotFileError: there is none.
    """
    if "/" in robot_config or robot_config.endswith((".yaml", ".yml")):
        path = Path(robot_config).expanduser().absolute()
        if not path.is_file():
            raise RobotFileError(f"robot_config is {robot_config!r}; expected a file, and {path} is none")
        return path
    try:
        return shared_file("config", "robots", f"{robot_config}.yaml")
    except FileNotFoundError as error:
        raise RobotFileError(
            f"robot_config is {robot_config!r}; expected a path, or one of {', '.join(robot_names())}"
        ) from error


def overlaid(robot: RobotFile, file: Path) -> RobotFile:
    """The robot with the parameters of a file that wins over its own.

    Raises:
        RobotFileError: the file is missing or malformed.
    """
    nodes = {name: dict(told) for name, told in robot.nodes.items()}
    for name, told in _read_nodes(file).items():
        for one in nodes if name == "**" else (name,):
            nodes.setdefault(one, {}).update(told)
    return replace(robot, nodes=nodes)


def _read_nodes(path: Path) -> dict[str, dict[str, Any]]:
    """Parameters by node, without the slash."""
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8"))
        return {node.lstrip("/"): dict(entry["ros__parameters"]) for node, entry in told.items()}
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise RobotFileError(
            f"{path} cannot be read ({error}); expected node: ros__parameters: values"
        ) from error


def robot_names() -> list[str]:
    """Names of the robots that come with the package."""
    return sorted(
        path.stem for path in shared_file("config", "robots", "lbr_allegro_v4.yaml").parent.glob("*.yaml")
    )


def read_robot(robot_config: str) -> RobotFile:
    """Read a robot's file.

    Raises:
        RobotFileError: it is missing, is no YAML, or lacks an entry; the message names it.
    """
    path = robot_path(robot_config)
    nodes = _read_nodes(path)
    own = nodes.pop(_OWN.lstrip("/"), {})
    known = [one.name for one in fields(RobotFile) if one.name not in ("path", "nodes")]
    unknown = sorted(set(own) - set(known))
    missing = sorted({"driver_style", "bringups"} - set(own))
    if unknown or missing:
        raise RobotFileError(
            f"{path} has {_OWN} with unknown entries {unknown} and without {missing}; "
            f"expected some of {known}"
        )
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in own.items()
    }
    return RobotFile(path, nodes, **values)
