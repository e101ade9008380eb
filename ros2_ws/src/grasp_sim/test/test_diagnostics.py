"""The node's report about itself."""

from typing import cast

import pytest

from grasp_sim.diagnostics import OK, WARN, Counters, Reporter
from grasp_sim.drivers import CommandRefusedError, Drivers
from grasp_sim.lockstep import Lockstep, TickActions
from grasp_sim.realtime import RealTime

NO_ACTIONS = cast(TickActions, object())
"""Reports are made from what has been counted: no tick is run here."""


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def drivers() -> Drivers:
    return Drivers()


def test_lockstep_time_outs_are_summed_and_told_by_kind(counters, drivers):
    reporter, lockstep = Reporter(counters, drivers), Lockstep(NO_ACTIONS)
    lockstep.control.miss()
    lockstep.policy.miss()
    lockstep.policy.miss()
    lockstep.drivers.miss()
    report = reporter.report(lockstep, 0.0, 0.0)
    assert report.values["lockstep_timeouts"] == "4"
    kinds = [report.values[f"{kind}_timeouts"] for kind in ("command", "drivers", "target")]
    assert kinds == ["1", "1", "2"]
    assert (report.level, report.message) == (WARN, "4 lockstep time-outs since the last report")
    assert reporter.report(lockstep, 1.0, 1.0).level == OK


def test_the_real_time_factor_is_that_of_the_time_since_the_last_report(counters, drivers):
    reporter, runner = Reporter(counters, drivers), RealTime(NO_ACTIONS)
    assert reporter.report(runner, 10.0, 3.0).values["real_time_factor"] == "1.000"
    slow = reporter.report(runner, 12.0, 4.0)
    assert slow.values["real_time_factor"] == "0.500"
    assert slow.level == WARN
    assert reporter.report(runner, 13.0, 5.0).level == OK


def test_refused_commands_and_a_failed_recording_are_complaints(counters, drivers):
    reporter, runner = Reporter(counters, drivers), RealTime(NO_ACTIONS)
    with pytest.raises(CommandRefusedError):
        drivers.command("arm", [], "/arm")
    report = reporter.report(runner, 0.0, 0.0)
    assert report.values["arm_commands_refused"] == "1"
    assert "1 commands refused" in report.message
    counters.recording_error = "disk full"
    assert "disk full" in reporter.report(runner, 1.0, 1.0).message


def test_render_times_are_means_and_percentiles_of_the_last(counters, drivers):
    counters.render_ms.extend([5.0] * 1000)
    report = Reporter(counters, drivers).report(RealTime(NO_ACTIONS), 0.0, 0.0)
    assert report.values["render_ms_mean"] == report.values["render_ms_p99"] == "5.00"
