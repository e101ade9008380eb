"""The command `grasp-calibrate`: board | stereo | hand-eye | check."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cv2
import tyro

from grasp_calibration.board import BoardConfig
from grasp_calibration.check import CheckLimits, check_calibration, draw_check
from grasp_calibration.errors import CalibrationRefusedError, listed
from grasp_calibration.hand_eye import HandEyeLimits, calibrate_hand_eye
from grasp_calibration.live import CaptureConfig, capture
from grasp_calibration.quality import QualityLimits
from grasp_calibration.robot_poses import POSES_FILE, read_poses
from grasp_calibration.stereo import StereoResult, calibrate_stereo, right_in_left
from grasp_calibration.views import PairViews, judged_views, read_pairs
from grasp_camera.camera_info import read_yaml
from grasp_camera.extrinsics import Transform, write_extrinsics
from grasp_camera.stereo_calibration import (
    EXTRINSICS_FILE,
    OPTICAL_FRAMES,
    read_stereo,
    write_stereo,
)

__all__ = ["main"]

Board = Annotated[BoardConfig, tyro.conf.arg(name="board")]
Quality = Annotated[QualityLimits, tyro.conf.arg(name="limits")]


@dataclass(frozen=True)
class MakeBoard:
    """Draw the board to print; measure a square on the paper and give that as --board.square-mm
    afterwards."""

    output: tyro.conf.Positional[Path]
    """Picture to write, such as board.png."""
    board: Board = field(default_factory=BoardConfig)
    """The board."""
    dpi: float = 300.0
    """Dots per inch of the printer's picture."""


@dataclass(frozen=True)
class Stereo:
    """Calibrate a stereo pair from a folder of views, or live from the camera node."""

    images: tyro.conf.Positional[Path]
    """Folder with left/NAME.png and right/NAME.png, raw images; with --live they are put there."""
    output: Path = Path("calibration/files")
    """Folder to write left.yaml, right.yaml and extrinsics.yaml to."""
    live: bool = False
    """Take the views from the camera node's raw images first, until there are enough."""
    lens: str = "plumb_bob"
    """Distortion model: plumb_bob (5 numbers) or, for wide angles, rational_polynomial (8)."""
    devices: tuple[str, ...] = ()
    """The cameras as the camera node's parameter of that name has them, left before right; with --live the
    node is asked."""
    board: Board = field(default_factory=BoardConfig)
    """The board."""
    limits: Quality = field(default_factory=QualityLimits)
    """What is asked of the views."""
    capture: Annotated[CaptureConfig, tyro.conf.arg(name="capture")] = field(default_factory=CaptureConfig)
    """How live views are taken."""


@dataclass(frozen=True)
class HandEye:
    """Find the fixed cameras' place in the arm's base frame, the arm holding the board."""

    images: tyro.conf.Positional[Path]
    """Folder with left/NAME.png, right/NAME.png and poses.yaml; with --live they are put there."""
    calibration: Path = Path("calibration/files")
    """Folder of the stereo calibration; extrinsics.yaml in it is written anew."""
    live: bool = False
    """Take the views from the camera node and the robot's poses from /joint_states first."""
    link: str = "lbr_link_7"
    """Link that carries the board, for --live."""
    board: Board = field(default_factory=BoardConfig)
    """The board."""
    views: Annotated[QualityLimits, tyro.conf.arg(name="views")] = field(default_factory=QualityLimits)
    """What is asked of the views."""
    limits: Annotated[HandEyeLimits, tyro.conf.arg(name="limits")] = field(default_factory=HandEyeLimits)
    """What is asked of the result."""
    capture: Annotated[CaptureConfig, tyro.conf.arg(name="capture")] = field(default_factory=CaptureConfig)
    """How live views are taken."""


