"""The command `grasp`: one module a subcommand, imported only when it is called."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence

from grasp_training.errors import GraspError

# Torch's worker threads spin while they wait. With a simulator's threads or other processes on the same cores
# that made an update of the teacher up to five times slower. To be set before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("grasp_training.cli.train", "train a teacher with PPO"),
    "distill": ("grasp_training.cli.distill", "distil a teacher into a stereo student"),
    "export": ("grasp_training.cli.export", "write a student to one policy file (ONNX) with its model card"),
    "evaluate": ("grasp_training.cli.evaluate", "score a policy file in the task"),
    "compare": ("grasp_training.cli.compare", "draw the learning curves of several runs"),
    "study": ("grasp_training.cli.study", "compare kinds of teachers, or batches, over several seeds"),
    "bench": (
        "grasp_training.cli.bench",
        "measure what simulating costs, and what disaggregation costs and gains",
    ),
}
"""Subcommand -> (module with `run(arguments) -> exit status`, one line of help)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `grasp` with the arguments given, or the process's own, and return the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"grasp: '{name}' is no command\n\n{_usage()}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        return importlib.import_module(COMMANDS[name][0]).run(rest)
    except KeyboardInterrupt:
        return 130
    except (GraspError, ValueError, OSError) as error:
        # What a user can mend is said in one line; GRASP_TRACEBACK=1 shows where it came from.
        if os.environ.get("GRASP_TRACEBACK"):
            raise
        print(f"grasp {name}: {error}", file=sys.stderr)
        return 1


def _usage() -> str:
    lines = [f"  {name:10s} {summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(
        ["usage: grasp COMMAND … (grasp COMMAND --help shows its flags)", "", "commands:", *lines]
    )


__all__ = ["COMMANDS", "main"]
