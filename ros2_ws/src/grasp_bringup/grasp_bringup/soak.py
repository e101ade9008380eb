"""Runs the simulation for an hour and judges what an hour shows: `python -m grasp_bringup.soak --minutes 60`.

Memory that grows, rates that drift, a run that gets stuck, an episode that nobody accounts for. What follows
`--` goes to the runner: `python -m grasp_bringup.soak --minutes 60 -- --lockstep false`.
"""

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from grasp_bringup.tether import die_with_parent
from grasp_bringup.verdict import OK

_SAMPLE_S = 5.0
"""s between two looks"""
_END_S = 120.0
"""s that the runner gets to end in"""
_WARM_UP, _WINDOW = 0.1, 0.1
"""shares of the run: what comes before memory is looked at, and how long its first and last looks are"""
MEMORY_GROWTH, INFERENCE_DRIFT, COMMAND_DRIFT = 0.05, 0.02, 0.05
"""greatest relative growth of a node's memory, and change of a rate; commands also lead home, on longer ways
or shorter ones"""
_LONGEST_PAUSE = 5.0
"""longest time between two episodes, in units of the median one"""


@dataclass(frozen=True)
class Look:
    """What was seen at one moment of a run."""

    at_s: float
    """s of wall time since the first episode"""
    memory_kb: dict[str, int]
    """resident memory (VmRSS) by node, kB"""
    episodes: int
    """episodes that have ended, counted or not"""
    acted_s: float
    """s of the node's clock that they took"""
    inferences: int
    """targets of the policy that were accepted"""
    commands: int
    """joint commands that were published"""


@dataclass(frozen=True)
class Finding:
    """One thing that a soak is to show."""

    name: str
    """what"""
    passed: bool
    """whether it holds"""
    figure: str
    """what was found"""


def judge(looks: Sequence[Look], report: dict[str, Any], status: int) -> list[Finding]:
    """Judge a run.

    Args:
        looks: in order, two at least after the first episode.
        report: the runner's, written at its end.
        status: exit status of the runner after Ctrl-C.
    """
    results, outcome = report["results"], report["outcome"]
    unexplained = [one for one in results if not one["success"] and not one["cause"]]
    successes, without = report["successes"], len(unexplained)
    ended = f"{len(results)} episodes, {successes} successes, {without} failures without a cause"
    counted = len(results) == looks[-1].episodes or len(results) == looks[-1].episodes + 1
    faults = [*report["faults"], *report.get("died", {})]
    time_outs = report["counters"]["lockstep_timeouts"]
    pauses = np.diff([look.at_s for look in _arrivals(looks)])
    longest, usual = (float(pauses.max()), float(np.median(pauses))) if len(pauses) else (np.inf, np.nan)
    return [
        *(_memory(looks, node) for node in sorted({node for look in looks for node in look.memory_kb})),
        _rate(looks, "inferences", lambda look: look.inferences, INFERENCE_DRIFT),
        _rate(looks, "commands", lambda look: look.commands, COMMAND_DRIFT),
        Finding(
            "not stuck",
            longest <= _LONGEST_PAUSE * usual + 2 * _SAMPLE_S,
            f"at most {longest:.0f} s between two episodes' ends, {usual:.0f} s at the median",
        ),
        Finding("every episode accounted for", counted and not unexplained, ended),
        Finding(
            "no faults", not faults and not time_outs, f"{faults or 'none'}, {time_outs} lockstep time-outs"
        ),
        Finding("ended as asked", status == OK, f"outcome '{outcome}', exit status {status}"),
    ]


def _memory(looks: Sequence[Look], node: str) -> Finding:
    """Compare the first tenth after warming up with the last."""
    length = looks[-1].at_s
    first = _median_memory(looks, node, _WARM_UP * length, (_WARM_UP + _WINDOW) * length)
    last = _median_memory(looks, node, (1 - _WINDOW) * length, length)
    growth = last / first - 1
    figure = f"{first / 1024:.1f} MiB, then {last / 1024:.1f} MiB: {growth:+.1%}"
    return Finding(f"memory of {node}", growth <= MEMORY_GROWTH, figure)


def _median_memory(looks: Sequence[Look], node: str, begin_s: float, end_s: float) -> float:
    found = [
        look.memory_kb[node] for look in looks if begin_s <= look.at_s <= end_s and node in look.memory_kb
    ]
    return float(np.median(found)) if found else float("nan")


