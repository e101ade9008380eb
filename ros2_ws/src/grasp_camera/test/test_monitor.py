"""The report on /diagnostics, and the calibrated cameras against a policy's contract."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from camera_samples import calibration, picture

from grasp_camera.contract import check_cameras, has_hand_eye
from grasp_camera.errors import CalibrationFileError
from grasp_camera.extrinsics import Transform
from grasp_camera.frames import StereoPair
from grasp_camera.monitor import ERROR, OK, WARN, CameraMonitor
from grasp_camera.pairing import Reason
from grasp_camera.rectification import NominalView
from grasp_camera.stereo_calibration import BASE_FRAME, OPTICAL_FRAMES
from grasp_description.cameras import STEREO_RIG
from grasp_policy.errors import PolicyFileError
from grasp_policy.testing import sample_spec
from grasp_policy.workcell_contract import workcell_contract

NONE = (Counter(), Counter())
VIEW = NominalView(STEREO_RIG.width, STEREO_RIG.height, STEREO_RIG.fovy_deg)


def streamed(monitor: CameraMonitor, pairs: int, skew_ms: float = 1.0, age_ms: float = 12.0) -> None:
    for _ in range(pairs):
        pair = StereoPair(10**18, round(1e6 * skew_ms), (picture(0), picture(1)))
        monitor.record_pair(pair, 10**18 + round(1e6 * age_ms))


def test_a_good_second_is_ok_and_tells_rate_skew_and_age():
    monitor = CameraMonitor(30.0)
    monitor.report("streaming", NONE, True, 0.0)
    streamed(monitor, 30)
    report = monitor.report("streaming", NONE, True, 1.0)
    assert (report.level, report.message) == (OK, "30.0 pairs a second")
    assert report.values["rate_hz"] == "30.0"
    assert report.values["skew_ms_p99"] == "1.00"
    assert report.values["age_ms_p50"] == "12.00"


def test_a_low_rate_and_new_drops_are_warned_of_once():
    monitor = CameraMonitor(30.0)
    monitor.report("streaming", NONE, True, 0.0)
    streamed(monitor, 20)
    drops = (Counter({Reason.REPEATED: 4}), Counter({Reason.UNPAIRED: 2}))
    report = monitor.report("streaming", drops, True, 1.0)
    assert report.level == WARN
    assert report.message == "20.0 of 30 pairs a second; 4 left_repeated; 2 right_unpaired"
    assert report.values["left_repeated"] == "4"
    streamed(monitor, 30)
    assert monitor.report("streaming", drops, True, 2.0).level == OK


def test_the_rate_of_a_start_is_no_low_rate():
    monitor = CameraMonitor(30.0)
    assert monitor.report("streaming", NONE, True, 0.0).level == OK
    monitor = CameraMonitor(30.0)
    monitor.report("settling", NONE, False, 0.0)
    streamed(monitor, 12)
    started = monitor.report("streaming", NONE, True, 1.0)
    assert (started.level, started.message) == (OK, "streaming")
    streamed(monitor, 12)
    assert monitor.report("streaming", NONE, True, 2.0).level == WARN


def test_a_report_bears_that_frames_are_counted_meanwhile():
    class Growing(Counter):
        def items(self):
            raise RuntimeError("dictionary changed size during iteration")

        __iter__ = keys = values = items

    counts = Growing({Reason.REPEATED: 2})
    report = CameraMonitor(30.0).report("streaming", (counts, Counter()), True, 0.0)
    assert report.values["left_repeated"] == "2"


@pytest.mark.parametrize(
    ("state", "level"),
    [("lost", WARN), ("connecting", WARN), ("settling", WARN), ("refused", ERROR), ("inactive", OK)],
)
def test_a_state_has_its_level_and_its_reason(state, level):
    monitor = CameraMonitor(30.0)
    monitor.last_error = "camera 111 not connected"
    report = monitor.report(state, NONE, True, 0.0)
    assert report.level == level
    assert ("camera 111" in report.message) == (level != OK)


def test_unsettled_exposure_and_dark_images_are_warned_of():
    monitor = CameraMonitor(1.0)
    monitor.report("streaming", NONE, True, 0.0)
    streamed(monitor, 1)
    monitor.dark += 3
    assert monitor.report("streaming", NONE, False, 1.0).message == "3 dark; exposure never settled"


def placed(shift_m: float = 0.0, baseline_m: float = STEREO_RIG.baseline_m):
    """Cameras where the workcell has them, less ``shift_m``."""
    pose = np.eye(4)
    pose[:3, :3] = STEREO_RIG.optical_rotation()
    pose[:3, 3] = STEREO_RIG.positions()[0] + [shift_m, 0, 0]
    pair = calibration(baseline_m=baseline_m)
    place = Transform.from_matrix(BASE_FRAME, OPTICAL_FRAMES[0], pose)
    return replace(pair, transforms=(place, *pair.transforms))


SPEC = sample_spec(workcell_contract())
RATE_HZ = SPEC.control_rate_hz


def test_cameras_that_stand_where_the_policy_expects_them_pass():
    check_cameras(SPEC, placed(), VIEW, RATE_HZ)
    check_cameras(SPEC, placed(0.9 * SPEC.camera_tolerance.position_m), VIEW, RATE_HZ)


@pytest.mark.parametrize("known", [0, 1])
def test_an_eye_without_a_place_of_its_own_stands_the_baseline_beside_the_other(known):
    pose = np.eye(4)
    pose[:3, :3] = STEREO_RIG.optical_rotation()
    pose[:3, 3] = STEREO_RIG.positions()[known]
    pair = calibration(baseline_m=STEREO_RIG.baseline_m)
    place = Transform.from_matrix(BASE_FRAME, OPTICAL_FRAMES[known], pose)
    exact = replace(SPEC, camera_tolerance=replace(SPEC.camera_tolerance, position_m=1e-4, rotation_deg=0.01))
    check_cameras(exact, replace(pair, transforms=(place,)), VIEW, RATE_HZ)


def test_cameras_that_stand_elsewhere_are_refused_by_field():
    with pytest.raises(PolicyFileError) as refusal:
        check_cameras(SPEC, placed(SPEC.camera_tolerance.position_m + 0.002), VIEW, RATE_HZ)
    assert refusal.value.field == "left_camera.position_m"


def test_another_baseline_and_another_image_are_refused_by_field():
    with pytest.raises(PolicyFileError) as refusal:
        check_cameras(SPEC, placed(baseline_m=0.2), VIEW, RATE_HZ)
    assert refusal.value.field == "baseline_m"
    with pytest.raises(PolicyFileError) as refusal:
        check_cameras(SPEC, placed(), replace(VIEW, width=320), RATE_HZ)
    assert refusal.value.field == "image_width"


def place(frame: str, base: str = BASE_FRAME) -> Transform:
    return Transform(base, frame, (1.0, 0.0, 0.5), (1.0, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    "transforms",
    [
        (place(OPTICAL_FRAMES[0], "world"), place(OPTICAL_FRAMES[1], OPTICAL_FRAMES[0])),
        (place("mount", "world"), place(OPTICAL_FRAMES[0], "mount")),
        (place(OPTICAL_FRAMES[0]), place(OPTICAL_FRAMES[1], "world")),
        # The arm's base is there, but the cameras do not hang on it.
        (place(OPTICAL_FRAMES[0], "world"), place("lbr_link_7")),
    ],
)
def test_cameras_placed_in_another_frame_than_the_arms_base_are_refused_by_its_name(transforms):
    pair = replace(calibration(baseline_m=STEREO_RIG.baseline_m), transforms=transforms)
    with pytest.raises(CalibrationFileError, match=r"given in 'world'; expected .* 'lbr_link_0'"):
        check_cameras(SPEC, pair, VIEW, RATE_HZ)


def test_a_place_that_hangs_on_itself_is_refused():
    loop = (place(OPTICAL_FRAMES[0], "mount"), place("mount", OPTICAL_FRAMES[0]))
    with pytest.raises(CalibrationFileError, match="hangs on itself"):
        has_hand_eye(replace(calibration(), transforms=loop))


def test_a_base_that_itself_has_a_place_is_the_arms_base():
    pair = placed()
    above = Transform("world", BASE_FRAME, (0.0, 0.0, 0.8), (1.0, 0.0, 0.0, 0.0))
    pair = replace(pair, transforms=(above, *pair.transforms))
    assert has_hand_eye(pair)
    check_cameras(SPEC, pair, VIEW, RATE_HZ)


def test_cameras_at_another_rate_than_the_policys_are_refused_with_both():
    check_cameras(SPEC, placed(), VIEW, 0.995 * RATE_HZ)
    for rate_hz in (0.5 * RATE_HZ, 1.02 * RATE_HZ, float("nan")):
        with pytest.raises(PolicyFileError, match="the cameras' rate_hz") as refusal:
            check_cameras(SPEC, placed(), VIEW, rate_hz)
        assert refusal.value.field == "control_rate_hz"
        assert f"{RATE_HZ:g} Hz; expected {rate_hz:g} Hz" in str(refusal.value)


def test_without_hand_eye_calibration_the_rest_is_checked():
    pair = calibration(baseline_m=STEREO_RIG.baseline_m)
    assert not has_hand_eye(pair)
    assert has_hand_eye(placed())
    check_cameras(SPEC, pair, VIEW, RATE_HZ)
