"""A command tied to its parent."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_it_becomes_the_command_with_its_status():
    command = [sys.executable, "-m", "grasp_bringup.tether", sys.executable, "-c", "raise SystemExit(7)"]
    assert subprocess.run(command, check=False).returncode == 7


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_command_ends_with_a_parent_that_is_killed(tmp_path):
    note = tmp_path / "ended"
    waits = (
        "import pathlib, signal, time\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(note)!r}).touch(), exit()))\n"
        "print('ready', flush=True)\ntime.sleep(60)"
    )
    tied = [sys.executable, "-m", "grasp_bringup.tether", sys.executable, "-c", waits]
    parent = f"import subprocess\nsubprocess.run({tied!r})"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, env=os.environ)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.kill()
    process.wait()
    process.stdout.close()
    _wait_for(note)


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 30.0
    while not file.exists():
        assert time.monotonic() < deadline, "the command outlived its parent"
        time.sleep(0.05)
