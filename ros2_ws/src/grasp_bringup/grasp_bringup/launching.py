"""The node graph as actions of ROS 2 launch. Importing this needs the packages `launch` and `launch_ros`."""

import os

from launch import Action, LaunchContext
from launch.actions import OpaqueFunction, SetEnvironmentVariable, Shutdown, TimerAction
from launch.events.process import ProcessExited
from launch_ros.actions import LifecycleNode, Node

from grasp_bringup.graph import Graph, NodeProcess
from grasp_bringup.supervisor import Patience, describe_status

LAST_WORDS_S = Patience().last_words_s


def launch_graph(graph: Graph) -> list[Action]:
    """Actions that run ``graph`` to its end: the same rules as the runner's.

    The end of the process that ends the graph shuts the launch down; if it failed, or if another process
    ended before it, ``ros2 launch`` exits with a status other than 0 and says why.
    """
    # Lines appear as they are printed, and tables fit beside the name of their node.
    defaults = {"PYTHONUNBUFFERED": "1", "COLUMNS": "110", **graph.environment}
    variables = [SetEnvironmentVariable(*item) for item in defaults.items() if item[0] not in os.environ]
    deaths: list[str] = []
    return [*variables, *(_node(process, deaths) for process in graph.processes)]


def _node(process: NodeProcess, deaths: list[str]) -> Action:
    def on_exit(event: ProcessExited, context: LaunchContext) -> list[Action]:
        if context.is_shutdown:
            return []
        if process.ends_graph:
            return _end(deaths or _failure(process, event.returncode))
        deaths.extend([f"{process.name} {describe_status(event.returncode)}"])
        # The task node gets the time to notice by itself, and to say on the scoreboard why.
        return [TimerAction(period=LAST_WORDS_S, actions=_end(deaths))]

    keywords = {
        "package": process.package,
        "executable": process.executable,
        "name": process.name,
        "parameters": [*(str(file) for file in process.parameter_files), dict(process.parameters)],
        "remappings": list(process.remappings.items()),
        "ros_arguments": process.log_arguments() or None,
        "output": "screen",
        "on_exit": on_exit,
    }
    return LifecycleNode(namespace="", **keywords) if process.lifecycle else Node(**keywords)


def _failure(process: NodeProcess, status: int) -> list[str]:
    return [f"{process.name} {describe_status(status)}"] if status else []


def _end(failures: list[str]) -> list[Action]:
    if not failures:
        return [Shutdown(reason="the run is over")]

    def fail(_: LaunchContext) -> None:
        # An error in an action is the way to a status other than 0: launch shuts everything down on it.
        raise RuntimeError(f"the run failed: {', '.join(failures)}")

    return [OpaqueFunction(function=fail)]
