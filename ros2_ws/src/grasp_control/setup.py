"""Build and installation of grasp_control, by colcon and by pip alike."""

from setuptools import find_packages, setup

PACKAGE = "grasp_control"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="The grasp stack's command node, last before the drivers: limits, watchdog, smoothing",
    license="Apache-2.0",
    maintainer="Grasp stack maintainers",
    maintainer_email="maintainers@example.org",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    python_requires=">=3.11",
    install_requires=[
        "numpy>=1.26",
        "mujoco>=4.0,<5",
        "ruckig>=0.14",
        "grasp_description",
    ],
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "control_node = grasp_control.control_node:main",
        ],
    },
    zip_safe=False,
)
