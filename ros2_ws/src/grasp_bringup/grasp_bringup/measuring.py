"""Rates of topics and ages of the images behind commands, from arrivals. No ROS."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table

ACTING_WORDS = ("grasp", "lift", "hold")
"""Words of /grasp/state under which targets are the policy's."""
_REMEMBERED_IMAGES = 300
"""Stamps kept to look an image's arrival up by: ten seconds at 30 Hz."""


@dataclass
class TopicRate:
    """Arrivals on one topic: all are counted, those of episodes are timed."""

    messages: int = 0
    """all arrivals"""
    episodes: list[list[float]] = field(default_factory=list)
    """s of wall time of the arrivals while the policy acted, one list an episode"""

    def arrive(self, wall_s: float, acting: bool) -> None:
        """A message came."""
        self.messages += 1
        if acting:
            self.episodes[-1].append(wall_s)

    @property
    def rate_hz(self) -> float:
        """Mean rate between the first and the last arrival of an episode, over all of them; 0 without any."""
        timed = [arrivals for arrivals in self.episodes if len(arrivals) > 1]
        span = sum(arrivals[-1] - arrivals[0] for arrivals in timed)
        return sum(len(arrivals) - 1 for arrivals in timed) / span if span > 0.0 else 0.0

    @property
    def longest_gap_s(self) -> float:
        """Longest time between two arrivals of one episode; 0 without any."""
        gaps = [float(np.diff(arrivals).max()) for arrivals in self.episodes if len(arrivals) > 1]
        return max(gaps, default=0.0)


class Measuring:
    """Notes what arrives when, and sums it up.

    The age of the images behind a command is taken twice: on the node's clock, from the images' stamp to the
    command's (what the robot experiences), and in wall time, from the images' arrival here to the command's
    (what the machine needs; in lockstep only this one means anything, as the clock waits).
    """

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = {topic: TopicRate() for topic in topics}
        self.node_ages_s: list[float] = []
        self.wall_ages_s: list[float] = []
        self._images: OrderedDict[int, float] = OrderedDict()
        self._accepted_ns: int | None = None
        self._acting = False

    def arrive(self, topic: str, wall_s: float) -> None:
        """A message came on ``topic``."""
        self.topics[topic].arrive(wall_s, self._acting)

    def state(self, word: str) -> None:
        """/grasp/state changed."""
        acting = word in ACTING_WORDS
        if acting and not self._acting:
            self._accepted_ns = None  # what was accepted before was no policy's
            for topic in self.topics.values():
                topic.episodes.append([])
        self._acting = acting

    def image(self, stamp_ns: int, wall_s: float) -> None:
        """The later one of a pair of images came."""
        self._images[stamp_ns] = wall_s
        while len(self._images) > _REMEMBERED_IMAGES:
            self._images.popitem(last=False)

    def accepted(self, stamp_ns: int) -> None:
        """The command node accepted the target made from the images of this stamp."""
        if self._acting:
            self._accepted_ns = stamp_ns

    def command(self, stamp_ns: int, wall_s: float) -> None:
        """A command was published at this time of the node's clock."""
        if not self._acting or self._accepted_ns is None:
            return
        self.node_ages_s.append(1e-9 * (stamp_ns - self._accepted_ns))
        seen = self._images.get(self._accepted_ns)
        if seen is not None:
            self.wall_ages_s.append(wall_s - seen)

    def rate_table(self) -> Table:
        """Messages of every topic; rate and longest gap while the policy acted."""
        table = Table(title="Achieved rates, while the policy acted, in wall time")
        for name in ("topic", "all messages", "rate, Hz", "longest gap, ms"):
            table.add_column(name, justify="left" if name == "topic" else "right")
        for topic, one in self.topics.items():
            row = (str(one.messages), f"{one.rate_hz:.1f}", f"{1e3 * one.longest_gap_s:.0f}")
            table.add_row(topic, *row)
        return table

    def age_table(self) -> Table:
        """Median and 99th percentile of the age of the images behind each command."""
        table = Table(title="Age of the images behind each command")
        for name in ("clock", "commands", "p50, ms", "p99, ms"):
            table.add_column(name, justify="left" if name == "clock" else "right")
        for name, ages in (("the node's", self.node_ages_s), ("wall", self.wall_ages_s)):
            figures = (
                [f"{1e3 * np.percentile(ages, percent):.1f}" for percent in (50, 99)] if ages else ["", ""]
            )
            table.add_row(name, str(len(ages)), *figures)
        return table
