"""One page over some recordings, in one file: statistics, and of each recording player, log-mel and timeline.

It holds the modules of the page that `ainext serve` gives (``page/``), and needs nothing from anywhere.
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
from audioinceptionnext.results.formats import clock as clock_ms
from audioinceptionnext.results.thumbnail import drawn
from audioinceptionnext.results.types import RecognitionData

Sound = Literal["embed", "link", "none"]
RATE = 24_000  # Hz, of embedded sound
BITS = 64_000  # a second: an hour is 29 MB, 38 as text
SOUNDS = ("Sound", "Time", "", "Of all", "Segments", "Mean length", "Recordings", "Mean score")
RECORDINGS = ("File", "Length", "Segments", "Likeliest")
MODULES = ("colours", "words", "spectrogram", "player", "timeline", "viewer")


@dataclass
class Total:
    """Of one label over all recordings."""

    segments: int = 0
    seconds: float = 0.0
    scores: float = 0.0  # the sum of segments' scores, each as often as it lasts seconds
    files: set[str] = field(default_factory=set)


class Report:
    """A page that grows by recordings; `close` writes it. As a context it is closed whatever happens.

    Args:
        path: of the page. A file that was there is replaced when the page is complete.
        sound: ``embed`` puts the sound into the page (MP3, mono, 64 kbit/s); ``link`` plays the recording where it
            lies, relative to the page; ``none`` leaves it out.
    """

    def __init__(self, path: str | PathLike[str], sound: Sound = "embed", title: str = "What was heard") -> None:
        self.path, self.sound, self.title = Path(path), sound, title
        # On disk, since it holds the sound.
        self._sections: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._totals: dict[str, Total] = {}
        self._lines: list[str] = []  # the table of recordings
        self._heard, self._seconds = 0, 0.0
        with writing(path):
            self._out = self.path.with_name(f"_{self.path.name}.part").open("wb")

    def __enter__(self) -> Report:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, heard: RecognitionData) -> None:
        """One more recording. Raises `AinextError` where its sound cannot be read any more, and for a full disk."""
        data = heard.as_dict() | {"file": Path(heard.file).name or "recording"}
        if heard.log_mel is not None:
            data["log_mel"] = drawn(heard.log_mel, heard.sample_rate)
        source, kind = self._source(heard.file)
        place = len(self._lines)
        name = html.escape(data["file"])
        segments = _counted(len(heard.segments), "segment")
        about = f"{clock(heard.duration)} · {segments} · {html.escape(heard.model)}"
        section = (
            f'<details id="r{place}" class="recording" {"open" if not place else ""}><summary><h2>{name}</h2> '
            f'<span class="quiet">{about}</span></summary>\n'
            f'<script type="application/json" class="heard">{_json(data)}</script>\n'
            f'<script type="{kind}" class="sound">{source}</script></details>\n'
        )
        with writing(self.path):
            self._sections.write(section.encode("utf-8", "replace"))
        self._count(heard, f'<a href="#r{place}">{name}</a>')

    def fail(self, file: str, reason: str) -> None:
        """One that could not be heard: the page says so."""
        name, why = html.escape(Path(file).name), html.escape(reason)
        self._lines.append(f'<tr><th scope="row">{name}</th><td colspan="3" class="problem">{why}</td></tr>')

    def close(self) -> None:
        """Writes the page."""
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

    def _source(self, file: str) -> tuple[str, str]:
        """What plays: base64 of an MP3, or the recording's place; and which of both."""
        if self.sound == "none" or not file:
            return "", "text/none"
        if self.sound == "link":
            return json.dumps(_relative(Path(file), self.path.parent)).replace("<", "\\u003c"), "text/link"
        return base64.b64encode(mp3(file)).decode("ascii"), "text/mp3"

    def _count(self, heard: RecognitionData, link: str) -> None:
        for one in heard.segments:
            total = self._totals.setdefault(one.label, Total())
            total.segments += 1
            total.seconds += one.end - one.start
            total.scores += one.score * (one.end - one.start)
            total.files.add(heard.file)
        self._heard += 1
        self._seconds += heard.duration
        best = heard.clip[0] if heard.clip else None
        likeliest = f"{html.escape(_readable(best.label))} {best.score:.0%}" if best else ""
        cells = f"<td>{clock(heard.duration)}</td><td>{len(heard.segments)}</td><td>{likeliest}</td>"
        self._lines.append(f'<tr><th scope="row">{link}</th>{cells}</tr>')

    def _head(self) -> str:
        style = _asset("style.css")
        imports = {f"ainext/{name}.js": _as_module(name) for name in MODULES}
        counted = f"{_counted(self._heard, 'recording')} · {clock(self._seconds)}"
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>\n{style}</style>\n"
            f'<script type="importmap">{json.dumps({"imports": imports})}</script>\n</head>\n<body class="report">\n'
            f'<header><div class="brand">{_asset("icon.svg")}<div><h1>{html.escape(self.title)}</h1>'
            f'<p class="quiet">{counted}</p></div></div></header>\n<main>\n'
            + _statistics(self._totals, self._seconds)
            + _table("Recordings", RECORDINGS, self._lines)
        )


