"""Calibration files: what is written is read, and what is wrong is said."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from camera_samples import calibration

from grasp_camera.camera_info import CameraCalibration, read_camera, write_camera
from grasp_camera.errors import CalibrationFileError
from grasp_camera.extrinsics import (
    Transform,
    chained,
    read_devices,
    read_extrinsics,
    write_extrinsics,
)
from grasp_camera.stereo_calibration import StereoCalibration, read_stereo, write_stereo


@pytest.fixture
def folder(tmp_path):
    write_stereo(tmp_path, calibration())
    return tmp_path


def test_a_calibration_is_read_as_it_was_written(folder):
    found, true = read_stereo(folder), calibration()
    assert (found.transforms, found.devices) == ((), ())
    for one, other in zip(found.cameras, true.cameras, strict=True):
        assert (one.name, one.width, one.height) == (other.name, other.width, other.height)
        for name in ("d", "k", "r", "p"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert found.baseline_m == pytest.approx(0.12)


MATRICES = ("camera_matrix", "distortion_coefficients", "rectification_matrix", "projection_matrix")


def read_by_opencv(path: Path) -> dict[str, np.ndarray]:
    """The matrices of a camera's file, by OpenCV alone."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_READ)
    matrices = {}
    for name in MATRICES:
        node = storage.getNode(name)
        data, size = node.getNode("data"), [int(node.getNode(key).real()) for key in ("rows", "cols")]
        values = [data.at(i).real() for i in range(data.size())]
        matrices[name] = np.array(values).reshape(size)
    assert storage.getNode("image_width").real() == 640
    assert storage.getNode("distortion_model").string() == "plumb_bob"
    storage.release()
    return matrices


def write_by_opencv(path: Path, matrices: dict[str, np.ndarray]) -> None:
    """A camera's file with these matrices, by OpenCV alone."""
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for key, value in (("image_width", 640), ("image_height", 480)):
        storage.write(key, value)
    storage.write("camera_name", "stereo_left")
    storage.write("distortion_model", "plumb_bob")
    for name, matrix in matrices.items():
        storage.startWriteStruct(name, cv2.FILE_NODE_MAP)
        storage.write("rows", matrix.shape[0])
        storage.write("cols", matrix.shape[1])
        storage.startWriteStruct("data", cv2.FILE_NODE_SEQ + cv2.FILE_NODE_FLOW)
        for value in matrix.reshape(-1).tolist():
            storage.write("", value)
        storage.endWriteStruct()
        storage.endWriteStruct()
    storage.release()


def hard_to_write(seed: int) -> CameraCalibration:
    """A camera whose numbers have all their digits, and exponents."""
    rng = np.random.default_rng(seed)
    k = np.array([[rng.uniform(1, 1e3), 0, rng.normal()], [0, rng.uniform(1, 1e3), 1e-17], [0, 0, 1]])
    d = rng.normal(size=5) * 10.0 ** rng.integers(-12, 3, 5)
    r = cv2.Rodrigues(rng.uniform(-2, 2, 3))[0]
    return CameraCalibration(
        "stereo_left", 640, 480, "plumb_bob", d, k, r, np.hstack([k, rng.normal(size=(3, 1))])
    )