def _rate(looks: Sequence[Look], name: str, count: Callable[[Look], int], most: float) -> Finding:
    """Compare what an episode's second brings in the first and in the second half of the episodes."""
    half = looks[-1].episodes // 2
    middle = next(look for look in looks if look.episodes >= half)
    parts = [(looks[0], middle), (middle, looks[-1])]
    acted = [last.acted_s - first.acted_s for first, last in parts]
    if min(acted) <= 0.0:
        return Finding(f"rate of {name}", False, "too few episodes to tell")
    early, late = ((count(last) - count(first)) / s for (first, last), s in zip(parts, acted, strict=True))
    drift = late / early - 1 if early else float("nan")
    figure = f"{early:.2f}, then {late:.2f} a second of episodes: {drift:+.2%}"
    return Finding(f"rate of {name}", abs(drift) <= most, figure)


def _arrivals(looks: Sequence[Look]) -> list[Look]:
    """The first look at each number of episodes."""
    return [looks[0], *(after for before, after in pairwise(looks) if after.episodes > before.episodes)]


def watch(runner: subprocess.Popen[bytes], report: Path, length_s: float) -> Iterator[Look]:
    """Look at a run every few seconds, from its first episode's end on, for as long as it is to last."""
    begun_s = None
    while runner.poll() is None and (begun_s is None or time.monotonic() - begun_s < length_s):
        time.sleep(_SAMPLE_S)
        told: dict[str, Any] = json.loads(report.read_text(encoding="utf-8")) if report.is_file() else {}
        episodes = len(told.get("results", ()))
        if not episodes:
            continue
        now_s = time.monotonic()
        begun_s = begun_s or now_s
        memory, counters = memory_of_children(runner.pid), told["counters"]
        counts = counters["inferences"], counters["commands"]
        yield Look(now_s - begun_s, memory, episodes, told["episode_time_s"], *counts)


def memory_of_children(parent: int) -> dict[str, int]:
    """Resident memory of a process's children, kB, by the module that each runs; without those that ended."""
    found: dict[str, int] = {}
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    except OSError:  # it has just ended
        return found
    for child in children:
        folder = Path("/proc") / child
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            lines = (folder / "status").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        resident = next((line for line in lines if line.startswith("VmRSS:")), None)
        name = words[words.index("-m") + 1].partition(".")[0] if "-m" in words else words[0]
        if resident:
            found[name] = int(resident.split()[1])
    return found


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `soak`; 0 if everything holds."""
    parser = argparse.ArgumentParser(prog="soak", description="Run the simulation for long, and judge it.")
    parser.add_argument("--minutes", type=float, default=60.0, help="how long, from the first episode's end")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/soak"), help="folder for report and figures"
    )
    parser.add_argument("runner", nargs="*", help="arguments of `grasp_run sim`, after --")
    given = parser.parse_args(arguments)
    given.output.mkdir(parents=True, exist_ok=True)
    report = given.output / "report.json"
    report.unlink(missing_ok=True)
    told = ["--episodes", "0", "--contact-sheet", "none", *given.runner, "--report", str(report)]
    looks: list[Look] = []
    with (given.output / "output.txt").open("wb") as output, (given.output / "looks.jsonl").open("w") as kept:
        runner = subprocess.Popen(
            [sys.executable, "-m", "grasp_bringup.runner", "sim", *told],
            stdout=output,
            stderr=output,
            # Ctrl-C is for us: the runner is asked to end once, and a second time would kill it.
            start_new_session=True,
            # Safe: no thread of ours runs.
            preexec_fn=die_with_parent,  # noqa: PLW1509
        )
        try:
            with contextlib.suppress(KeyboardInterrupt):  # what was seen until then is judged
                for look in watch(runner, report, 60.0 * given.minutes):
                    looks.append(look)
                    print(json.dumps(asdict(look)), file=kept, flush=True)
            runner.send_signal(signal.SIGINT)
            status = runner.wait(_END_S)
        finally:
            runner.kill()  # of no effect where it has ended; its nodes end with it
    if len(looks) < 2:
        print(f"soak: the run ended before two looks at it; see {given.output}/output.txt", file=sys.stderr)
        return 1
    findings = judge(looks, json.loads(report.read_text(encoding="utf-8")), status)
    print(f"{looks[-1].at_s / 60:.1f} minutes, {looks[-1].episodes} episodes")
    for one in findings:
        print(f"{'holds' if one.passed else 'FAILS'}  {one.name}: {one.figure}")
    return 0 if all(one.passed for one in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
