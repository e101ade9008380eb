"""What the episodes came to: successes, interval, families, causes of failure, counters. No ROS."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.table import Table

_Z_95 = 1.959963984540054
"""0.975 quantile of the standard normal distribution"""
REPORT_FORMAT = 1
"""version of the JSON report's layout"""


def wilson_interval(successes: int, episodes: int, z: float = _Z_95) -> tuple[float, float]:
    """Wilson's score interval of a success rate (Wilson 1927), by default at 95 %.

    Returns:
        lower and upper bound in 0…1; (0, 1) where there are no episodes

    Raises:
        ValueError: the counts are negative or there are more successes than episodes.
    """
    if not 0 <= successes <= episodes:
        raise ValueError(f"{successes} successes in {episodes} episodes; expected 0 <= successes <= episodes")
    if episodes == 0:
        return 0.0, 1.0
    rate, spread = successes / episodes, z * z / episodes
    centre = (rate + spread / 2.0) / (1.0 + spread)
    half = z / (1.0 + spread) * math.sqrt(rate * (1.0 - rate) / episodes + spread / (4.0 * episodes))
    # At 0 and at 1 the bound is exactly 0 and 1; rounding would leave it 1e-17 away.
    lower = 0.0 if successes == 0 else centre - half
    upper = 1.0 if successes == episodes else centre + half
    return lower, upper


@dataclass(frozen=True)
class EpisodeResult:
    """One episode."""

    object_name: str
    family: str
    success: bool
    cause: str = ""
    """why it failed, in words; empty for a success"""
    counts: bool = True
    """False for an episode that an operator stopped or nothing could score: neither success nor failure"""
    lifted_at_s: float | None = None
    """s after the episode's start that the object first counted as lifted; None if it never did"""
    dropped: bool = False
    """whether the object was lifted and fell back"""
    duration_s: float = 0.0
    """s of the node's clock that the policy acted"""
    wall_s: float = 0.0
    """s of wall time for the same"""
    cycle_s: float = 0.0
    """s of the node's clock since the end of the episode before, or since the start, until its end"""
    grip_shift_rad: float | None = None
    """rad, the most that a joint of the hand moved on the way to the bin; None where nothing was carried"""


@dataclass(frozen=True)
class Tally:
    """Episodes and successes of one group."""

    episodes: int = 0
    successes: int = 0

    @property
    def rate(self) -> float:
        """0…1; 0 where there are no episodes."""
        return self.successes / self.episodes if self.episodes else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the rate."""
        return wilson_interval(self.successes, self.episodes)

    def as_json(self) -> dict[str, object]:
        """The figures by name."""
        interval = list(self.interval)
        return {
            "episodes": self.episodes,
            "successes": self.successes,
            "rate": self.rate,
            "interval_95": interval,
        }

    def __str__(self) -> str:
        if not self.episodes:
            return "no episodes"
        lower, upper = self.interval
        return f"{100 * self.rate:.1f} % (95 %: {100 * lower:.1f} to {100 * upper:.1f} %)"


def tally(results: Iterable[EpisodeResult]) -> Tally:
    """Count the results that count."""
    counted = [result for result in results if result.counts]
    return Tally(len(counted), sum(result.success for result in counted))


@dataclass
class Counters:
    """What the other nodes counted, as the scoreboard shows it."""

    inferences: int = 0
    """targets of the policy that the command node accepted while an episode ran"""
    commands: int = 0
    """joint commands published"""
    commands_clipped: int = 0
    """times that the hand's lead or the collision guard changed a command"""
    targets_clipped: int = 0
    """targets of which a joint lay beyond its limits"""
    targets_rejected: int = 0
    """targets that the command node refused: stale, malformed, or not armed"""
    images_late: int = 0
    """image pairs that were too old when their turn came: no inference was made from them"""
    images_unusable: int = 0
    """images dropped otherwise: of two stamps, repeated, ahead of the clock, without a joint state"""
    lockstep_timeouts: int = 0
    """times that the simulator gave up waiting"""


