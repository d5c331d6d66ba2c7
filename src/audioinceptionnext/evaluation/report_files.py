"""The files of a report, what is written into them, and how they replace those of an older one."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.data import Clip
from audioinceptionnext.data.flac import flac
from audioinceptionnext.errors import AinextError, writing

AUDIO_FOLDER = "mistakes"
MAX_MISTAKES = 50  # on the page of mistakes, each with its audio
MAX_AUDIO_SECONDS = 30.0  # of each mistake
FILES = (
    *("index.html", "mistakes.html", "metrics.json", "per_class.csv", "predictions.csv"),
    *("confusion.png", "reliability.png", "learning.png"),
    *("per_label.csv", "events.csv", "errors.png", "psds.png"),  # of timelines
)

ReadClip = Callable[[Clip], tuple[np.ndarray, int]]


class StagedFiles:
    """The files of a report in the making. They lie in ``temporary`` until `publish` moves them into ``folder``."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder, self.temporary = folder, temporary
        with writing(folder / AUDIO_FOLDER):
            (temporary / AUDIO_FOLDER).mkdir()

    def write_text(self, name: str, content: str) -> None:
        with writing(self.folder / name):
            # Names of files that are not valid UTF-8 are in the text as surrogates.
            (self.temporary / name).write_text(content, encoding="utf-8", errors="backslashreplace", newline="")

    def write_bytes(self, name: str, content: bytes) -> None:
        with writing(self.folder / name):
            (self.temporary / name).write_bytes(content)

    def publish(self) -> None:
        """Move the new files into place, the pages last, and remove what only the older report had."""
        audio = self.folder / AUDIO_FOLDER
        with writing(audio):
            audio.mkdir(exist_ok=True)
        old = _files_of(self.folder)
        new = [path for path in self.temporary.rglob("*") if path.is_file()]
        for path in sorted(new, key=lambda path: path.suffix == ".html"):
            target = self.folder / path.relative_to(self.temporary)
            with writing(target):
                path.replace(target)
            old.discard(target)
        for path in old:
            with writing(path):
                path.unlink(missing_ok=True)


def _files_of(folder: Path) -> set[Path]:
    """The files of a report in this folder, whether they are there or not."""
    sounds = (path for path in folder.glob(f"{AUDIO_FOLDER}/*.flac") if re.fullmatch(r"\d+\.flac", path.name))
    return {*sounds, *(folder / name for name in FILES)}


def remove_report(folder: Path) -> None:
    """Remove the files of a report and of those of its tasks, and their folders if nothing else is in them.

    Raises:
        FileError: one of them cannot be removed.
    """
    parts = [path.parent for path in folder.glob("*/predictions.csv")]
    for path in (path for part in (*parts, folder) for path in _files_of(part)):
        with writing(path):
            path.unlink(missing_ok=True)
    for place in (place for part in (*parts, folder) for place in (part / AUDIO_FOLDER, part)):
        with suppress(OSError):  # it is not there, or holds other files
            place.rmdir()


def json_text(document: Mapping[str, Any]) -> str:
    """The document as JSON, with numbers rounded, and lists of numbers on one line."""
    text = json.dumps(_plain(document), ensure_ascii=False, indent=2)
    # In JSON, a line break after "[" is never part of a string.
    return re.sub(r"\[\n\s+([-\d.e,\s]+?)\n\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: rounded, with Python's numbers for numpy's, and None for NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def csv_text(fields: Sequence[str], rows: Any) -> str:
    """A table as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)  # RFC 4180 with CRLF, so that a bare "\r" in a label is quoted too
    writer.writerow(fields)
    writer.writerows(rows)
    return text.getvalue()


def cell(value: Any) -> Any:
    """A value of a table: numbers with two decimals, and nothing for None."""
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else value


def write_audio(staged: StagedFiles, name: str, clip: Clip, read: ReadClip | None) -> tuple[str | None, str]:
    """Write the audio of a clip. Returns its file name, or None and the reason why there is no audio."""
    if read is None:
        return None, ""
    try:
        samples, rate = read(clip)
    except AinextError as error:
        return None, str(error)
    if not len(samples):
        return None, "no sound"
    staged.write_bytes(name, flac(samples[: round(MAX_AUDIO_SECONDS * rate)], rate))
    return name, ""
