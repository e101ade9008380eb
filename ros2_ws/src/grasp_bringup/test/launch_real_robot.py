"""real_robot.launch.py under launch_testing, in a sourced workspace: `launch_test launch_real_robot.py`.

A dry run against grasp_sim, which speaks as the drivers do: no robot is needed. Not for pytest, as
launch_sim.py is not. Arguments of the launch file, such as `policy:=…`, may follow.
"""

import unittest

import launch_testing
import rclpy
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_testing.actions import ReadyToTest
from launch_testing.asserts import assertExitCodes
from std_srvs.srv import Trigger

from grasp_bringup.files import shared_file

PATIENCE_S = 400.0
"""s of wall time for anything here: a machine may be busy with other things"""
INTERRUPTED = 130


def generate_test_description() -> LaunchDescription:
    """The graph as users launch it, to run until the test has seen enough."""
    source = PythonLaunchDescriptionSource(str(shared_file("launch", "real_robot.launch.py")))
    arguments = {"dry_run": "true", "rehearsal": "true", "episodes": "1000"}
    return LaunchDescription(
        [IncludeLaunchDescription(source, launch_arguments=arguments.items()), ReadyToTest()]
    )


class TestRun(unittest.TestCase):
    """While it runs."""

    def test_nothing_begins_before_a_person_starts_it(self, proc_output) -> None:
        """The task node asks for a person, and runs an episode once there is one."""
        proc_output.assertWaitFor("waiting for a person", timeout=PATIENCE_S)
        assert not any(b"episode 1/1000" in event.text for event in proc_output["grasp_task-4"])
        assert started().success
        proc_output.assertWaitFor("episode 1/1000", timeout=PATIENCE_S, stream="stdout")


@launch_testing.post_shutdown_test()
class TestEnd(unittest.TestCase):
    """After launch was told to end."""

    def test_every_node_ends_in_order(self, proc_info) -> None:
        """None had to be killed, and none failed."""
        assertExitCodes(proc_info, allowable_exit_codes=[0, INTERRUPTED])

    def test_nothing_was_commanded(self, proc_output) -> None:
        """The command node says where its commands did not go."""
        assert any(b"Dry run, not commanded" in event.text for event in proc_output["grasp_control-2"])


def started() -> Trigger.Response:
    """The answer to a person's call of /grasp/start."""
    rclpy.init()
    try:
        person = rclpy.create_node("person")
        client = person.create_client(Trigger, "/grasp/start")
        assert client.wait_for_service(PATIENCE_S)
        answer = client.call_async(Trigger.Request())
        rclpy.spin_until_future_complete(person, answer, timeout_sec=PATIENCE_S)
        return answer.result()
    finally:
        rclpy.shutdown()
