"""Finds the media files behind the paths, folders and patterns that a user gives."""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_AUDIO = "wav wave w64 rf64 flac mp3 mp2 ogg oga opus spx m4a m4b aac ac3 eac3 aif aiff aifc au caf wma wv ape tta amr"
_VIDEO = "mp4 m4v mov mkv mka webm avi mpg mpeg ts mts m2ts flv wmv asf 3gp 3g2 ogv vob mxf"
#: The suffixes of media files, in lower case. A folder is searched for these; a file that is named may have any suffix.
MEDIA_SUFFIXES: frozenset[str] = frozenset(f".{name}" for name in f"{_AUDIO} {_VIDEO}".split())


@dataclass(frozen=True)
class MissingPath:
    """A path that led to no file. It takes the place of its files in the list.

    Attributes:
        path: as it was given; a URL is no `Path`, which would shorten its two slashes to one.
        reason: why there is no file, in one line.
    """

    path: Path | str
    reason: str


def find_media(paths: Iterable[str | Path]) -> list[Path | MissingPath]:
    """List the files that paths, folders and glob patterns stand for.

    Folders are searched with their subfolders, and their files are sorted; hidden files and folders are skipped. Links
    to folders are followed as by `walk`. In patterns, ``**`` matches any number of folders. An existing file or folder
    is never read as a pattern.

    Returns:
        The files in the order given, each once. A path that leads to no file becomes a `MissingPath` in its place.

    >>> find_media(["talks", "dinner.mp4", "gone.wav"])
    [PosixPath('talks/monday.mp3'), PosixPath('dinner.mp4'), MissingPath(...)]
    """
    return [item for item, _ in find_media_below(paths)]


def find_media_below(paths: Iterable[str | Path]) -> list[tuple[Path | MissingPath, Path]]:
    """What `find_media` lists, each with the folder below which it was found: the one that was given, or its own.

    >>> find_media_below(["talks", "films/dinner.mp4"])
    [(PosixPath('talks/may/monday.mp3'), PosixPath('talks')), (PosixPath('films/dinner.mp4'), PosixPath('films'))]
    """
    found: list[tuple[Path | MissingPath, Path]] = []
    seen: set[Path] = set()
    for path in paths:
        for item in _expand(path):
            below = Path(path)
            if isinstance(item, Path):
                absolute = Path(os.path.abspath(item))  # noqa: PTH100 - resolve() would merge what links name apart
                if absolute in seen:
                    continue
                seen.add(absolute)
                below = below if below.is_dir() else item.parent
            found.append((item, below))
    return found


def walk(folder: Path, onerror: Callable[[OSError], object] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder at and below ``folder`` with the names of its files. Hidden files and folders are left out.

    Links to folders are followed, after all folders that are no links. A folder is searched once, whatever leads to
    it, so that a link to a folder above it is no loop, and no recording comes twice by way of a link.

    Args:
        onerror: called with the error for each folder that cannot be read.
    """
    waiting = deque([folder])
    seen: set[tuple[int, int]] = set()

    def is_new(path: Path | str) -> bool:
        try:
            status = os.stat(path)  # noqa: PTH116 - for names and paths alike
        except OSError:  # a broken link, or permission denied: `os.walk` tells
            return True
        identity = status.st_dev, status.st_ino
        return not (identity in seen or seen.add(identity))  # type: ignore[func-returns-value]

    while waiting:
        if not is_new(waiting[0]):
            waiting.popleft()
            continue
        for parent, folders, names in os.walk(waiting.popleft(), onerror=onerror):
            yield Path(parent), [name for name in names if not name.startswith(".")]
            below = {name: os.path.join(parent, name) for name in sorted(folders) if not name.startswith(".")}  # noqa: PTH118
            links = [name for name, path in below.items() if os.path.islink(path)]  # noqa: PTH114
            waiting += [Path(below[name]) for name in links]
            folders[:] = [name for name in below if name not in links and is_new(below[name])]


def _expand(given: str | Path) -> Iterator[Path | MissingPath]:
    if isinstance(given, str) and "://" in given and not Path(given).exists():
        yield MissingPath(given, "a URL; download the recording first (only listen and batch read from a network)")
        return
    path = Path(given)
    try:
        if path.is_dir():
            yield from _search(path)
        elif path.exists():
            yield path
        elif glob.has_magic(str(given)):
            matches = sorted(glob.glob(str(given), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            files = [file for match in matches for file in _files(Path(match))]
            # "*" and "**" match notes and lists too. A pattern means media only, as a folder does, unless it matches
            # none (data_*.bin).
            media = [file for file in files if file.suffix.lower() in MEDIA_SUFFIXES]
            if not files:
                yield MissingPath(path, "no file matches this pattern")
            yield from media or files
        else:
            reason = "no such file or folder; stdin is /dev/stdin" if str(given) == "-" else "no such file or folder"
            yield MissingPath(path, "a broken link" if path.is_symlink() else reason)
    except (OSError, ValueError) as error:  # no permission, a name too long, a null character
        yield MissingPath(path, getattr(error, "strerror", None) or str(error))


def _files(match: Path) -> list[Path]:
    return [item for item in _search(match) if isinstance(item, Path)] if match.is_dir() else [match]


def _search(folder: Path) -> Iterator[Path | MissingPath]:
    problems: list[OSError] = []
    files: list[Path] = []
    for parent, names in walk(folder, problems.append):
        files += [parent / name for name in names if Path(name).suffix.lower() in MEDIA_SUFFIXES]
    yield from sorted(files)
    for problem in problems:
        yield MissingPath(Path(problem.filename or folder), problem.strerror or "cannot be read")
    if not files and not problems:
        reason = "no audio or video files in this folder (looked for .wav, .mp3, .flac, .ogg, .mp4, ...)"
        yield MissingPath(folder, reason)
