"""Where the results of recordings are written, decided before the first recording is recognised."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from audioinceptionnext.errors import ParameterError, printable
from audioinceptionnext.results.provenance import NAMELESS, hold_the_same, holds_labels, is_result_of, named_in

_MAX_BYTES = 255  # of a file's name, on most systems
_HASH_DIGITS = 8


def name_outputs(found: Sequence[tuple[Path, Path]], folder: Path, suffixes: Sequence[str]) -> dict[Path, Path]:
    """A path in ``folder`` for each recording, to which any of the suffixes is appended. No two of them are the same.

    A recording that was found below a folder keeps its subfolders. If two then have the same name, as with ``day1``
    and ``day2`` that both hold ``REC001.wav``, all keep their folders below the one that they have in common. If two
    differ in their suffixes only (``a.wav``, ``a.mp3``), the second keeps its suffix too. What is too long for a file's
    name is shortened, and ends in a hash of the whole.

    Args:
        found: the recordings, each with the folder below which it was found.
        folder: for the results.
        suffixes: of the files of a recording, with the dot.
    """
    inside = {file: file.relative_to(below) for file, below in found}
    if len(inside) > 1 and max(Counter(map(_alike, inside.values())).values()) > 1:
        whole = {file: Path(os.path.abspath(file)) for file in inside}  # noqa: PTH100 - links stay as they are
        common = os.path.commonpath([path.parent for path in whole.values()])
        inside = {file: path.relative_to(common) for file, path in whole.items()}
    recordings = {os.path.realpath(file) for file in inside}
    taken: set[str] = set()
    names = {}
    for file, path in inside.items():
        number = 1
        candidate = path.with_name(path.stem)
        while True:
            place = folder / candidate.with_name(_shortened(candidate.name, max(map(len, suffixes))))
            files = [f"{place}{suffix}" for suffix in suffixes]
            if not taken & set(map(_alike, files)) and not recordings & set(map(os.path.realpath, files)):
                break
            candidate = path if number == 1 else path.with_name(f"{path.name} {number}")
            number += 1
        taken |= set(map(_alike, files))
        names[file] = place
    return names


def _alike(path: str | Path) -> str:
    """The same text for names that some systems cannot tell apart."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _shortened(name: str, room: int) -> str:
    """The name, cut if it and ``room`` more bytes are too long, with a hash that keeps it apart from others."""
    content = os.fsencode(name)
    if len(content) + room <= _MAX_BYTES:
        return name
    start = content[: _MAX_BYTES - room - _HASH_DIGITS - 1].decode("utf-8", "ignore")
    return f"{start}~{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}"


def check_not_replaced(names: Mapping[Path, Path], formats: Mapping[str, str], parameter: str) -> None:
    """Check that no older file is replaced but results of the same recordings.

    Files in formats that do not say whose they are cannot be checked; see `kept_apart`.

    Args:
        names: what `name_outputs` gave.
        formats: the format of the result by suffix; see `named_in`.
        parameter: that gave the folder, for errors.

    Raises:
        ParameterError: a file is another recording's result, or something else.
    """
    for recording, place in names.items():
        for suffix, format in formats.items():
            older = Path(f"{place}{suffix}")
            if format in NAMELESS or not older.is_file() or is_result_of(older, format, recording):
                continue
            other = named_in(older, format)
            if other is not None:
                what = f"is the result of {printable(other)}, and that of"
            elif format == "table" and holds_labels(older):
                what = "holds Audacity labels, not a table, and the result of"
            else:
                what = "is something else, and the result of"
            would = f"{printable(older)} {what} {printable(recording)} would replace it"
            raise ParameterError(parameter, None, f"{would}; give --overwrite to allow it, or another folder")


def kept_apart(place: Path, suffix: str, content: bytes) -> Path:
    """Where to write a file so that no older one is lost: ``place``, or the next number before its suffix.

    An older file is replaced only if it is empty or holds the same. So a command that is run twice writes one file.
    """
    start = place.name.removesuffix(suffix)
    for number in count(2):
        older = place if number == 2 else place.with_name(f"{start} {number - 1}{suffix}")
        try:
            found = older.read_bytes()
        except FileNotFoundError:
            return older
        if not found or hold_the_same(found, content):
            return older
    raise AssertionError
