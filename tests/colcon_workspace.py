"""The ROS 2 workspace copied and built with colcon, for the tests of what it installs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from source_tree import ROS_SOURCE


def copy_workspace(folder: Path) -> Path:
    """Copy the workspace's sources into ``folder``; returns it."""
    rubbish = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "test")
    shutil.copytree(ROS_SOURCE, folder / "src", ignore=rubbish)
    return folder


def build_workspace(folder: Path) -> Path:
    """Build the workspace in ``folder``; returns the prefix that it is installed into."""
    run_colcon("build", "--base-paths", "src", folder=folder)
    return folder / "install"


def run_colcon(*arguments: str, folder: Path) -> str:
    """Output of a colcon command; the workspace and everything it writes lie in ``folder``."""
    found = shutil.which(
        "colcon", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    assert found is not None, "colcon is neither beside the interpreter nor on PATH"
    environment = {name: value for name, value in os.environ.items() if name != "AMENT_PREFIX_PATH"}
    result = subprocess.run(
        [sys.executable, found, "--log-base", str(folder / "log"), *arguments],
        cwd=folder,
        env=environment | {"PATH": f"{Path(found).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout
