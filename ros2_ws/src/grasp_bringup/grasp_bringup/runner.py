"""Runs the node graph where there is no `ros2 launch`: `python -m grasp_bringup.runner sim --episodes 20`.

It starts every node as ``python -m …`` with its own interpreter, so it depends neither on bin/ nor on lib/.
Nodes find each other in the ROS domain of the environment (ROS_DOMAIN_ID); runs side by side need one each.
"""

import argparse
import signal
import sys

from grasp_bringup.graph import Graph, SimArguments, described_arguments, sim_arguments, sim_graph
from grasp_bringup.supervisor import Patience, Program, Supervisor, child_environment
from grasp_bringup.verdict import INTERRUPTED, OK, REFUSED, RunRefusedError, begin, conclude


def parse_arguments(arguments: list[str]) -> SimArguments:
    """Read the command line; exits with status 2 and a message where it is wrong."""
    parser = argparse.ArgumentParser(prog="grasp_run", description="Run the grasp stack without ros2 launch.")
    modes = parser.add_subparsers(dest="mode", required=True, metavar="MODE")
    sim = modes.add_parser("sim", help="in simulation", description="Run grasping episodes in simulation.")
    for name, default, description in described_arguments():
        option = f"--{name.replace('_', '-')}"
        text = f"{description} (default: {default})"
        sim.add_argument(option, dest=name, default=default, metavar="VALUE", help=text)
    given = vars(parser.parse_args(arguments))
    given.pop("mode")
    try:
        return sim_arguments(given)
    except ValueError as error:
        sim.error(str(error))


def run_graph(graph: Graph, patience: Patience = Patience()) -> int:
    """Run ``graph`` to its end; the exit status."""
    try:
        begin(graph)
    except RunRefusedError as error:
        print(f"grasp_run: {error}", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    programs = [Program(one.name, one.command(sys.executable), one.ends_graph) for one in graph.processes]
    environment = child_environment(graph.environment, [program.name for program in programs])
    supervisor = Supervisor(programs, environment, patience)
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, lambda *_: supervisor.interrupt())
    try:
        ending = supervisor.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    status, why = conclude(graph, ending)
    print(
        why if status == OK else f"grasp_run: {why}",
        file=sys.stdout if status == OK else sys.stderr,
        flush=True,
    )
    return status


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `grasp_run`."""
    sys.exit(run_graph(sim_graph(parse_arguments(sys.argv[1:] if arguments is None else arguments))))


if __name__ == "__main__":
    main()
