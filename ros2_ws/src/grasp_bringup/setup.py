"""Build and installation of grasp_bringup, by colcon and by pip alike."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "grasp_bringup"


def files(pattern: str) -> list[str]:
    """Return the package's files that match, relative to this one, as setuptools wants them."""
    return sorted(str(path) for path in Path().glob(pattern))


setup(
    name=PACKAGE,
    version="0.1.0",
    description="The grasp stack's launch files, parameters, and runner for machines without ros2 launch",
    license="Apache-2.0",
    maintainer="Grasp stack maintainers",
    maintainer_email="maintainers@example.org",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", files("launch/*.launch.py")),
        (f"share/{PACKAGE}/config", files("config/*.yaml") + files("config/*.xml")),
        (f"share/{PACKAGE}/config/robots", files("config/robots/*.yaml")),
        (f"share/{PACKAGE}/config/security", files("config/security/*.xml")),
    ],
    python_requires=">=3.11",
    install_requires=[
        "matplotlib>=3.8",
        "mcap>=1.6",
        "numpy>=1.26",
        "onnxruntime>=1.20",
        "pyyaml>=6.0",
        "rich>=13.7",
        "grasp_control",
        "grasp_description",
        "grasp_policy",
        "grasp_sim",
        "grasp_task",
    ],
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "call = grasp_bringup.call:main",
            "doctor = grasp_bringup.doctor:main",
            "grasp_run = grasp_bringup.runner:main",
            "rates = grasp_bringup.rates:main",
            "report = grasp_bringup.report:main",
            "recorder_node = grasp_bringup.recorder_node:main",
            "security = grasp_bringup.security:main",
        ],
    },
    zip_safe=False,
)