@dataclass(frozen=True)
class Check:
    """Measure a calibration's errors on views, and draw them; exit status 1 beyond the limits."""

    images: tyro.conf.Positional[Path]
    """Folder with left/NAME.png and right/NAME.png, raw images; better others than those calibrated from."""
    calibration: Path = Path("calibration/files")
    """Folder of the calibration."""
    picture: Path = Path("check.png")
    """Where the picture goes."""
    board: Board = field(default_factory=BoardConfig)
    """The board."""
    views: Annotated[QualityLimits, tyro.conf.arg(name="views")] = field(default_factory=QualityLimits)
    """What is asked of the views."""
    limits: Annotated[CheckLimits, tyro.conf.arg(name="limits")] = field(default_factory=CheckLimits)
    """From where on the check fails."""


def _make_board(command: MakeBoard) -> int:
    picture = command.board.picture(command.dpi / 25.4)
    command.output.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(command.output), picture):
        raise CalibrationRefusedError(
            f"{command.output}: cannot be written; expected a name such as board.png"
        )
    board = command.board
    print(
        f"{command.output}: {board.columns}x{board.rows} squares of {board.square_mm:g} mm at "
        f"{command.dpi:g} dpi, {board.dictionary}. Print without scaling, glue it on something flat, and "
        "measure the squares."
    )
    return 0


def _stereo(command: Stereo) -> int:
    devices = _named(command.devices, "--devices")
    if command.live:
        devices = capture(command.images, command.board, command.limits, command.capture, devices=devices)
    views = _views(command.board, command.limits, command.images)
    result = calibrate_stereo(command.board, views, command.limits, command.lens)
    write_stereo(command.output, result.calibration)
    made = {"stereo": _made(command.images, result.views, reprojection_rms_px=result.reprojection_rms_px)}
    # The old place in the base frame belongs to the old rectified frame: it goes.
    write_extrinsics(command.output / EXTRINSICS_FILE, result.calibration.transforms, made, devices)
    _print_stereo(result)
    if not devices:
        print("Cameras        not known: --devices LEFT RIGHT ties the calibration to them")
    print(
        f"Written to {command.output}: left.yaml, right.yaml, {EXTRINSICS_FILE}. Next: grasp-calibrate "
        "hand-eye"
    )
    return 0


def _print_stereo(result: StereoResult) -> None:
    _print_refusals(result.refusals)
    calibration = result.calibration
    for eye, camera in zip(("Left", "Right"), calibration.cameras, strict=True):
        print(
            f"{eye:14s} {camera.width}x{camera.height} px, fx {camera.k[0, 0]:.2f}, fy "
            f"{camera.k[1, 1]:.2f}, centre ({camera.k[0, 2]:.2f}, {camera.k[1, 2]:.2f}) px"
        )
    print(
        f"Baseline       {1e3 * calibration.baseline_m:.2f} mm, standard error "
        f"{result.baseline_error_mm:.3f} mm\n"
        f"Focal length   standard error {100 * result.focal_error:.3f} %\n"
        f"Reprojection   {result.reprojection_rms_px:.3f} px RMS over {result.views} views\n"
        f"Epipolar       {result.epipolar_rms_px:.3f} px RMS"
    )


def _hand_eye(command: HandEye) -> int:
    calibration = read_stereo(command.calibration)
    file = command.calibration / EXTRINSICS_FILE
    before = read_yaml(file) if file.exists() else {}
    devices = _named(before.get("devices") or (), f"{file}: devices")
    if command.live:
        capture(command.images, command.board, command.views, command.capture, command.link, devices)
    robot = read_poses(command.images / POSES_FILE)
    views = _views(command.board, command.views, command.images)
    result = calibrate_hand_eye(command.board, views, calibration, robot.poses, command.limits)
    _print_refusals(result.refusals)
    left = Transform.from_matrix(robot.base, OPTICAL_FRAMES[0], result.base_from_camera)
    # The right camera's from its own file: files by ROS's cameracalibrator come without extrinsics.yaml.
    right = right_in_left(calibration.right)
    others = (one for one in calibration.transforms if one.child not in OPTICAL_FRAMES)
    made = _made(
        command.images,
        result.views,
        reprojection_rms_px=result.reprojection_rms_px,
        board_link=robot.link,
        position_error_mm=result.position_error_mm,
        rotation_error_deg=result.rotation_error_deg,
    )
    made = dict(before.get("made") or {}) | {"hand_eye": made}
    write_extrinsics(file, (left, right, *others), made, devices)
    x, y, z = left.translation_m
    print(
        f"{left.child} in {left.parent}: ({x:.4f}, {y:.4f}, {z:.4f}) m, quaternion w-x-y-z "
        f"({', '.join(f'{value:.5f}' for value in left.quaternion_wxyz)})\n"
        f"Standard error {result.position_error_mm:.2f} mm, {result.rotation_error_deg:.3f} degrees, the "
        "intrinsics taken for exact\n"
        f"Reprojection   {result.reprojection_rms_px:.3f} px RMS over {result.views} views\n"
        f"Written to {file}"
    )
    return 0