def write_report(
    recognitions: Iterable[RecognitionData],
    path: str | PathLike[str],
    sound: Sound = "embed",
    title: str = "What was heard",
) -> None:
    """Writes one page over recordings, which may come one by one. See `Report`, also for the errors.

    Raises:
        AinextError: the page cannot be written, a recording's sound cannot be read.
    """
    with Report(path, sound, title) as report:
        for heard in recognitions:
            report.add(heard)


def mp3(path: str | Path) -> bytes:
    """A recording's sound, mono, small enough for a page. Raises `MediaError`."""
    target = BytesIO()
    with av.open(target, "w", format="mp3") as out:
        stream = out.add_stream("libmp3lame", rate=RATE)
        stream.bit_rate, stream.layout, stream.format = BITS, "mono", "fltp"
        place = 0
        for block in decode.read_blocks(path, RATE):
            samples = np.clip(block, -1, 1)[None].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = RATE, place
            place += samples.shape[1]
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return target.getvalue()


def _statistics(totals: dict[str, Total], seconds: float) -> str:
    if not totals:
        return '<section class="viewer"><p>No sound that the model knows was sure enough for a segment.</p></section>'
    rows = []
    for label, total in sorted(totals.items(), key=lambda item: -item[1].seconds):
        share = total.seconds / max(seconds, 1e-9)
        fill = f'<div class="track"><div class="fill" style="width:{100 * min(1, share):.2f}%"></div></div>'
        cells = (
            clock(total.seconds),
            fill,
            f"{share:.1%}",
            total.segments,
            f"{total.seconds / total.segments:.1f} s",
            len(total.files),
            f"{total.scores / total.seconds:.0%}",
        )
        row = "".join(f'<td class="part">{cell}</td>' if cell is fill else f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{html.escape(_readable(label))}</th>{row}</tr>')
    return _table("Sounds", SOUNDS, rows)


def _table(title: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in heads)
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    region = f'<div class="wide" tabindex="0" role="region" aria-label="{title}">{table}</div>'
    return f'<section class="viewer"><h3>{title}</h3>{region}</section>\n'


def _foot() -> str:
    script = _asset("report.js").replace('from "./', 'from "ainext/')
    return f'</main>\n<script type="module">\n{script}</script>\n</body>\n</html>\n'


def _as_module(name: str) -> str:
    """A module as a data: URL; what it imports from beside it, it finds by the import map."""
    code = _asset(f"{name}.js").replace('from "./', 'from "ainext/')
    return "data:text/javascript;base64," + base64.b64encode(code.encode()).decode("ascii")


def clock(seconds: float) -> str:
    """To the tenth of a second, which is more than segments are right to."""
    return clock_ms(round(seconds, 1))[:-2]


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _asset(name: str) -> str:
    return (files("audioinceptionnext") / "page" / name).read_text(encoding="utf-8")


def _json(data: dict[str, Any]) -> str:
    """JSON that no text in it can end: within a script, only ``</`` and ``<!--`` mean anything."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def _relative(file: Path, folder: Path) -> str:
    """From the page to the recording, as a URL."""
    try:
        return quote(Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix())
    except ValueError:  # on another drive of Windows
        return file.resolve().as_uri()


def _readable(label: str) -> str:
    return label.replace("-", " ").replace("_", " ")
