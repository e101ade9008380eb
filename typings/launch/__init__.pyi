"""ROS 2's launch is on no package index; without this file pyright takes our folder launch/ for it."""

from typing import Any

def __getattr__(name: str) -> Any: ...
