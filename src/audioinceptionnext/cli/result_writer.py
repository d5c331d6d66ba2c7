"""Where ``ainext predict`` writes its results: stdout, or one file per recording."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audioinceptionnext.errors import ParameterError, describe, printable, replacing, writing

if TYPE_CHECKING:
    from audioinceptionnext.results.formats import Context
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
        found: the recordings, each with the folder below which it was found.
        overwrite: whether results may replace files of other recordings, and labels that may have been corrected.
        excel: whether CSV is for Excel: with its mark of UTF-8, and without formulas.
        tables: that are written besides, by the parameters that gave them.

    Raises:
        ParameterError: ``out`` cannot be a folder, or a file in it would be replaced, or is one of ``tables``.
    """

    def __init__(
        self,
        format: OutputFormat,
        out: Path | None,
        plot: bool,
        found: Sequence[tuple[Path, Path]],
        *,
        overwrite: bool,
        excel: bool,
        tables: Mapping[str, Path | None],
    ) -> None:
        from audioinceptionnext.cli.output_names import check_not_replaced, check_tables, files_in_use, name_outputs
        from audioinceptionnext.results.formats import EXCEL_MARK, FORMATS

        self.format, self.out, self.plot, self.overwrite = format, out, plot, overwrite
        self._suffix = ".txt" if format is OutputFormat.table else FORMATS[format].suffix
        self._mark = EXCEL_MARK if excel and format is OutputFormat.csv else ""
        self._written = 0
        self._context: Context | None = None  # of the next recording on stdout
        if out is not None:
            _check_folder(out)
        formats = {} if out is None else {self._suffix: format.value}
        if plot:
            formats[".png"] = "png"
        self._names = name_outputs(found, out or Path(), list(formats)) if formats else {}
        self._in_use = files_in_use(self._names, list(formats))
        check_tables(tables, self._in_use)
        if not overwrite:
            check_not_replaced(self._names, formats, "plot" if out is None else "out")

    def open(self) -> None:
        """Make the folder. Raises `ParameterError`: it cannot be made."""
        if self.out is not None:
            try:
                self.out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ParameterError(
                    "out", self.out, f"cannot be used as a folder ({(error.strerror or str(error)).lower()})"
                ) from error

    def write(self, recording: Path, result: Recognition) -> str | None:
        """Write one result.

        Returns:
            A warning, if it was not written where it was expected.

        Raises:
            FileError: a file cannot be written.
        """
        from audioinceptionnext.cli.output_names import kept_apart
        from audioinceptionnext.results.console import as_text
        from audioinceptionnext.results.formats import FORMATS, Context, excel_text
        from audioinceptionnext.results.provenance import CORRECTED

        if self.plot:
            result.plot(self._place(recording, ".png"))
        if self._mark:
            segments = [replace(one, label=excel_text(one.label)) for one in result.segments]
            names = {excel_text(label): excel_text(name) for label, name in result.names.items()}
            result = replace(result, file=excel_text(result.file), segments=segments, names=names)
        if self.out is not None:
            place = self._place(recording, self._suffix)
            if self.format is OutputFormat.table:
                text = f"{as_text(result, None)}\n"
            else:
                text = self._mark + FORMATS[self.format].text(result, folder=place.absolute().parent)
            # As bytes, so that Windows leaves line ends alone; a file name on Linux may not be valid UTF-8.
            content = text.encode("utf-8", errors="replace")
            target = place
            if self.format.value in CORRECTED and not self.overwrite:
                target = kept_apart(place, self._suffix, content, self._in_use)
            with replacing(target) as new:
                new.write_bytes(content)
            if target != place:
                warning = f"written to {printable(target)}, since {printable(place.name)} holds other labels"
                return f"{warning}; --overwrite replaces it"
        elif self.format is OutputFormat.table:
            self._print_table(result)
        elif self.format is OutputFormat.json:
            self._print_object(result.as_dict())
        else:
            format = FORMATS[self.format]
            # What is printed is most often redirected to a file here, so a recording's place is given from here.
            context = self._context or Context(Path.cwd())
            start = format.between if self._written else self._mark + format.head(result)
            sys.stdout.write(start + format.body(result, context))
            self._context = context.after(result)
        self._written += 1
        sys.stdout.flush()
        return None

    def fail(self, path: Path | str, error: Exception) -> None:
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

        from audioinceptionnext.results.console import as_text

        if self._written:
            print()
        console = Console(file=sys.stdout, highlight=False)
        if console.is_terminal:
            console.print(result.table())
        else:  # for a file or another program, which wants all of it
            print(as_text(result, None))

    def _place(self, recording: Path, suffix: str) -> Path:
        place = Path(f"{self._names[recording]}{suffix}")
        if place.parent != (self.out or Path()):
            with writing(place):
                place.parent.mkdir(parents=True, exist_ok=True)
        return place


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