@pytest.mark.parametrize("seed", range(5))
def test_a_camera_goes_through_opencv_and_back_bit_for_bit(tmp_path, seed):
    true = hard_to_write(seed)
    write_camera(tmp_path / "ours.yaml", true)
    seen = read_by_opencv(tmp_path / "ours.yaml")
    for name, matrix in zip(MATRICES, (true.k, true.d[None], true.r, true.p), strict=True):
        np.testing.assert_array_equal(seen[name], matrix)
    write_by_opencv(tmp_path / "theirs.yaml", seen)
    found = read_camera(tmp_path / "theirs.yaml")
    for name in ("d", "k", "r", "p"):
        np.testing.assert_array_equal(getattr(found, name), getattr(true, name))
    size = (640, 480)
    maps = [cv2.initUndistortRectifyMap(c.k, c.d, c.r, c.p, size, cv2.CV_32FC1) for c in (true, found)]
    for ours, theirs in zip(*maps, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_file_of_another_tool_with_more_keys_is_read(folder):
    path = folder / "left.yaml"
    path.write_text(path.read_text() + "some_tool: {version: 3}\n")
    assert read_camera(path).width == 640


SPOILT = {
    "image_width is missing": lambda d: d.pop("image_width"),
    "image_width is '640'": lambda d: d.update(image_width="640"),
    "image size is 640x0": lambda d: d.update(image_height=0),
    "camera_matrix is missing": lambda d: d.pop("camera_matrix"),
    "projection_matrix is": lambda d: d["projection_matrix"].update(rows=4),
    "rectification_matrix is": lambda d: d["rectification_matrix"]["data"].pop(),
    "distortion_model is 'equidistant'": lambda d: d.update(distortion_model="equidistant"),
    "distortion_coefficients has 4 numbers": lambda d: d.update(
        distortion_coefficients={"rows": 1, "cols": 4, "data": [0.0] * 4}
    ),
    "camera_matrix is {": lambda d: d["camera_matrix"]["data"].__setitem__(0, float("nan")),
    "a focal length in K or P is not positive": lambda d: d["camera_matrix"]["data"].__setitem__(0, -1.0),
    "R is not a rotation": lambda d: d["rectification_matrix"]["data"].__setitem__(0, 0.5),
    "left.yaml: calibration of camera 'stereo_left': R is not": lambda d: d["rectification_matrix"][
        "data"
    ].__setitem__(0, -1.0),
}


@pytest.mark.parametrize("message", SPOILT)
def test_a_spoilt_file_is_refused_by_name_and_key(folder, message):
    path = folder / "left.yaml"
    document = copy.deepcopy(yaml.safe_load(path.read_text()))
    SPOILT[message](document)
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(CalibrationFileError) as refusal:
        read_stereo(folder)
    assert message in str(refusal.value)
    assert "left" in str(refusal.value)


@pytest.mark.parametrize("content", ["", "- a list", "{unclosed", "\x00"])
def test_what_is_no_mapping_is_refused(folder, content):
    (folder / "right.yaml").write_text(content)
    with pytest.raises(CalibrationFileError, match=r"right\.yaml"):
        read_stereo(folder)


def test_a_missing_file_is_named(folder):
    (folder / "right.yaml").unlink()
    with pytest.raises(CalibrationFileError, match=r"right\.yaml: there is no such calibration file"):
        read_stereo(folder)


def test_a_pair_that_does_not_fit_is_refused():
    one, other = calibration(), calibration(focal=601.0)
    with pytest.raises(CalibrationFileError, match="expected the same: a rectified pair"):
        StereoCalibration(one.left, other.right)
    with pytest.raises(CalibrationFileError, match="expected the same size"):
        StereoCalibration(one.left, calibration(width=320).right)
    with pytest.raises(CalibrationFileError, match="are left and right swapped"):
        calibration(baseline_m=-0.12)
    with pytest.raises(CalibrationFileError, match=r"left P\[0, 3\]"):
        StereoCalibration(one.right, one.right)


@pytest.mark.parametrize("name", ["d", "k", "r", "p"])
def test_a_number_that_is_not_finite_is_refused_before_it_is_written(name):
    values = {"d": np.zeros(5), "k": np.eye(3), "r": np.eye(3), "p": np.eye(3, 4)}
    values[name] = np.full_like(values[name], np.nan)
    with pytest.raises(CalibrationFileError, match=f"{name.upper()} holds a number that is not finite"):
        CameraCalibration("broken", 64, 48, "plumb_bob", **values)


def test_transforms_are_read_as_they_were_written_and_chained(tmp_path):
    rng = np.random.default_rng(0)
    links = []
    for parent, child in (("base", "a"), ("a", "b"), ("base", "c")):
        matrix = np.eye(4)
        matrix[:3, :3] = cv2.Rodrigues(rng.uniform(-2, 2, 3))[0]
        matrix[:3, 3] = rng.normal(size=3)
        links.append(Transform.from_matrix(parent, child, matrix))
    write_extrinsics(tmp_path / "e.yaml", links, {"date": "today"})
    found = read_extrinsics(tmp_path / "e.yaml")
    assert found == tuple(links)
    np.testing.assert_allclose(found[2].matrix(), matrix, atol=1e-12)
    np.testing.assert_allclose(chained(found, "base", "b"), links[0].matrix() @ links[1].matrix())
    with pytest.raises(CalibrationFileError, match="no transform leads from 'b' to 'c'"):
        chained(found, "b", "c")


def test_the_devices_that_were_calibrated_are_kept_as_text_left_before_right(tmp_path):
    link = Transform("base", "a", (0, 0, 0), (1, 0, 0, 0))
    write_extrinsics(tmp_path / "e.yaml", [link], devices=("0123", "456"))
    assert yaml.safe_load((tmp_path / "e.yaml").read_text())["devices"] == ["0123", "456"]
    assert read_extrinsics(tmp_path / "e.yaml") == (link,)
    write_extrinsics(tmp_path / "e.yaml", [link])
    assert "devices" not in yaml.safe_load((tmp_path / "e.yaml").read_text())


def test_a_loop_of_frames_is_refused():
    loop = [Transform(a, b, (0, 0, 0), (1, 0, 0, 0)) for a, b in (("a", "b"), ("b", "a"))]
    with pytest.raises(CalibrationFileError, match="no transform leads"):
        chained(loop, "base", "a")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"parent": "a", "child": "b", "translation_m": [0, 0, 0]}, "expected the keys"),
        (
            {"parent": "a", "child": "b", "translation_m": [0, 0], "quaternion_wxyz": [1, 0, 0, 0]},
            "finite numbers",
        ),
        (
            {"parent": "a", "child": "a", "translation_m": [0, 0, 0], "quaternion_wxyz": [1, 0, 0, 0]},
            "two frames",
        ),
        (
            {"parent": "a", "child": "b", "translation_m": [0, 0, 0], "quaternion_wxyz": [2, 0, 0, 0]},
            "unit length",
        ),
        (
            {"parent": "a", "child": "b", "translation_m": "far", "quaternion_wxyz": [1, 0, 0, 0]},
            "transforms[0]",
        ),
    ],
)
def test_a_malformed_transform_is_refused(tmp_path, entry, message):
    (tmp_path / "e.yaml").write_text(yaml.safe_dump({"format_version": 1, "transforms": [entry]}))
    with pytest.raises(CalibrationFileError) as refusal:
        read_extrinsics(tmp_path / "e.yaml")
    assert message in str(refusal.value)


