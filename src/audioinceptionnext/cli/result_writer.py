"""Where ``ainext predict`` writes its results: stdout, or one file per recording."""

from __future__ import annotations

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from audioinceptionnext.errors import FileError, ParameterError, describe, writing

if TYPE_CHECKING:
    from audioinceptionnext.results.formats import Context, FormatName
    from audioinceptionnext.results.recognition import Recognition


class OutputFormat(StrEnum):
    table = "table"
    json = "json"
    csv = "csv"
    audacity = "audacity"
    srt = "srt"
    elan = "elan"
    raven = "raven"


class ResultWriter:
    """Writes each recording's result as soon as it is there.

    Args:
        format: what to write.
        out: the folder for one file per recording; None writes to stdout.
        plot: whether to draw each recording too, in ``out`` or the current folder.

    Raises:
        ParameterError: ``out`` cannot be a folder.
    """

    def __init__(self, format: OutputFormat, out: Path | None, plot: bool) -> None:
        self.format, self.out, self.plot = format, out, plot
        self._taken: set[Path] = set()
        self._written = 0
        self._context: Context | None = None  # of the next recording on stdout
        if out is not None:
            _check_folder(out)
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ParameterError(
                    "out", out, f"cannot be used as a folder ({(error.strerror or str(error)).lower()})"
                ) from error

    def write(self, result: Recognition) -> None:
        """Write one result. Raises `FileError`: a file cannot be written."""
        from audioinceptionnext.results.formats import FORMATS, Context

        if self.plot:
            result.plot(self._place(result.file, ".png"))
        if self.out is not None and self.format is OutputFormat.table:
            with writing(place := self._place(result.file, ".txt")):
                place.write_bytes(f"{result}\n".encode(errors="replace"))
        elif self.out is not None:
            result.to(cast("FormatName", self.format.value), self._place(result.file, FORMATS[self.format].suffix))
        elif self.format is OutputFormat.table:
            self._print_table(result)
        elif self.format is OutputFormat.json:
            self._print_object(result.as_dict())
        else:
            format = FORMATS[self.format]
            # What is printed is most often redirected to a file here, so a recording's place is given from here.
            context = self._context or Context(Path.cwd())
            sys.stdout.write((format.between if self._written else format.head(result)) + format.body(result, context))
            self._context = context.after(result)
        self._written += 1
        sys.stdout.flush()

    def fail(self, path: Path, error: Exception) -> None:
        """Note in JSON on stdout that a recording failed."""
        if self.format == OutputFormat.json and self.out is None:
            self._print_object({"file": str(path), "error": describe(error)})
            self._written += 1

    def close(self) -> None:
        """Close the JSON list on stdout."""
        if self.format == OutputFormat.json and self.out is None:
            print("\n]" if self._written else "[]")

    def _print_object(self, values: dict[str, Any]) -> None:
        # The list is written as it grows, so that an interrupted run has not been for nothing.
        print(",\n" if self._written else "[\n", end="")
        print(json.dumps(values, ensure_ascii=False), end="", flush=True)

    def _print_table(self, result: Recognition) -> None:
        from rich.console import Console

        if self._written:
            print()
        Console(file=sys.stdout, highlight=False).print(result.table())

    def _place(self, file: str, suffix: str) -> Path:
        """A file named after the recording; if two share a name (a.wav, a.mp3), the second keeps its suffix too."""
        folder = self.out or Path()
        name = Path(file).name
        for candidate in (Path(name).stem, name, *(f"{name} {n}" for n in range(2, 10_000))):
            path = folder / f"{candidate}{suffix}"
            if path not in self._taken and not (path.exists() and path.resolve() == Path(file).resolve()):
                self._taken.add(path)
                return path
        raise FileError(file, f"there are too many recordings of this name for {folder}")


def _check_folder(out: Path) -> None:
    """Raise `ParameterError` for what looks like a file, since a folder of that name would be a surprise."""
    from audioinceptionnext.results.formats import FORMATS
    from audioinceptionnext.results.table import SUFFIXES

    suffix = out.suffix.lower()
    if out.is_dir() or suffix not in {*SUFFIXES, *(one.suffix for one in FORMATS.values())}:
        return
    if suffix in SUFFIXES:
        instead = f"to write one table of all recordings, give --table {out}"
    else:
        instead = f"to write one file, redirect what is printed: > {out}"
    raise ParameterError("out", out, f"takes a folder, for one file per recording; {instead}")
