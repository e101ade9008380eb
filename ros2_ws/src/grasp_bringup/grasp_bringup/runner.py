"""Runs the node graph where there is no `ros2 launch`: `python -m grasp_bringup.runner sim --episodes 20`.

It starts every node as ``python -m …`` with its own interpreter, so it depends neither on bin/ nor on lib/.
Nodes find each other in the ROS domain of the environment (ROS_DOMAIN_ID); runs side by side need one each.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from grasp_bringup.graph import Graph, SimArguments, described_arguments, sim_arguments, sim_graph
from grasp_bringup.supervisor import Ending, Patience, Program, Supervisor, child_environment, describe_status

OK, NODE_DIED, BAD_ARGUMENTS, NO_INFERENCE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit status: whole; a node died or the task ended early; wrong arguments; nothing was inferred; Ctrl-C."""


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


def judge(ending: Ending, report: dict[str, object] | None, endless: bool) -> tuple[int, str]:
    """Exit status of the runner, and why.

    Args:
        ending: how the processes ended
        report: the task's report; None if it wrote none
        endless: whether the run was to go on until it is interrupted
    """
    if ending.died:
        deaths = ", ".join(f"{name} {describe_status(status)}" for name, status in ending.died.items())
        return NODE_DIED, f"failed: {deaths}"
    if ending.interrupted and not endless:
        return INTERRUPTED, "interrupted"
    if report is None:
        return NODE_DIED, "failed: the task node wrote no report"
    counters, outcome = report.get("counters"), report.get("outcome") or "the task node did not say why"
    if not isinstance(counters, dict) or not counters.get("inferences"):
        return NO_INFERENCE, f"failed: no inference happened ({outcome})"
    if ending.status:
        return ending.status if ending.status > 0 else NODE_DIED, f"failed: {outcome}"
    return OK, "the loop ran whole"


def read_report(path: Path) -> dict[str, object] | None:
    """The report at ``path``; None if there is none or it is not a JSON object."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def note_deaths(path: Path, report: dict[str, object], ending: Ending) -> None:
    """Add to the report which nodes died: the task node cannot know it for sure, the runner does."""
    report["died"] = {name: describe_status(status) for name, status in ending.died.items()}
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    os.replace(beside, path)


def run_graph(graph: Graph, endless: bool, patience: Patience = Patience()) -> int:
    """Run ``graph`` to its end; the exit status."""
    assert graph.report is not None
    graph.report.unlink(missing_ok=True)  # an old one would speak for this run
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
    report = read_report(graph.report)
    if report is not None and ending.died:
        note_deaths(graph.report, report, ending)
    status, why = judge(ending, report, endless)
    print(
        why if status == OK else f"grasp_run: {why}",
        file=sys.stdout if status == OK else sys.stderr,
        flush=True,
    )
    return status


def main(arguments: list[str] | None = None) -> None:
    """Entry point of `grasp_run`."""
    given = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run_graph(sim_graph(given), endless=given.episodes == 0))


if __name__ == "__main__":
    main()
