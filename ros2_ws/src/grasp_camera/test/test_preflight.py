"""Cameras and calibration, looked at before a run."""

import os
from pathlib import Path

import pytest
from camera_samples import calibration

from grasp_camera.camera_info import write_yaml
from grasp_camera.errors import CameraConfigError
from grasp_camera.extrinsics import FORMAT_VERSION, Transform, write_extrinsics
from grasp_camera.preflight import asked_source, calibration_troubles, camera_troubles
from grasp_camera.sources import SourceConfig
from grasp_camera.stereo_calibration import EXTRINSICS_FILE, OPTICAL_FRAMES, write_stereo
from grasp_description.cameras import STEREO_RIG
from grasp_policy.testing import sample_spec
from grasp_policy.workcell_contract import workcell_contract

DAY_S = 86400.0
CALIBRATED_S = 1_700_000_000.0
ASKED = SourceConfig("realsense_pair", ("11", "22"))
SPEC = sample_spec(workcell_contract())


def name_devices(folder: Path, *devices: str) -> None:
    """Let a calibration say which cameras it was made with."""
    document = {"format_version": FORMAT_VERSION, "transforms": [], "devices": list(devices)}
    write_yaml(folder / EXTRINSICS_FILE, document, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A calibration of a pair 0.12 m apart, whose place is not known."""
    write_stereo(tmp_path, calibration())
    name_devices(tmp_path, "11", "22")
    for path in tmp_path.glob("*.yaml"):
        os.utime(path, (CALIBRATED_S, CALIBRATED_S))
    return tmp_path


def test_a_camera_that_is_not_plugged_in_is_named_with_those_that_are():
    assert camera_troubles("realsense_pair", ["11", "22"], lambda: ["22", "11"]) == []
    (grave, text, advice), *more = camera_troubles(
        "realsense_pair", ["LEFT_SERIAL", "22"], lambda: ["22", "33"]
    )
    assert grave
    assert not more
    assert "LEFT_SERIAL is not connected" in text
    assert "connected: 22, 33" in advice


def test_where_cameras_cannot_be_asked_that_is_told():
    def broken() -> list[str]:
        raise ImportError("libusb-1.0.so.0 is missing")

    assert "libusb-1.0.so.0 is missing" in camera_troubles("realsense_infrared", ["1"], broken)[0][1]


def test_a_device_file_or_folder_has_to_be_there(tmp_path):
    assert camera_troubles("recorded", [str(tmp_path)]) == []
    assert "video9 is not there" in camera_troubles("v4l2_side_by_side", [str(tmp_path / "video9")])[0][1]


def test_no_calibration_is_in_the_way_of_a_run(tmp_path):
    ((grave, text, advice),) = calibration_troubles(tmp_path / "none", 30.0, None, ASKED)
    assert grave
    assert "none" in text
    assert "grasp-calibrate" in advice


def test_an_old_calibration_and_one_without_the_cameras_place_are_only_warned_of(folder):
    now_s = CALIBRATED_S + 31 * DAY_S
    fresh = calibration_troubles(folder, 40.0, None, ASKED, now_s)
    old = calibration_troubles(folder, 30.0, None, ASKED, now_s)
    assert [(grave, "hand-eye" in advice) for grave, _, advice in fresh] == [(False, True)]
    assert [grave for grave, _, _ in old] == [False, False]
    assert "31 days old; 30 are allowed" in old[0][1]


def test_a_calibration_is_as_old_as_its_oldest_part(folder):
    os.utime(folder / EXTRINSICS_FILE, (CALIBRATED_S + 31 * DAY_S, CALIBRATED_S + 31 * DAY_S))
    (folder / "board.yaml").touch()
    os.utime(folder / "board.yaml", (0, 0))
    found = calibration_troubles(folder, 30.0, None, ASKED, CALIBRATED_S + 31 * DAY_S)
    assert ["31 days old" in text for _, text, _ in found] == [True, False]


def test_images_of_another_size_than_the_calibrations_are_in_the_way(folder):
    told = {"devices": ["11", "22"], "raw_width": 1280, "raw_height": 720}
    found = calibration_troubles(folder, 40.0, None, asked_source(told), CALIBRATED_S)
    ((text, advice),) = [(text, advice) for grave, text, advice in found if grave]
    assert "raw_width, raw_height are 1280, 720 px" in text
    assert "640, 480 px" in text
    assert "the calibration's size" in advice
    recording = SourceConfig("recorded", ("a folder",), width=1280)
    assert not any(grave for grave, _, _ in calibration_troubles(folder, 40.0, None, recording, CALIBRATED_S))


def test_cameras_that_do_not_see_the_policys_view_are_in_the_way(folder):
    write_stereo(folder, calibration(focal=1500.0, baseline_m=STEREO_RIG.baseline_m))
    found = calibration_troubles(folder, 40.0, SPEC, ASKED, CALIBRATED_S)
    ((text, advice),) = [(text, advice) for grave, text, advice in found if grave]
    assert "camera stereo_left does not see" in text
    assert "lenses" in advice


def test_cameras_that_stand_otherwise_than_the_policy_saw_are_in_the_way(folder):
    write_stereo(folder, calibration(baseline_m=2.0 * STEREO_RIG.baseline_m))
    found = calibration_troubles(folder, 40.0, SPEC, ASKED, CALIBRATED_S)
    assert any(grave and "baseline_m" in text for grave, text, _ in found)


def test_cameras_at_another_rate_than_the_policys_are_in_the_way(folder):
    write_stereo(folder, calibration(baseline_m=STEREO_RIG.baseline_m))
    slow = asked_source({"source": "realsense_pair", "devices": ["11", "22"], "rate_hz": 15})
    ((grave, text, advice),) = [
        one for one in calibration_troubles(folder, 40.0, SPEC, slow, CALIBRATED_S) if one[0]
    ]
    assert grave
    assert "expected 15 Hz (the cameras' rate_hz" in text
    assert "rate_hz" in advice


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"devices": ["11", 22]}, "expected a list of names, in quotes"),
        ({"devices": ["11", "22"], "rate_hz": "30"}, "rate_hz is '30'; expected a whole number"),
        ({"devices": ["11"]}, "realsense_pair expects 2"),
    ],
)
def test_what_the_node_would_refuse_of_a_robots_file_is_refused(told, message):
    assert asked_source({"devices": ["11", "22"]}) == ASKED
    with pytest.raises(CameraConfigError, match=message):
        asked_source(told)


def found_of_the_devices(folder: Path, asked: SourceConfig) -> list[tuple[bool, str]]:
    found = calibration_troubles(folder, 40.0, None, asked, CALIBRATED_S)
    return [(grave, text) for grave, text, advice in found if "hand-eye" not in advice]


@pytest.mark.parametrize(
    ("named", "message"),
    [(("22", "11"), "the eyes are swapped"), (("11", "33"), "these are other cameras")],
)
def test_a_calibration_of_other_cameras_is_in_the_way(folder, named, message):
    assert found_of_the_devices(folder, ASKED) == []
    name_devices(folder, *named)
    ((grave, text),) = found_of_the_devices(folder, ASKED)
    assert grave
    assert f"devices is ['11', '22'], left before right; {folder / EXTRINSICS_FILE} was made with" in text
    assert str(list(named)) in text
    assert message in text


def test_a_calibration_that_names_no_cameras_is_warned_of_where_cameras_have_names(folder):
    name_devices(folder)
    pair = SourceConfig("v4l2_pair", ("/dev/v4l/by-id/a", "/dev/v4l/by-id/b"))
    for asked in (ASKED, pair):
        ((grave, text),) = found_of_the_devices(folder, asked)
        assert not grave
        assert "does not say which cameras" in text
    one = SourceConfig("v4l2_side_by_side", ("/dev/video0",))
    assert found_of_the_devices(folder, one) == []


def test_one_device_of_both_eyes_may_be_named_for_each_and_a_recording_has_none(folder):
    one = SourceConfig("realsense_infrared", ("11",))
    assert found_of_the_devices(folder, one)[0][0]
    name_devices(folder, "11", "11")
    assert found_of_the_devices(folder, one) == []
    assert found_of_the_devices(folder, SourceConfig("recorded", ("a folder",))) == []


def test_a_place_in_another_frame_than_the_arms_base_is_in_the_way(folder):
    place = Transform("world", OPTICAL_FRAMES[0], (1.0, 0.0, 0.5), (1.0, 0.0, 0.0, 0.0))
    write_extrinsics(folder / EXTRINSICS_FILE, [place])
    for spec in (None, SPEC):
        found = calibration_troubles(folder, 40.0, spec, ASKED, CALIBRATED_S)
        ((text, advice),) = [(text, advice) for grave, text, advice in found if grave]
        assert f"{folder}: extrinsics.yaml: the cameras' place is given in 'world'" in text
        assert "hand-eye" in advice
