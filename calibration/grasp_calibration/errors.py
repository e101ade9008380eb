"""The errors that a user can do something about: the command shows their message without a traceback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["CalibrationRefusedError", "Refusal", "listed"]


@dataclass(frozen=True)
class Refusal:
    """One view that is not used."""

    name: str
    """the view's file name without its ending"""
    reason: str
    """what is wrong with it, and what was expected"""


class CalibrationRefusedError(ValueError):
    """What there is does not determine a calibration; the message says what is missing.

    Attributes:
        refusals: the views left out before, each with its reason.
    """

    def __init__(self, message: str, refusals: Sequence[Refusal] = ()) -> None:
        self.refusals = tuple(refusals)
        super().__init__("\n".join([message, *listed(refusals)]))


def listed(refusals: Sequence[Refusal]) -> list[str]:
    """A line a refusal."""
    return [f"  refused {one.name}: {one.reason}" for one in refusals]
