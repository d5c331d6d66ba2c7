"""Targets on this machine: a line that is printed or appended to a file, and a program that is run."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from audioinceptionnext.alerts.alert import PLACEHOLDERS, Alert
from audioinceptionnext.alerts.delivery import Item, Target, Undelivered, Warn
from audioinceptionnext.alerts.rules import Command
from audioinceptionnext.errors import FileError, printable, writing

_SHOWN = 200  # characters of what a program says that a message shows


class Printer(Target):
    """Hands alerts to a function that shows them."""

    def __init__(self, show: Callable[[Alert], None], warn: Warn) -> None:
        self._show = show
        super().__init__("print", warn)

    def deliver(self, item: Item) -> None:
        self._show(item.alert)


class AlertFile(Target):
    """Appends alerts to a .csv or .jsonl file. It is opened for each, so that it may be moved away meanwhile.

    Raises:
        FileError: the file cannot be written, or has other lines than alerts.
    """

    def __init__(self, path: Path, warn: Warn) -> None:
        self._path, self._csv = path, path.suffix == ".csv"
        with writing(path), path.open("ab+") as file:
            file.seek(0)
            first = file.readline().decode("utf-8", "replace").strip()
        if first and not (first.split(",") == [*PLACEHOLDERS] if self._csv else first.startswith('{"time": ')):
            raise FileError(path, "has other lines than alerts; give another file")
        super().__init__(printable(path), warn)

    def deliver(self, item: Item) -> None:
        values = item.alert.as_dict()
        with writing(self._path), self._path.open("ab+", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            line = _csv_line([*values.values()]) if self._csv else json.dumps(values, ensure_ascii=False) + "\n"
            if self._csv and not size:
                line = _csv_line([*PLACEHOLDERS]) + line
            if size:
                file.seek(size - 1)
                line = line if file.read() == b"\n" else f"\n{line}"  # a process was killed while writing
            data = line.encode("utf-8", "replace")
            try:
                if file.write(data) != len(data):
                    raise OSError("the disk took only a part of it")
            except OSError:
                with suppress(OSError):
                    file.truncate(size)  # no part of a line, which the next attempt would repeat
                raise


def _csv_line(values: list[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


class Program(Target):
    """Runs a program for each alert, one after the other, with the alert's JSON object on stdin."""

    def __init__(self, command: Command, warn: Warn) -> None:
        self._command = command
        self._running: subprocess.Popen[bytes] | None = None
        super().__init__(f"command {Path(command.arguments[0]).name}", warn)

    def deliver(self, item: Item) -> None:
        program, *arguments = self._command.arguments
        filled = [program, *(item.alert.fill(one).replace("\0", "") for one in arguments)]
        data = json.dumps(item.alert.as_dict(), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as said:
            stdin.write(data)  # a file, so that a program which does not read it is no failure
            stdin.seek(0)
            try:
                running = subprocess.Popen(
                    filled, stdin=stdin, stdout=said, stderr=said, cwd=self._command.folder, start_new_session=True
                )
            except (OSError, ValueError) as error:
                reason = (getattr(error, "strerror", None) or str(error)).lower()
                raise Undelivered(f"cannot be run: {reason}", again=False) from error
            self._running = running
            try:
                code = running.wait(self._command.timeout)
            except subprocess.TimeoutExpired:
                self._end()
                raise Undelivered(f"has not ended within {self._command.timeout:g} s", again=False) from None
            finally:
                self._running = None
            if code:
                said.seek(0, os.SEEK_END)
                said.seek(max(0, said.tell() - 10 * _SHOWN))
                lines = said.read().decode("utf-8", "replace").strip().splitlines()
                last = f": {printable(lines[-1][:_SHOWN])}" if lines else ""
                raise Undelivered(f"ended with code {code}{last}", again=False)

    def join(self, until: float) -> None:
        super().join(until)
        self._end()

    def _end(self) -> None:
        """End a program that still runs, and those that it has started."""
        if (running := self._running) is not None and running.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                if hasattr(os, "killpg"):
                    os.killpg(running.pid, signal.SIGKILL)
                else:  # Windows has no groups of processes
                    running.kill()
            running.wait(5)
