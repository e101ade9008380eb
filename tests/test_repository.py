"""Rules for the repository as a whole: what may stand in its files, and that the lock fits the ranges."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from source_tree import ROOT, ROS_PACKAGES, ROS_SOURCE

TEXT = {".cfg", ".json", ".md", ".py", ".toml", ".txt", ".urdf", ".xml", ".yaml", ".yml"}
MACHINE_PATH = re.compile(r"(?<![\w.$/])/(?:work|root|home/(?!someone/)\w+|Users/\w+)/")
MAX_LINES = 500
PYTHONS = ("3.11", "3.12", "3.13")


def repository_files() -> list[Path]:
    """Files that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def locked(python: str) -> dict[str, str]:
    """constraints.txt as a version of Python reads it: distribution -> version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    held = [pin for pin in pins if not pin.marker or pin.marker.evaluate({"python_version": python})]
    names = [pin.name for pin in held]
    assert sorted(set(names)) == sorted(names), "one version of each"
    return {pin.name: str(pin.specifier) for pin in held}


def requirements() -> dict[str, list[Requirement]]:
    """What each of our packages, and each dependency group, asks for; our own packages left out."""
    lines = {}
    for package in ROS_PACKAGES:
        tree = ast.parse((ROS_SOURCE / package / "setup.py").read_text(encoding="utf-8"))
        keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword)]
        lines[package] = next(ast.literal_eval(k.value) for k in keywords if k.arg == "install_requires")
        extras = next((ast.literal_eval(k.value) for k in keywords if k.arg == "extras_require"), {})
        lines[package] = [*lines[package], *(line for name in extras for line in extras[name])]
    for package, folder in (("grasp_training", "training"), ("grasp_calibration", "calibration")):
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project.get("optional-dependencies", {})
        lines[package] = [*project["dependencies"], *(line for name in extras for line in extras[name])]
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines |= root["dependency-groups"]
    return {
        owner: [Requirement(line) for line in wanted if not line.startswith("grasp_")]
        for owner, wanted in lines.items()
    }


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("owner", requirements())
def test_the_lock_holds_a_supported_version_of_every_dependency(owner, python):
    pins = locked(python)
    for wanted in requirements()[owner]:
        name = wanted.name.lower().replace("_", "-")
        assert name in pins, f"{owner} asks for {name}, which constraints.txt does not hold"
        version = pins[name].removeprefix("==")
        assert version in wanted.specifier, f"{owner} asks for {wanted}; the lock holds {version}"


@pytest.mark.parametrize("python", PYTHONS)
def test_the_lock_names_versions_and_no_places(python):
    for name, version in locked(python).items():
        assert re.fullmatch(r"[a-z0-9-]+", name)
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", version), f"{name} is locked to {version}"


def test_no_file_names_a_path_of_one_machine():
    found = {
        str(file.relative_to(ROOT)): MACHINE_PATH.findall(text)
        for file in repository_files()
        if file.suffix in TEXT or file.name == "Makefile"
        if MACHINE_PATH.search(text := file.read_text(encoding="utf-8"))
    }
    assert found == {}


def test_no_source_file_is_longer_than_500_lines():
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in repository_files()
        if file.suffix == ".py"
    }
    assert {file: length for file, length in lengths.items() if length > MAX_LINES} == {}


def test_every_package_explains_itself():
    folders = [ROS_SOURCE / package for package in ROS_PACKAGES] + [
        ROOT,
        ROOT / "training",
        ROOT / "calibration",
    ]
    assert [str(folder) for folder in folders if not (folder / "README.md").is_file()] == []


def test_no_work_is_left_for_later_in_comments():
    marker = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")))
    files = [file for file in repository_files() if file.suffix in TEXT - {".txt"}]
    found = [str(file.relative_to(ROOT)) for file in files if marker.search(file.read_text(encoding="utf-8"))]
    assert found == []
