"""Reads the scoreboard's counters out of what the nodes say on /diagnostics. No ROS."""

from collections.abc import Iterable, Mapping

from grasp_task.scoreboard import Counters

SOURCES: dict[str, tuple[str, tuple[str, ...]]] = {
    "commands": ("grasp_control", ("commands",)),
    "commands_clipped": ("grasp_control", ("hand_lead_limited", "guard_bent", "guard_stopped")),
    "targets_clipped": ("grasp_control", ("targets_clipped",)),
    "targets_rejected": ("grasp_control", ("targets_rejected",)),
    "images_late": ("grasp_policy", ("skipped_old",)),
    "images_unusable": (
        "grasp_policy",
        ("skipped_unpaired", "skipped_repeated", "skipped_no_joint_state", "skipped_ahead_of_clock"),
    ),
    "lockstep_timeouts": ("grasp_sim", ("lockstep_timeouts",)),
}
"""counter -> the node that keeps it and the keys, of that node's status, that it sums"""


def collect_counters(counters: Counters, statuses: Mapping[str, Mapping[str, str]]) -> None:
    """Set ``counters`` from the last values of every status.

    Args:
        counters: changed in place; a counter whose node has said nothing keeps its value
        statuses: name of the status ("grasp_control: …") -> its key-values
    """
    for counter, (node, keys) in SOURCES.items():
        found = [_number(values.get(key)) for values in _of_node(statuses, node) for key in keys]
        known = [number for number in found if number is not None]
        if known:
            setattr(counters, counter, sum(known))


def _of_node(statuses: Mapping[str, Mapping[str, str]], node: str) -> Iterable[Mapping[str, str]]:
    return (values for name, values in statuses.items() if name.lstrip("/").startswith(node))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
