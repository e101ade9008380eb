"""Figures of an episode out of a recording: limits met, latencies hop by hop, what was counted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grasp_bringup.recorded_run import Event, RecordedRun
from grasp_description.robot import JOINT_NAMES, joint_limits
from grasp_policy.decision_record import DecisionRecord

_AT_LIMIT_RAD = 1e-4
_AT_SPEED = 0.999
"""share of a joint's speed limit from which on it counts as met"""
_AROUND_NS = 500_000_000
"""so long before its first and after its last image an episode is shown: what it came from and went to"""

_LIMIT_WORDS = ("clipped", "limited", "bent", "stopped", "rejected", "holds", "faults", "skipped", "error")
"""words in the names of counters, in the diagnostics of the stack's nodes"""


@dataclass(frozen=True)
class JointUse:
    """What the commands asked of one joint."""

    joint: str
    """its name"""
    lower_rad: float
    """least command"""
    upper_rad: float
    """largest command"""
    margin_rad: float
    """nearest that a command came to a position limit"""
    at_limit: int
    """commands at a position limit"""
    speed_share: float
    """largest speed between two commands, as a share of the joint's limit"""
    at_speed: int
    """commands at the speed limit"""
    apart_rad: float
    """largest distance of a measurement from the command before it"""


@dataclass(frozen=True)
class Hop:
    """A stretch of the way from camera to command."""

    name: str
    """from where to where"""
    seconds: np.ndarray
    """(n,) s, one for each decision that can be followed"""

    def percentiles_ms(self) -> tuple[float, ...]:
        """Median, 99th percentile and largest, ms; NaN without any."""
        if not len(self.seconds):
            return (float("nan"),) * 3
        return tuple(1e3 * float(one) for one in np.percentile(self.seconds, (50, 99, 100)))


@dataclass(frozen=True)
class Episode:
    """Decisions between two resets of the policy's memory."""

    number: int
    """from 1"""
    decisions: tuple[DecisionRecord, ...]
    """in order"""

    @property
    def first_ns(self) -> int:
        """Node's clock at its first image, ns."""
        return self.decisions[0].stamp_ns

    @property
    def last_ns(self) -> int:
        """Node's clock at its last image, ns."""
        return self.decisions[-1].stamp_ns

    @property
    def begin_ns(self) -> int:
        """Node's clock from which on it is shown, ns."""
        return self.first_ns - _AROUND_NS

    @property
    def end_ns(self) -> int:
        """Node's clock up to which it is shown, ns."""
        return self.last_ns + _AROUND_NS


def episodes_of(run: RecordedRun) -> list[Episode]:
    """The episodes of a run, in order."""
    grouped: dict[int, list[DecisionRecord]] = {}
    for decision in run.decisions:
        grouped.setdefault(decision.episode_ns, []).append(decision)
    return [Episode(number, tuple(made)) for number, made in enumerate(grouped.values(), start=1)]


def joint_uses(run: RecordedRun, episode: Episode) -> list[JointUse]:
    """What the commands from an episode's first to its last image asked of each joint; empty without any.

    Before and after, the robot is armed anew: no speed leads from one command to the next there.
    """
    commands = run.commanded.within(episode.first_ns, episode.last_ns)
    measured = run.measured.within(episode.first_ns, episode.last_ns)
    if len(commands.stamp_ns) < 2:
        return []
    limits = joint_limits()
    position = commands.position
    lower, upper = np.asarray(limits.lower), np.asarray(limits.upper)
    margin = np.minimum(position - lower, upper - position)
    elapsed_s = np.maximum(1e-9 * np.diff(commands.stamp_ns), 1e-6)[:, None]
    share = np.abs(np.diff(position, axis=0)) / elapsed_s / np.asarray(limits.velocity)
    apart = np.zeros(len(JOINT_NAMES))
    if len(measured.stamp_ns):
        before = np.searchsorted(commands.stamp_ns, measured.stamp_ns, side="right") - 1
        known = before >= 0
        if known.any():
            apart = np.abs(measured.position[known] - position[before[known]]).max(axis=0)
    return [
        JointUse(
            name,
            float(position[:, index].min()),
            float(position[:, index].max()),
            float(margin[:, index].min()),
            int(np.count_nonzero(margin[:, index] < _AT_LIMIT_RAD)),
            float(share[:, index].max()),
            int(np.count_nonzero(share[:, index] >= _AT_SPEED)),
            float(apart[index]),
        )
        for index, name in enumerate(JOINT_NAMES)
    ]


def hops(run: RecordedRun, decisions: Sequence[DecisionRecord]) -> list[Hop]:
    """How long each stretch from camera to command took, by the publishers' own system time.

    All processes run on one machine, or on machines whose clocks agree. The last row is on the node's clock:
    what the robot experiences; in lockstep simulation only that one is not a property of the machine.
    """
    rows: dict[str, list[float]] = {
        "image published → decision published": [],
        "of it, the policy's inference": [],
        "decision published → target accepted": [],
        "target accepted → next command": [],
        "image published → command (wall time)": [],
        "image's stamp → command's stamp (node's clock)": [],
    }
    sent_ns = run.commanded.publish_ns
    for decision in decisions:
        stamp_ns = decision.stamp_ns
        image, decided = run.image_ns.get(stamp_ns), run.decided_ns.get(stamp_ns)
        accepted = run.accepted_ns.get(stamp_ns)
        if image is None or decided is None or accepted is None:
            continue
        place = int(np.searchsorted(sent_ns, accepted, side="right"))
        if place == len(sent_ns):
            continue
        waypoints = (image, decided, accepted, int(sent_ns[place]))
        stretches = (
            decided - image,
            decision.inference_ns,
            accepted - decided,
            waypoints[3] - accepted,
            waypoints[3] - image,
            int(run.commanded.stamp_ns[place]) - stamp_ns,
        )
        for row, nanoseconds in zip(rows.values(), stretches, strict=True):
            row.append(1e-9 * nanoseconds)
    return [Hop(name, np.array(row)) for name, row in rows.items()]


def events_of(run: RecordedRun, episode: Episode) -> list[tuple[float, Event]]:
    """What was said in an episode, with s since its first image on the node's clock."""
    stamps = run.stamp_of(np.array([event.log_ns for event in run.events], np.int64))
    return [
        (1e-9 * (stamp - episode.first_ns), event)
        for stamp, event in zip(stamps, run.events, strict=True)
        if episode.begin_ns <= stamp <= episode.end_ns
    ]


def limit_counts(run: RecordedRun, episode: Episode) -> dict[str, int]:
    """By how much the nodes' counters of limits, refusals and holds grew in an episode; those that did."""
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    stamps = run.stamp_of(np.array([counter[0] for counter in run.counters], np.int64))
    for stamp, (_, node, name, value) in zip(stamps, run.counters, strict=True):
        if not any(word in name for word in _LIMIT_WORDS):
            continue
        key = f"{node}: {name}"
        if stamp < episode.begin_ns:
            before[key] = value
        # Diagnostics come once a second: what an episode did is told up to a second later.
        elif stamp <= episode.end_ns + 1_000_000_000:
            after[key] = value
    grown = {key: value - before.get(key, 0) for key, value in after.items()}
    return {key: growth for key, growth in grown.items() if growth > 0}
