"""A report on recordings as one HTML file: statistics, and for each recording a player, a log-mel and a timeline.

The file contains the JavaScript modules of the page that `ainext serve` serves (``page/``), and loads nothing else.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import quote

import av
import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import beside, printable, writing
from audioinceptionnext.results.templates import package_file, template
from audioinceptionnext.results.thumbnail import encode_log_mel
from audioinceptionnext.results.types import RecognitionData, Score

SoundMode = Literal["embed", "link", "none"]
MP3_RATE = 24_000  # Hz
MP3_BIT_RATE = 64_000  # bits per second: one hour takes 29 MB, and 38 MB in base64
MODULES = ("colours", "text", "spectrogram", "player", "overview", "timeline", "segments", "viewer")
TITLE = "Recognised sounds"
MARK = '<meta name="generator" content="ainext report">'
# How files are written. What UTF-8 cannot hold, as in some file names, becomes "?".
TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "replace", "newline": "\n"}


@dataclass
class LabelTotal:
    """The segments of one label over all recordings.

    Attributes:
        name: of the label, in the language of the page.
        segments: how many there are.
        seconds: their total duration.
        weighted_scores: the sum of their scores, each weighted by the duration of its segment.
        files: the recordings that have any.
    """

    name: str
    segments: int = 0
    seconds: float = 0.0
    weighted_scores: float = 0.0
    files: set[str] = field(default_factory=set)


@dataclass
class Row:
    """A row of the table of recordings.

    Attributes:
        file: the recording, as it was given; empty for an array.
        problem: why the recording could not be recognised; None if it was.
        duration: in seconds.
        model: the model's name.
        segments, warnings: how many there are.
        top: the most probable label of the recording as a whole, if it has segments.
        length: of the recording's section, in characters.
    """

    file: str
    problem: str | None = None
    duration: float = 0.0
    model: str = ""
    segments: int = 0
    warnings: int = 0
    top: Score | None = None
    length: int = 0


class HtmlReport:
    """An HTML page that grows with each recording. `close` writes it, and so does a ``with`` statement at its end.

    Args:
        path: of the page. An existing file is replaced when the page is complete.
        sound: ``embed`` puts the sound into the page (MP3, mono, 64 kbit/s); ``link`` makes the page play the
            recording from its place on disk, relative to the page; ``none`` leaves the sound out.
        title: of the page.

    Raises:
        FileError: the page cannot be written.

    >>> with HtmlReport("monday.html") as report:
    ...     for file in files:
    ...         report.add(model.predict(file))
    """

    def __init__(self, path: str | PathLike[str], sound: SoundMode = "embed", title: str = TITLE) -> None:
        self.path, self.sound, self.title = Path(path), sound, title
        # On disk, since the sections hold the sound.
        self._sections: IO[str] = tempfile.TemporaryFile("w+", **TEXT)  # noqa: SIM115 - closed by `close`
        self._totals: dict[str, LabelTotal] = {}
        self._rows: list[Row] = []
        self._target = Path(os.path.realpath(self.path))
        with writing(path):
            if self._target.is_dir():
                raise IsADirectoryError
            self._out = beside(self._target).open("w", **TEXT)

    def __enter__(self) -> HtmlReport:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, result: RecognitionData) -> None:
        """Add one recording.

        Raises:
            MediaError: its sound cannot be read any more.
            FileError: the disk is full.
        """
        data = result.as_dict() | {"file": printable(Path(result.file).name) or "recording"}
        if result.log_mel is not None:
            data["log_mel"] = encode_log_mel(result.log_mel, result.sample_rate)
        sound_type, sound = self._sound(result.file)
        section = template("results/recording.html.j2").generate(
            warnings=result.warnings, data=data, sound_type=sound_type, sound=sound
        )
        with writing(self.path):
            length = sum(map(self._sections.write, section))
        segments, warnings = len(result.segments), len(result.warnings)
        top = result.named().clip[0] if result.clip and segments else None
        self._rows.append(Row(result.file, None, result.duration, result.model, segments, warnings, top, length))
        for one in result.segments:
            total = self._totals.setdefault(one.label, LabelTotal(result.names.get(one.label, one.label)))
            total.segments += 1
            total.seconds += one.end - one.start
            total.weighted_scores += one.score * (one.end - one.start)
            total.files.add(result.file)

    def fail(self, file: str, reason: str) -> None:
        """Add a recording that could not be recognised, with the reason."""
        self._rows.append(Row(file, reason))

    def close(self) -> None:
        """Write the page.

        Raises:
            FileError: the disk is full.
        """
        if self._out.closed:
            return
        page = template("results/recordings.html.j2").generate(
            title=self.title,
            mark=MARK,
            count=sum(row.problem is None for row in self._rows),
            seconds=sum(row.duration for row in self._rows),
            totals=sorted(self._totals.values(), key=lambda one: -one.seconds),
            rows=list(zip(_told_apart([row.file for row in self._rows]), self._rows, strict=True)),
            modules={f"ainext/{name}.js": _module_url(name) for name in MODULES},
            script=_module("report"),
            read=self._read_section,
        )
        self._sections.seek(0)
        part = Path(self._out.name)
        try:
            with writing(self.path):
                with self._out as out, self._sections:
                    out.writelines(page)
                part.replace(self._target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def discard(self) -> None:
        """Write no page, and leave an older one as it is."""
        if not self._out.closed:
            self._out.close()
            self._sections.close()
            Path(self._out.name).unlink()

    def _sound(self, file: str) -> tuple[str, str]:
        """What the player plays: ``mp3`` and the sound in base64, ``link`` and a URL, or ``none``."""
        if self.sound == "none" or not file:
            return "none", ""
        if self.sound == "link":
            return "link", _relative_url(Path(file), self.path.parent)
        return "mp3", base64.b64encode(encode_mp3(file)).decode("ascii")

    def _read_section(self, length: int) -> Iterator[str]:
        """The next recording's section, in parts of a megabyte."""
        while length and (part := self._sections.read(min(length, 1 << 20))):
            length -= len(part)
            yield part