@dataclass
class Scoreboard:
    """All results of one run."""

    wanted: int = 0
    """episodes to run; 0 is endless"""
    results: list[EpisodeResult] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """faults outside any episode"""
    counters: Counters = field(default_factory=Counters)
    diagnostics: dict[str, dict[str, str]] = field(default_factory=dict)
    """last values that each node reported, as reported"""
    settings: dict[str, str] = field(default_factory=dict)
    """what was run: policy, objects, seed"""
    judged_by: str = ""
    """what decides on success, in words"""
    outcome: str = ""
    """how the run ended; empty while it goes on"""

    def add(self, result: EpisodeResult) -> None:
        """Take one more result."""
        self.results.append(result)

    @property
    def total(self) -> Tally:
        """All episodes that count."""
        return tally(self.results)

    def by_family(self) -> dict[str, Tally]:
        """The same by object family, in alphabetic order."""
        families = sorted({result.family for result in self.results if result.counts})
        return {name: tally(result for result in self.results if result.family == name) for name in families}

    @property
    def streaks(self) -> tuple[int, int]:
        """Successes in a row: of now, and the most so far. What does not count breaks none."""
        now = longest = 0
        for result in self.results:
            if result.counts:
                now = now + 1 if result.success else 0
                longest = max(longest, now)
        return now, longest

    @property
    def successes_per_hour(self) -> float:
        """Of the node's clock, all between two episodes included, pauses by /grasp/stop not."""
        cycle_s = sum(result.cycle_s for result in self.results if result.counts)
        return 3600.0 * self.total.successes / cycle_s if cycle_s > 0.0 else 0.0

    def mean_lift_time_s(self) -> float | None:
        """s to the lift, over the episodes that lifted; None if none did."""
        times = [result.lifted_at_s for result in self.results if result.lifted_at_s is not None]
        return sum(times) / len(times) if times else None

    def live_line(self) -> str:
        """One line on the latest result."""
        if not self.results:
            return "no episode yet"
        last, total = self.results[-1], self.total
        of = f"/{self.wanted}" if self.wanted else ""
        verdict = ("success" if last.success else "failure") if last.counts else "not counted"
        lift = f"lifted after {last.lifted_at_s:.1f} s" if last.lifted_at_s is not None else "not lifted"
        cause = f" ({last.cause})" if last.cause else ""
        score = f"score {total.successes}/{total.episodes} = {100 * total.rate:.0f} %"
        what = f"{last.object_name} [{last.family}]"
        first = f"episode {len(self.results)}{of}  {what}  {verdict}{cause}"
        return f"{first}  {lift}  {last.wall_s:.1f} s  {score}, {self.streaks[0]} in a row"

    def key_values(self) -> dict[str, str]:
        """The figures of /grasp/score."""
        total, (lower, upper) = self.total, self.total.interval
        last = self.results[-1] if self.results else None
        return {
            "episodes": str(total.episodes),
            "successes": str(total.successes),
            "rate": f"{total.rate:.4f}",
            "interval_lower": f"{lower:.4f}",
            "interval_upper": f"{upper:.4f}",
            "streak": str(self.streaks[0]),
            "longest_streak": str(self.streaks[1]),
            "successes_per_hour": f"{self.successes_per_hour:.1f}",
            "wanted": str(self.wanted),
            "faults": str(len(self.faults)),
            "inferences": str(self.counters.inferences),
            "last_object": last.object_name if last else "",
            "last_success": str(last.success).lower() if last else "",
            "last_cause": last.cause if last else "",
        }

    def as_json(self) -> dict[str, object]:
        """The report's document."""
        return {
            "format": REPORT_FORMAT,
            "outcome": self.outcome,
            "settings": self.settings,
            "wanted": self.wanted,
            **self.total.as_json(),
            "judged_by": self.judged_by,
            "longest_streak": self.streaks[1],
            "successes_per_hour": self.successes_per_hour,
            "mean_lift_time_s": self.mean_lift_time_s(),
            "drops": sum(result.dropped for result in self.results),
            "episode_time_s": sum(result.duration_s for result in self.results),
            "wall_time_s": sum(result.wall_s for result in self.results),
            "by_family": {name: one.as_json() for name, one in self.by_family().items()},
            "counters": asdict(self.counters),
            "faults": self.faults,
            "diagnostics": self.diagnostics,
            "results": [asdict(result) for result in self.results],
        }

    def write(self, path: Path) -> None:
        """Write the report to ``path``, whole or not at all.

        Raises:
            OSError: the folder cannot be made or written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".tmp")
        beside.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")
        os.replace(beside, path)

    def table(self) -> Table:
        """The table printed at the end."""
        table = Table(title="Scoreboard", caption=self.outcome or None, min_width=60)
        table.add_column("what")
        table.add_column("value", justify="right")
        for name, value in self._rows():
            table.add_row(name, value)
        table.add_section()
        for family, one in self.by_family().items():
            table.add_row(f"family {family}", f"{one.successes}/{one.episodes}   {one}")
        causes = [result.cause for result in self.results if result.cause] + self.faults
        table.add_section()
        for cause, times in sorted(_counts(causes).items(), key=lambda item: -item[1]):
            table.add_row(cause, f"{times} ×")
        return table

    def _rows(self) -> list[tuple[str, str]]:
        lift = self.mean_lift_time_s()
        return [
            ("episodes", f"{self.total.episodes}" + (f" of {self.wanted}" if self.wanted else "")),
            ("success", f"{self.total.successes}/{self.total.episodes}   {self.total}"),
            ("successes in a row", f"{self.streaks[1]} at most"),
            ("successes an hour", f"{self.successes_per_hour:.0f} of the node's clock"),
            ("mean time to lift", f"{lift:.2f} s" if lift is not None else "never lifted"),
            ("drops", str(sum(result.dropped for result in self.results))),
            ("episodes not counted", str(sum(not result.counts for result in self.results))),
            ("inferences accepted", str(self.counters.inferences)),
            ("commands clipped", f"{self.counters.commands_clipped} of {self.counters.commands}"),
            (
                "targets clipped, refused",
                f"{self.counters.targets_clipped}, {self.counters.targets_rejected}",
            ),
            ("images late", str(self.counters.images_late)),
            ("images otherwise not used", str(self.counters.images_unusable)),
            ("lockstep time-outs", str(self.counters.lockstep_timeouts)),
            ("faults outside episodes", str(len(self.faults))),
            ("policy time", f"{sum(result.duration_s for result in self.results):.1f} s of the node's clock"),
            ("wall time of the same", f"{sum(result.wall_s for result in self.results):.1f} s"),
        ]


def _counts(causes: Iterable[str]) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for cause in causes:
        counts[cause] = counts.get(cause, 0) + 1
    return counts
