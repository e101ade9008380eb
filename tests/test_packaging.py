"""Every ROS 2 package of ours builds with colcon, installs with pip, and declares what it imports."""

import ast
import os
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from catkin_pkg.package import Package, parse_package
from colcon_workspace import build_workspace, copy_workspace, run_colcon
from packaging.requirements import Requirement
from source_tree import (
    PACKAGE_FOLDERS,
    ROS_PACKAGES,
    ROS_SOURCE,
    imports_of,
    is_ros,
    source_files,
    top_levels,
)

# Distributions that hold an import of another name.
DISTRIBUTION_OF = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "warp": "warp-lang",
    "yaml": "pyyaml",
}


def manifest(package: str) -> Package:
    return parse_package(str(ROS_SOURCE / package / "package.xml"))


def setup_arguments(package: str) -> dict[str, ast.expr]:
    """Keyword arguments of the call of setup() in a package's setup.py."""
    tree = ast.parse((ROS_SOURCE / package / "setup.py").read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "setup"]
    assert len(calls) == 1
    return {keyword.arg: keyword.value for keyword in calls[0].keywords if keyword.arg}


def console_scripts(package: str) -> dict[str, str]:
    """Executables of a package: name -> module:function."""
    entry_points = setup_arguments(package).get("entry_points")
    lines = ast.literal_eval(entry_points)["console_scripts"] if entry_points is not None else []
    return dict(re.split(r"\s*=\s*", line, maxsplit=1) for line in lines)


def imported(package: str) -> set[str]:
    """Top-level names that a package's own files import, without itself and the standard library."""
    names = set().union(*(top_levels(imports_of(file)) for file in source_files(package)))
    return names - {package} - set(sys.stdlib_module_names)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Path:
    """A copy of the workspace's sources in a folder of its own."""
    return copy_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="module")
def built(workspace) -> Path:
    """The prefix that colcon builds the workspace into."""
    return build_workspace(workspace)


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_a_manifest_is_valid_and_says_ament_python(package):
    found = manifest(package)
    found.validate()
    assert (found.name, found.package_format, found.get_build_type()) == (package, 3, "ament_python")
    assert found.licenses == ["Apache-2.0"]


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_catkin_pkg_reads_a_manifest_as_colcon_and_bloom_do_without_a_warning(package):
    warnings: list[str] = []
    parse_package(str(ROS_SOURCE / package / "package.xml"), warnings=warnings).validate(warnings=warnings)
    assert warnings == []


def test_catkin_pkg_warns_of_what_is_amiss(tmp_path):
    text = (ROS_SOURCE / "grasp_control" / "package.xml").read_text(encoding="utf-8")
    (tmp_path / "package.xml").write_text(text.replace("<name>grasp_control", "<name>Grasp_Control"))
    warnings: list[str] = []
    parse_package(str(tmp_path / "package.xml"), warnings=warnings)
    assert warnings


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_manifest_and_setup_name_nothing_twice(package):
    found = manifest(package)
    requirements = ast.literal_eval(setup_arguments(package)["install_requires"])
    for dependencies in (found.exec_depends, found.test_depends):
        names = [dependency.name for dependency in dependencies]
        assert len(names) == len(set(names))
    assert len(requirements) == len(set(requirements))


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_manifest_and_setup_agree(package):
    arguments, found = setup_arguments(package), manifest(package)
    assert ast.literal_eval(arguments["version"]) == found.version
    assert ast.literal_eval(arguments["license"]) == found.licenses[0]
    assert ast.literal_eval(arguments["maintainer"]) == found.maintainers[0].name
    assert ast.literal_eval(arguments["maintainer_email"]) == found.maintainers[0].email


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_executables_go_where_ros2_run_looks(package):
    lines = (ROS_SOURCE / package / "setup.cfg").read_text(encoding="utf-8").splitlines()
    assert f"script_dir=$base/lib/{package}" in lines
    assert f"install_scripts=$base/lib/{package}" in lines


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_every_executable_has_its_function(package):
    for executable, target in console_scripts(package).items():
        module, _, function = target.partition(":")
        file = PACKAGE_FOLDERS[package].parent / Path(*module.split(".")).with_suffix(".py")
        assert file.is_file(), f"{executable} starts {target}, but there is no {file.name}"
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_a_manifest_names_exactly_the_ros_packages_that_are_imported(package):
    depends = {dependency.name for dependency in manifest(package).exec_depends}
    declared = {name for name in depends if not name.startswith("python3-")}
    used = {name for name in imported(package) if is_ros(name) or name in PACKAGE_FOLDERS}
    started = set(ROS_PACKAGES) - {package} if package == "grasp_bringup" else set()
    assert used - declared == set(), "imported and not in package.xml"
    assert declared - used - started == set(), "in vain in package.xml"


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_setup_names_every_library_of_the_package_index_that_is_imported(package):
    arguments = setup_arguments(package)
    requirements = ast.literal_eval(arguments["install_requires"])
    # What only some robots need is an extra; what only tests need is none of the package's own imports.
    extras = ast.literal_eval(arguments.get("extras_require", ast.Constant({})))
    requirements += [line for name, lines in extras.items() if name != "test" for line in lines]
    declared = {Requirement(line).name.lower().replace("_", "-") for line in requirements}
    libraries = {name for name in imported(package) if not is_ros(name)}
    used = {DISTRIBUTION_OF.get(name, name).replace("_", "-") for name in libraries}
    assert used - declared == set(), "imported and not in setup.py's install_requires"


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_an_installation_by_pip_is_found_by_ament_index(package):
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{package} is on PYTHONPATH here, not installed")
    share = Path(sys.prefix) / "share"
    assert (share / "ament_index/resource_index/packages" / package).is_file()
    assert (share / package / "package.xml").is_file()


def test_colcon_takes_every_package_for_ament_python(workspace):
    listed = run_colcon("list", "--base-paths", "src", folder=workspace)
    found = {name: kind for name, _, kind in (line.split("\t") for line in listed.splitlines())}
    assert found == dict.fromkeys(ROS_PACKAGES, "(ros.ament_python)")


@pytest.mark.colcon
@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_colcon_installs_executables_and_shared_files(built, package):
    prefix = built / package
    assert (prefix / "share/ament_index/resource_index/packages" / package).is_file()
    assert (prefix / "share" / package / "package.xml").is_file()
    executables = prefix / "lib" / package
    found = {path.name for path in executables.iterdir()} if executables.is_dir() else set()
    assert found == set(console_scripts(package))
    assert all(os.access(executables / name, os.X_OK) for name in found)


@pytest.mark.colcon
def test_colcon_installs_launch_files_parameters_and_the_urdf(built):
    bringup = built / "grasp_bringup" / "share" / "grasp_bringup"
    for folder, endings in (("launch", (".launch.py",)), ("config", (".yaml", ".xml"))):
        source = ROS_SOURCE / "grasp_bringup" / folder
        shipped = {path.relative_to(source) for path in source.rglob("*.*") if path.name.endswith(endings)}
        assert shipped
        installed = (path for path in (bringup / folder).rglob("*") if path.is_file())
        assert {path.relative_to(bringup / folder) for path in installed} == shipped
    assert list((built / "grasp_description").glob("lib/python*/site-packages/grasp_description/urdf/*.urdf"))
