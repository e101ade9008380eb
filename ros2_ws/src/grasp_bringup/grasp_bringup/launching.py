"""The node graph as actions of ROS 2 launch. Importing this needs the packages `launch` and `launch_ros`."""

import os
import shlex
import sys
from collections.abc import Mapping

from launch import Action, LaunchContext
from launch.actions import (
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode, Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from grasp_bringup.graph import Bringup, Graph, NodeProcess, Value
from grasp_bringup.supervisor import Ending, Patience, describe_status
from grasp_bringup.verdict import OK, begin, conclude


def launch_graph(graph: Graph, patience: Patience = Patience()) -> list[Action]:
    """Actions that run ``graph`` to its end: the same rules as the runner's.

    The end of the process that ends the graph shuts the launch down; where the runner's status would not be
    0, ``ros2 launch`` exits with 1 and says why; so it does, before any process starts, where the runner
    would refuse to run.
    """
    # Lines appear as they are printed, and tables fit beside the name of their node.
    defaults = {"PYTHONUNBUFFERED": "1", "COLUMNS": "110", **graph.environment}
    variables = [SetEnvironmentVariable(*item) for item in defaults.items() if item[0] not in os.environ]
    ready = OpaqueFunction(function=lambda _: begin(graph))
    deaths: dict[str, int] = {}
    drivers = [_bringup(one) for one in graph.bringups]
    nodes = [_node(process, graph, patience, deaths) for process in graph.processes]
    return [ready, *variables, *drivers, *nodes]


def _bringup(bringup: Bringup) -> Action:
    """Somebody else's launch file, whose arguments stay its own."""
    path = PathJoinSubstitution([FindPackageShare(bringup.package), "launch", bringup.launch_file])
    source = PythonLaunchDescriptionSource(path)
    included = IncludeLaunchDescription(source, launch_arguments=list(bringup.arguments.items()))
    return GroupAction([included], scoped=True, forwarding=False)


def _parameter(value: Value) -> object:
    """A value that launch passes on with its type: it reads texts as YAML unless told not to."""
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value


def _node(process: NodeProcess, graph: Graph, patience: Patience, deaths: dict[str, int]) -> Action:
    def on_exit(event: ProcessExited, context: LaunchContext) -> list[Action]:
        if process.ends_graph:
            return _conclude(graph, Ending(event.returncode, dict(deaths), context.is_shutdown))
        if context.is_shutdown:
            return []
        deaths[process.name] = event.returncode
        # The task node gets the time to notice by itself, and to say on the scoreboard why.
        why = f"{process.name} {describe_status(event.returncode)}"
        return [TimerAction(period=patience.last_words_s, actions=[Shutdown(reason=why)])]

    keywords = {
        "package": process.package,
        "executable": process.executable,
        "name": process.name,
        "exec_name": process.name,
        "arguments": list(process.arguments),
        "parameters": [
            *(str(file) for file in process.parameter_files),
            {name: _parameter(value) for name, value in process.parameters.items()},
        ],
        "remappings": list(process.remappings.items()),
        "ros_arguments": process.own_arguments(),
        "output": "screen",
        "on_exit": on_exit,
        **_ends(patience),
    }
    return LifecycleNode(namespace="", **keywords) if process.lifecycle else Node(**keywords)


def _ends(patience: Patience) -> Mapping[str, object]:
    """Keywords of a node that has ``patience`` when told to end, and ends when launch itself is killed."""
    tether = f"{shlex.quote(sys.executable)} -m grasp_bringup.tether "
    return {
        "prefix": [tether, LaunchConfiguration("launch-prefix", default="")],
        "sigterm_timeout": str(patience.interrupt_s),
        "sigkill_timeout": str(patience.terminate_s),
    }


def _conclude(graph: Graph, ending: Ending) -> list[Action]:
    """End the launch by what the run's end means."""
    status, why = conclude(graph, ending)
    if status == OK:
        return [] if ending.interrupted else [Shutdown(reason=why)]

    def fail(_: LaunchContext) -> None:
        # An error in an action is the way to a status other than 0: launch shuts everything down on it.
        raise RuntimeError(why)

    # In an event of its own: an error amid this one would keep it from other handlers (launch_testing's).
    return [TimerAction(period=0.0, actions=[OpaqueFunction(function=fail)], cancel_on_shutdown=False)]
