"""Who may import whom: the rule of the plan, held by reading every import statement."""

import ast
import subprocess
import sys
from collections.abc import Callable

import pytest
from source_tree import (
    PACKAGE_FOLDERS,
    ROOT,
    ROS_PACKAGES,
    ROS_SOURCE,
    imports_of,
    is_ros,
    own_modules,
    reachable_modules,
    source_files,
    top_levels,
)

NODE_FILES = sorted(ROS_SOURCE.glob("*/grasp_*/*_node.py"))
# Without ROS, so that training and tests can use them, and so that they can be judged on their own.
PLAIN_MODULES = ("grasp_policy.policy_file", "grasp_camera.stereo_calibration", "grasp_camera.capture")
# The one file of the calibration that listens to the camera node; folders of images need no ROS.
CALIBRATION_ROS_FILE = "calibration/grasp_calibration/listener.py"
# rsl_rl, tensordict and torch are training's; a robot must not need them.
LEARNING_LIBRARIES = {"torch", "tensordict", "rsl_rl", "tensorboard", "grasp_training"}


def offenders(package: str, is_forbidden: Callable[[str], bool]) -> dict[str, set[str]]:
    """Files of a package with the forbidden top-level imports found in each."""
    imports = {str(file.relative_to(ROOT)): top_levels(imports_of(file)) for file in source_files(package)}
    found = {file: set(filter(is_forbidden, names)) for file, names in imports.items()}
    return {file: names for file, names in found.items() if names}


def test_description_imports_no_other_package_of_ours():
    others = set(PACKAGE_FOLDERS) - {"grasp_description"}
    assert offenders("grasp_description", others.__contains__) == {}


@pytest.mark.parametrize("package", ROS_PACKAGES)
def test_what_runs_on_the_robot_never_imports_torch_or_training(package):
    assert offenders(package, LEARNING_LIBRARIES.__contains__) == {}


def test_training_never_imports_ros():
    assert offenders("grasp_training", is_ros) == {}


def test_training_imports_of_the_deployment_only_description_and_policy():
    forbidden = set(ROS_PACKAGES) - {"grasp_description", "grasp_policy"}
    assert offenders("grasp_training", forbidden.__contains__) == {}


def test_calibration_imports_ros_in_its_listener_alone():
    assert set(offenders("grasp_calibration", is_ros)) == {CALIBRATION_ROS_FILE}


def test_calibration_imports_neither_torch_nor_nodes():
    others = LEARNING_LIBRARIES | set(ROS_PACKAGES) - {"grasp_camera", "grasp_description"}
    assert offenders("grasp_calibration", others.__contains__) == {}


@pytest.mark.parametrize(
    "module", ["grasp_calibration.stereo", "grasp_calibration.hand_eye", "grasp_calibration.check"]
)
def test_calibrating_from_a_folder_loads_neither_ros_nor_torch(module):
    program = f"import sys, {module}; print(*sorted({{'rclpy', 'torch'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_the_format_of_calibration_files_needs_no_opencv():
    reached = reachable_modules("grasp_camera.stereo_calibration")
    tops = set().union(*(top_levels(imports_of(own_modules()[name])) for name in reached))
    assert "cv2" not in tops


def test_what_runs_in_simulation_needs_no_opencv_and_no_camera():
    unneeded = {"cv2", "pyrealsense2", "grasp_camera", "grasp_calibration"}
    found = {
        package: offenders(package, unneeded.__contains__)
        for package in ROS_PACKAGES
        if package != "grasp_camera"
    }
    assert {package: files for package, files in found.items() if files} == {}


def test_nothing_that_training_reaches_imports_ros():
    reached = set().union(
        *(reachable_modules(name) for name in own_modules() if name.startswith("grasp_training"))
    )
    found = {name: set(filter(is_ros, top_levels(imports_of(own_modules()[name])))) for name in reached}
    assert {name: names for name, names in found.items() if names} == {}


@pytest.mark.parametrize("module", PLAIN_MODULES)
def test_a_plain_module_reaches_neither_ros_nor_torch(module):
    reached = reachable_modules(module)
    assert module in reached, f"{module} is missing"
    tops = set().union(*(top_levels(imports_of(own_modules()[name])) for name in reached))
    assert {top for top in tops if is_ros(top) or top in LEARNING_LIBRARIES} == set()


@pytest.mark.parametrize("module", PLAIN_MODULES)
def test_importing_a_plain_module_loads_neither_ros_nor_torch(module):
    program = f"import sys, {module}; print(*sorted({{'rclpy', 'torch'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


@pytest.mark.parametrize("file", NODE_FILES, ids=lambda file: file.stem)
def test_a_node_file_holds_one_node_and_its_main(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    public = [name for name in functions if not name.startswith("_")]
    assert len(classes) == 1, f"{file.name} defines {[node.name for node in classes]}; expected one node"
    bases = [ast.unparse(base) for base in classes[0].bases]
    assert any(base.endswith("Node") for base in bases), f"{classes[0].name} derives from {bases}, not a node"
    assert public == ["main"]


def test_every_executable_node_was_looked_at():
    assert NODE_FILES, f"no *_node.py under {ROS_SOURCE}"
