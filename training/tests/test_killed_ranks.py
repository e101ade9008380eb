"""Whichever process of a run is killed, and whenever, the run ends or starts anew, and nothing is lost."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from killed_runs import AGENT, Moment, check_folder, kill_and_await, moment

FEW = (0, 1, 7, 5)
"""One of each phase, with a start anew, learner 0 and the agent among the victims."""
# A sweep of the first 50, whose report holds what came of each:
# GRASP_KILLS=50 pytest -k killed_at_any_moment --junitxml=report.xml
MOMENTS = [moment(number) for number in (range(int(os.environ.get("GRASP_KILLS", "0"))) or FEW)]
END_S = 30.0
"""s, promised from a kill to the end of the run; measured by the sweep on an idle machine."""
BUSY = 4.0
"""A machine that does much else at the same time takes longer."""


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_a_run_killed_at_any_moment_is_neither_silent_nor_lost(
    moment: Moment, tmp_path: Path, record_property
) -> None:
    killed = kill_and_await(moment, tmp_path)
    print(f"{moment} (while: {killed.phase}): {killed.seconds:.1f} s; {killed.said[-300:]}")
    record_property("moment", str(moment))
    record_property("phase", killed.phase)
    record_property("seconds", f"{killed.seconds:.1f}")
    record_property("said", killed.said[-3000:])
    assert not killed.left, "no process outlives the run"
    if moment.victim == AGENT:
        assert re.search(r"torchrun's agent.* has died|with torchrun's agent that held it", killed.said)
    elif moment.restarts:
        assert not killed.said, "a run that may start anew completes"
    else:
        assert f"rank {moment.victim} (" in killed.said.split(")")[0] + ")"
    if not moment.restarts:
        assert killed.seconds < END_S * BUSY
    check_folder(moment, tmp_path)
