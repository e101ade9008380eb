"""One camera's calibration, and the YAML file that ROS tools keep it in. No ROS and no OpenCV in it.

The file is the one of ROS's ``camera_calibration_parsers`` (and of ``camera_info_manager``): keys
``image_width``, ``image_height``, ``camera_name``, ``camera_matrix``, ``distortion_model``,
``distortion_coefficients``, ``rectification_matrix``, ``projection_matrix``; each matrix as ``rows``,
``cols``, ``data`` in row-major order. The meaning of K, D, R and P is that of sensor_msgs/CameraInfo.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from grasp_camera.errors import CalibrationFileError

__all__ = ["CameraCalibration", "read_camera", "read_yaml", "write_camera", "write_yaml"]

DISTORTION_LENGTHS = {"plumb_bob": (5,), "rational_polynomial": (8, 12, 14)}
"""Numbers in D by distortion model, in OpenCV's order: k1 k2 p1 p2 k3 [k4 k5 k6 [s1..s4 [tx ty]]]."""
_MATRICES = {
    "camera_matrix": ("k", (3, 3)),
    "rectification_matrix": ("r", (3, 3)),
    "projection_matrix": ("p", (3, 4)),
}


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """A pinhole camera with lens distortion, and where its rectified image lies."""

    name: str
    """what the camera is called, such as stereo_left"""
    width: int
    """px, of the raw image"""
    height: int
    """px, of the raw image"""
    distortion_model: str
    """plumb_bob or rational_polynomial"""
    d: np.ndarray
    """(n,) distortion coefficients"""
    k: np.ndarray
    """(3, 3) intrinsics of the raw image, px, pixel centres at integer coordinates"""
    r: np.ndarray
    """(3, 3) rotation from the raw camera's optical frame to the rectified one's"""
    p: np.ndarray
    """(3, 4) projection of the rectified image, px; for a right camera P[0, 3] = -fx * baseline"""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise CalibrationFileError(f"calibration of camera {self.name!r}: {problem}")

    def _problems(self) -> list[str]:
        problems = []
        if self.width < 1 or self.height < 1:
            problems.append(f"image size is {self.width}x{self.height}; expected at least 1x1 px")
        lengths = DISTORTION_LENGTHS.get(self.distortion_model)
        if lengths is None:
            known = " or ".join(DISTORTION_LENGTHS)
            problems.append(f"distortion_model is {self.distortion_model!r}; expected {known}")
        elif len(self.d) not in lengths:
            wanted = " or ".join(map(str, lengths))
            problems.append(f"distortion_coefficients has {len(self.d)} numbers; expected {wanted}")
        for name, matrix in (("D", self.d), ("K", self.k), ("R", self.r), ("P", self.p)):
            if not np.isfinite(matrix).all():
                problems.append(f"{name} holds a number that is not finite")
        if not problems and min(self.k[0, 0], self.k[1, 1], self.p[0, 0], self.p[1, 1]) <= 0:
            problems.append("a focal length in K or P is not positive")
        turns = np.allclose(self.r @ self.r.T, np.eye(3), atol=1e-5) and np.linalg.det(self.r) > 0
        if not problems and not turns:
            problems.append("R is not a rotation")
        return problems

    @property
    def baseline_m(self) -> float:
        """m, distance of this camera to the right of the left one: 0 for a left or a single camera."""
        return float(-self.p[0, 3] / self.p[0, 0])


def write_camera(path: Path, calibration: CameraCalibration) -> None:
    """Write the file atomically.

    Raises:
        OSError: the folder cannot be written.
    """
    document: dict[str, Any] = {
        "image_width": calibration.width,
        "image_height": calibration.height,
        "camera_name": calibration.name,
    }
    document["camera_matrix"] = _plain_matrix(calibration.k)
    document["distortion_model"] = calibration.distortion_model
    document["distortion_coefficients"] = _plain_matrix(calibration.d[None])
    document["rectification_matrix"] = _plain_matrix(calibration.r)
    document["projection_matrix"] = _plain_matrix(calibration.p)
    # OpenCV 4 knows YAML by its first line, which is YAML's own: other readers understand it.
    write_yaml(path, document, head="%YAML 1.1\n---\n")


def read_camera(path: Path) -> CameraCalibration:
    """Read one camera's file.

    Raises:
        CalibrationFileError: it is missing, or a key is missing or malformed; the message names it.
    """
    document = read_yaml(path)
    matrices = {
        attribute: _matrix(path, document, key, shape) for key, (attribute, shape) in _MATRICES.items()
    }
    distortion = _matrix(path, document, "distortion_coefficients", None).reshape(-1)
    try:
        return CameraCalibration(
            name=str(_value(path, document, "camera_name", str)),
            width=_value(path, document, "image_width", int),
            height=_value(path, document, "image_height", int),
            distortion_model=_value(path, document, "distortion_model", str),
            d=distortion,
            **matrices,
        )
    except CalibrationFileError as error:
        raise CalibrationFileError(f"{path}: {error}") from error


def read_yaml(path: Path) -> Mapping[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        CalibrationFileError: it is missing, no YAML, or something else than a mapping.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        # OpenCV 4 writes its first line with a colon, which is not YAML.
        document = yaml.safe_load(text.replace("%YAML:", "%YAML ", 1) if text.startswith("%YAML:") else text)
    except FileNotFoundError as error:
        raise CalibrationFileError(f"{path}: there is no such calibration file") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CalibrationFileError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(document, Mapping):
        raise CalibrationFileError(f"{path}: holds {type(document).__name__}; expected keys and values")
    return document


def write_yaml(path: Path, document: Mapping[str, Any], head: str = "") -> None:
    """Write a mapping as YAML atomically: a reader never meets half a file.

    Lists of numbers stand in brackets, as ROS's tools write them: OpenCV reads no others.

    Raises:
        OSError: the folder cannot be written; whatever was there is as before.
    """
    text = head + yaml.safe_dump(dict(document), sort_keys=False, width=110, default_flow_style=None)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _plain_matrix(matrix: np.ndarray) -> dict[str, Any]:
    rows, columns = matrix.shape
    return {"rows": rows, "cols": columns, "data": [float(value) for value in matrix.reshape(-1)]}


def _value(path: Path, document: Mapping[str, Any], key: str, kind: type) -> Any:
    value = document.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        found = "missing" if key not in document else repr(value)
        raise CalibrationFileError(f"{path}: {key} is {found}; expected {kind.__name__}")
    return value


def _matrix(path: Path, document: Mapping[str, Any], key: str, shape: tuple[int, int] | None) -> np.ndarray:
    entry = _value(path, document, key, dict)
    data = entry.get("data")
    numbers = isinstance(data, list) and all(_is_number(value) for value in data)
    size = (entry.get("rows"), entry.get("cols"))
    wanted = f"{shape[0]}x{shape[1]} numbers" if shape else "a row of numbers"
    if not numbers or (shape is not None and size != shape) or not _is_product(size, len(data)):
        raise CalibrationFileError(f"{path}: {key} is {str(entry)[:80]}; expected rows, cols, data: {wanted}")
    return np.array(data, float).reshape(size)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_product(size: tuple[Any, Any], count: int) -> bool:
    return all(isinstance(number, int) for number in size) and size[0] * size[1] == count
