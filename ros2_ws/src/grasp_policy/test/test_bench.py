"""The bench's arithmetic on known durations, its refusals, and once the whole of it (not for its figures)."""

import json

import numpy as np
import pytest

from grasp_policy.bench import (
    BARE,
    COMMAND,
    DECISION,
    DONE,
    INFERENCE,
    NODE,
    PACED,
    REFUSED,
    TARGET,
    WAY_IN,
    figures,
    main,
)
from grasp_policy.testing import sample_spec, write_sample
from grasp_policy.workcell_contract import workcell_contract


def test_ratios_are_of_medians_and_the_age_is_told_in_frame_periods():
    found = {
        BARE: np.array([0.010, 0.010, 0.500]),
        PACED: np.full(3, 0.011),
        NODE: np.full(10, 0.012),
        COMMAND: np.full(10, 0.050),
    }
    summed = figures(found, 1 / 30)
    assert summed["timed"][BARE]["p50_ms"] == pytest.approx(10.0)
    assert summed["ratios_of_medians"][BARE][NODE] == pytest.approx(1.2)
    assert summed["ratios_of_medians"][PACED][NODE] == pytest.approx(12 / 11)
    assert summed["frame_periods"]["age p99"] == pytest.approx(1.5)


def test_what_was_not_measured_is_left_out():
    summed = figures({BARE: np.full(3, 0.01), COMMAND: np.array([])}, 1 / 30)
    assert set(summed["timed"]) == {BARE}
    assert summed["frame_periods"] == {}


def test_a_provider_that_is_not_there_is_refused(tmp_path, capsys):
    policy = write_sample(tmp_path, sample_spec(workcell_contract()))
    assert main(["--policy", str(policy), "--providers", "NoSuchExecutionProvider"]) == REFUSED
    assert "NoSuchExecutionProvider" in capsys.readouterr().err


@pytest.mark.ros
@pytest.mark.slow
def test_every_stretch_from_camera_to_command_is_timed(tmp_path, capsys):
    policy = write_sample(tmp_path, sample_spec(workcell_contract()))
    assert main(["--policy", str(policy), "--frames", "20"]) == DONE
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(told["timed"]) == {BARE, PACED, DECISION, INFERENCE, WAY_IN, NODE, TARGET, COMMAND}
    assert all(row["count"] >= 20 for name, row in told["timed"].items() if name != COMMAND)
    assert told["timed"][COMMAND]["count"] > 0
    assert told["providers"] == ["CPUExecutionProvider"]
