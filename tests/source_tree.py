"""What the tests in this folder read from the source tree: packages, their files, and who imports what."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROS_SOURCE = ROOT / "ros2_ws" / "src"
ROS_PACKAGES = tuple(sorted(path.parent.name for path in ROS_SOURCE.glob("*/package.xml")))
PACKAGE_FOLDERS = {name: ROS_SOURCE / name / name for name in ROS_PACKAGES} | {
    "grasp_calibration": ROOT / "calibration" / "grasp_calibration",
    "grasp_training": ROOT / "training" / "grasp_training",
}


def source_files(package: str) -> list[Path]:
    """Python files that a package ships: without its tests and its setup.py, with its launch files."""
    folder = PACKAGE_FOLDERS[package]
    return sorted([*folder.rglob("*.py"), *(folder.parent / "launch").glob("*.py")])


def module_name(package: str, file: Path) -> str:
    """Dotted name under which a package's file is imported."""
    parts = file.relative_to(PACKAGE_FOLDERS[package].parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports_of(file: Path) -> frozenset[str]:
    """Dotted names that a file imports anywhere, in functions too; ``from a import b`` counts as a and a.b.

    Raises:
        ValueError: a relative import, which this reading (and the house's style) does without.
    """
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{file} line {node.lineno} imports relatively; expected an absolute import")
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def top_levels(names: frozenset[str] | set[str]) -> set[str]:
    """First parts of dotted names."""
    return {name.partition(".")[0] for name in names}


@cache
def own_modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    return {
        module_name(package, file): file
        for package, folder in PACKAGE_FOLDERS.items()
        for file in source_files(package)
        if folder in file.parents
    }


def reachable_modules(start: str) -> set[str]:
    """Modules of ours that importing ``start`` runs: itself, what it imports, the packages around each."""
    modules, seen, waiting = own_modules(), set(), [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in modules:
            continue
        seen.add(name)
        waiting.extend(imports_of(modules[name]))
        if "." in name:
            waiting.append(name.rpartition(".")[0])
    return seen


def is_ros(top_level: str) -> bool:
    """Whether a top-level import comes from ROS 2 (client library, launch system or messages)."""
    return top_level in _ROS_MODULES or top_level.endswith(("_msgs", "_interfaces", "_srvs"))


_ROS_MODULES = {
    "ament_index_python",
    "cv_bridge",
    "launch",
    "launch_ros",
    "launch_testing",
    "message_filters",
    "rclpy",
    "tf2_ros",
}
