"""Where the link that carries the board was at each view: the file ``poses.yaml`` beside the images.

    base: lbr_link_0            # frame that the poses are given in: the arm's base, no other
    link: lbr_link_7            # link that carries the board
    views:
      view_000: {translation_m: [0.61, 0.02, 0.43], quaternion_wxyz: [0.0, 0.70710678, 0.70710678, 0.0]}
      view_001: {joint_position_rad: {lbr_A1: 0.1, lbr_A2: 0.5, …}}

A view has either a pose (metres, w-x-y-z) or the positions of every joint between base and link by name.
Joint positions become poses by the URDF of grasp_description, run through MuJoCo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from grasp_calibration.errors import CalibrationRefusedError
from grasp_camera.camera_info import read_yaml
from grasp_camera.errors import CalibrationFileError
from grasp_camera.extrinsics import Transform
from grasp_camera.stereo_calibration import BASE_FRAME

__all__ = ["RobotPoses", "joints_between", "link_pose", "read_poses"]

POSES_FILE = "poses.yaml"


@dataclass(frozen=True, eq=False)
class RobotPoses:
    """Poses of one link in the base frame."""

    base: str
    """frame that the poses are given in"""
    link: str
    """link that carries the board"""
    poses: Mapping[str, np.ndarray]
    """view's name -> (4, 4)"""


def read_poses(path: Path) -> RobotPoses:
    """Read the file.

    Raises:
        CalibrationRefusedError: it is missing or malformed, or its base is another frame than the arm's; the
            message names the entry.
    """
    try:
        document = read_yaml(path)
    except CalibrationFileError as error:
        raise CalibrationRefusedError(str(error)) from error
    base, link, views = (document.get(key) for key in ("base", "link", "views"))
    if not isinstance(base, str) or not isinstance(link, str) or not isinstance(views, Mapping):
        raise CalibrationRefusedError(
            f"{path}: expected base and link (names of frames) and views (a mapping)"
        )
    if base != BASE_FRAME:
        # The cameras' place is looked for in the arm's base frame: in another one nobody would find it.
        raise CalibrationRefusedError(
            f"{path}: base is {base!r}; expected {BASE_FRAME!r}, the arm's base: give the poses in that frame"
        )
    return RobotPoses(base, link, {str(name): _pose(path, base, link, name, views[name]) for name in views})


def _pose(path: Path, base: str, link: str, name: Any, entry: Any) -> np.ndarray:
    where = f"{path}: view {name!r}"
    if isinstance(entry, Mapping) and set(entry) == {"joint_position_rad"}:
        joints = entry["joint_position_rad"]
        if isinstance(joints, Mapping):
            return link_pose(base, link, joints, where)
    if not isinstance(entry, Mapping) or set(entry) != {"translation_m", "quaternion_wxyz"}:
        raise CalibrationRefusedError(
            f"{where} is {entry!r}; expected translation_m and quaternion_wxyz, or joint_position_rad"
        )
    try:
        return Transform(base, link, tuple(entry["translation_m"]), tuple(entry["quaternion_wxyz"])).matrix()
    except (TypeError, ValueError) as error:
        raise CalibrationRefusedError(f"{where}: {error}") from error


def link_pose(base: str, link: str, joints: Mapping[str, float], where: str) -> np.ndarray:
    """Pose (4, 4) of a link in another's frame by the URDF of grasp_description.

    Args:
        joints: joint's name -> rad.
        where: what an error's message begins with.

    Raises:
        CalibrationRefusedError: an unknown joint or link, a joint between them left out, a position that is
            no finite number, or no MuJoCo.
    """
    left_out = [name for name in joints_between(base, link, where) if name not in joints]
    if left_out:
        raise CalibrationRefusedError(
            f"{where}: expected every joint up to {link}; missing: {', '.join(left_out)}"
        )
    import mujoco

    model = _robot(where)
    data = mujoco.MjData(model)
    for joint, position in joints.items():
        index = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_JOINT, str(joint))
        number = isinstance(position, int | float) and np.isfinite(position)
        if index < 0 or not number:
            raise CalibrationRefusedError(
                f"{where}: joint {joint!r} at {position!r}; expected the robot's joints, rad"
            )
        data.qpos[model.jnt_qposadr[index]] = position
    mujoco.mj_kinematics(model, data)
    found = []
    for frame in (base, link):
        body = _body(model, frame, where)
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = data.xmat[body].reshape(3, 3), data.xpos[body]
        found.append(matrix)
    return np.linalg.inv(found[0]) @ found[1]


def joints_between(base: str, link: str, where: str) -> tuple[str, ...]:
    """Names of the joints that carry a link, from the base on.

    Args:
        where: what an error's message begins with.

    Raises:
        CalibrationRefusedError: an unknown link, one that the base does not carry, or no MuJoCo.
    """
    model = _robot(where)
    end, body = _body(model, base, where), _body(model, link, where)
    names: list[str] = []
    while body != end:
        if body == 0:
            raise CalibrationRefusedError(f"{where}: {base} does not carry {link}")
        first = int(model.body_jntadr[body])
        names[:0] = [model.joint(first + index).name for index in range(int(model.body_jntnum[body]))]
        body = int(model.body_parentid[body])
    return tuple(names)


def _body(model: Any, name: str, where: str) -> int:
    import mujoco

    body = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
    if body < 0:
        raise CalibrationRefusedError(f"{where}: the robot has no link {name!r}")
    return body


def _robot(where: str) -> Any:
    try:
        return _compiled()
    except ImportError as error:
        raise CalibrationRefusedError(
            f"{where}: robot poses from joint positions need grasp_description and mujoco: {error}"
        ) from error


@cache
def _compiled() -> Any:
    """The robot alone, no link merged into another: every link of the URDF has a pose."""
    import mujoco

    from grasp_description.urdf import urdf_text

    spec = mujoco.MjSpec.from_string(urdf_text())
    spec.compiler.fusestatic = False
    return spec.compile()
