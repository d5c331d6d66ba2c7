"""Where the results of recordings are written, decided before the first recording is recognised."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from itertools import count
from pathlib import Path

from audioinceptionnext.errors import ParameterError, printable, writing
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
    recordings = set(map(_place, inside))
    taken = {_place(folder / parent) for path in inside.values() for parent in path.parents}  # by folders of results
    names = {}
    for file, path in inside.items():
        number = 1
        candidate = path.with_name(path.stem)
        while True:
            place = folder / candidate.with_name(_shortened(candidate.name, max(map(len, suffixes))))
            files = {_place(f"{place}{suffix}") for suffix in suffixes}
            if not files & taken and not files & recordings:
                break
            candidate = path if number == 1 else path.with_name(f"{path.name} {number}")
            number += 1
        taken |= files
        names[file] = place
    return names


def _alike(path: str | Path) -> str:
    """The same text for names that some systems cannot tell apart."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def _place(path: str | Path) -> str:
    """The same text for paths that lead to one file, on some systems at least."""
    return _alike(os.path.realpath(path))


def _shortened(name: str, room: int) -> str:
    """The name, cut if it and ``room`` more bytes are too long, with a hash that keeps it apart from others."""
    content = os.fsencode(name)
    if len(content) + room <= _MAX_BYTES:
        return name
    start = content[: _MAX_BYTES - room - _HASH_DIGITS - 1].decode("utf-8", "ignore")
    return f"{start}~{hashlib.sha256(content).hexdigest()[:_HASH_DIGITS]}"


def check_not_replaced(
    names: Mapping[Path, Path], formats: Mapping[str, str], parameter: str, instead: str = "folder"
) -> None:
    """Check that no older file is replaced but results of the same recordings.

    Files in formats that do not say whose they are cannot be checked; see `kept_apart`.

    Args:
        names: what `name_outputs` gave.
        formats: the format of the result by suffix; see `named_in`.
        parameter: that gave the folder, for errors.
        instead: what else can be given there.

    Raises:
        ParameterError: a file is another recording's result, or something else.
    """
    for recording, place in names.items():
        for suffix, format in formats.items():
            older = Path(f"{place}{suffix}")
            if format in NAMELESS or not older.exists() or is_result_of(older, format, recording):
                continue
            other = named_in(older, format)
            if other is not None:
                what = f"is the result of {printable(other)}, and that of"
            elif format == "table" and holds_labels(older):
                what = "holds Audacity labels, not a table, and the result of"
            else:
                what = "is something else, and the result of"
            would = f"{printable(older)} {what} {printable(recording)} would replace it"
            raise ParameterError(parameter, None, f"{would}; give --overwrite to allow it, or another {instead}")


def files_in_use(names: Mapping[Path, Path], suffixes: Sequence[str]) -> dict[str, str]:
    """What each of the files is that will be written, by its place, for `check_tables` and `kept_apart`.

    Args:
        names: what `name_outputs` gave.
        suffixes: as for that.
    """
    results = {_place(f"{place}{suffix}"): recording for recording, place in names.items() for suffix in suffixes}
    return {place: f"the result of {printable(recording)}" for place, recording in results.items()}


def check_tables(tables: Mapping[str, Path | None], in_use: Mapping[str, str]) -> None:
    """Check that no table of all recordings takes a file of another purpose.

    Args:
        tables: by the parameters that gave them.
        in_use: the other files, from `files_in_use`.

    Raises:
        ParameterError: one does.
    """
    in_use = dict(in_use)
    for parameter, path in tables.items():
        if path is not None:
            if other := in_use.get(_place(path)):
                raise ParameterError(parameter, path, f"this is {other}; give another one")
            in_use[_place(path)] = f"the file of --{parameter}"


def kept_apart(place: Path, suffix: str, content: bytes, in_use: Container[str]) -> Path:
    """Where to write a file so that no older one is lost: ``place``, or the next number before its suffix.

    An older file is replaced only if it is empty or holds the same. So a command that is run twice writes one file.
    Numbers whose files are ``in_use``, from `files_in_use`, are left out.

    Raises:
        FileError: the folder cannot be read.
    """
    start = place.name.removesuffix(suffix)
    with writing(place):
        if _is_free(place, content):
            return place
        for number in count(2):
            other = place.with_name(_shortened(f"{start} {number}", len(suffix)) + suffix)
            if _place(other) not in in_use and _is_free(other, content):
                return other
    raise AssertionError


def _is_free(path: Path, content: bytes) -> bool:
    if not path.exists():
        return True
    return path.is_file() and (not (found := path.read_bytes()) or hold_the_same(found, content))
