"""Pairs of views from folders, with what was refused. Files: ``left/NAME.png`` and ``right/NAME.png``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from grasp_calibration.board import BoardConfig, Detection, detect
from grasp_calibration.errors import CalibrationRefusedError, Refusal
from grasp_calibration.quality import QualityLimits, problem_of_view, same_view

__all__ = ["EYES", "Pair", "PairViews", "StereoImages", "judged_views", "read_pairs"]

EYES = ("left", "right")
_ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm"}


@dataclass(frozen=True, eq=False)
class StereoImages:
    """Both eyes' images of one moment, or why there are none."""

    name: str
    """file name without its ending"""
    images: tuple[np.ndarray, np.ndarray] | None
    """left, right: uint8 grey (H, W); None if a file is at fault"""
    problem: str = ""
    """what is wrong with the files; empty if nothing is"""


@dataclass(frozen=True, eq=False)
class Pair:
    """The board in both eyes at one moment."""

    name: str
    """the view's name"""
    eyes: tuple[Detection, Detection]
    """left, right"""

    def common(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids (n,) of the corners that both eyes see, and their places (n, 2), (n, 2)."""
        left, right = self.eyes
        ids, a, b = np.intersect1d(left.ids, right.ids, return_indices=True)
        return ids, left.points[a], right.points[b]


@dataclass(frozen=True, eq=False)
class PairViews:
    """Views that passed, and those that did not."""

    size: tuple[int, int]
    """width, height of every image, px"""
    pairs: tuple[Pair, ...]
    """what may be used"""
    refusals: tuple[Refusal, ...]
    """what may not"""

    def without(self, refusals: Iterable[Refusal]) -> PairViews:
        """The same with some more views refused."""
        more = tuple(refusals)
        names = {one.name for one in more}
        pairs = tuple(pair for pair in self.pairs if pair.name not in names)
        return PairViews(self.size, pairs, self.refusals + more)

    def require(self, least: int) -> None:
        """Raises:
        CalibrationRefusedError: fewer views than that are left.
        """
        if len(self.pairs) < least:
            raise CalibrationRefusedError(
                f"{len(self.pairs)} usable views; expected at least {least}", self.refusals
            )


def read_pairs(folder: Path) -> Iterator[StereoImages]:
    """The pairs of a folder by name; one at a time, since they may be many.

    Raises:
        CalibrationRefusedError: there is no such folder, or no images in it.
    """
    files = [_files(Path(folder) / eye) for eye in EYES]
    names = sorted(set(files[0]) | set(files[1]))
    if not names:
        raise CalibrationRefusedError(f"{folder}: no images; expected left/NAME.png and right/NAME.png")
    for name in names:
        absent = [eye for eye, found in zip(EYES, files, strict=True) if name not in found]
        if absent:
            yield StereoImages(name, None, f"there is no {absent[0]} image")
            continue
        images = [cv2.imread(str(found[name]), cv2.IMREAD_GRAYSCALE) for found in files]
        broken = [eye for eye, image in zip(EYES, images, strict=True) if image is None]
        if broken:
            yield StereoImages(name, None, f"the {broken[0]} file is no readable image")
        else:
            yield StereoImages(name, (np.asarray(images[0]), np.asarray(images[1])))


def _files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise CalibrationRefusedError(f"{folder}: there is no such folder; expected images NAME.png")
    return {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in _ENDINGS}


def judged_views(board: BoardConfig, limits: QualityLimits, images: Iterable[StereoImages]) -> PairViews:
    """Find the board in every pair, and judge.

    Raises:
        CalibrationRefusedError: no image is readable.
    """
    # Images are let go of one by one; which size is the right one is known in the end only.
    looked_at = [(one.name, *_judged(board, limits, one)) for one in images]
    sizes = Counter(size for _, size, _, _ in looked_at if size is not None)
    if not sizes:
        refused = [Refusal(name, problem) for name, _, problem, _ in looked_at]
        raise CalibrationRefusedError("no readable pair of images", refused)
    (usual, _), *_ = sizes.most_common(1)
    pairs: list[Pair] = []
    refusals: list[Refusal] = []
    for name, size, found, pair in looked_at:
        problem = found
        if size is not None and size != usual:
            problem = f"images are {size[0]}x{size[1]} px; expected {usual[0]}x{usual[1]} like most"
        elif pair is not None:
            problem = _repeats(pair, pairs)
        if problem or pair is None:
            refusals.append(Refusal(name, problem))
        else:
            pairs.append(pair)
    return PairViews(usual, tuple(pairs), tuple(refusals))


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _judged(
    board: BoardConfig, limits: QualityLimits, one: StereoImages
) -> tuple[tuple[int, int] | None, str, Pair | None]:
    """Size of the images if there are any; what is wrong, or the pair."""
    if one.images is None:
        return None, one.problem, None
    size, right = map(_size, one.images)
    if right != size:
        sizes = f"{size[0]}x{size[1]} px, the right one {right[0]}x{right[1]} px"
        return size, f"the left image is {sizes}; expected the same size", None
    found = []
    for eye, image in zip(EYES, one.images, strict=True):
        detection = detect(board, image)
        problem = problem_of_view(board, limits, image, detection)
        if problem:
            return size, f"{eye}: {problem}", None
        found.append(detection)
    pair = Pair(one.name, (found[0], found[1]))
    common = len(pair.common()[0])
    if common < limits.least_corners:
        return size, f"both eyes share {common} corners; expected at least {limits.least_corners}", None
    return size, "", pair


def _repeats(pair: Pair, earlier: Iterable[Pair]) -> str:
    for other in earlier:
        if all(same_view(one, two) for one, two in zip(pair.eyes, other.eyes, strict=True)):
            return f"the board stands where {other.name} has it; expected another place or tilt"
    return ""
