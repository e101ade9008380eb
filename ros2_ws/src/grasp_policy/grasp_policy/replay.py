"""Decides a recording again: `ros2 run grasp_policy replay FILE`, or `python -m grasp_policy.replay FILE`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grasp_policy.deciding import Decider
from grasp_policy.decision_record import DecisionRecord
from grasp_policy.pairing import PairingLimits
from grasp_policy.policy_file import Policy, PolicyFileError, load_policy
from grasp_policy.recordings import Recording, RecordingError
from grasp_policy.replaying import Difference, Replayer, ReplayTally, ReplayTopics, read_decision

__all__ = ["main", "replay"]

SAME, DIFFERENT, REFUSED, INCOMPLETE = 0, 1, 2, 3
"""Exit status: all targets the same; some differ; nothing was tried; none differs, but some were not made."""


def replay(
    recording: Recording,
    policy: Path | None = None,
    providers: list[str] | None = None,
    threads: int | None = None,
) -> tuple[DecisionRecord, ReplayTally, Policy]:
    """Decide a recording again.

    Args:
        recording: what the policy node saw and said.
        policy: the policy file; None for the one that the recording names.
        providers, threads: of ONNX Runtime; None for those of the recording.

    Returns:
        the first decision's record, the outcome, and the policy that decided

    Raises:
        RecordingError: there is no decision in it, or the policy file is another one.
        PolicyFileError: the policy file is refused.
    """
    topics = ReplayTopics()
    first = next((read_decision(one) for one in recording.messages({topics.decision})), None)
    if first is None:
        raise RecordingError(f"{recording.files[0]} has no message on {topics.decision}: nothing was decided")
    loaded = load_policy(
        policy or Path(first.policy), None, providers or first.providers.split(","), threads or first.threads
    )
    if loaded.sha256 != first.sha256:
        found = f"policy file {policy or first.policy} has SHA-256 {loaded.sha256}"
        raise RecordingError(f"{found}; the recording's decisions were made by {first.sha256}")
    period_ns = round(1e9 / loaded.spec.control_rate_hz)
    replayer = Replayer(Decider(loaded, PairingLimits(period_ns)), topics)
    for message in recording.messages(topics.names()):
        replayer.take(message)
    return first, replayer.finish(), loaded


def summary(first: DecisionRecord, tally: ReplayTally, joint_names: Sequence[str]) -> str:
    """The outcome in lines for people; joints by the names of the policy's."""
    lines = [
        f"{tally.decisions} decisions of policy {first.sha256[:12]} on {first.providers}, {first.runtime}",
        f"{tally.same} targets the same, bit for bit",
    ]
    if tally.first is not None:
        lines.append(f"{tally.differences} targets differ, by {tally.largest_rad:.3g} rad at most")
        lines.append(f"the first: {_told(tally.first, joint_names)}")
    lines += [f"{count} decisions not made again: {why}" for why, count in tally.undecided.items()]
    return "\n".join(lines)


def _told(difference: Difference, joint_names: Sequence[str]) -> str:
    record, recorded, replayed = difference.record, difference.recorded, difference.replayed
    where = f"images of {record.stamp_ns} ns, step {record.step} of its episode"
    if recorded is None:
        return f"{where}; its target is not in the recording, only its checksum"
    apart = np.abs(replayed - recorded)
    most = int(apart.argmax())
    values = f"recorded {float(recorded[most])!r} rad, now {float(replayed[most])!r} rad"
    return f"{where}; {np.count_nonzero(apart)} joints, {joint_names[most]} the most: {values}"


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `replay`; the exit status."""
    parser = argparse.ArgumentParser(prog="replay", description="Decide a recording again, and compare.")
    parser.add_argument("recording", type=Path, help="MCAP file, or folder that rosbag2 made")
    parser.add_argument("--policy", type=Path, help="policy file (default: the one that the recording names)")
    parser.add_argument("--providers", nargs="+", help="execution providers (default: the recording's)")
    parser.add_argument("--threads", type=int, help="threads within an operator (default: the recording's)")
    given = parser.parse_args(arguments)
    try:
        recording = Recording(given.recording)
        first, tally, loaded = replay(recording, given.policy, given.providers, given.threads)
    except (RecordingError, PolicyFileError, OSError) as error:
        print(f"replay: {error}", file=sys.stderr)
        return REFUSED
    print(summary(first, tally, loaded.spec.joint_names))
    for damage in recording.damage:
        print(f"replay: {damage}", file=sys.stderr)
    if tally.differences:
        return DIFFERENT
    return SAME if tally.complete else INCOMPLETE


if __name__ == "__main__":
    sys.exit(main())
