"""Whose result an older file holds, so that a result of another recording is not replaced unasked."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from audioinceptionnext.errors import printable
from audioinceptionnext.results.formats import EXCEL_MARK, excel_text

#: Formats that have no place for the name of the recording.
NAMELESS = ("audacity", "srt")
#: Formats that people correct by hand, so that not even a result of the same recording is replaced unasked.
CORRECTED = (*NAMELESS, "elan", "raven")
_DATE = re.compile(rb'(?<= DATE=")[^"]*')  # of ELAN: when the document was written
# A recording's name and its duration, as the first line of a table has them.
_TITLE = re.compile(r"(.*)  (?:\d+:)?\d+:\d\d\.\d{3}")
_PNG_TITLE = b"tEXtTitle\0"


def named_in(path: Path, format: str) -> str | None:
    """The name of the recording whose result a file holds.

    Args:
        path: of a file that exists.
        format: of the result: a name of `FORMATS`, ``table`` or ``png``.

    Returns:
        The name as it was given; the empty string if the file holds no segment, so that nothing is lost with it; None
        if the file does not say, as those of Audacity and SRT, or is something else, such as a folder.
    """
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        return _READERS[format](content) if content else ""
    except (OSError, ValueError, LookupError, TypeError, csv.Error, ElementTree.ParseError):
        return None


def is_result_of(path: Path, format: str, recording: Path) -> bool | None:
    """Whether a file holds a result of this recording, or of none; None if the file does not say."""
    name = named_in(path, format)
    return None if name is None else name == "" or _same(name, str(recording))


def hold_the_same(one: bytes, other: bytes) -> bool:
    """Whether two files hold the same, whenever they were written."""
    return _DATE.sub(b"", one, 1) == _DATE.sub(b"", other, 1)


def holds_labels(path: Path) -> bool:
    """Whether a file begins like one of Audacity's labels."""
    with path.open("rb") as file:
        return re.match(rb"\d+\.\d+\t\d+\.\d+\t", file.read(64)) is not None


def _same(one: str, other: str) -> bool:
    """Whether two names lead to one file; formats differ in what they put in place of awkward characters."""
    first, second = (os.path.abspath(name) for name in (one, other))  # noqa: PTH100 - links stay as they are
    return printable(" ".join(first.split())) == printable(" ".join(second.split()))


def _json(content: bytes) -> Any:
    return json.loads(content)["file"]


def _text(content: bytes) -> str:
    return content.decode("utf-8").removeprefix(EXCEL_MARK)


def _rows(content: bytes, column: str, **dialect: Any) -> str:
    header, *rows = csv.reader(_text(content).splitlines(keepends=True), **dialect)
    place = header.index(column)
    (name,) = {row[place] for row in rows} or {""}  # a ValueError for a table of several recordings
    plain = name.removeprefix("'")  # before what Excel would take for a formula
    return plain if content.startswith(EXCEL_MARK.encode()) and excel_text(plain) == name else name


def _table(content: bytes) -> str | None:
    title = _TITLE.fullmatch(_text(content).partition("\n")[0].rstrip())
    return title and title[1]


def _elan(content: bytes) -> str:
    root = ElementTree.fromstring(content)
    medium = root.find("HEADER/MEDIA_DESCRIPTOR")
    url = "" if medium is None else medium.attrib["MEDIA_URL"]
    return url.removeprefix("file://") if not re.match(r"file:///[A-Za-z]:", url) else url.removeprefix("file:///")


def _png(content: bytes) -> str:
    at = content.index(_PNG_TITLE)
    length = int.from_bytes(content[at - 4 : at], "big")
    start = at + len(_PNG_TITLE)
    return unquote(content[start : at + 4 + length].decode("ascii"), errors="surrogateescape")


_READERS: dict[str, Callable[[bytes], str | None]] = {
    "json": _json,
    "csv": lambda content: _rows(content, "file"),
    "table": _table,
    "elan": _elan,
    "raven": lambda content: _rows(content, "Begin Path", delimiter="\t", quoting=csv.QUOTE_NONE),
    "png": _png,
}
