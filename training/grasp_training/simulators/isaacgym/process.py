"""The process that Isaac Gym runs in, as the simulating process sees it: started, asked, watched, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from grasp_training.errors import GraspError
from grasp_training.simulators.isaacgym.config import IsaacGymConfig
from grasp_training.simulators.isaacgym.isaacgym_worker.protocol import (
    Channel,
    Scene,
    map_arrays,
    memory_size,
)

HOW_TO_GET = (
    "download Isaac Gym Preview 4 from https://developer.nvidia.com/isaac-gym (with a free NVIDIA developer "
    "account), install it into a Python 3.8 with `pip install -e isaacgym/python`, and name that interpreter "
    "in task.isaacgym.python"
)
_WORKER_FOLDER = Path(__file__).parent
_WORKER = "isaacgym_worker"
_END_GRACE_S = 2.0
_LOG = "isaacgym.log"
_LOG_LINES = 40


class IsaacGymError(GraspError):
    """Isaac Gym is missing, or its process failed; the message says at what, and its last output."""


class IsaacGymProcess:
    """A process of Isaac Gym's interpreter that serves a scene, with its arrays in shared memory.

    It ends with this object, and with this process however that ends.
    """

    def __init__(self, settings: IsaacGymConfig) -> None:
        """Start the interpreter; `start` gives it the scene.

        Raises:
            IsaacGymError: there is no such interpreter.
        """
        self._settings = settings
        self._folder = tempfile.TemporaryDirectory(prefix="grasp-isaacgym-")
        ours, theirs = socket.socketpair()
        self._memory = os.memfd_create("grasp-isaacgym")
        try:
            self._process = self._launch(theirs)
        except OSError as error:
            ours.close()
            os.close(self._memory)
            self._folder.cleanup()
            named = f"task.isaacgym.python is {settings.python!r}, which does not start ({error.strerror})"
            raise IsaacGymError(f"{named}; {HOW_TO_GET}") from error
        finally:
            theirs.close()
        self._channel = Channel(ours)
        self._end = weakref.finalize(
            self, _end, os.getpid(), self._process, self._channel, self._memory, self._folder
        )

    @property
    def folder(self) -> Path:
        """A folder for assets; it goes with the process."""
        return Path(self._folder.name)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    def start(self, scene: Scene) -> dict[str, np.ndarray]:
        """Let Isaac Gym make the scene, and return the arrays that both processes see.

        Raises:
            IsaacGymError: Isaac Gym is missing or cannot make it.
        """
        os.ftruncate(self._memory, memory_size(scene))
        self._ask({"do": "start", "scene": scene.to_message()}, "start", "start_limit_s")
        return map_arrays(self._memory, scene)

    def ask(self, do: str, count: int | None = None) -> None:
        """Let the worker do something with the arrays, and wait until it has.

        Args:
            do: ``reset``, ``step``, ``look`` or ``render``.
            count: rows of the arrays that it concerns, for ``reset`` and ``look``.

        Raises:
            IsaacGymError: it failed, ended, or did not answer in time; it has been ended then.
        """
        request = {"do": do} if count is None else {"do": do, "count": count}
        self._ask(request, do, "reply_limit_s")

    def close(self) -> None:
        """End the process, and remove what it used."""
        self._end()

    def _ask(self, request: dict[str, Any], do: str, limit: str) -> None:
        if not self._end.alive:
            raise IsaacGymError(f"{self._who} has ended, and was asked to {do}")
        limit_s = getattr(self._settings, limit)
        try:
            self._channel.send(request, limit_s)
            reply = self._channel.receive(limit_s)
        except TimeoutError as error:
            named = f"has not answered {do!r} within task.isaacgym.{limit} = {limit_s:g} s"
            raise self._failure(f"{self._who} {named}; it was ended") from error
        except (EOFError, OSError) as error:
            raise self._failure(f"{self._who} ended during {do!r}: {self._how_it_ended()}") from error
        if "missing" in reply:
            found = f"Python {reply['python']} at task.isaacgym.python = {self._settings.python!r}"
            raise self._failure(f"{found} cannot import Isaac Gym ({reply['missing']}); {HOW_TO_GET}")
        if "error" in reply:
            raise self._failure(f"{self._who} failed during {do!r}: {reply['error']}")

    @property
    def _who(self) -> str:
        return f"Isaac Gym's process {self._process.pid}"

    def _launch(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        descriptors = (theirs.fileno(), self._memory)
        with (self.folder / _LOG).open("wb") as log:
            return subprocess.Popen(
                [self._settings.python, "-m", _WORKER, *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=descriptors,
                env=_environment(Path(self._settings.python)),
            )

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(_END_GRACE_S)
        except subprocess.TimeoutExpired:
            return "it closed the connection but goes on"
        if status >= 0:
            return f"exit status {status}"
        return f"signal {signal.Signals(-status).name}"

    def _failure(self, message: str) -> IsaacGymError:
        """The error, with the last output of the process, which is ended."""
        _stop(self._process, self._channel)  # or its last words would not be there yet
        output = (self.folder / _LOG).read_text(encoding="utf-8", errors="replace").strip()
        self.close()
        last = "\n".join(output.splitlines()[-_LOG_LINES:])
        return IsaacGymError(f"{message}. Its last output:\n{last}" if last else message)


def _environment(python: Path) -> dict[str, str]:
    """The environment of the worker: none of this interpreter's packages, and its own shared libraries."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
    # Isaac Gym's binary asks for libpython3.8.so, which a conda environment has here, unknown to the linker.
    libraries = [str(python.parent.parent / "lib"), kept.get("LD_LIBRARY_PATH", "")]
    kept["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    kept["PYTHONPATH"] = str(_WORKER_FOLDER)
    kept["PYTHONUNBUFFERED"] = "1"
    return kept


def _end(
    owner: int,
    process: subprocess.Popen[bytes],
    channel: Channel,
    memory: int,
    folder: tempfile.TemporaryDirectory[str],
) -> None:
    if os.getpid() != owner:
        return  # a fork of the process that this one belongs to
    _stop(process, channel)
    os.close(memory)
    folder.cleanup()


def _stop(process: subprocess.Popen[bytes], channel: Channel) -> None:
    channel.close()
    try:
        # Without a connection it ends on its own, unless it hangs.
        process.wait(_END_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
