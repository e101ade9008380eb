"""What one mutation is: a limit or a check, and how to take it out of the source."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from source_tree import ROS_SOURCE


@dataclass(frozen=True)
class Mutation:
    """The source without one limit."""

    limit: str
    """what is taken out, in words; no two mutations have the same"""
    promise: int
    """the safety promise that it belongs to (README of grasp_control)"""
    file: str
    """under ``ros2_ws/src``"""
    text: str
    """what stands there, exactly once"""
    instead: str
    """what takes its place; it has to run"""
    tests: tuple[str, ...]
    """files or single tests under ``ros2_ws/src`` that are to notice, the likeliest first"""

    def applied(self, source: Path = ROS_SOURCE) -> str:
        """The text of the file without the limit.

        Args:
            source: folder of the packages.

        Raises:
            ValueError: ``text`` does not stand in the file exactly once.
        """
        content = (source / self.file).read_text(encoding="utf-8")
        found = content.count(self.text)
        if found != 1:
            raise ValueError(
                f"Mutation {self.limit!r} finds {self.text!r} {found} times in {self.file}; expected once"
            )
        return content.replace(self.text, self.instead)


def source(file: str, *tests: str) -> Callable[[int, str, str, str], Mutation]:
    """Makes mutations of one file: of promise, limit, text and what takes its place."""

    def mutation(promise: int, limit: str, text: str, instead: str) -> Mutation:
        return Mutation(limit, promise, file, text, instead, tests)

    return mutation
