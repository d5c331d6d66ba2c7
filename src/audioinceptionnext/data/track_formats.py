"""Label tracks of Audacity, Raven and ELAN, which people draw or correct by hand, as segments with times.

`results.formats` writes the same three formats. What cannot be read becomes a problem, stated in one line.
"""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from audioinceptionnext.data.table import BadRow, composed
from audioinceptionnext.errors import FileError, printable

#: The suffixes of label tracks, the longest first.
SUFFIXES = (".selections.txt", ".txt", ".eaf")
_BEGIN, _END, _OFFSET, _FILE = "Begin Time (s)", "End Time (s)", "File Offset (s)", "Begin File"
# Where people write the label: Raven's own name for it, then those of other programs that write its tables.
_RAVEN_LABELS = ("annotation", "label", "class", "species", "common name")


@dataclass
class Track:
    """What a label track says of a recording.

    Attributes:
        segments: start and end in seconds from the recording's start, and label.
        problems: what is wrong with each line that cannot be used.
    """

    segments: list[tuple[float, float, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, place: str, start: object, end: object, label: str | None) -> None:
        """Add a segment, or a problem if it cannot be one; ``place`` says where in the file it is."""
        try:
            self.segments.append(_segment(start, end, label))
        except BadRow as bad:
            self.problems.append(f"{place}: {bad}")


def read_track(path: Path, recording: str) -> Track:
    """Read a label track. Its format is known by its suffix and, of text, by its first line.

    Args:
        path: of a file with one of `SUFFIXES`.
        recording: the name of the recording's file. A table of Raven may have rows of other recordings, which are
            problems here.

    Raises:
        FileError: the file cannot be read, is no text in UTF-8 or UTF-16, or is no label track.

    >>> read_track(Path("dinner.txt"), "dinner.wav").segments
    [(0.0, 5.36, 'water-flowing'), (7.2, 8.96, 'chopping')]
    """
    if path.suffix.lower() == ".eaf":
        return _elan(path)
    lines = re.split("\r\n|\r|\n", _text(path))  # `splitlines` also splits at U+0085 and U+2028, inside a label
    if _BEGIN in lines[0].split("\t"):
        return _raven(path, lines, recording)
    if path.name.lower().endswith(SUFFIXES[0]) and any(lines):
        raise FileError(path, f"not a selection table of Raven: it has no column {_BEGIN!r}")
    return _audacity(path, lines)


def _audacity(path: Path, lines: list[str]) -> Track:
    """Lines of start, end and label with tabs. A line that begins with a backslash states a range of frequencies."""
    track = Track()
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("\\"):
            start, end, label = (*line.split("\t", 2), "", "")[:3]
            track.add(f"line {number}", start, end, label)
    if track.problems and not track.segments and not any("\t" in line for line in lines):
        raise FileError(path, "not a label track of Audacity: no line has a start, an end and a label, with tabs")
    return track


def _raven(path: Path, lines: list[str], recording: str) -> Track:
    """A selection table. A selection that is shown in two views has a row for each, and counts once."""
    header = lines[0].split("\t")
    names = {name.lower(): name for name in reversed(header)}
    column = next((names[name] for name in _RAVEN_LABELS if name in names), None)
    if column is None or _END not in header:
        missing = f"{_END!r}" if column else "'Annotation' that holds the labels"
        raise FileError(path, f"a selection table without a column {missing}")
    track = Track()
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        row = dict(zip(header, line.split("\t"), strict=False))
        own = row.get(_FILE) or recording
        if composed(own).casefold() != composed(recording).casefold():
            track.problems.append(f"line {number}: a selection of {printable(own)}")
            continue
        begin, end, offset = (row.get(name) or "" for name in (_BEGIN, _END, _OFFSET))
        if offset:  # from the start of the recording, where Begin Time may count from that of the first one
            try:
                begin, end = offset, str(_number(offset) + _number(end) - _number(begin))
            except BadRow as bad:
                track.problems.append(f"line {number}: {bad}")
                continue
        track.add(f"line {number}", begin, end, row.get(column))
    track.segments = list(dict.fromkeys(track.segments))
    return track


def _elan(path: Path) -> Track:
    """All annotations with times of their own; their values are the labels, or else the names of their tiers."""
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise FileError(path, f"not a document of ELAN: {error}") from None
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise FileError(path, f"not a document of ELAN: it begins with {printable(root.tag)}")
    milliseconds = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    track = Track()
    for tier in root.iter("TIER"):
        for one in tier.iter("ALIGNABLE_ANNOTATION"):
            label = (one.findtext("ANNOTATION_VALUE") or "").strip() or tier.get("TIER_ID")
            begin, end = (milliseconds.get(one.get(f"TIME_SLOT_REF{edge}")) for edge in (1, 2))
            place = f"annotation {one.get('ANNOTATION_ID')} of tier {printable(tier.get('TIER_ID') or '')}"
            try:
                start, stop = (_number(time or "") / 1000 for time in (begin, end))
            except BadRow as bad:
                track.problems.append(f"{place}: {bad}")
                continue
            track.add(place, start, stop, label)
    return track


def _segment(start: object, end: object, label: str | None) -> tuple[float, float, str]:
    first, last = _number(start), _number(end)
    if first < 0:
        raise BadRow(f"starts at {first:g} s, before the recording")
    if last < first:
        raise BadRow(f"ends at {last:g} s, but starts at {first:g} s")
    if last == first:
        raise BadRow(f"a point at {first:g} s; draw it from where the sound starts to where it ends")
    if not (name := composed(" ".join((label or "").split()))):
        raise BadRow("no label")
    return first, last, name


def _number(value: object) -> float:
    """A time in seconds. Some programs write it with a comma where the system's language has one."""
    text = str(value).strip().replace(",", ".")
    try:
        number = math.nan if "_" in text else float(text)  # for which 1_0 is 10
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadRow(f"{printable(str(value).strip()[:40])!r} is no time in seconds")
    return number


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from None
    if "\0" in text:  # so is UTF-16 that does not say so with a byte order mark
        raise FileError(path, "not text in UTF-8 or UTF-16; save it in one of these")
    return text
