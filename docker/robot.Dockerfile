# The stack on the robot, over ROS 2 Jazzy. Build from the repository's root:
#   docker build -f docker/robot.Dockerfile -t grasp-robot .
FROM ros:jazzy-ros-base

SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV DEBIAN_FRONTEND=noninteractive

# The image's own versions of the distribution's packages: security fixes are to come in with each build.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libusb-1.0-0 python3-venv \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/grasp
COPY ros2_ws/src ros2_ws/src
COPY calibration calibration
COPY constraints.txt ./

# What the manifests name: message packages, launch, Python's own packages.
RUN apt-get update \
    && rosdep update --rosdistro "$ROS_DISTRO" \
    && rosdep install --from-paths ros2_ws/src --ignore-src --dependency-types=exec -y \
    && rm -rf /var/lib/apt/lists/* "$HOME/.ros"

# What they leave to the Python index, at the versions of constraints.txt, which has the NumPy of Jazzy's own packages;
# pyrealsense2 is librealsense with its Python bindings. The system's packages stay visible: rclpy is ROS's own. Our
# packages are installed along with them, for tools such as grasp-calibrate; nodes run from colcon's prefix, which
# comes first on the path.
RUN python3 -m venv --system-site-packages venv \
    && venv/bin/pip install --no-cache-dir -c constraints.txt pip setuptools \
    && venv/bin/pip install --no-cache-dir --no-build-isolation -c constraints.txt pyrealsense2 \
        ros2_ws/src/grasp_* ./calibration

# colcon runs under the environment's interpreter, which it writes into the first line of every executable.
WORKDIR /opt/grasp/ros2_ws
RUN . "/opt/ros/$ROS_DISTRO/setup.bash" \
    && . ../venv/bin/activate \
    && python -m colcon build --base-paths src \
    && rm -rf build log
WORKDIR /opt/grasp

COPY docker/robot_entrypoint.sh /usr/local/bin/robot_entrypoint
RUN chmod 755 /usr/local/bin/robot_entrypoint \
    && useradd --create-home --shell /bin/bash --uid 1001 grasp \
    && usermod --append --groups video,plugdev grasp \
    && mkdir -p /opt/grasp/runs && chown grasp:grasp /opt/grasp/runs
USER 1001

# Mounted by docker/compose.yaml: models, calibration files, the robot's file, and a place for recordings.
VOLUME /opt/grasp/runs
ENTRYPOINT ["robot_entrypoint"]
CMD ["ros2", "launch", "grasp_bringup", "real_robot.launch.py", "dry_run:=true"]
