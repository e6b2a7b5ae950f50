"""What a run says while it goes: one JSON object a line in ``log.jsonl``, and a progress bar in the terminal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Logbook:
    """Appends events to a run's log and shows progress; a context manager that closes both.

    Every event carries ``event`` and ``time`` (seconds since the epoch). Without a path or a console nothing is
    written or shown there: of several processes that train together one tells of the run.
    """

    def __init__(self, path: Path | None, console: Console | None) -> None:
        self._path = path
        self._console = console
        self._file: TextIO | None = None
        self._bar: Progress | None = None
        self._task: Any = None
        self._started_s = 0.0
        self._images = 0

    def __enter__(self) -> Logbook:
        if self._path:
            self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()
        if self._file:
            self._file.close()

    def write(self, event: str, **values: Any) -> None:
        """Append one event; flushed, so that the log is complete when the process is killed."""
        if self._file:
            self._file.write(json.dumps({"event": event, "time": round(time.time(), 3), **values}) + "\n")
            self._file.flush()

    def say(self, text: str) -> None:
        """Print a line above the progress bar."""
        if self._console:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def say_without_bar(self, text: str) -> None:
        """Print a line where no progress bar can be shown, as in a file or a batch system's log."""
        if self._console and not self._console.is_terminal:
            self.say(text)

    def start_bar(self, total_steps: int, done_steps: int) -> None:
        """Show a bar over all steps of the run, with loss, rate and remaining time."""
        if not self._console:
            return
        columns = (
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task("training", total=total_steps, completed=done_steps, status="")
        self._bar.start()
        self._started_s = time.monotonic()

    def advance(self, step: int, status: str, images: int) -> None:
        """Move the bar to ``step`` steps done; ``images`` is how many the step took, for the rate."""
        if self._bar:
            self._images += images
            rate = self._images / max(1e-9, time.monotonic() - self._started_s)
            self._bar.update(self._task, completed=step, status=f"{status}, {rate:.1f} images/s")
