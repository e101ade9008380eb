"""Checks a policy file as the node does on configure: ``python -m grasp_policy.check models/NAME.onnx``."""

from __future__ import annotations

import argparse
import sys

from grasp_policy.policy_file import PolicyFileError, load_policy
from grasp_policy.workcell_contract import workcell_contract

__all__ = ["REFUSED", "main"]

REFUSED = 3
"""Exit status for a file that is refused; Python's own errors exit with 1, wrong arguments with 2."""


def main(arguments: list[str] | None = None) -> int:
    """Load the file on the command line for this workcell, on the CPU; the exit status.

    Args:
        arguments: the command line's; None for the process's own
    """
    parser = argparse.ArgumentParser(prog="grasp_policy.check", description="Check a policy file.")
    parser.add_argument("policy", help="policy file, NAME.onnx; its model card NAME.md lies beside it")
    path = parser.parse_args(arguments).policy
    try:
        policy = load_policy(path, workcell_contract())
    except PolicyFileError as error:
        print(f"policy refused: {error}", file=sys.stderr)
        return REFUSED
    print(f"{path} is sound (sha256 {policy.sha256[:12]}, run {policy.spec.run.run_name})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
