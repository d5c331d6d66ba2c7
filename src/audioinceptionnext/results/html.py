"""A report on recordings as one HTML file: statistics, and for each recording a player, a log-mel and a timeline.

The file contains the JavaScript modules of the page that `ainext serve` serves (``page/``), and loads nothing else.
"""

from __future__ import annotations

import base64
import html
import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import quote

import av
import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.errors import writing
from audioinceptionnext.results.formats import format_time
from audioinceptionnext.results.thumbnail import encode_log_mel
from audioinceptionnext.results.types import RecognitionData

SoundMode = Literal["embed", "link", "none"]
MP3_RATE = 24_000  # Hz
MP3_BIT_RATE = 64_000  # bits per second: one hour takes 29 MB, and 38 MB in base64
LABEL_COLUMNS = ("Label", "Time", "", "Share", "Segments", "Mean duration", "Recordings", "Mean score")
RECORDING_COLUMNS = ("File", "Duration", "Segments", "Most probable")
MODULES = ("colours", "text", "spectrogram", "player", "timeline", "viewer")
TITLE = "Recognised sounds"


@dataclass
class LabelTotal:
    """The segments of one label over all recordings.

    Attributes:
        segments: how many there are.
        seconds: their total duration.
        weighted_scores: the sum of their scores, each weighted by the duration of its segment.
        files: the recordings that have any.
    """

    segments: int = 0
    seconds: float = 0.0
    weighted_scores: float = 0.0
    files: set[str] = field(default_factory=set)


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
        self._sections: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._totals: dict[str, LabelTotal] = {}
        self._rows: list[str] = []  # of the table of recordings
        self._count, self._seconds = 0, 0.0
        with writing(path):
            self._out = self.path.with_name(f"_{self.path.name}.part").open("wb")

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
        data = result.as_dict() | {"file": Path(result.file).name or "recording"}
        if result.log_mel is not None:
            data["log_mel"] = encode_log_mel(result.log_mel, result.sample_rate)
        sound, sound_type = self._sound(result.file)
        number = len(self._rows)
        name = html.escape(data["file"])
        segments = _counted(len(result.segments), "segment")
        about = f"{_format_tenths(result.duration)} · {segments} · {html.escape(result.model)}"
        section = (
            f'<details id="r{number}" class="recording" {"open" if not number else ""}><summary><h2>{name}</h2> '
            f'<span class="quiet">{about}</span></summary>\n'
            f'<script type="application/json" class="result">{_json(data)}</script>\n'
            f'<script type="{sound_type}" class="audio">{sound}</script></details>\n'
        )
        with writing(self.path):
            self._sections.write(section.encode("utf-8", "replace"))
        self._add_to_tables(result, f'<a href="#r{number}">{name}</a>')

    def fail(self, file: str, reason: str) -> None:
        """Add a recording that could not be recognised, with the reason."""
        name, why = html.escape(Path(file).name), html.escape(reason)
        self._rows.append(f'<tr><th scope="row">{name}</th><td colspan="3" class="problem">{why}</td></tr>')

    def close(self) -> None:
        """Write the page.

        Raises:
            FileError: the disk is full.
        """
        if self._out.closed:
            return
        with writing(self.path), self._out as out, self._sections as sections:
            out.write(self._head().encode("utf-8", "replace"))
            sections.seek(0)
            while chunk := sections.read(1 << 20):
                out.write(chunk)
            out.write(_foot().encode())
        with writing(self.path):
            Path(self._out.name).replace(self.path)

    def _sound(self, file: str) -> tuple[str, str]:
        """The content and the type of the script element that says what the player plays."""
        if self.sound == "none" or not file:
            return "", "text/none"
        if self.sound == "link":
            return json.dumps(_relative_url(Path(file), self.path.parent)).replace("<", "\\u003c"), "text/link"
        return base64.b64encode(encode_mp3(file)).decode("ascii"), "text/mp3"

    def _add_to_tables(self, result: RecognitionData, link: str) -> None:
        for one in result.segments:
            total = self._totals.setdefault(one.label, LabelTotal())
            total.segments += 1
            total.seconds += one.end - one.start
            total.weighted_scores += one.score * (one.end - one.start)
            total.files.add(result.file)
        self._count += 1
        self._seconds += result.duration
        top = f"{html.escape(_readable(result.clip[0].label))} {result.clip[0].score:.0%}" if result.clip else ""
        cells = f"<td>{_format_tenths(result.duration)}</td><td>{len(result.segments)}</td><td>{top}</td>"
        self._rows.append(f'<tr><th scope="row">{link}</th>{cells}</tr>')

    def _head(self) -> str:
        style = _page_file("style.css")
        imports = {f"ainext/{name}.js": _module_url(name) for name in MODULES}
        counted = f"{_counted(self._count, 'recording')} · {_format_tenths(self._seconds)}"
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>\n{style}</style>\n"
            f'<script type="importmap">{json.dumps({"imports": imports})}</script>\n</head>\n<body class="report">\n'
            f'<header><div class="brand">{_page_file("icon.svg")}<div><h1>{html.escape(self.title)}</h1>'
            f'<p class="quiet">{counted}</p></div></div></header>\n<main>\n'
            + _statistics(self._totals, self._seconds)
            + _table("Recordings", RECORDING_COLUMNS, self._rows)
        )


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


def _statistics(totals: dict[str, LabelTotal], seconds: float) -> str:
    if not totals:
        return '<section class="viewer"><p>No segments: no label reached its onset threshold.</p></section>'
    rows = []
    for label, total in sorted(totals.items(), key=lambda item: -item[1].seconds):
        share = total.seconds / max(seconds, 1e-9)
        bar = f'<div class="track"><div class="fill" style="width:{100 * min(1, share):.2f}%"></div></div>'
        cells = (
            _format_tenths(total.seconds),
            bar,
            f"{share:.1%}",
            total.segments,
            f"{total.seconds / total.segments:.1f} s",
            len(total.files),
            f"{total.weighted_scores / total.seconds:.0%}",
        )
        row = "".join(f'<td class="part">{cell}</td>' if cell is bar else f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{html.escape(_readable(label))}</th>{row}</tr>')
    return _table("Labels", LABEL_COLUMNS, rows)


def _table(title: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in columns)
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    region = f'<div class="wide" tabindex="0" role="region" aria-label="{title}">{table}</div>'
    return f'<section class="viewer"><h3>{title}</h3>{region}</section>\n'


def _foot() -> str:
    script = _page_file("report.js").replace('from "./', 'from "ainext/')
    return f'</main>\n<script type="module">\n{script}</script>\n</body>\n</html>\n'


def _module_url(name: str) -> str:
    """A module as a data: URL. The page's import map finds the modules that it imports."""
    code = _page_file(f"{name}.js").replace('from "./', 'from "ainext/')
    return "data:text/javascript;base64," + base64.b64encode(code.encode()).decode("ascii")


def _format_tenths(seconds: float) -> str:
    """A time to the tenth of a second, since segments are no more precise than that."""
    return format_time(round(seconds, 1))[:-2]


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _page_file(name: str) -> str:
    return (files("audioinceptionnext") / "page" / name).read_text(encoding="utf-8")


def _json(data: dict[str, Any]) -> str:
    """JSON for a script element, which no text in it can end: ``</`` and ``<!--`` are escaped."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def _relative_url(file: Path, folder: Path) -> str:
    """The URL of a recording, relative to the folder of the page."""
    try:
        return quote(Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix())
    except ValueError:  # on another drive of Windows
        return file.resolve().as_uri()


def _readable(label: str) -> str:
    return label.replace("-", " ").replace("_", " ")
