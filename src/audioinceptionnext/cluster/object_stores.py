"""Recordings in object stores, through ``pyarrow.fs``: s3://, gs://, abfs://, hdfs://, and file:// for trials."""

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
from audioinceptionnext.cluster.types import MissingRecording, Recording

_BUCKET_SCHEMES = ("s3", "gs", "gcs")  # their paths begin with the bucket


def find_in_store(uri: str, listed: bool = False) -> Iterator[Recording | MissingRecording]:
    """Yield the recording that a URI names, or all recordings below it: folder by folder, each sorted.

    Only one folder is held in memory.

    Args:
        uri: may end in pyarrow's options: ``?region=eu-west-1``, ``?endpoint_override=host:9000&scheme=http``.
        listed: the URI is one of many in a list. If its name looks like a recording's, it is taken for one without
            asking the store, since a million requests would take longer than a million recordings.
    """
    parts = urlsplit(uri)
    root = f"{parts.scheme}://{parts.netloc}" + ("/" if not parts.netloc else "")
    root += f"?{parts.query}" if parts.query else ""
    path = unquote(parts.path)
    if parts.scheme in _BUCKET_SCHEMES:
        path = parts.netloc.rpartition("@")[2] + path
    elif parts.scheme.startswith("abfs"):
        path = parts.netloc.partition("@")[0] + path
    path = path.rstrip("/") or "/"
    name = display_name(parts.scheme, parts.netloc, path)
    if listed and is_media(path):
        yield Recording(name, path, root)
        return
    try:
        yield from _search(root, path, name)
    except (OSError, ValueError) as error:  # no such store, no rights, no network; pyarrow's errors derive from these
        yield MissingRecording(name, first_line(error))


def _search(root: str, path: str, name: str) -> Iterator[Recording | MissingRecording]:
    from pyarrow.fs import FileSelector, FileType

    store = open_store(root)
    info = store.get_file_info(path)
    if info.type == FileType.File:
        yield Recording(name, path, root, info.size or 0)
        return
    if info.type == FileType.NotFound:
        yield MissingRecording(name, "no such file or folder in this store")
        return
    found = False
    prefix = name.removesuffix(path)
    folders = [path]
    while folders:
        subfolders = []
        for info in sorted(store.get_file_info(FileSelector(folders.pop())), key=lambda info: info.path):
            if info.base_name.startswith("."):
                continue
            if info.type == FileType.Directory:
                subfolders.append(info.path)
            elif is_media(info.path):
                found = True
                yield Recording(prefix + info.path, info.path, root, info.size or 0)
        folders += reversed(subfolders)
    if not found:
        reason = "no audio or video files below this (looked for .wav, .mp3, .flac, .ogg, .mp4, ...)"
        yield MissingRecording(name, reason)


def display_name(scheme: str, netloc: str, path: str) -> str:
    """The URI in results, which must not show the user name, the password or the options of the store.

    >>> display_name("s3", "key:secret@bucket", "bucket/2024/a.wav")
    's3://bucket/2024/a.wav'
    """
    if scheme in _BUCKET_SCHEMES:
        return f"{scheme}://{path}"
    if scheme.startswith("abfs"):
        container, _, account = netloc.partition("@")
        return f"{scheme}://{account}/{path}" if account else f"{scheme}://{container}/{path}"
    return f"{scheme}://{netloc.rpartition('@')[2]}{path}"


def is_media(path: str) -> bool:
    """Whether the suffix is that of an audio or video file."""
    return PurePosixPath(path).suffix.lower() in MEDIA_SUFFIXES


@lru_cache(maxsize=16)
def open_store(root: str) -> Any:
    """The ``pyarrow.fs.FileSystem`` of a root, cached, since opening one may take a request to find its region.

    Raises:
        ValueError: pyarrow does not know this kind of URI.
        OSError: the store cannot be reached.
    """
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(quote(root, safe=string.punctuation))[0]


def download(recording: Recording, path: Path) -> None:
    """Copy a recording from its store to ``path``.

    Raises:
        OSError, ValueError: the store did not deliver it, or the disk is full.
    """
    with open_store(recording.root).open_input_stream(recording.path) as source, path.open("wb") as target:
        shutil.copyfileobj(cast(IO[bytes], source), target, 2**20)
