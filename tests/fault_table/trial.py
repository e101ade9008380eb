"""One fault: inject it, see what the robot does, undo it, see that nothing moves, arm again."""

import time
from dataclasses import dataclass, field

from fault_table.bench import ACTING_WORDS, Bench
from fault_table.faults import Expected, Fault
from fault_table.judging import COMMAND_PERIOD_S, motions, stood_at, violations
from fault_table.watching import ControlStatus, until
from grasp_task.episode import Step

BOUND_S = 0.1 + 1 / 30
"""the longest time to hold that promises allow: the time-out and one control period"""
_QUIET_S = 0.4
_LINGER_S = 1.0
"""s of wall time, the fault being undone, in which nothing is asked for"""
_ROUNDING_S = 1e-6


@dataclass
class Outcome:
    """What came of a fault."""

    fault: Fault
    """which"""
    did: str = ""
    """what the robot did, in words"""
    hold_s: float | None = None
    """s from the last sound input to the first command of the hold, on the simulator's clock"""
    outside: int = 0
    """commands outside limits"""
    motions: int = 0
    """commands that moved the robot after it stood and before it was armed again"""
    wrong: list[str] = field(default_factory=list)
    """what is not as expected"""


@dataclass(frozen=True)
class _Mark:
    """How much had been heard."""

    commands: int
    words: int
    statuses: int
    accepted: int


def _mark(bench: Bench) -> _Mark:
    heard = bench.watcher
    return _Mark(len(heard.commands), len(heard.control_words), len(heard.statuses), len(heard.accepted))


def run_trial(bench: Bench, fault: Fault) -> Outcome:
    """Run one fault on a bench whose robot moves; it moves again afterwards.

    Raises:
        NotMovingError: it could not be brought to move.
    """
    outcome = Outcome(fault)
    bench.notes.clear()
    bench.get_moving()
    before = _mark(bench)
    good_ns = fault.injection.begin(bench)
    try:
        _OBSERVED[fault.expected](bench, fault, outcome, before, good_ns)
    except TimeoutError as error:
        outcome.wrong.append(str(error))
        outcome.did = f"{error}; control says {bench.watcher.control_word}"
        fault.injection.end(bench)
        bench.heal()
        bench.stop()
    bench.get_moving()
    _check_limits(bench, outcome)
    outcome.did = "; ".join([outcome.did, *bench.notes])
    return outcome


def _see_hold(bench: Bench, fault: Fault, outcome: Outcome, before: _Mark, good_ns: int) -> None:
    heard = bench.watcher

    def held() -> ControlStatus | None:
        return next((one for one in heard.statuses[before.statuses :] if one.state == "holding"), None)

    until(lambda: held() or heard.control_word not in ("armed", "holding"), "the robot to hold")
    status = held()
    if status is None:
        outcome.wrong.append(f"went to {heard.control_word} without a hold")
        status = heard.statuses[-1]
    outcome.hold_s = 1e-9 * (status.stamp_ns - good_ns) - fault.clock_offset_s
    until(lambda: bench.resting, "the task node to notice")
    _rest(bench, fault)
    # The word came with the first command of the hold, or just before the next.
    hold = next(count for word, count in heard.control_words[before.words :] if word != "armed") - 1
    window = heard.commands[: len(heard.commands)]
    stood = stood_at(window, hold)
    if stood is None:
        outcome.wrong.append("it never stood")
    stopping_s = 0.0 if stood is None else (stood - hold) * COMMAND_PERIOD_S
    outcome.motions = motions(window, hold)
    stopped = f"stood {1e3 * stopping_s:.0f} ms later" if stopping_s else "standing already"
    outcome.did = f"held ({status.reason}), {stopped}"
    if fault.bounded and not outcome.hold_s <= BOUND_S + _ROUNDING_S:
        outcome.wrong.append(f"held after {outcome.hold_s:.3f} s; at most {BOUND_S:.3f} s are promised")


def _see_going_on(bench: Bench, fault: Fault, outcome: Outcome, before: _Mark, _good_ns: int) -> None:
    heard = bench.watcher
    until(
        lambda: len(heard.accepted) >= before.accepted + fault.steps or heard.control_word != "armed",
        "targets to be accepted",
    )
    if heard.control_word != "armed":
        outcome.wrong.append(f"went to {heard.control_word}: {heard.statuses[-1].reason}")
    told = len(heard.statuses)
    until(lambda: len(heard.statuses) > told, "diagnostics")
    counted = _counted(heard.statuses, before)
    outcome.did = f"went on{counted}"
    fault.injection.end(bench)
    bench.heal()


def _see_end(bench: Bench, fault: Fault, outcome: Outcome, before: _Mark, _good_ns: int) -> None:
    heard = bench.watcher
    heard.quiet(_QUIET_S)
    ended = len(heard.commands)
    # Until it is disarmed, a command node whose clock comes back still has to decelerate.
    until(lambda: bench.resting and heard.step == Step.FAULT.value, "the task node to stand down")
    _rest(bench, fault)
    outcome.motions = len(heard.commands) - ended
    outcome.did = f"commands ended; the task node: {bench.watcher.complaints['grasp_task: episode']}"


def _see_refusal(bench: Bench, fault: Fault, outcome: Outcome, before: _Mark, _good_ns: int) -> None:
    until(lambda: bench.resting or bench.watcher.word in ACTING_WORDS, "a refusal")
    if not bench.resting:
        outcome.wrong.append("it was not refused")
    began = len(bench.watcher.commands)
    _rest(bench, fault)
    outcome.motions = len(bench.watcher.commands) - began
    outcome.did = f"was not armed; the task node: {bench.watcher.complaints['grasp_task: episode']}"


_OBSERVED = {
    Expected.HOLDS: _see_hold,
    Expected.GOES_ON: _see_going_on,
    Expected.ENDS: _see_end,
    Expected.REFUSES: _see_refusal,
}


def _rest(bench: Bench, fault: Fault) -> None:
    """Wait until nothing is commanded, undo the fault, and give the robot time to do what it must not."""
    bench.watcher.quiet(_QUIET_S)
    fault.injection.end(bench)
    bench.heal()
    time.sleep(_LINGER_S)


def _counted(statuses: list[ControlStatus], before: _Mark) -> str:
    """Counters of refusals and of limits that went up, in words."""
    old, new = statuses[before.statuses - 1].counters, statuses[-1].counters
    names = ("targets_rejected", "targets_clipped", "measurements_rejected", "guard_bent", "guard_stopped")
    found = {name: int(new[name]) - int(old[name]) for name in names if name in old and name in new}
    return "".join(f", {count} {name.replace('_', ' ')}" for name, count in found.items() if count > 0)


def _check_limits(bench: Bench, outcome: Outcome) -> None:
    """Judge every command since the robot last stood disarmed before the fault."""
    heard, begin = bench.watcher, bench.judged_from
    found = violations(heard.commands[begin:], heard.armings())
    outcome.outside = len({one.index for one in found})
    if found:
        outcome.wrong.append(f"{outcome.outside} commands outside limits, the first: {found[0]}")
    if outcome.motions:
        outcome.wrong.append(f"{outcome.motions} motions without a new arming")
    # What follows was judged up to here: the next window begins where this episode did.
    bench.judge_from_start()
