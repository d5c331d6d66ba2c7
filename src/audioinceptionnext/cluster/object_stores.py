"""Recordings in object stores, through ``pyarrow.fs``: s3://, gs://, abfs://, hdfs://, and file:// to try it with."""

from __future__ import annotations

import shutil
import string
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast
from urllib.parse import quote, unquote, urlsplit

from audioinceptionnext.audio.discover import MEDIA_SUFFIXES
from audioinceptionnext.cluster.ray_cluster import first_line
from audioinceptionnext.cluster.types import Absent, Recording

_BUCKETS = ("s3", "gs", "gcs")  # whose paths begin with the bucket


def find_in_store(uri: str, listed: bool = False) -> Iterator[Recording | Absent]:
    """A recording, or all of those below a prefix: folder by folder, sorted, so that only one folder is held.

    Args:
        uri: options such as ``?region=eu-west-1`` or ``?endpoint_override=host:9000&scheme=http`` are pyarrow's.
        listed: the URI is one of many. Then one that is named like a recording is taken for one without looking: a
            million questions to a store would take longer than a million recordings.
    """
    parts = urlsplit(uri)
    root = f"{parts.scheme}://{parts.netloc}" + ("/" if not parts.netloc else "")
    root += f"?{parts.query}" if parts.query else ""
    path = unquote(parts.path)
    if parts.scheme in _BUCKETS:
        path = parts.netloc.rpartition("@")[2] + path
    elif parts.scheme.startswith("abfs"):
        path = parts.netloc.partition("@")[0] + path
    path = path.rstrip("/") or "/"
    name = shown(parts.scheme, parts.netloc, path)
    if listed and is_media(path):
        yield Recording(name, path, root)
        return
    try:
        yield from _look(root, path, name)
    except (OSError, ValueError) as error:  # no such store, no rights, no network; pyarrow's own are kinds of these
        yield Absent(name, first_line(error))


def _look(root: str, path: str, name: str) -> Iterator[Recording | Absent]:
    from pyarrow.fs import FileSelector, FileType

    store = open_store(root)
    info = store.get_file_info(path)
    if info.type == FileType.File:
        yield Recording(name, path, root, info.size or 0)
        return
    if info.type == FileType.NotFound:
        yield Absent(name, "no such file or folder in this store")
        return
    found = False
    start = name.removesuffix(path)
    folders = [path]
    while folders:
        below = []
        for info in sorted(store.get_file_info(FileSelector(folders.pop())), key=lambda info: info.path):
            if info.base_name.startswith("."):
                continue
            if info.type == FileType.Directory:
                below.append(info.path)
            elif is_media(info.path):
                found = True
                yield Recording(start + info.path, info.path, root, info.size or 0)
        folders += reversed(below)
    if not found:
        yield Absent(name, "no audio or video files below this (looked for .wav, .mp3, .flac, .ogg, .mp4, ...)")


def shown(scheme: str, place: str, path: str) -> str:
    """What results call it: no user name, password or option of the URI, which are nobody's business."""
    if scheme in _BUCKETS:
        return f"{scheme}://{path}"
    if scheme.startswith("abfs"):
        container, _, account = place.partition("@")
        return f"{scheme}://{account}/{path}" if account else f"{scheme}://{container}/{path}"
    return f"{scheme}://{place.rpartition('@')[2]}{path}"


def is_media(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in MEDIA_SUFFIXES


@lru_cache(maxsize=16)
def open_store(root: str) -> Any:
    """The ``pyarrow.fs.FileSystem`` of a root; kept, since opening one may ask the network for its region.

    Raises ``ValueError`` for a URI that pyarrow does not know, ``OSError`` where the store cannot be reached.
    """
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(quote(root, safe=string.punctuation))[0]


def download(recording: Recording, path: Path) -> None:
    """Copies it from its store. Raises ``OSError``."""
    with open_store(recording.root).open_input_stream(recording.path) as source, path.open("wb") as target:
        shutil.copyfileobj(cast(IO[bytes], source), target, 2**20)
