"""sim.launch.py under launch_testing, in a sourced workspace: `launch_test launch_sim.py policy:=…`.

Not for pytest: launch_testing's plugin of Jazzy does not load in pytest 9. tests/test_ros2_launch.py runs it.
"""

import unittest

import launch_testing
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes

from grasp_bringup.files import shared_file

PATIENCE_S = 400.0
"""s of wall time for anything here: a machine may be busy with other things"""
INTERRUPTED = 130


def generate_test_description() -> LaunchDescription:
    """The graph as users launch it, to run until the test has seen enough."""
    source = PythonLaunchDescriptionSource(str(shared_file("launch", "sim.launch.py")))
    arguments = {"episodes": "1000", "contact_sheet": "none"}
    return LaunchDescription(
        [IncludeLaunchDescription(source, launch_arguments=arguments.items()), ReadyToTest()]
    )


class TestRun(unittest.TestCase):
    """While it runs."""

    def test_an_episode_is_run_and_scored(self, proc_output) -> None:
        """The task node prints a line an episode."""
        proc_output.assertWaitFor("episode 1/1000", timeout=PATIENCE_S, stream="stdout")


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    """After launch was told to end."""

    def test_every_node_ends_in_order(self, proc_info) -> None:
        """None had to be killed, and none failed."""
        assertExitCodes(proc_info, allowable_exit_codes=[0, INTERRUPTED])

    def test_the_scoreboard_is_printed(self, proc_output) -> None:
        """The task node's last words."""
        assert any(b"Scoreboard" in event.text for event in proc_output["grasp_task-4"])