def test_another_version_and_a_frame_with_two_parents_are_refused(tmp_path):
    path = tmp_path / "e.yaml"
    path.write_text("format_version: 2\ntransforms: []\n")
    with pytest.raises(CalibrationFileError, match="format_version is 2; expected 1"):
        read_extrinsics(path)
    write_extrinsics(path, [Transform(parent, "x", (0, 0, 0), (1, 0, 0, 0)) for parent in "ab"])
    with pytest.raises(CalibrationFileError, match="frame 'x' has 2 parents"):
        read_extrinsics(path)


def test_the_cameras_that_a_calibration_was_made_with_are_read_where_they_are_named(folder):
    path = folder / "extrinsics.yaml"
    write_extrinsics(path, [])
    assert read_stereo(folder).devices == ()
    path.write_text(path.read_text() + "devices: ['0123', '0124']\n")
    assert read_stereo(folder).devices == ("0123", "0124")
    assert read_extrinsics(path) == ()


@pytest.mark.parametrize("devices", ["123", "left", "[left, 124]", "['']", "null"])
def test_devices_that_are_no_names_are_refused(tmp_path, devices):
    path = tmp_path / "extrinsics.yaml"
    path.write_text(f"format_version: 1\ntransforms: []\ndevices: {devices}\n")
    with pytest.raises(
        CalibrationFileError, match=r"extrinsics\.yaml: devices is .* expected a list of names"
    ):
        read_devices(path)


def test_a_file_that_cannot_be_written_leaves_the_old_one(folder, monkeypatch):
    import os

    before = (folder / "left.yaml").read_text()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_camera(folder / "left.yaml", calibration(width=320).left)
    assert (folder / "left.yaml").read_text() == before
    assert sorted(path.name for path in folder.iterdir()) == ["left.yaml", "right.yaml"]
