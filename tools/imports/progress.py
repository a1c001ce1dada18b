"""How far an import is: a bar while the file is read, a word for each step after; nothing where nobody watches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Steps:
    """The steps of one import."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def begin(self, text: str, total: int | None = None) -> None:
        """Begin a step, which ends the one before. total: None where nobody knows how long it takes."""
        self._end()
        self._task = self._progress.add_task(text, total=total)

    def reach(self, done: int) -> None:
        """Say how far the step is."""
        if self._task is not None:
            self._progress.update(self._task, completed=done)

    def _end(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1)


@contextmanager
def steps(*, shown: bool) -> Iterator[Steps]:
    """Show steps on stderr where that is a terminal."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not (shown and console.is_terminal),
    ) as progress:  # fmt: skip
        yield Steps(progress)
