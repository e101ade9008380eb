"""MuJoCo's compiled modules come without types; without this file pyright knows none of their names."""

from typing import Any

def __getattr__(name: str) -> Any: ...
