"""What a soak calls sound, and what it does not."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grasp_bringup import soak
from grasp_bringup.soak import Look, judge, memory_of_children

LOOKS = [
    Look(
        10.0 * index,
        {"grasp_sim": 500_000, "grasp_task": 90_000},
        1 + index,
        5.0 * index,
        150 * index,
        600 * index,
    )
    for index in range(40)
]


def report(**changes: Any) -> dict[str, Any]:
    results = [{"success": index % 4 > 0, "cause": "" if index % 4 else "dropped"} for index in range(40)]
    told = {"results": results, "outcome": "ran whole", "successes": 30, "faults": []}
    return {**told, "counters": {"lockstep_timeouts": 0}, **changes}


def failures(looks: list[Look], told: dict[str, Any] | None = None, status: int = 0) -> list[str]:
    return [one.name for one in judge(looks, told or report(), status) if not one.passed]


def test_a_run_that_stays_as_it_was_is_sound():
    assert failures(LOOKS) == []


def test_memory_that_grows_after_the_warm_up_is_found_and_its_node_named():
    grown = [
        replace(one, memory_kb={**one.memory_kb, "grasp_task": 90_000 + 20 * int(one.at_s)}) for one in LOOKS
    ]
    assert failures(grown) == ["memory of grasp_task"]
    warming = [
        replace(one, memory_kb={**one.memory_kb, "grasp_task": 50_000}) if one.at_s < 30 else one
        for one in LOOKS
    ]
    assert failures(warming) == []


def test_memory_is_judged_where_the_last_look_found_no_node_and_a_node_that_went_fails():
    gone = [*LOOKS[:-1], replace(LOOKS[-1], memory_kb={})]
    assert failures(gone) == []
    assert len(judge(gone, report(), 0)) == len(judge(LOOKS, report(), 0))
    early = [one if one.at_s < 200 else replace(one, memory_kb={"grasp_sim": 500_000}) for one in LOOKS]
    assert failures(early) == ["memory of grasp_task"]


def test_a_rate_that_sinks_is_found():
    tired = [replace(one, inferences=one.inferences - max(0, one.episodes - 20) * 10) for one in LOOKS]
    assert failures(tired) == ["rate of inferences"]


def test_a_pause_is_found_though_the_run_goes_on():
    paused = [replace(one, at_s=one.at_s + 100.0 * (one.episodes > 25)) for one in LOOKS]
    assert failures(paused) == ["not stuck"]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"results": report()["results"][:-3]}, "every episode accounted for"),
        ({"results": [{"success": False, "cause": ""}] * 40}, "every episode accounted for"),
        ({"faults": ["grasp_control held"]}, "no faults"),
        ({"died": {"grasp_policy": "was killed by SIGKILL"}}, "no faults"),
        ({"counters": {"lockstep_timeouts": 1}}, "no faults"),
    ],
)
def test_what_the_report_tells_counts(changes, name):
    assert failures(LOOKS, report(**changes)) == [name]


def test_a_run_that_fails_at_its_end_is_not_sound():
    assert failures(LOOKS, status=1) == ["ended as asked"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_the_children_by_module():
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert b"Serving" in child.stdout.readline()
        assert memory_of_children(os.getpid())["http"] > 1000
    finally:
        child.kill()
        child.communicate()


RUNNER = """#!{python}
import json, signal, sys
from pathlib import Path
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
Path(sys.argv[sys.argv.index("--report") + 1]).write_text(json.dumps({report}))
signal.sigwait([signal.SIGINT])
"""


def test_an_interrupted_soak_is_judged_as_far_as_it_came(tmp_path, monkeypatch, capsys):
    runner = tmp_path / "python"
    runner.write_text(RUNNER.format(python=sys.executable, report=report()))
    runner.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(runner))

    def watch(_runner: object, told: Path, _length_s: float):
        while not told.is_file() or not told.read_text():
            pass
        yield from LOOKS
        raise KeyboardInterrupt

    monkeypatch.setattr(soak, "watch", watch)
    assert soak.main(["--output", str(tmp_path)]) == 0, capsys.readouterr()
    assert "FAILS" not in capsys.readouterr().out
    kept = [json.loads(line) for line in (tmp_path / "looks.jsonl").read_text().splitlines()]
    assert [Look(**one) for one in kept] == LOOKS
