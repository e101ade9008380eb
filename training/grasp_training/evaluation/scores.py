"""Figures from episodes: success with its interval, by family, time to lift, drops."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from grasp_description.objects import HELD_OUT_FAMILIES, TRAINING_FAMILIES
from grasp_training.evaluation.episodes import Episode

KNOWN, NEW = "known families", "held-out families"
_Z_95 = 1.959963984540054


def wilson_interval(successes: int, episodes: int, z: float = _Z_95) -> tuple[float, float]:
    """Wilson's score interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927); the default z is 95 %.

    Raises:
        ValueError: successes not within 0 … episodes.
    """
    if not 0 <= successes <= episodes:
        raise ValueError(f"{successes} successes of {episodes} episodes; expected 0 to {episodes}")
    if episodes == 0:
        return 0.0, 1.0
    share, ratio = successes / episodes, z * z / episodes
    centre = (share + ratio / 2) / (1 + ratio)
    half = z / (1 + ratio) * math.sqrt(share * (1 - share) / episodes + ratio / (4 * episodes))
    # Rounding must not put an end past the share itself, which at 0 and 1 is an end of the interval.
    return min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half))


@dataclass(frozen=True)
class Rate:
    """A share of successes with its 95 % interval."""

    successes: int
    """number of successes"""
    episodes: int
    """number of episodes"""
    rate: float
    """successes / episodes"""
    low: float
    """lower end of the interval"""
    high: float
    """upper end of the interval"""

    @staticmethod
    def of(outcomes: Iterable[bool]) -> "Rate":
        """The rate of outcomes; without any the rate is NaN and the interval is all there is."""
        found = list(outcomes)
        successes = sum(found)
        rate = successes / len(found) if found else math.nan
        return Rate(successes, len(found), rate, *wilson_interval(successes, len(found)))

    def __str__(self) -> str:
        if not self.episodes:
            return "–"
        return f"{100 * self.rate:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class Summary:
    """The figures of an evaluation."""

    success: Rate
    """all episodes"""
    by_kind: dict[str, Rate]
    """objects of families that training has, and of those that it never sees"""
    by_family: dict[str, Rate]
    """by family of objects, in the order of the families"""
    lifted: Rate
    """episodes in which the object was lifted at some time"""
    mean_time_to_lift_s: float | None
    """s, over the episodes in which it was lifted; None if there are none"""
    dropped: int
    """episodes in which the object was lifted, then fell"""
    lost: int
    """episodes in which the object left the workspace"""

    @staticmethod
    def of(episodes: Sequence[Episode]) -> "Summary":
        """The summary of episodes."""

        def rate(chosen: Callable[[Episode], bool]) -> Rate:
            return Rate.of(episode.success for episode in episodes if chosen(episode))

        families = [*TRAINING_FAMILIES, *HELD_OUT_FAMILIES]
        present = {episode.object.family for episode in episodes}
        times = [episode.lifted_at_s for episode in episodes if episode.lifted_at_s is not None]
        kinds = {KNOWN: TRAINING_FAMILIES, NEW: HELD_OUT_FAMILIES}
        return Summary(
            success=rate(lambda _: True),
            by_kind={
                kind: rate(lambda e, members=members: e.object.family in members)
                for kind, members in kinds.items()
                if present.intersection(members)
            },
            by_family={
                family: rate(lambda e, family=family: e.object.family == family)
                for family in families
                if family in present
            },
            lifted=Rate.of(episode.lifted_at_s is not None for episode in episodes),
            mean_time_to_lift_s=float(np.mean(times)) if times else None,
            dropped=sum(episode.dropped for episode in episodes),
            lost=sum(episode.lost for episode in episodes),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str, str]]:
        """A table: what, value, episodes."""

        def line(name: str, rate: Rate) -> tuple[str, str, str]:
            return name, str(rate), f"{rate.successes} / {rate.episodes}"

        count = self.success.episodes
        time = "–" if self.mean_time_to_lift_s is None else f"{self.mean_time_to_lift_s:.2f} s"
        return [
            line("success", self.success),
            *(line(f"  {kind}", rate) for kind, rate in self.by_kind.items()),
            *(line(f"    {family}", rate) for family, rate in self.by_family.items()),
            line("lifted", self.lifted),
            ("mean time to lift", time, f"{self.lifted.successes}"),
            ("dropped", f"{100 * self.dropped / count:.1f} %" if count else "–", f"{self.dropped} / {count}"),
            ("lost", f"{100 * self.lost / count:.1f} %" if count else "–", f"{self.lost} / {count}"),
        ]
