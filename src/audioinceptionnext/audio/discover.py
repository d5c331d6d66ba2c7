"""From what the user typed (files, folders, patterns) to a list of files."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_AUDIO = "wav wave w64 rf64 flac mp3 mp2 ogg oga opus spx m4a m4b aac ac3 eac3 aif aiff aifc au caf wma wv ape tta amr"
_VIDEO = "mp4 m4v mov mkv mka webm avi mpg mpeg ts mts m2ts flv wmv asf 3gp 3g2 ogv vob mxf"
#: The suffixes that a folder is searched for, lower case. A file that is named is tried whatever its suffix.
MEDIA_SUFFIXES: frozenset[str] = frozenset(f".{name}" for name in f"{_AUDIO} {_VIDEO}".split())


@dataclass(frozen=True)
class Missing:
    """A path that gave no file; it stands where its files would have stood."""

    path: Path
    reason: str  # one line


def find_media(paths: Iterable[str | Path]) -> list[Path | Missing]:
    """Expand files, folders (searched below, hidden names skipped, sorted) and glob patterns (with **).

    An existing file or folder is never read as a pattern. The order is kept, a file found twice comes once. What gives
    no file becomes a Missing in its place.
    """
    found: list[Path | Missing] = []
    seen: set[Path] = set()
    for path in paths:
        for item in _expand(path):
            if isinstance(item, Path):
                absolute = Path(os.path.abspath(item))  # noqa: PTH100 - resolve() would merge what links name apart
                if absolute in seen:
                    continue
                seen.add(absolute)
            found.append(item)
    return found


def _expand(given: str | Path) -> Iterator[Path | Missing]:
    path = Path(given)
    try:
        if path.is_dir():
            yield from _search(path)
        elif path.exists():
            yield path
        elif glob.has_magic(str(given)):
            matches = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            files = [found for match in matches for found in _below(Path(match))]
            # "*" or "**" also names notes and lists: from a pattern, as from a folder, only media are meant, unless
            # there are none (data_*.bin).
            media = [file for file in files if file.suffix.lower() in MEDIA_SUFFIXES]
            if not files:
                yield Missing(path, "no file matches this pattern")
            yield from media or files
        else:
            yield Missing(path, "broken link" if path.is_symlink() else "no such file or folder")
    except (OSError, ValueError) as error:  # no permission, a name too long, a null character
        yield Missing(path, getattr(error, "strerror", None) or str(error))


def _below(match: Path) -> list[Path]:
    return [item for item in _search(match) if isinstance(item, Path)] if match.is_dir() else [match]


def _search(folder: Path) -> Iterator[Path | Missing]:
    problems: list[OSError] = []
    files: list[Path] = []
    for parent, folders, names in os.walk(folder, onerror=problems.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [
            Path(parent, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in MEDIA_SUFFIXES
        ]
    yield from sorted(files)
    for problem in problems:
        yield Missing(Path(problem.filename or folder), problem.strerror or "cannot be read")
    if not files and not problems:
        yield Missing(folder, "no audio or video files in this folder (looked for .wav, .mp3, .flac, .ogg, .mp4, ...)")
