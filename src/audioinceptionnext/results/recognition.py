"""What a model recognised in one recording: as data, text, a table, a picture."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from audioinceptionnext.errors import AinextError, writing
from audioinceptionnext.results.console import TABLE_SEGMENTS, console_table
from audioinceptionnext.results.formats import FORMATS
from audioinceptionnext.results.types import RecognitionData

if TYPE_CHECKING:  # both take longer to import than a short recording takes to recognise
    from matplotlib.figure import Figure
    from rich.console import RenderableType


class Recognition(RecognitionData):
    """What a model heard in one recording."""

    def to(self, name: str, path: str | PathLike[str] | None = None) -> str:
        """The text in the format called ``name`` in `FORMATS`, also written to ``path`` if one is given (UTF-8).

        With a path, ELAN and Raven are told where `file` lies; without one they have its name alone.

        Raises AinextError for an unknown format and for a file that cannot be written.
        """
        if name not in FORMATS:
            raise AinextError(f"no format is called {name!r}: choose one of {', '.join(FORMATS)}")
        folder = Path(path).absolute().parent if path is not None else None
        text = FORMATS[name].text(self, folder=folder)
        if path is not None:
            # In bytes, so that Windows leaves line ends alone; a file name on Linux may hold what UTF-8 does not.
            with writing(path):
                Path(path).write_bytes(text.encode("utf-8", errors="replace"))
        return text

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """One JSON object (see `as_dict`), written to ``path`` if one is given."""
        return self.to("json", path)

    def to_csv(self, path: str | PathLike[str] | None = None) -> str:
        """A header and a row a segment: file, start, end (seconds), label, score; written to ``path`` if given."""
        return self.to("csv", path)

    def to_audacity(self, path: str | PathLike[str] | None = None) -> str:
        """A label track for Audacity (File > Import > Labels), written to ``path`` if one is given."""
        return self.to("audacity", path)

    def to_srt(self, path: str | PathLike[str] | None = None) -> str:
        """SubRip subtitles that name the sounds as a video plays, written to ``path`` if one is given."""
        return self.to("srt", path)

    def to_elan(self, path: str | PathLike[str] | None = None) -> str:
        """A document of ELAN (.eaf) with a tier for each label that was heard, written to ``path`` if one is given."""
        return self.to("elan", path)

    def to_raven(self, path: str | PathLike[str] | None = None) -> str:
        """A selection table for Raven (.selections.txt), written to ``path`` if one is given."""
        return self.to("raven", path)

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """The picture: log-mel, segments and probabilities over time.

        Saved to ``path`` if one is given, as its suffix says: .png, .svg, .pdf. Raises AinextError if it cannot be, and
        where matplotlib is missing.
        """
        from audioinceptionnext.results.plot import check_can_draw, draw, save

        check_can_draw()
        figure = draw(self)
        if path is not None:
            save(figure, path)
        return figure

    def table(self, most: int = TABLE_SEGMENTS) -> RenderableType:
        """For ``rich``'s print: the likeliest labels of the recording with bars, then its first ``most`` segments."""
        return console_table(self, most)

    def __str__(self) -> str:
        """The table as plain text."""
        from io import StringIO

        from rich.console import Console

        text = StringIO()
        Console(file=text, width=100, color_system=None, force_terminal=False, legacy_windows=False).print(self.table())
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
