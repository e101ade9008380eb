"""Several processes run as one: plain Python programs stand for nodes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from grasp_bringup.supervisor import Patience, Program, Supervisor, child_environment, describe_status

HURRIED = Patience(last_words_s=1.0, interrupt_s=5.0, terminate_s=0.5)
READY = "print('ready', flush=True)\n"
WAITS = (
    "import signal, sys, time\nsignal.signal(signal.SIGINT, lambda *_: sys.exit(0))\n"
    + READY
    + "time.sleep(60)"
)
DEAF = (
    "import signal, time\n"
    "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + READY + "time.sleep(60)"
)


class Stage:
    """Runs programs given as source, and keeps what they said."""

    def __init__(self, patience: Patience = HURRIED, **sources: str) -> None:
        self.lines: list[str] = []
        self.when_said: dict[str, threading.Event] = {}
        programs = [
            Program(name, [sys.executable, "-c", text], name == "task", name == "onlooker")
            for name, text in sources.items()
        ]
        self.supervisor = Supervisor(programs, os.environ, patience, self._say)

    def _say(self, line: str) -> None:
        self.lines.append(line)
        for text, event in self.when_said.items():
            if text in line:
                event.set()

    def interrupt_when(self, text: str) -> None:
        self.when_said[text] = threading.Event()

        def wait() -> None:
            assert self.when_said[text].wait(30.0)
            self.supervisor.interrupt()

        threading.Thread(target=wait, daemon=True).start()

    def run(self):
        ending = self.supervisor.run()
        for process in self.supervisor._processes.values():
            assert process.poll() is not None, "something was left running"
        return ending


def gone(pid: int) -> bool:
    """Whether the process ends within a moment (one that nobody has waited for yet counts as ended)."""
    stat = Path(f"/proc/{pid}/stat")
    for _ in range(200):
        try:
            if stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


def after(stage_text: str) -> str:
    """A program that ends with these words after a moment."""
    return f"import time\n{READY}time.sleep(0.3)\n{stage_text}"


def test_the_end_of_the_task_is_the_end_of_the_run():
    stage = Stage(sim=WAITS, control=WAITS, task=after("print('done')"))
    ending = stage.run()
    assert (ending.status, ending.died, ending.interrupted) == (0, {}, False)
    assert "task    | done" in stage.lines


def test_the_tasks_own_status_is_handed_on():
    assert Stage(sim=WAITS, task=after("raise SystemExit(3)")).run().status == 3


def test_output_is_forwarded_with_the_name_errors_too():
    stage = Stage(sim=WAITS, task=after("import sys\nprint('to err', file=sys.stderr)\nprint('é')"))
    stage.run()
    assert "task | to err" in stage.lines
    assert "task | é" in stage.lines


def test_a_process_that_dies_ends_the_run_and_is_named():
    stage = Stage(
        sim=WAITS, policy=after("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"), task=WAITS
    )
    started = time.monotonic()
    ending = stage.run()
    assert ending.died == {"policy": -signal.SIGKILL}
    assert "policy was killed by SIGKILL: ending the run" in stage.lines
    assert time.monotonic() - started < 30.0


def test_even_an_end_without_error_is_a_death_unless_it_is_the_tasks():
    assert Stage(sim=after("pass"), task=WAITS).run().died == {"sim": 0}


def test_after_a_death_the_task_has_time_for_its_last_words():
    patient = Patience(last_words_s=30.0)
    task = "import time\ntime.sleep(1.5)\nprint('because the policy died')\nraise SystemExit(1)"
    stage = Stage(patient, policy="raise SystemExit(9)", task=task)
    ending = stage.run()
    assert (ending.status, ending.died) == (1, {"policy": 9})
    assert "task   | because the policy died" in stage.lines


def test_an_interruption_ends_all_the_task_first():
    told = (
        "import signal, sys, time\nsignal.signal(signal.SIGINT, lambda *_: (print('{} ends'), sys.exit(0)))\n"
    )
    stage = Stage(
        sim=told.format("sim") + "time.sleep(60)", task=told.format("task") + READY + "time.sleep(60)"
    )
    stage.interrupt_when("task | ready")
    ending = stage.run()
    assert ending.interrupted
    assert ending.died == {}
    assert stage.lines.index("task | task ends") < stage.lines.index("sim  | sim ends")


def test_a_process_deaf_to_signals_is_killed():
    stage = Stage(Patience(interrupt_s=0.3, terminate_s=0.3), sim=DEAF, task=after("pass"))
    assert stage.run().status == 0


def test_a_second_interruption_kills_what_does_not_end():
    stage = Stage(Patience(interrupt_s=60.0), sim=WAITS, task=DEAF)
    stage.interrupt_when("task | ready")
    timer = threading.Timer(3.0, stage.supervisor.interrupt)
    timer.start()
    started = time.monotonic()
    ending = stage.run()
    timer.cancel()
    assert ending.status == -signal.SIGKILL
    assert time.monotonic() - started < 30.0


def test_a_terminal_that_hangs_up_twice_kills_nobody():
    slow = (
        "import signal, sys, time\n"
        "def end(*_):\n    time.sleep(1.0)\n    sys.exit(0)\n"
        "signal.signal(signal.SIGINT, end)\n" + READY + "time.sleep(60)"
    )
    stage = Stage(sim=WAITS, task=slow)
    stage.interrupt_when("task | ready")
    timer = threading.Timer(1.5, stage.supervisor.interrupt, [False])
    timer.start()
    ending = stage.run()
    timer.cancel()
    assert (ending.status, ending.interrupted) == (0, True)


def test_nodes_are_read_to_the_end_where_nobody_takes_what_they_say():
    task = READY + "for _ in range(20_000): print('x' * 20)\nprint('done', flush=True)"

    def full(_line: str) -> None:
        raise OSError(28, "No space left on device")

    stage = Stage(sim=WAITS, task=task)
    stage.supervisor._say = full
    assert stage.run().status == 0


def test_an_onlooker_may_leave():
    stage = Stage(sim=WAITS, onlooker=after("pass"), task=after("import time\ntime.sleep(2)"))
    ending = stage.run()
    assert (ending.status, ending.died) == (0, {})
    assert "onlooker exited with status 0: the run goes on" in stage.lines


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_a_process_leaves_behind_is_ended_too(tmp_path):
    note = tmp_path / "pid"
    leaves = (
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(note)!r}).write_text(str(child.pid))\n"
    )
    Stage(sim=WAITS, task=leaves).run()
    assert gone(int(note.read_text()))


def test_a_program_that_cannot_be_started_leaves_none_of_the_others_running():
    supervisor = Supervisor(
        [Program("sim", [sys.executable, "-c", WAITS]), Program("task", ["/no/such/program"], True)],
        os.environ,
    )
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        supervisor.run()
    assert supervisor._processes["sim"].poll() is not None


@pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc are Linux's")
def test_even_a_killed_runner_leaves_nothing_behind(tmp_path):
    note = tmp_path / "pid"
    child = (
        f"import os, pathlib, time\npathlib.Path({str(note)!r}).write_text(str(os.getpid()))\ntime.sleep(60)"
    )
    source = (
        "import os, sys\nfrom grasp_bringup.supervisor import Program, Supervisor\n"
        f"Supervisor([Program('task', [sys.executable, '-c', {child!r}], True)], os.environ).run()"
    )
    runner = subprocess.Popen([sys.executable, "-c", source])
    try:
        deadline = time.monotonic() + 30.0
        while not (note.exists() and note.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        runner.kill()
        runner.wait()
    assert gone(int(note.read_text())), "the node outlived its runner"


def test_statuses_read_as_words():
    assert describe_status(0) == "exited with status 0"
    assert describe_status(-15) == "was killed by SIGTERM"
    assert describe_status(-250) == "was killed by signal 250"


def test_the_environment_of_children_gives_way_to_the_callers_own(monkeypatch):
    monkeypatch.setenv("MINE", "kept")
    monkeypatch.setenv("COLUMNS", "100")
    environment = child_environment({"MINE": "default", "OTHER": "default"}, ["task", "control"])
    assert (environment["MINE"], environment["OTHER"]) == ("kept", "default")
    assert environment["COLUMNS"] == "90"
    assert environment["PYTHONUNBUFFERED"] == "1"
