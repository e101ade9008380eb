"""Typed configurations to and from YAML: the resolved configuration is saved beside every run."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from pathlib import Path
from typing import Any

import yaml

from grasp_training.errors import GraspError


class ConfigurationError(GraspError, ValueError):
    """A configuration cannot be read: the message names the field, the value and what was expected."""


def to_mapping(value: Any) -> Any:
    """Turn a (nested) dataclass into plain mappings, lists and scalars that YAML and JSON can hold.

    Raises:
        ConfigurationError: a field holds something that has no plain form, such as an array.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_mapping(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return to_mapping(value.value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {str(key): to_mapping(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_mapping(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ConfigurationError(f"A configuration holds a {type(value).__name__} ({value!r}), which YAML cannot")


def from_mapping(expected: Any, value: Any, source: str) -> Any:
    """Rebuild a value of type `expected` from what `to_mapping` made of it.

    Fields that `value` lacks keep their defaults, so that runs made by an older version stay readable.

    Args:
        expected: a dataclass or a type annotation.
        value: plain mappings, lists and scalars.
        source: where `value` came from, for messages, such as a file name and field.

    Raises:
        ConfigurationError: an unknown field, or a value of the wrong type.
    """
    if dataclasses.is_dataclass(expected):
        return _dataclass_from_mapping(typing.cast(type, expected), value, source)
    origin = typing.get_origin(expected)
    if origin is typing.Annotated:
        return from_mapping(typing.get_args(expected)[0], value, source)
    if origin in (typing.Union, types.UnionType):
        return _union_from(expected, value, source)
    if origin is typing.Literal:
        choices = typing.get_args(expected)
        return _checked(value in choices, value, " or ".join(map(repr, choices)), source, value)
    if origin in (tuple, list):
        return _sequence_from(expected, origin, value, source)
    if origin is dict:
        item_type = typing.get_args(expected)[1]
        _checked(isinstance(value, dict), value, expected, source)
        return {key: from_mapping(item_type, item, f"{source}.{key}") for key, item in value.items()}
    return _scalar_from(expected, value, source)


def save_yaml(path: Path, document: dict[str, Any]) -> None:
    """Write a document of mappings, lists and scalars, whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100))
    temporary.replace(path)


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        ConfigurationError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise ConfigurationError(f"There is no configuration file {path}") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} holds a {type(document).__name__}; a mapping was expected")
    return document


def differences(before: Any, after: Any, prefix: str = "") -> list[str]:
    """Describe every scalar that differs between two mappings as `name: old -> new`."""
    if isinstance(before, dict) and isinstance(after, dict):
        lines = []
        for key in dict.fromkeys([*before, *after]):
            name = f"{prefix}.{key}" if prefix else str(key)
            lines += differences(before.get(key), after.get(key), name)
        return lines
    return [] if before == after else [f"{prefix}: {before} -> {after}"]


def _dataclass_from_mapping(cls: type, value: Any, source: str) -> Any:
    _checked(isinstance(value, dict), value, cls.__name__, source)
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    unknown = sorted(set(value) - set(fields))
    if unknown:
        raise ConfigurationError(
            f"{source} has the unknown field '{unknown[0]}'; {cls.__name__} has {', '.join(fields)}"
        )
    return cls(**{name: from_mapping(hints[name], item, f"{source}.{name}") for name, item in value.items()})


def _union_from(expected: Any, value: Any, source: str) -> Any:
    failures = []
    for choice in typing.get_args(expected):
        try:
            return from_mapping(choice, value, source)
        except ConfigurationError as error:
            failures.append(str(error))
    raise ConfigurationError(failures[-1])


def _sequence_from(expected: Any, origin: type, value: Any, source: str) -> Any:
    _checked(isinstance(value, (list, tuple)), value, expected, source)
    arguments = typing.get_args(expected)
    if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
        _checked(len(value) == len(arguments), value, expected, source)
        item_types = arguments
    else:
        item_types = (arguments[0],) * len(value)
    items = [
        from_mapping(kind, item, f"{source}[{index}]")
        for index, (kind, item) in enumerate(zip(item_types, value, strict=True))
    ]
    return origin(items)


def _scalar_from(expected: Any, value: Any, source: str) -> Any:
    if expected is Any:
        return value
    if expected is None or expected is type(None):
        return _checked(value is None, value, "nothing", source)
    if expected is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(_checked(number, value, "a number", source, value))
    if expected is int:
        return _checked(
            isinstance(value, int) and not isinstance(value, bool), value, "an integer", source, value
        )
    if isinstance(expected, type) and issubclass(expected, (enum.Enum, Path)):
        return expected(value)
    kinds = {tuple: (list, tuple), list: (list, tuple)}.get(expected, expected)
    checked = _checked(isinstance(value, kinds), value, expected, source, value)
    return tuple(checked) if expected is tuple else checked


def _checked(condition: bool, value: Any, expected: Any, source: str, result: Any = None) -> Any:
    if not condition:
        name = expected if isinstance(expected, str) else getattr(expected, "__name__", str(expected))
        raise ConfigurationError(f"{source} is {value!r}; expected {name}")
    return result
