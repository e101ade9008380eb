#!/usr/bin/env bash
# Runs a command in the environment of ROS 2, of the packages from the Python index, and of the stack.
set -eo pipefail
# ROS's scripts read variables that are not set: no "set -u".
# shellcheck source=/dev/null
source "/opt/ros/${ROS_DISTRO:-jazzy}/setup.bash"
# shellcheck source=/dev/null
source /opt/grasp/venv/bin/activate
# shellcheck source=/dev/null
source /opt/grasp/ros2_ws/install/setup.bash
# ros2 itself runs under the system's interpreter, and its launch files import what the nodes do.
PYTHONPATH="$PYTHONPATH:$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
export PYTHONPATH
exec "$@"
