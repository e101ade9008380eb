"""Live views: raw images of the camera node, kept in a folder when the board is new in them and stands still.

ROS is imported when views are taken, with `listener`, and not before. What is written is the folder that the
calibrations read: live or from files, they do the same.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from grasp_calibration.board import BoardConfig
from grasp_calibration.errors import CalibrationRefusedError
from grasp_calibration.quality import QualityLimits, same_view
from grasp_calibration.robot_poses import POSES_FILE, joints_between
from grasp_calibration.views import EYES, Pair, StereoImages, judged_views
from grasp_camera.camera_info import write_yaml
from grasp_camera.stereo_calibration import BASE_FRAME

__all__ = ["CaptureConfig", "ViewCollector", "agreed_devices", "capture"]


@dataclass(frozen=True)
class CaptureConfig:
    """How live views are taken."""

    views: int = 25
    """Views to take."""
    topics: tuple[str, str] = ("/stereo/left/image_raw", "/stereo/right/image_raw")
    """Raw images, left and right (start the camera node with publish_raw:=true)."""
    joint_topic: str = "/joint_states"
    """Joint states, for hand-eye calibration."""
    camera_node: str = "/grasp_camera"
    """Camera node, asked which devices it has open."""
    still_px: float = 0.7
    """px, largest motion of the board between two looks at it for it to count as standing still."""
    still_rad: float = 0.0005
    """rad, largest motion of a joint between two looks, for hand-eye calibration."""
    patience_s: float = 120.0
    """s without a new view after which to give up."""


@dataclass
class ViewCollector:
    """Decides which pairs are kept, and writes them. No ROS in it."""

    folder: Path
    """where images and poses.yaml go"""
    board: BoardConfig
    """the board"""
    limits: QualityLimits
    """what is asked of a view"""
    config: CaptureConfig
    """how still, how many"""
    link: str = ""
    """link that carries the board; empty for stereo calibration, which needs no robot"""
    kept: list[Pair] = field(default_factory=list)
    """views kept so far"""
    message: str = ""
    """what is wrong with the latest pair, or that it was kept"""
    _before: tuple[Pair, Mapping[str, float]] | None = None
    _joints: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether there are as many views as asked for."""
        return len(self.kept) >= self.config.views

    def offer(self, images: tuple[np.ndarray, np.ndarray], joints: Mapping[str, float] | None = None) -> bool:
        """Keep the pair if it is good, new, and taken at rest.

        Args:
            images: left, right, uint8 grey.
            joints: joint's name -> rad at that moment, those that carry the link; needed where there is one.

        Returns:
            Whether it was kept.
        """
        name = f"view_{len(self.kept):03d}"
        judged = judged_views(self.board, self.limits, [StereoImages(name, images)])
        if judged.refusals:
            self.message, self._before = judged.refusals[0].reason, None
            return False
        pair, joints = judged.pairs[0], dict(joints or {})
        before, self._before = self._before, (pair, joints)
        if self.link and not joints:
            self.message = f"no joint states of that moment that name every joint up to {self.link}"
            return False
        if before is None or not self._still(before, pair, joints):
            self.message = "moving"
            return False
        if any(all(map(same_view, pair.eyes, other.eyes)) for other in self.kept):
            self.message = "as an earlier view: move on"
            return False
        self._keep(pair, images, joints)
        return True

    def _still(
        self, before: tuple[Pair, Mapping[str, float]], pair: Pair, joints: Mapping[str, float]
    ) -> bool:
        earlier, earlier_joints = before
        rest = all(
            abs(value - earlier_joints.get(name, np.inf)) <= self.config.still_rad
            for name, value in joints.items()
        )
        near = (same_view(a, b, self.config.still_px) for a, b in zip(pair.eyes, earlier.eyes, strict=True))
        return rest and all(near)

    def _keep(self, pair: Pair, images: tuple[np.ndarray, np.ndarray], joints: Mapping[str, float]) -> None:
        for eye, image in zip(EYES, images, strict=True):
            path = self.folder / eye / f"{pair.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not cv2.imwrite(str(path), image):
                raise CalibrationRefusedError(f"{path}: cannot be written")
        self.kept.append(pair)
        if self.link:
            self._joints[pair.name] = {name: float(value) for name, value in joints.items()}
            views = {name: {"joint_position_rad": values} for name, values in self._joints.items()}
            write_yaml(self.folder / POSES_FILE, {"base": BASE_FRAME, "link": self.link, "views": views})
        self.message = f"kept, {len(self.kept)} of {self.config.views}"


def capture(
    folder: Path,
    board: BoardConfig,
    limits: QualityLimits,
    config: CaptureConfig,
    link: str = "",
    devices: Sequence[str] = (),
) -> tuple[str, ...]:
    """Take views from the running camera node until there are enough, saying what is wrong with the others.

    Args:
        devices: the cameras that it has to be, left before right; any where empty.

    Returns:
        The cameras that it was, as the node says; those given where it does not answer.

    Raises:
        CalibrationRefusedError: the folder holds images already, the robot has no such link, ROS 2 is
            missing, the node has other devices, or no new view came for ``patience_s``.
    """
    folder = Path(folder)
    if any((folder / eye).is_dir() and any((folder / eye).iterdir()) for eye in EYES):
        raise CalibrationRefusedError(f"{folder}: holds images already; expected a new folder for live views")
    # Asked for before anybody moves an arm: a link that there is not would come out once all views are taken.
    joints = joints_between(BASE_FRAME, link, "--link") if link else ()
    try:
        from grasp_calibration.listener import StereoListener
    except ImportError as error:
        raise CalibrationRefusedError(f"live views need ROS 2 (rclpy, sensor_msgs): {error}") from error
    collector = ViewCollector(folder, board, limits, config, link)
    with StereoListener(config.topics, config.joint_topic, joints) as listener:
        found = agreed_devices(devices, listener.devices(config.camera_node), config.camera_node)
        _collect(listener, collector, config)
    return found


def agreed_devices(told: Sequence[str], found: Sequence[str], node: str) -> tuple[str, ...]:
    """The cameras, left before right; empty where nobody knows them.

    Args:
        told: by the user, or by the calibration that is there; empty where it was not said.
        found: at the camera node; empty where it did not say.
        node: its name.

    Raises:
        CalibrationRefusedError: the two differ.
    """
    if told and found and list(told) != list(found):
        raise CalibrationRefusedError(
            f"devices are {list(found)} in {node}; expected {list(told)}, left before right: are the eyes "
            "swapped, or is it another camera?"
        )
    return tuple(found or told)


def _collect(listener: Any, collector: ViewCollector, config: CaptureConfig) -> None:
    latest, said = time.monotonic(), ""
    while not collector.done:
        moment = listener.take(timeout_s=1.0)
        if moment is not None and collector.offer(*moment):
            latest = time.monotonic()
        message = collector.message if moment is not None else f"nothing on {' and '.join(config.topics)}"
        if message != said:
            print(message, flush=True)
            said = message
        if time.monotonic() - latest > config.patience_s:
            raise CalibrationRefusedError(
                f"no new view for {config.patience_s:g} s ({len(collector.kept)} of {config.views} kept): "
                f"{message}"
            )
