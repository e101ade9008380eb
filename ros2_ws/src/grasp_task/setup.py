"""Build and installation of grasp_task, by colcon and by pip alike."""

from setuptools import find_packages, setup

PACKAGE = "grasp_task"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="The grasp stack's episode (home, grasp, lift, hold, release) and scoreboard",
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
        "rich>=13.7",
        "grasp_description",
    ],
    extras_require={"test": ["hypothesis", "pytest"]},
    entry_points={
        "console_scripts": [
            "task_node = grasp_task.task_node:main",
        ],
    },
    zip_safe=False,
)
