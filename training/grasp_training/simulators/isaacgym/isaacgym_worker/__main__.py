"""Serves one simulating process: ``python -m isaacgym_worker SOCKET MEMORY``, two inherited descriptors.

Ends when that process closes the connection or is gone. Python 3.8.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import socket
import sys
from typing import Any, Callable

from isaacgym_worker.protocol import Channel, Scene, map_arrays

_LOOK_S = 1.0
"""How often to see whether the parent still lives: a copy of its socket in another process of its would hold
the connection open."""
_SEND_LIMIT_S = 60.0


def main() -> int:
    """Serve until the end; return the exit status."""
    # Ctrl-C goes to the whole group; the parent decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent, connection = os.getppid(), socket.socket(fileno=int(sys.argv[1]))
    channel = Channel(connection)
    try:
        return _serve(channel, lambda: _wait_for_request(connection, parent), int(sys.argv[2]))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0  # the parent is gone, and with it everyone who could be told


def _wait_for_request(connection: socket.socket, parent: int) -> bool:
    """Wait for as long as the parent lives: it may be optimizing for minutes."""
    while os.getppid() == parent:
        if select.select([connection], [], [], _LOOK_S)[0]:
            return True
    return False


def _serve(channel: Channel, wait: Callable[[], bool], memory: int) -> int:
    adapter: Any = None
    while wait():
        request = channel.receive(_SEND_LIMIT_S)
        try:
            if request["do"] == "start":
                adapter = _start(Scene.from_message(request["scene"]), memory)
            elif "count" in request:
                getattr(adapter, request["do"])(request["count"])
            else:
                getattr(adapter, request["do"])()
        except _MissingError as error:
            channel.send({"missing": str(error), "python": sys.version.split()[0]}, _SEND_LIMIT_S)
            return 1
        except Exception as error:
            channel.send({"error": f"{type(error).__name__}: {error}"}, _SEND_LIMIT_S)
            raise  # the traceback goes to the log, of which the parent shows the end
        channel.send({"done": request["do"]}, _SEND_LIMIT_S)
    return 0


class _MissingError(Exception):
    """Isaac Gym, or what it needs, cannot be imported."""


def _start(scene: Scene, memory: int) -> Any:
    try:
        # Only here, and before torch: this is what fails where Isaac Gym is missing.
        adapter = importlib.import_module("isaacgym_worker.adapter")
    except ImportError as error:
        raise _MissingError(f"{type(error).__name__}: {error}") from error
    return adapter.Adapter(scene, map_arrays(memory, scene))


if __name__ == "__main__":
    sys.exit(main())
