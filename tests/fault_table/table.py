"""The table of faults as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from fault_table.trial import BOUND_S, Outcome

BEGIN, END = "<!-- fault table: begin -->", "<!-- fault table: end -->"
_HEAD = (
    "| fault | promise | what the robot did | time to hold (ms) | commands outside limits "
    "| motions without re-arm |\n| --- | --- | --- | --- | --- | --- |\n"
)


def row(outcome: Outcome) -> str:
    """One line of the table."""
    fault = outcome.fault
    did = f"{outcome.did}; {fault.remark}" if fault.remark else outcome.did
    if outcome.wrong:
        did = f"**not as expected: {'; '.join(outcome.wrong)}** {did}"
    hold = "–" if outcome.hold_s is None else f"{1e3 * outcome.hold_s:.0f}"
    if outcome.hold_s is not None and not fault.bounded:
        hold = f"({hold})"
    cells = (fault.name, fault.promise, did, hold, outcome.outside, outcome.motions)
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |\n"


def table(outcomes: Sequence[Outcome]) -> str:
    """The table, and a line that sums it up."""
    bounded = [one.hold_s for one in outcomes if one.fault.bounded and one.hold_s is not None]
    longest = f"{1e3 * max(bounded):.0f} ms" if bounded else "–"
    summary = (
        f"{len(outcomes)} faults, {sum(not one.wrong for one in outcomes)} as expected; longest time to hold "
        f"where a promise bounds it: {longest} (bound: {1e3 * BOUND_S:.0f} ms); commands outside limits: "
        f"{sum(one.outside for one in outcomes)}; motions without re-arm: "
        f"{sum(one.motions for one in outcomes)}.\n"
    )
    return _HEAD + "".join(map(row, outcomes)) + "\n" + summary


def write_table(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write the table between the two markers of a Markdown file.

    Raises:
        ValueError: the file lacks a marker.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} lacks {BEGIN!r} or {END!r}; expected both, for the table to go between")
    path.write_text(f"{before}{BEGIN}\n\n{table(outcomes)}\n{END}{after}", encoding="utf-8")
