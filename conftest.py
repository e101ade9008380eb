"""What holds for every test of the repository."""

import os
import sys

from hypothesis import HealthCheck, settings

# Nodes under test command joints: never beyond this machine.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
# Where ROS 2's wheels, and our packages installed by pip, have their shared files.
os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)

# Beside each other, test files would otherwise have more threads than there are cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests never time: a busy machine is no failure.
settings.register_profile("repository", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repository")
