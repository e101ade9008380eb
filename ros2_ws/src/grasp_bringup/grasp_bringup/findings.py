"""What a check before a run has found."""

from dataclasses import dataclass
from enum import IntEnum


class Level(IntEnum):
    """How bad it is."""

    OK = 0
    WARN = 1
    """a run may begin, but somebody should know"""
    FAIL = 2
    """a run would be refused, or would not do what is meant"""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    level: Level
    what: str
    """what was looked at, in a word or two"""
    text: str
    """what was found"""
    advice: str = ""
    """what to do; empty where all is well"""

    def __str__(self) -> str:
        advice = f" -> {self.advice}" if self.advice else ""
        return f"{self.level.name:<4}  {self.what}: {self.text}{advice}"


def ok(what: str, text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, what, text)


def warn(what: str, text: str, advice: str) -> Finding:
    """Worth knowing."""
    return Finding(Level.WARN, what, text, advice)


def fail(what: str, text: str, advice: str) -> Finding:
    """In the way of a run."""
    return Finding(Level.FAIL, what, text, advice)
