"""Runs the node graph where there is no `ros2 launch`: `python -m grasp_bringup.runner sim --episodes 20`.

`… runner real` does the same for the robot; its drivers run in a terminal of their own then.

It starts every node as ``python -m …`` with its own interpreter, so it depends neither on bin/ nor on lib/.
Nodes find each other in the ROS domain of the environment (ROS_DOMAIN_ID); runs side by side need one each.
"""

import argparse
import importlib.util
import signal
import sys
from contextlib import suppress

from grasp_bringup.graph import Graph, SimArguments, arguments_from, described_arguments, sim_graph
from grasp_bringup.real import RealArguments, real_graph
from grasp_bringup.supervisor import Patience, Program, Supervisor, child_environment
from grasp_bringup.verdict import INTERRUPTED, OK, REFUSED, RunRefusedError, begin, conclude

_MODES = {
    "sim": (SimArguments, "in simulation", "Run grasping episodes in simulation."),
    "real": (RealArguments, "on the robot, or a rehearsal of it", "Run the stack on the robot."),
}


def parse_arguments(arguments: list[str]) -> SimArguments | RealArguments:
    """Read the command line; exits with status 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="grasp_run", description="Run the grasp stack without ros2 launch.")
    modes = parser.add_subparsers(dest="mode", required=True, metavar="MODE")
    parsers = {}
    for mode, (kind, help_text, text) in _MODES.items():
        parsers[mode] = modes.add_parser(mode, help=help_text, description=text)
        for name, default, description in described_arguments(kind):
            option = f"--{name.replace('_', '-')}"
            shown = f"{description} (default: {default})"
            parsers[mode].add_argument(option, dest=name, default=default, metavar="VALUE", help=shown)
    given = vars(parser.parse_args(arguments))
    mode = given.pop("mode")
    try:
        return arguments_from(_MODES[mode][0], given)
    except ValueError as error:
        return parsers[mode].error(str(error))


def graph_of(arguments: SimArguments | RealArguments) -> Graph:
    """The graph that is asked for.

    Raises:
        ValueError: a file that it needs is missing or malformed.
    """
    return real_graph(arguments) if isinstance(arguments, RealArguments) else sim_graph(arguments)


def why_not_here(graph: Graph) -> str:
    """What of a graph cannot be started without `ros2 launch`, in words; empty where all can."""
    foreign = [one.launch_file for one in graph.bringups]
    foreign += [one.executable for one in graph.processes if not one.module]
    if foreign:
        return f"{', '.join(foreign)} can only be started by ros2 launch: use it, or start them by themselves"
    for process in graph.processes:
        # A package that is not here at all may be where PYTHONPATH leads the process: its start will tell.
        here = importlib.util.find_spec(process.module.partition(".")[0]) is not None
        if here and importlib.util.find_spec(process.module) is None:
            return f"{process.name} needs the Python module {process.module}, which is not installed"
    return ""


def run_graph(graph: Graph, patience: Patience = Patience()) -> int:
    """Run ``graph`` to its end; the exit status."""
    if refusal := why_not_here(graph):
        print(f"grasp_run: {refusal}", file=sys.stderr)
        return REFUSED
    try:
        begin(graph)
    except RunRefusedError as error:
        print(f"grasp_run: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    programs = [
        Program(one.name, one.command(sys.executable), one.ends_graph, one.onlooker)
        for one in graph.processes
    ]
    environment = child_environment(graph.environment, [program.name for program in programs])
    supervisor = Supervisor(programs, environment, patience)
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if previous[signal.SIGHUP] == signal.SIG_IGN:  # nohup: a terminal that is gone does not end it
        del previous[signal.SIGHUP]
    for number in previous:
        signal.signal(number, lambda received, _: supervisor.interrupt(again_kills=received == signal.SIGINT))
    try:
        ending = supervisor.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    status, why = conclude(graph, ending)
    with suppress(OSError, ValueError):  # whether anybody reads it does not change how the run went
        print(
            why if status == OK else f"grasp_run: {why}",
            file=sys.stdout if status == OK else sys.stderr,
            flush=True,
        )
    return status


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `grasp_run`."""
    asked = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    try:
        graph = graph_of(asked)
    except ValueError as error:
        print(f"grasp_run: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    sys.exit(run_graph(graph))


if __name__ == "__main__":
    main()
