"""A progress bar on stderr, which is silent where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class ProgressBar:
    """Counts files, and moves within a long one."""

    def __init__(self, progress: Progress | None, files: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=files) if progress else None

    def of(self, path: Path, name: str | None = None) -> Callable[[float], None] | None:
        """A function to call with the seconds of this file that are done; None where that cannot be shown.

        Args:
            name: to show in place of the file's.
        """
        if self._progress is None or self._task is None:
            return None
        from audioinceptionnext.audio.decode import duration_of

        progress, task = self._progress, self._task
        progress.update(task, description=name or path.name)
        total = duration_of(path)
        start = progress.tasks[0].completed
        if not total:
            return None
        return lambda seconds: progress.update(task, completed=start + min(0.99, seconds / total))

    def advance(self) -> None:
        """Count one more file."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=int(self._progress.tasks[0].completed) + 1)

    def print(self, line: str) -> None:
        """Print a line on stderr, above the bar."""
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)


@contextmanager
def progress_bar(files: int) -> Iterator[ProgressBar]:
    """A bar over this many files."""
    if not sys.stderr.isatty():
        yield ProgressBar(None, files)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield ProgressBar(progress, files)
