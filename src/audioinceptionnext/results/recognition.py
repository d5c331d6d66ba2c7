"""The result of `Recogniser.predict`: data that prints, saves and draws itself."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from audioinceptionnext.errors import MissingDependencyError, ParameterError, replacing
from audioinceptionnext.results.console import TABLE_SEGMENTS, as_text, console_table
from audioinceptionnext.results.formats import FORMATS, FormatName
from audioinceptionnext.results.templates import render
from audioinceptionnext.results.types import RecognitionData

if TYPE_CHECKING:  # these take longer to import than a short recording takes to recognise
    import pandas as pd
    from matplotlib.figure import Figure
    from rich.console import RenderableType


class Recognition(RecognitionData):
    """What a model recognised in one recording. `RecognitionData` lists its attributes.

    >>> result = audioinceptionnext.load("kitchen20").predict("dinner.mp4")
    >>> print(result)                                # the table that the command line prints
    >>> result.to_audacity("dinner.txt")             # or to_csv, to_srt, to_elan, to_raven, to_json
    >>> result.plot("dinner.png")
    >>> result.to_dataframe().groupby("label").score.mean()
    """

    def to(self, format: FormatName, path: str | PathLike[str] | None = None) -> str:
        """The text in one of the formats of `FORMATS`, also written to ``path`` if one is given (UTF-8).

        With a path, ELAN and Raven files say where the recording is; without one, they only give its name.

        Raises:
            ParameterError: there is no such format.
            FileError: the file cannot be written.
        """
        if format not in FORMATS:
            raise ParameterError("format", format, f"choose from {', '.join(FORMATS)}")
        folder = Path(path).absolute().parent if path is not None else None
        text = FORMATS[format].text(self, folder=folder)
        if path is not None:
            # As bytes, so that Windows leaves line ends alone; a file name on Linux may not be valid UTF-8.
            with replacing(path) as new:
                new.write_bytes(text.encode("utf-8", errors="replace"))
        return text

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """One JSON object (see `as_dict`), written to ``path`` if one is given."""
        return self.to("json", path)

    def to_csv(self, path: str | PathLike[str] | None = None) -> str:
        """A header and one row per segment: file, start, end, label, score. Written to ``path`` if one is given.

        A result of `Recogniser.in_language` has a column with the names, too, as in `to_dataframe`.
        """
        return self.to("csv", path)

    def to_audacity(self, path: str | PathLike[str] | None = None) -> str:
        """A label track for Audacity (File > Import > Labels), written to ``path`` if one is given."""
        return self.to("audacity", path)

    def to_srt(self, path: str | PathLike[str] | None = None) -> str:
        """SubRip subtitles that name the sounds while a video plays, written to ``path`` if one is given."""
        return self.to("srt", path)

    def to_elan(self, path: str | PathLike[str] | None = None) -> str:
        """An ELAN document (.eaf) with one tier per label, written to ``path`` if one is given."""
        return self.to("elan", path)

    def to_raven(self, path: str | PathLike[str] | None = None) -> str:
        """A Raven selection table (.selections.txt), written to ``path`` if one is given."""
        return self.to("raven", path)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per segment, with the columns file, start, end, label and score; start and end are in seconds.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError:
            raise MissingDependencyError("to_dataframe", "pandas") from None
        rows = [(self.file, one.start, one.end, one.label, one.score) for one in self.segments]
        frame = pd.DataFrame(rows, columns=["file", "start", "end", "label", "score"])
        return frame.assign(name=frame.label.map(self.names)) if self.names else frame

    def plot(self, path: str | PathLike[str] | None = None) -> Figure:
        """Draw the log-mel, the segments and the probabilities over time.

        Args:
            path: where to save the picture; the suffix sets the format: .png, .svg or .pdf.

        Raises:
            MissingDependencyError: matplotlib is not installed.
            FileError: the file cannot be written.
        """
        from audioinceptionnext.results.plot import check_can_plot, draw_recognition, save

        check_can_plot()
        figure = draw_recognition(self)
        if path is not None:
            save(figure, path, self.file)
        return figure

    def table(self, max_segments: int = TABLE_SEGMENTS) -> RenderableType:
        """What ``rich.print`` shows: the most probable labels of the recording, then its first segments."""
        return console_table(self, max_segments)

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        """The segments as an HTML table, which notebooks show."""
        return render("results/recognition.html.j2", result=self.named())
