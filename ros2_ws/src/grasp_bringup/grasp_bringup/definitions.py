"""Definitions of message types as recordings carry them: the text of a type and of all types in it."""

import json
import re
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

_SEPARATOR = "=" * 80
"""line between two types, as rosbag2 and its readers have it"""
_PRIMITIVES = frozenset(
    (
        *("bool", "byte", "char", "float32", "float64", "string", "wstring"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    )
)
_FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+")


class DefinitionMissingError(ValueError):
    """A message type's package is not installed, or does not ship the type's definition."""


def definition(kind: str) -> str:
    """The definition of a type such as ``sensor_msgs/msg/Image``, and of every type in it, as "ros2msg".

    Raises:
        DefinitionMissingError: a definition is not installed.
    """
    waiting, found = [kind], {}
    while waiting:
        one = waiting.pop(0)
        if one not in found:
            found[one] = _share_file(one, ".msg").read_text(encoding="utf-8")
            waiting += _types_in(found[one], one.split("/")[0])
    first, *others = found.items()
    parts = [first[1]] + [f"{_SEPARATOR}\nMSG: {_short(name)}\n{text}" for name, text in others]
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def type_hash(kind: str) -> str:
    """The hash of a type (REP 2011), such as ``RIHS01_d31d…``; empty where it is not installed."""
    try:
        described = json.loads(_share_file(kind, ".json").read_text(encoding="utf-8"))
    except DefinitionMissingError:
        return ""
    hashes = {entry["type_name"]: entry["hash_string"] for entry in described["type_hashes"]}
    return hashes.get(kind, "")


def _types_in(text: str, package: str) -> list[str]:
    """Full names of the types of the fields of a definition."""
    found = []
    for line in text.splitlines():
        field = _FIELD.match(line.split("#")[0])
        if field is None or field[1] in _PRIMITIVES:
            continue
        owner, _, name = field[1].rpartition("/")
        found.append(f"{owner.split('/')[0] or package}/msg/{name}")
    return found


def _short(kind: str) -> str:
    package, _, name = kind.split("/")
    return f"{package}/{name}"


def _share_file(kind: str, ending: str) -> Path:
    if not re.fullmatch(r"\w+/msg/\w+", kind):
        raise DefinitionMissingError(f"{kind!r} is no message type; expected PACKAGE/msg/NAME")
    package, _, name = kind.split("/")
    try:
        file = Path(get_package_share_directory(package)) / "msg" / f"{name}{ending}"
    except PackageNotFoundError:
        raise DefinitionMissingError(f"type {kind}: package {package} is not installed") from None
    if not file.is_file():
        raise DefinitionMissingError(f"type {kind}: there is no {file}")
    return file
