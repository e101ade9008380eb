"""Where the robot's URDF lies, and its text."""

from functools import cache
from importlib.resources import files
from pathlib import Path

URDF_NAME = "iiwa7_allegro_right.urdf"


def urdf_path() -> Path:
    """Path of the robot's URDF inside the installed package."""
    return Path(str(files("grasp_description"))) / "urdf" / URDF_NAME


@cache
def urdf_text() -> str:
    """The URDF as text, as robot_state_publisher's ``robot_description`` parameter takes it."""
    return urdf_path().read_text(encoding="utf-8")
