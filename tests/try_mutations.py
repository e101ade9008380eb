"""Takes each limit of the safety core out of a copy of the packages and sees which test notices.

    python tests/try_mutations.py                  all of them
    python tests/try_mutations.py --only session   those with "session" in their name
    python tests/try_mutations.py --unnoticed      those that nobody noticed yet

The outcomes go into grasp_control's MUTATIONS.md, each as soon as it is there; other rows stay.

The exit code is 1 if a limit can go without a test noticing. No part of the suite: it takes a quarter of an
hour. That every mutation still finds its text is tested in ``test_mutations.py``.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import mutations_of_core
import mutations_of_motion
import mutations_of_policy
from mutation import Mutation
from source_tree import ROOT, ROS_PACKAGES, ROS_SOURCE

MUTATIONS = (*mutations_of_motion.MUTATIONS, *mutations_of_core.MUTATIONS, *mutations_of_policy.MUTATIONS)
TABLE = ROS_SOURCE / "grasp_control" / "MUTATIONS.md"
NOBODY = "**nobody**"
PATIENCE_S = 300.0
"""A run that takes longer hangs, which is noticed too."""
HEADING = """# What the tests notice

`python tests/try_mutations.py` writes this page. It takes each limit or check below out of a copy of the \
packages, alone, and runs the tests that should notice until one fails. Many limits are held twice, so that \
commands stay within them even where one is gone; a test notices each all the same. The promises are those \
of the [README](README.md#the-promises-and-how-each-is-checked).

"""


class Copy:
    """A copy of the ROS packages, to be mutated one file at a time.

    Args:
        folder: an empty one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._source = folder, folder / "ros2_ws" / "src"
        shutil.copytree(ROS_SOURCE, self._source, ignore=shutil.ignore_patterns("__pycache__", "build"))
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        packages = [str(self._source / name) for name in ROS_PACKAGES]
        path = os.pathsep.join([*packages, *filter(None, [os.environ.get("PYTHONPATH")])])
        # No bytecode: a file that is mutated and mended within a second would not be read again.
        self._environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def failing(self, tests: Iterable[str]) -> str:
        """The first of the tests that fails, with its file's name; empty if none does.

        Raises:
            RuntimeError: pytest could not run them.
        """
        places = [str(self._source / test) for test in tests]
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "--tb=no"]
        # Of the hostile inputs the short torments: a million take a minute.
        deselected = "not a_million_hostile_inputs"
        try:
            run = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments, "-k", deselected, *places],
                cwd=self._folder,
                env=self._environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"none within {PATIENCE_S:.0f} s"
        if run.returncode == 0:
            return ""
        found = re.search(r"^FAILED \S*/(test_\w+\.py::.*?)(?: - .*)?$", run.stdout, re.MULTILINE)
        if run.returncode != 1 or found is None:
            raise RuntimeError(
                f"pytest ended with {run.returncode} instead of a failing test:\n{run.stdout}{run.stderr}"
            )
        return found[1]

    def noticed_by(self, mutation: Mutation) -> str:
        """The test that notices a mutation, empty if none does; the copy is as before afterwards."""
        file = self._source / mutation.file
        sound = file.read_text(encoding="utf-8")
        file.write_text(mutation.applied(self._source), encoding="utf-8")
        try:
            return self.failing(mutation.tests)
        finally:
            file.write_text(sound, encoding="utf-8")


def read_table() -> dict[str, str]:
    """Which test noticed each limit's absence, by the table; empty where none did."""
    if not TABLE.exists():
        return {}
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]
    return {row[0]: "" if row[-1] == NOBODY else row[-1].strip("`") for row in rows}


def write_table(noticed_by: dict[str, str]) -> None:
    """The table with what is known of the mutations of today, in their order."""
    rows = ["| limit taken out | promise | in | noticed by |", "| --- | --- | --- | --- |"]
    known = [mutation for mutation in MUTATIONS if mutation.limit in noticed_by]
    for mutation in known:
        by = f"`{noticed_by[mutation.limit]}`" if noticed_by[mutation.limit] else NOBODY
        rows.append(f"| {mutation.limit} | {mutation.promise} | `{Path(mutation.file).name}` | {by} |")
    noticed = sum(bool(noticed_by[mutation.limit]) for mutation in known)
    closing = f"{len(known)} of {len(MUTATIONS)} taken out, {noticed} noticed."
    TABLE.write_text(HEADING + "\n".join([*rows, "", closing]) + "\n", encoding="utf-8")


def main() -> int:
    """Try them; returns how the process ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="part of the name of the limits to take out")
    parser.add_argument("--unnoticed", action="store_true", help="leave out those that a test noticed")
    arguments, known = parser.parse_args(), read_table()
    chosen = [mutation for mutation in MUTATIONS if arguments.only in mutation.limit]
    if arguments.unnoticed:
        chosen = [mutation for mutation in chosen if not known.get(mutation.limit)]
    if not chosen:
        raise SystemExit(f"there is no limit to take out with {arguments.only!r} in its name")
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder))
        if sound := copy.failing(dict.fromkeys(test for mutation in chosen for test in mutation.tests)):
            raise SystemExit(f"{sound} fails with every limit in place: mend that first")
        for mutation in chosen:
            known[mutation.limit] = copy.noticed_by(mutation)
            print(f"{mutation.limit}: {known[mutation.limit] or 'NOBODY NOTICED'}", flush=True)
            write_table(known)
    unnoticed = sum(not known[mutation.limit] for mutation in chosen)
    print(f"{len(chosen)} limits taken out, {unnoticed} unnoticed")
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
