"""Build and installation of grasp_camera, by colcon and by pip alike."""

from setuptools import find_packages, setup

PACKAGE = "grasp_camera"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Stereo capture for the grasp stack: RealSense, V4L2, recorded files; calibration files",
    license="Apache-2.0",
    maintainer="Grasp stack maintainers",
    maintainer_email="maintainers@example.org",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/config", ["config/camera.yaml"]),
    ],
    python_requires=">=3.11",
    install_requires=[
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "pyyaml>=6.0",
        "grasp_description",
        "grasp_policy",
    ],
    # There are machines without a wheel of it, and cameras that do without.
    extras_require={"realsense": ["pyrealsense2>=2.55"], "test": ["pytest"]},
    entry_points={
        "console_scripts": [
            "camera_node = grasp_camera.camera_node:main",
        ],
    },
    zip_safe=False,
)
