"""What holds for every test of the repository."""

import os
import sys

from hypothesis import HealthCheck, settings

# Nodes under test command joints: never beyond this machine.
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
# Where ROS 2's wheels, and our packages installed by pip, have their shared files.
os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)

# Tests never time: a busy machine is no failure.
settings.register_profile("repository", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repository")
