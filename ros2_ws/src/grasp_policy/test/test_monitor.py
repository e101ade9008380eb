"""What the node says about itself in its diagnostics."""

import pytest

from grasp_policy.monitor import Health, HealthReport, InferenceMonitor


@pytest.fixture
def monitor() -> InferenceMonitor:
    return InferenceMonitor()


def report(monitor: InferenceMonitor, *, active: bool = True, **skipped: int) -> HealthReport:
    state = "active" if active else "inactive"
    return monitor.report(active=active, state=state, skipped=skipped, sources=("/left", "/right"))


def test_idle_is_healthy(monitor: InferenceMonitor) -> None:
    assert report(monitor, active=False).health is Health.OK


def test_inferring_is_healthy(monitor: InferenceMonitor) -> None:
    monitor.record_inference(0.004, 0.02)
    assert report(monitor).health is Health.OK


def test_active_without_inference_is_degraded_and_names_who_is_silent(monitor: InferenceMonitor) -> None:
    monitor.record_arrival("/left")
    assert report(monitor).message == "no inference since the last report; nothing from /right"
    assert report(monitor).message == "no inference since the last report; nothing from /left, /right"


def test_skipped_frames_degrade_only_the_report_they_fall_into(monitor: InferenceMonitor) -> None:
    monitor.record_inference(0.004, 0.02)
    first = report(monitor, old=3)
    assert (first.health, first.message) == (Health.DEGRADED, "1 inferences; frames not used: 3 old")
    monitor.record_inference(0.004, 0.02)
    second = report(monitor, old=3)
    assert (second.health, second.values["skipped_old"]) == (Health.OK, "3")


def test_errors_are_errors_once_and_stay_counted(monitor: InferenceMonitor) -> None:
    monitor.record_error("output_not_finite", "joint_target[0] is nan")
    first = report(monitor)
    assert (first.health, first.message) == (Health.ERROR, "1 output_not_finite: joint_target[0] is nan")
    monitor.record_inference(0.004, 0.02)
    second = report(monitor)
    assert second.health is Health.OK
    assert second.values["error_output_not_finite"] == "1"
    assert second.values["last_error"] == "joint_target[0] is nan"


def test_a_refused_policy_stays_an_error(monitor: InferenceMonitor) -> None:
    monitor.configuration_error = "no such file"
    for _ in range(2):
        status = report(monitor, active=False)
        assert (status.health, status.message) == (Health.ERROR, "refused: no such file")


def test_percentiles_are_in_milliseconds(monitor: InferenceMonitor) -> None:
    assert report(monitor).values["inference_ms_p50"] == ""
    for k in range(101):
        monitor.record_inference(k / 1000, 2 * k / 1000)
    values = report(monitor).values
    assert (values["inference_ms_p50"], values["inference_ms_p99"]) == ("50.00", "99.00")
    assert (values["image_age_ms_p50"], values["image_age_ms_p99"]) == ("100.00", "198.00")