def _check(command: Check) -> int:
    calibration = read_stereo(command.calibration)
    views = _views(command.board, command.views, command.images)
    result = check_calibration(command.board, views, calibration, command.limits)
    _print_refusals(result.refusals)
    print(f"{'view':24s} {'reprojection':>13s} {'epipolar':>10s} {'lengths':>9s}")
    for one in result.views:
        print(
            f"{one.name:24s} {one.reprojection_px:10.3f} px {one.epipolar_px:7.3f} px "
            f"{100 * one.length_error:+7.2f} %"
        )
    print(
        f"{'all':24s} {result.reprojection_px:10.3f} px {result.epipolar_px:7.3f} px "
        f"{100 * result.length_error:+7.2f} %"
    )
    draw_check(read_pairs(command.images), views, calibration, command.picture)
    print(f"Picture: {command.picture}")
    failures = result.failures(command.limits)
    for failure in failures:
        print(f"grasp-calibrate check: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _views(board: BoardConfig, limits: QualityLimits, folder: Path) -> PairViews:
    return judged_views(board, limits, read_pairs(folder))


def _named(devices: Any, where: str) -> tuple[str, ...]:
    """Names of the cameras, left before right; of one where one camera has both eyes; none if not known."""
    names = isinstance(devices, list | tuple) and all(isinstance(one, str) and one for one in devices)
    if not names or len(devices) > 2 or len(set(devices)) < len(devices):
        raise CalibrationRefusedError(
            f"{where} is {devices!r}; expected the left and the right camera's name, two different ones, or "
            "the one name of a camera with both eyes"
        )
    return tuple(devices)


def _print_refusals(refusals: Sequence) -> None:
    if refusals:
        print("\n".join([f"{len(refusals)} views are not used:", *listed(refusals)]))


def _made(images: Path, views: int, **more: float | str) -> dict:
    """How a result came about, for the file."""
    today = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    return {"date": today, "images": Path(images).name, "views": views} | more


COMMANDS: dict[str, tuple[type, Callable, str]] = {
    "board": (MakeBoard, _make_board, "draw the ChArUco board to print"),
    "stereo": (Stereo, _stereo, "intrinsics, baseline and rectification of a stereo pair"),
    "hand-eye": (HandEye, _hand_eye, "the cameras' place in the arm's base frame"),
    "check": (Check, _check, "reprojection, epipolar error and a picture"),
}
"""Subcommand -> (its arguments, what it does, one line of help)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `grasp-calibrate` with the arguments given, or the process's own, and return the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"grasp-calibrate: '{name}' is no command\n\n{_usage()}", file=sys.stderr)
        return 2
    kind, run, _ = COMMANDS[name]
    try:
        return run(tyro.cli(kind, prog=f"grasp-calibrate {name}", args=rest))
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, cv2.error) as error:
        # What a user can mend is said in one line; GRASP_TRACEBACK=1 shows where it came from.
        if os.environ.get("GRASP_TRACEBACK"):
            raise
        print(f"grasp-calibrate {name}: {error}", file=sys.stderr)
        return 1


def _usage() -> str:
    lines = [f"  {name:10s} {summary}" for name, (*_, summary) in COMMANDS.items()]
    head = "usage: grasp-calibrate COMMAND … (grasp-calibrate COMMAND --help shows its flags)"
    return "\n".join([head, "", "commands:", *lines])


if __name__ == "__main__":
    sys.exit(main())
