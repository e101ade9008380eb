"""Strict conversion between frozen dataclasses and plain JSON or YAML values.

Nothing is guessed and nothing is dropped: an unknown field, a missing field or a value of another type is a
`PolicyFileError` that names the field, the value found and the type expected. Supported field types are
``str``, ``int``, ``float`` (an integer is accepted, infinities and NaN are not), ``tuple[T, ...]``,
``dict[str, T]`` and dataclasses of these.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from grasp_policy.errors import PolicyFileError

__all__ = ["from_plain", "parse_json", "to_plain"]


def to_plain(value: Any) -> Any:
    """`value` (a dataclass of supported field types) as dictionaries, lists, strings and numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def from_plain(kind: type, value: Any, field: str = "") -> Any:
    """`value` as an instance of `kind`; `field` is the name used in messages.

    Raises:
        PolicyFileError: a field is unknown, missing or of another type.
    """
    if dataclasses.is_dataclass(kind):
        return _dataclass_from_plain(kind, value, field)
    origin = typing.get_origin(kind)
    if origin is tuple:
        item_kind = typing.get_args(kind)[0]
        _require(isinstance(value, list | tuple), field, value, "a list")
        return tuple(from_plain(item_kind, item, f"{field}[{index}]") for index, item in enumerate(value))
    if origin is dict:
        item_kind = typing.get_args(kind)[1]
        _require(isinstance(value, Mapping), field, value, "an object")
        for key in value:
            _require(isinstance(key, str), field, key, "text as key")
        return {key: from_plain(item_kind, item, _join(field, key)) for key, item in value.items()}
    return _scalar_from_plain(kind, value, field)


def parse_json(text: str, field: str) -> Any:
    """`text` parsed as JSON without its usual leniences: no duplicate keys, no NaN or Infinity.

    Raises:
        PolicyFileError: not JSON, a key given twice, or a number that is not finite.
    """

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for key, item in pairs:
            if key in document:
                raise PolicyFileError(f"{field} gives the key {key!r} twice; expected once", field=key)
            document[key] = item
        return document

    def no_constant(name: str) -> Any:
        raise PolicyFileError.mismatch(field, f"JSON with the number {name}", "finite numbers only")

    try:
        return json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        message = f"{field} is not JSON: {error}"
        raise PolicyFileError(message, field=field, found=text[:80], expected="JSON") from error


def _dataclass_from_plain(kind: Any, value: Any, field: str) -> Any:
    _require(isinstance(value, Mapping), field or kind.__name__, value, "an object")
    hints = typing.get_type_hints(kind)
    names = [item.name for item in dataclasses.fields(kind)]
    for name in value:
        if name not in names:
            raise PolicyFileError.mismatch(
                _join(field, name),
                f"present ({_short(value[name])})",
                f"one of {', '.join(names)}",
                note="unknown field",
            )
    for name in names:
        if name not in value:
            expected = _kind_name(hints[name])
            raise PolicyFileError.mismatch(_join(field, name), "missing", expected)
    return kind(**{name: from_plain(hints[name], value[name], _join(field, name)) for name in names})


def _scalar_from_plain(kind: Any, value: Any, field: str) -> Any:
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _require(number, field, value, "a number")
        _require(math.isfinite(value), field, value, "a finite number")
        return float(value)
    if kind is int:
        _require(isinstance(value, int) and not isinstance(value, bool), field, value, "an integer")
        return value
    if kind is str:
        _require(isinstance(value, str), field, value, "text")
        return value
    raise TypeError(f"field {field!r} has the type {kind}, which strict fields do not support")


def _require(holds: bool, field: str, value: Any, expected: str) -> None:
    if not holds:
        raise PolicyFileError.mismatch(field, f"{_short(value)} ({type(value).__name__})", expected)


def _join(field: str, name: object) -> str:
    return f"{field}.{name}" if field else str(name)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind_name(kind: Any) -> str:
    if isinstance(kind, types.GenericAlias):
        return f"a value of type {kind}"
    return f"a value of type {getattr(kind, '__name__', kind)}"
