"""Finds this package's launch and configuration files, however it was installed."""

import os
import sys
from pathlib import Path

_PACKAGE = "grasp_bringup"


def shared_file(*parts: str) -> Path:
    """A file of the package's share folder, such as ``shared_file("config", "sim.yaml")``.

    Looked for beside the source, then under every prefix of AMENT_PREFIX_PATH (colcon), then under the
    environment that pip filled.

    Raises:
        FileNotFoundError: it is in none of them; the message lists where it was looked for.
    """
    prefixes = [
        Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix
    ]
    shares = [prefix / "share" / _PACKAGE for prefix in [*prefixes, Path(sys.prefix)]]
    candidates = [folder.joinpath(*parts) for folder in [Path(__file__).resolve().parent.parent, *shares]]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    looked = ", ".join(str(candidate) for candidate in candidates)
    raise FileNotFoundError(f"{_PACKAGE} has no {'/'.join(parts)}; looked for {looked}")
