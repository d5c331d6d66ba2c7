"""A progress bar on stderr, which is silent where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from audioinceptionnext.cli.streams import bar_stream
from audioinceptionnext.errors import printable

if TYPE_CHECKING:
    from rich.progress import Progress


class Stopped(Exception):
    """Raised within a recording when nobody waits for its result any more."""


class ProgressBar:
    """Counts recordings, and moves within those that are being recognised, of which there may be several at a time."""

    def __init__(self, progress: Progress | None, files: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=files) if progress else None
        self._done = 0
        self._shares: dict[Path, float] = {}
        self._stopped = False

    def of(self, path: Path, name: str | None = None) -> Callable[[float], None]:
        """A function to call with the seconds of this recording that are done. It raises `Stopped` after `stopping`.

        Args:
            name: to show in place of the recording's.
        """
        total = None
        if self._progress is not None and self._task is not None:
            from audioinceptionnext.audio.decode import duration_of

            self._progress.update(self._task, description=printable(name or path.name))
            total = duration_of(path) if path.is_file() else None  # what is read from a pipe is gone

        def show(seconds: float) -> None:
            if self._stopped:
                raise Stopped
            if total:
                self._shares[path] = min(0.99, seconds / total)
                self._show()

        return show

    def advance(self, path: Path | str | None = None) -> None:
        """Count one more recording: this one."""
        self._done += 1
        self._shares.pop(Path(path or ""), None)
        self._show()

    def count(self, done: int, total: int) -> None:
        """Show how many of so many sounds are done, where the caller counts them itself."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def _show(self) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=self._done + sum(list(self._shares.values())))

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """Let recordings that are still being recognised end at once when the block is left."""
        try:
            yield
        finally:
            self._stopped = True

    def print(self, line: str) -> None:
        """Print a line on stderr, above the bar, as `printable`."""
        line = printable(line)
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)


@contextmanager
def working(on: str) -> Iterator[None]:
    """Show what takes a while on a terminal, until the block is left."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.text import Text

    with Console(file=bar_stream()).status(Text(printable(on))):
        yield


@contextmanager
def progress_bar(files: int) -> Iterator[ProgressBar]:
    """A bar over this many files."""
    if not sys.stderr.isatty():
        yield ProgressBar(None, files)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=bar_stream())
    with Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield ProgressBar(progress, files)
