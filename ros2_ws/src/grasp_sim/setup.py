"""Build and installation of grasp_sim, by colcon and by pip alike."""

from setuptools import find_packages, setup

PACKAGE = "grasp_sim"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="MuJoCo in place of the robot's drivers and cameras: the same topics, plus /clock",
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
        "imageio-ffmpeg>=0.5",
        "mjviser>=0.0.14",
        "pillow>=10.0",
        "viser>=1.0",
        "grasp_description",
    ],
    extras_require={"test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "sim_node = grasp_sim.sim_node:main",
        ],
    },
    zip_safe=False,
)
