"""Recordings that were joined byte by byte, of which FFmpeg decodes only one, without an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO

_MOST_BOXES = 20_000  # of an MP4 file are looked at: an hour in fragments of a second has 7,200
_WINDOW = 2**22  # bytes after the last packet, in which there may be an index or tags
# How a file of each format begins.
_HEADS = {
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09"),
    "asf": re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa\0\x62\xce\x6c"),
    "tta": re.compile(rb"TTA1[\x01-\x03]\0"),
    "ape": re.compile(rb"MAC [\x80-\xff][\x0c-\x0f]"),
}


def second_recording(path: Path, name: str, end: int) -> int | None:
    """Where in a file another recording begins; None if there is none, or FFmpeg goes on with it.

    Args:
        name: of the format, FFmpeg's.
        end: where the last packet that FFmpeg gave ends, in bytes.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if name.startswith("mov"):
            return _second_movie(file, path.stat().st_size)
        if name not in _HEADS:
            return None
        file.seek(end)
        found = _HEADS[name].search(file.read(_WINDOW))
        return end + found.start() if found else None


def _second_movie(file: BinaryIO, length: int) -> int | None:
    """Where the second box begins of those that an MP4 or QuickTime file has once."""
    at, seen = 0, set()
    for _ in range(_MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        if kind in (b"ftyp", b"moov"):
            if kind in seen:
                return at
            seen.add(kind)
        at += size
        if size < 8 or at + 8 > length:
            break
    return None
