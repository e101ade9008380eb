"""Whether a run may begin, and what its end means: one rule for the runner and for ROS 2 launch."""

import json
import os
import subprocess
import sys
from pathlib import Path

from grasp_bringup.graph import Graph
from grasp_bringup.supervisor import Ending, describe_status

OK, NODE_DIED, REFUSED, NO_INFERENCE, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit status: whole; a node died or the task ended early; wrong arguments or a refused policy file; nothing
was inferred; Ctrl-C."""
_CHECK_REFUSES = 3
"""exit status of `grasp_policy.check` for a file that it refuses"""


class RunRefusedError(ValueError):
    """The run would fail for a reason that is known before anything starts."""


def begin(graph: Graph) -> None:
    """Make ready for a run of ``graph``; nothing has started yet.

    What an earlier run has left where ``graph`` reports is removed: it would speak for this run.

    Raises:
        RunRefusedError: its policy node would refuse the policy file; the message is that node's. Or the
            recording is there already, or a file of parameters is not: ROS 2 would start without it, and
            without the limits in it.
    """
    for file in dict.fromkeys(one for process in graph.processes for one in process.parameter_files):
        if not file.is_file():
            raise RunRefusedError(f"parameters {file} is not there; expected a YAML file")
    if graph.recording is not None and graph.recording.exists():
        raise RunRefusedError(f"recording {graph.recording} is there already; expected a name that is free")
    if graph.report is not None:
        graph.report.unlink(missing_ok=True)
    if graph.policy is not None:
        check_policy(graph.policy)


def check_policy(path: Path) -> None:
    """Refuse a policy file that the policy node would refuse, as far as that can be known here.

    The check runs in a process of its own: the libraries that read the file start threads, and nodes are
    forked from this one. Where they are missing (``ros2 launch`` may have another interpreter than the nodes)
    the file passes, and its node has the word.

    Raises:
        RunRefusedError: the file is missing or refused.
    """
    command = [sys.executable, "-m", "grasp_policy.check", str(path)]
    check = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check.returncode == _CHECK_REFUSES:
        raise RunRefusedError(check.stderr.strip())


def conclude(graph: Graph, ending: Ending) -> tuple[int, str]:
    """Judge a run that is over by its ending and its report; nodes that died are noted in the report.

    Returns:
        exit status (of the runner), and why
    """
    report = None if graph.report is None else read_report(graph.report)
    if graph.report is not None and report is not None and ending.died:
        note_deaths(graph.report, report, ending)
    return judge(ending, report, graph.endless)


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