def write_report(
    results: Iterable[RecognitionData], path: str | PathLike[str], sound: SoundMode = "embed", title: str = TITLE
) -> None:
    """Write one HTML page over recordings, whose results may come one by one from a generator.

    Args:
        results: one per recording.
        path: as for `HtmlReport`.
        sound: as for `HtmlReport`.
        title: as for `HtmlReport`.

    Raises:
        MediaError: a recording's sound cannot be read any more.
        FileError: the page cannot be written.

    >>> write_report(map(model.predict, files), "monday.html")
    """
    with HtmlReport(path, sound, title) as report:
        for result in results:
            report.add(result)


def encode_mp3(path: str | Path) -> bytes:
    """A recording's sound as a mono MP3 that is small enough for a page.

    Raises:
        MediaError: the recording cannot be read.
    """
    target = BytesIO()
    with av.open(target, "w", format="mp3") as out:
        stream = out.add_stream("libmp3lame", rate=MP3_RATE)
        stream.bit_rate, stream.layout, stream.format = MP3_BIT_RATE, "mono", "fltp"
        first = 0
        for block in decode.read_blocks(path, MP3_RATE):
            samples = np.clip(block, -1, 1)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = MP3_RATE, first
            first += samples.shape[1]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target.getvalue()


def is_report(path: Path) -> bool:
    """Whether a file is a page of `HtmlReport`, or empty, so that a new page may replace it.

    Raises:
        FileError: it cannot be opened.
    """
    with writing(path), path.open("rb") as file:
        head = file.read(1 << 16)
    return not head or MARK.encode() in head


def _told_apart(files: Sequence[str]) -> list[str]:
    """What the page calls each of these recordings: by its name alone or, if two are alike, below the common folder."""
    names = [Path(file).name for file in files]
    paths = {file: os.path.abspath(file) for file in files if file and "://" not in file}  # noqa: PTH100 - keeps links
    if len({name.casefold() for name in names}) < len(names) and len(paths) > 1:
        with suppress(ValueError):  # two drives of Windows
            common = os.path.commonpath([os.path.dirname(path) for path in paths.values()])  # noqa: PTH120
            names = [
                Path(os.path.relpath(paths.get(file, file), common)).as_posix() if file in paths else file
                for file in files
            ]
    return [printable(name) or "recording" for name in names]


def _module_url(name: str) -> str:
    """A module as a data: URL. The page's import map finds the modules that it imports."""
    return "data:text/javascript;base64," + base64.b64encode(_module(name).encode()).decode("ascii")


def _module(name: str) -> str:
    """The code of a module of ``page/``, whose imports the page's import map resolves."""
    return package_file(f"page/{name}.js").replace('from "./', 'from "ainext/')


def _relative_url(file: Path, folder: Path) -> str:
    """The URL of a recording, relative to the folder of the page."""
    try:
        return quote(Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix())
    except ValueError:  # on another drive of Windows
        return file.resolve().as_uri()
