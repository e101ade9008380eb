"""Runs every fault, or those whose names hold given words: ``python -m fault_table``."""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from fault_table.bench import Bench, NotMovingError
from fault_table.faults import FAULTS, Fault
from fault_table.table import write_table
from fault_table.trial import Outcome, run_trial
from grasp_bringup.graph import environment_of_nodes

_DOMAIN = 1 + os.getpid() % 100


def run_all(faults: Sequence[Fault], folder: Path, limit_s: float) -> Iterator[Outcome]:
    """Run these faults one after the other; a graph that cannot go on is followed by a new one."""
    left = list(faults)
    while left:
        with Bench(folder, _DOMAIN, limit_s) as bench:
            alive = True
            while left and alive:
                fault = left.pop(0)
                began_s = time.monotonic()
                try:
                    outcome = run_trial(bench, fault)
                except (NotMovingError, TimeoutError) as error:
                    outcome, alive = Outcome(fault, did="was lost sight of", wrong=[str(error)]), False
                verdict = "; ".join(outcome.wrong) or "as expected"
                took_s = time.monotonic() - began_s
                print(f"{fault.name}: {outcome.did} | {verdict} ({took_s:.0f} s)", flush=True)
                yield outcome


def main() -> int:
    """Entry point; 0 if all is as expected, 1 if not, 2 for wrong arguments."""
    parser = argparse.ArgumentParser(prog="fault_table", description=__doc__)
    parser.add_argument("words", nargs="*", help="words that a fault's name has to hold; none: all faults")
    parser.add_argument("--write", type=Path, help="Markdown file to write the table into, between markers")
    parser.add_argument("--keep", type=Path, help="folder for the nodes' logs (default: a temporary one)")
    help_limit = "s of wall time that the simulator waits for an answer (default: 0.6); more where it is busy"
    parser.add_argument("--limit-s", type=float, default=0.6, help=help_limit)
    asked = parser.parse_args()
    for name, value in environment_of_nodes(alone=True).items():
        os.environ.setdefault(name, value)
    faults = [one for one in FAULTS if all(word in one.name for word in asked.words)]
    if not faults:
        parser.error(f"no fault's name holds {asked.words}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        outcomes: list[Outcome] = []
        for outcome in run_all(faults, folder, asked.limit_s):
            outcomes.append(outcome)
            # After each: what was seen is kept, however the run ends.
            if asked.write is not None:
                write_table(asked.write, outcomes)
    wrong = [one.fault.name for one in outcomes if one.wrong]
    print(f"{len(outcomes) - len(wrong)} of {len(outcomes)} as expected")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
