"""Ties a process to its parent: `python -m grasp_bringup.tether COMMAND …` runs a command that ends with it.

`ros2 launch` leaves its nodes running when it is terminated or killed, and the next run would hear them.
"""

import os
import signal
import sys
from ctypes import CDLL

_LIBC = CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1
"""prctl(2)"""


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent ends, however it ends; holds beyond exec. Linux only."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def main() -> None:
    """Become the command on the command line, tied to the parent."""
    die_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
