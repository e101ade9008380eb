"""The node graph as actions of ROS 2 launch. Importing this needs the packages `launch` and `launch_ros`."""

import os
import shlex
import sys
from collections.abc import Mapping

from launch import Action, LaunchContext
from launch.actions import (
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

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
    drivers = [_bringup(one, patience, deaths) for one in graph.bringups]
    nodes = [_node(process, graph, patience, deaths) for process in graph.processes]
    return [ready, *variables, *drivers, *nodes]


def _bringup(bringup: Bringup, patience: Patience, deaths: dict[str, int]) -> Action:
    """Somebody else's launch file, in a launch of its own.

    Included, its arguments and ours would be one another's; in a scope of their own they would be gone when
    its event handlers ask for them, as those of the LBR stack do.
    """
    arguments = [f"{name}:={value}" for name, value in bringup.arguments.items()]

    def on_exit(event: ProcessExited, context: LaunchContext) -> list[Action]:
        return [] if context.is_shutdown else _died(bringup.package, event.returncode, patience, deaths)

    return ExecuteProcess(
        cmd=["ros2", "launch", bringup.package, bringup.launch_file, *arguments],
        name=bringup.package,
        output="screen",
        on_exit=on_exit,
        **_ends(patience),
    )


def _died(name: str, status: int, patience: Patience, deaths: dict[str, int]) -> list[Action]:
    """What follows when a process that is needed has ended."""
    deaths[name] = status
    # The task node gets the time to notice by itself, and to say on the scoreboard why.
    return [
        TimerAction(
            period=patience.last_words_s, actions=[Shutdown(reason=f"{name} {describe_status(status)}")]
        )
    ]


def _parameter(value: Value) -> object:
    """A value that launch passes on with its type: it reads texts as YAML unless told not to."""
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value


def _node(process: NodeProcess, graph: Graph, patience: Patience, deaths: dict[str, int]) -> Action:
    def on_exit(event: ProcessExited, context: LaunchContext) -> list[Action]:
        if process.ends_graph:
            return _conclude(graph, Ending(event.returncode, dict(deaths), context.is_shutdown))
        if context.is_shutdown:
            return []
        if process.onlooker:
            told = f"{process.name} {describe_status(event.returncode)}: the run goes on"
            return [LogInfo(msg=told)]
        return _died(process.name, event.returncode, patience, deaths)

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
    # No LifecycleNode: it would make a node in launch's own process, which has no enclave, and nobody here
    # listens to its events. The task node walks through the lifecycle.
    return Node(**keywords)


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
