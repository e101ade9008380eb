"""What a training run shows: a bar on a terminal, a line now and then where there is none."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text


def format_duration(seconds: float) -> str:
    """Write a duration as h:mm:ss."""
    minutes, second = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"


class _TimeLeft(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['left']} left", style="cyan")


class TrainingProgress:
    """Shows iterations done, steps/s, time left, success rate and reward; a context manager."""

    def __init__(self, name: str, completed: int, total: int, interval_s: float = 20.0) -> None:
        """Prepare the display.

        Args:
            name: name of the run.
            completed: iterations done before.
            total: iterations when the run ends.
            interval_s: least seconds between two lines where the output is no terminal.
        """
        self._console = Console()
        self._name, self._total, self._interval_s = name, total, interval_s
        self._last_line_s = -float("inf")
        self._progress: Progress | None = None
        if self._console.is_terminal:
            columns = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), _TimeLeft(),
                       TextColumn("{task.fields[figures]}"))  # fmt: skip
            self._progress = Progress(*columns, console=self._console)
            self._task = self._progress.add_task(
                name, total=total, completed=completed, left="-:--:--", figures=""
            )

    def __enter__(self) -> TrainingProgress:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def update(self, completed: int, left_s: float, figures: dict[str, str]) -> None:
        """Show the state after an iteration.

        Args:
            completed: iterations done.
            left_s: estimated seconds until the end.
            figures: what else to show, name to text.
        """
        text = "  ".join(f"{name} {value}" for name, value in figures.items())
        left = format_duration(left_s)
        if self._progress:
            self._progress.update(self._task, completed=completed, left=left, figures=text)
        elif time.monotonic() - self._last_line_s >= self._interval_s or completed == self._total:
            self._last_line_s = time.monotonic()
            self.message(f"{self._name} {completed}/{self._total}  {left} left  {text}")
