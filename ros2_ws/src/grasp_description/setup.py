"""Build and installation of grasp_description, by colcon and by pip alike."""

from setuptools import find_packages, setup

PACKAGE = "grasp_description"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Robot and workcell of the grasp stack: URDF, joint facts, MuJoCo scene, objects",
    license="Apache-2.0",
    maintainer="Grasp stack maintainers",
    maintainer_email="maintainers@example.org",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["urdf/*.urdf"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    python_requires=">=3.11",
    install_requires=[
        "numpy>=1.26",
        "mujoco>=4.0,<5",
        "mujoco-warp>=4.0,<5",
        "warp-lang>=1.15",
        "pillow>=10.0",
    ],
    extras_require={"test": ["pytest"]},
    zip_safe=False,
)
