"""Intervals by resampling: figures of many episodes, each of which is one draw."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

RESAMPLES = 1000
_LOW, _HIGH = 2.5, 97.5


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    """of all that was measured"""
    low: float
    """lower end"""
    high: float
    """upper end"""

    def text(self, scale: float = 1.0, digits: int = 2) -> str:
        """It in words, times a scale; a dash where nothing was measured."""
        if not math.isfinite(self.value):
            return "–"
        value, low, high = (f"{scale * number:.{digits}f}" for number in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"

    def to_dict(self) -> dict[str, float | None]:
        """Plain JSON types; null where nothing was measured."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}

    @staticmethod
    def from_dict(found: dict[str, float | None]) -> Estimate:
        """Read what ``to_dict`` gave."""
        return Estimate(**{name: math.nan if value is None else value for name, value in found.items()})


def bootstrap(
    episodes: int, figure: Callable[[np.ndarray], float], seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate a figure of episodes, with the percentile interval of the bootstrap over episodes.

    Efron, Annals of Statistics 7, 1979. Steps of one episode hang together, whole episodes do not: these are
    drawn, with replacement.

    Args:
        episodes: how many there are.
        figure: takes numbers of episodes (k,), repetitions among them, and returns the figure of these.
        seed: of the draws.
        resamples: how many draws.
    """
    if episodes == 0:
        return Estimate(math.nan, math.nan, math.nan)
    generator = np.random.default_rng(seed)
    draws = [figure(generator.integers(episodes, size=episodes)) for _ in range(resamples)]
    return _estimate(figure(np.arange(episodes)), draws)


def bootstrap_difference(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Estimate the difference of the mean outcomes of two kinds, second minus first.

    Seeds are drawn first, then episodes of each: what another set of seeds would have given is in the
    interval too. With three seeds that is a rough guess.

    Args:
        first: outcomes (episodes,) of each seed, at least one.
        second: the same of the other kind.
        seed: of the draws.
        resamples: how many draws.
    """
    generator = np.random.default_rng(seed)

    def drawn(seeds: Sequence[np.ndarray]) -> float:
        chosen = [seeds[index] for index in generator.integers(len(seeds), size=len(seeds))]
        return float(np.mean([generator.choice(outcomes, len(outcomes)).mean() for outcomes in chosen]))

    def mean(seeds: Sequence[np.ndarray]) -> float:
        return float(np.mean([outcomes.mean() for outcomes in seeds]))

    draws = [drawn(second) - drawn(first) for _ in range(resamples)]
    return _estimate(mean(second) - mean(first), draws)


def _estimate(value: float, draws: Sequence[float]) -> Estimate:
    known = np.asarray([draw for draw in draws if math.isfinite(draw)])
    if not len(known):
        return Estimate(value, math.nan, math.nan)
    low, high = np.percentile(known, [_LOW, _HIGH])
    return Estimate(value, float(low), float(high))
