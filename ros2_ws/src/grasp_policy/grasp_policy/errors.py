"""The errors of the policy package: every one names the value, where it came from and what was expected."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PolicyFileError", "PolicyInputError", "PolicyOutputError"]


class PolicyFileError(ValueError):
    """A policy file, its metadata or its model card is refused.

    Attributes:
        source: the file concerned, or None while a specification is only being put together.
        field: the field at fault, such as ``joint_names[3]``, or None where the whole file is.
        found: the value found, or None.
        expected: what was expected instead, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        source: Path | str | None = None,
        field: str | None = None,
        found: object = None,
        expected: object = None,
    ) -> None:
        self.message = message
        self.source = source
        self.field = field
        self.found = found
        self.expected = expected
        super().__init__(message if source is None else f"{source}: {message}")

    @classmethod
    def mismatch(cls, field: str, found: object, expected: object, *, note: str = "") -> PolicyFileError:
        """The error for one field whose value is not the expected one; `note` follows in brackets."""
        tail = f" ({note})" if note else ""
        message = f"{field} is {found}; expected {expected}{tail}"
        return cls(message, field=field, found=found, expected=expected)

    def within(self, source: Path | str) -> PolicyFileError:
        """The same error, with the file it was found in."""
        if self.source is not None:
            return self
        return PolicyFileError(
            self.message, source=source, field=self.field, found=self.found, expected=self.expected
        )


class PolicyInputError(ValueError):
    """An image or a joint vector handed to the policy has the wrong type or shape, or is not finite."""


class PolicyOutputError(RuntimeError):
    """The policy computed something that is not finite, or nothing: nothing may be commanded from it."""
