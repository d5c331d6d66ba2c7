"""The files of a report, and how they replace those of an older one."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from audioinceptionnext.errors import writing

AUDIO_FOLDER = "mistakes"
FILES = (
    *("index.html", "mistakes.html", "metrics.json", "per_class.csv", "predictions.csv"),
    *("confusion.png", "reliability.png", "learning.png"),
)


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
