"""Build and installation of grasp_policy, by colcon and by pip alike."""

from setuptools import find_packages, setup

PACKAGE = "grasp_policy"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="The grasp stack's policy file format and inference node",
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
        "mcap>=1.6",
        "numpy>=1.26",
        "onnx>=1.17",
        "onnxruntime>=1.20",
        "protobuf>=4.25",
        "pyyaml>=6.0",
        "zstandard>=0.22",
        "grasp_description",
    ],
    extras_require={"test": ["hypothesis", "pytest"]},
    entry_points={
        "console_scripts": [
            "policy_node = grasp_policy.policy_node:main",
            "bench = grasp_policy.bench:main",
            "replay = grasp_policy.replay:main",
        ],
    },
    zip_safe=False,
)
