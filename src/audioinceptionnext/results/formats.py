"""Results in the formats of other programs: JSON, CSV, Audacity labels, SRT subtitles, ELAN, Raven.

To add a format, write one function ``(RecognitionData, Context) -> str`` and add one line to `FORMATS`. The module
`table` writes one table over many recordings.
"""

from __future__ import annotations

import json
import mimetypes
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePath
from typing import Literal
from xml.etree import ElementTree

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.results.types import RecognitionData, Segment

FormatName = Literal["json", "csv", "audacity", "srt", "elan", "raven"]
#: Excel reads CSV as UTF-8 only if it begins with this character, the byte order mark; pandas and R's readr skip it.
EXCEL_MARK = "\ufeff"
# The characters that XML 1.0 cannot express, not even escaped (Extensible Markup Language 1.0, 2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
_RAVEN = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin File", "Begin Path", "File Offset (s)", "Annotation", "Score"),
)


@dataclass(frozen=True)
class Context:
    """Where the text of one recording will stand.

    Attributes:
        folder: of the file that it will be written to, for formats that state where the recording lies. None if it is
            not known or should not be shown: then the recording is named as in `RecognitionData.file`.
        selections: how many segments of other recordings come before it in the same text.
        seconds: the total duration of those recordings.
    """

    folder: Path | None = None
    selections: int = 0
    seconds: float = 0.0

    def after(self, result: RecognitionData) -> Context:
        """The context of the recording that follows ``result`` in the same text."""
        if not result.segments:  # nothing in the text names it
            return self
        selections, seconds = self.selections + len(result.segments), self.seconds + result.duration
        return replace(self, selections=selections, seconds=seconds)


@dataclass(frozen=True)
class Format:
    """A text format for results.

    Attributes:
        suffix: of its files, with the dot.
        body: makes the text of one recording; every line of it ends with a line end.
        header: comes once, before the bodies.
        task_header: the same for models with several tasks, if it differs.
        name_header: what follows the header if the labels have names in another language.
        between: comes between two bodies.
        single: whether a text can hold one recording only.
    """

    suffix: str
    body: Callable[[RecognitionData, Context], str]
    header: str = ""
    task_header: str = ""
    name_header: str = ""
    between: str = ""
    single: bool = False

    def text(self, *results: RecognitionData, folder: Path | None = None) -> str:
        """The whole text for one or more recordings. `Context` explains ``folder``.

        Raises:
            ParameterError: there are several recordings, and the format holds one only.
        """
        if self.single and len(results) > 1:
            raise ParameterError("format", None, f"a {self.suffix} file holds one recording; write one file for each")
        context, bodies = Context(folder), []
        for result in results:
            bodies.append(self.body(result, context))
            context = context.after(result)
        return self.head(*results) + self.between.join(bodies)

    def head(self, *results: RecognitionData) -> str:
        """What comes before the bodies of these results, which are of one model."""
        text = self.task_header if self.task_header and any(result.tasks for result in results) else self.header
        named = self.name_header and any(result.names for result in results)
        return text.replace("\n", f"{self.name_header}\n") if named else text


def format_time(seconds: float) -> str:
    """Seconds as ``m:ss.mmm``, or ``h:mm:ss.mmm`` from one hour on.

    >>> format_time(65.25)
    '1:05.250'
    """
    hours, minutes, whole, thousandths = _clock_parts(seconds)
    return f"{hours}:{minutes:02}:{whole:02}.{thousandths:03}" if hours else f"{minutes}:{whole:02}.{thousandths:03}"


def _clock_parts(seconds: float) -> tuple[int, int, int, int]:
    """Hours, minutes, seconds and milliseconds. They are rounded once, so that 59.9996 s is a minute, not 60.000 s."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return whole // 3600, whole // 60 % 60, whole % 60, thousandths


def csv_field(text: str, separator: str = ",") -> str:
    """A field of CSV, in quotes where RFC 4180 wants them."""
    # Before Python 3.13, the csv module leaves a lone carriage return unquoted where lines end in "\n".
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in (separator, '"', "\r", "\n")) else text


def excel_text(text: str) -> str:
    """A text that Excel shows and does not compute: what begins like a formula gets an apostrophe in front.

    >>> excel_text("=SUM(A1).wav")
    "'=SUM(A1).wav"
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _one_line(label: str) -> str:
    """The label without tabs and line ends, which separate fields and lines in most of the formats below."""
    return " ".join(label.split())


def _full_path(file: str, folder: Path | None) -> str:
    """The recording's full path, if a folder says that its name is a path."""
    return file if folder is None or not file or "://" in file else os.path.abspath(file)  # noqa: PTH100 - links stay as they are


def _json(result: RecognitionData, context: Context) -> str:
    return json.dumps(result.as_dict(), ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def _csv(result: RecognitionData, context: Context) -> str:
    file = csv_field(result.file)

    def name(label: str) -> str:
        return f",{csv_field(result.names.get(label, label))}" if result.names else ""

    return "".join(
        f"{file},{one.start:.3f},{one.end:.3f},{csv_field(one.label)},{one.score:.4f}"
        f"{f',{csv_field(one.task)}' if one.task else ''}{name(one.label)}\n"
        for one in result.segments
    )


def _audacity(result: RecognitionData, context: Context) -> str:
    return "".join(
        f"{segment.start:.6f}\t{segment.end:.6f}\t{_one_line(segment.label)}\n" for segment in result.segments
    )


def _srt(result: RecognitionData, context: Context) -> str:
    def moment(seconds: float) -> str:
        hours, minutes, whole, thousandths = _clock_parts(seconds)
        return f"{hours:02}:{minutes:02}:{whole:02},{thousandths:03}"

    cues = sorted(result.named().segments, key=lambda segment: (segment.start, segment.end))
    return "\n".join(
        f"{number}\n{moment(cue.start)} --> {moment(cue.end)}\n"
        f"{_one_line(cue.label).replace('-->', '→')} {cue.score:.0%}\n"
        for number, cue in enumerate(cues, start=1)
    )


def _raven(result: RecognitionData, context: Context) -> str:
    """A selection table of Raven: one row per segment, with tabs between its fields.

    The columns have Raven's own names (Raven Pro 1.4 User's Manual, chapter 6); users label in the column Annotation.
    A selection's box reaches up to half the model's sample rate. If a table names several recordings, Raven opens
    them one after another as one sound. So selections are numbered on, Begin Time counts from the start of the first
    recording, and File Offset from the start of the selection's own. A recording without a selection is not in the
    table: Raven does not open it, and its duration does not count.
    """
    path = _one_line(_full_path(result.file, context.folder))
    name, high = _one_line(PurePath(result.file).name), f"{result.sample_rate / 2:.1f}"
    rows = []
    for number, one in enumerate(result.segments, start=context.selections + 1):
        begin, end = (f"{context.seconds + moment:.6f}" for moment in (one.start, one.end))
        place = (str(number), "Spectrogram 1", "1", begin, end, "0.0", high, name, path, f"{one.start:.6f}")
        rows.append("\t".join((*place, _one_line(one.label), f"{one.score:.4f}")) + "\n")
    return "".join(rows)


def _elan(result: RecognitionData, context: Context) -> str:
    """A document of ELAN (EAF 3.0): one tier per label, in the order in which the labels first occur.

    The value of an annotation is the label, ready to be corrected. Scores are left out, since they would be in an
    annotator's way. Times are whole milliseconds, and no annotation is shorter than one.
    """
    # The elements, their attributes and their order: http://www.mpi.nl/tools/elan/EAFv3.0.xsd
    attributes = {"AUTHOR": _xml(f"AudioInceptionNeXt, {result.model}"), "FORMAT": "3.0", "VERSION": "3.0"}
    attributes["DATE"] = datetime.now().astimezone().isoformat(timespec="seconds")
    attributes[_SCHEMA] = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
    root = ElementTree.Element("ANNOTATION_DOCUMENT", attributes)
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if result.file:  # an array has no file
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", _media(result.file, context.folder))
    last = ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(len(result.segments))
    slots = _time_slots(ElementTree.SubElement(root, "TIME_ORDER"), result.segments)
    tiers: dict[str, ElementTree.Element] = {}
    names: set[str] = set()
    for number, segment in enumerate(result.segments):
        value = _xml(_one_line(segment.label)) or "(no name)"
        if segment.label not in tiers:
            names.add(name := _distinct(value, names))
            attributes = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": "sound"}
            tiers[segment.label] = ElementTree.SubElement(root, "TIER", attributes)
        begin, end = slots[number]
        attributes = {"ANNOTATION_ID": f"a{number + 1}", "TIME_SLOT_REF1": begin, "TIME_SLOT_REF2": end}
        annotation = ElementTree.SubElement(tiers[segment.label], "ANNOTATION")
        aligned = ElementTree.SubElement(annotation, "ALIGNABLE_ANNOTATION", attributes)
        ElementTree.SubElement(aligned, "ANNOTATION_VALUE").text = value
    attributes = {"LINGUISTIC_TYPE_ID": "sound", "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", attributes)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _time_slots(order: ElementTree.Element, segments: list[Segment]) -> list[tuple[str, str]]:
    """Add the starts and ends of all segments to ``order``, by time. Returns the names of both for each segment."""
    spans = [(round(one.start * 1000), max(round(one.end * 1000), round(one.start * 1000) + 1)) for one in segments]
    edges = sorted((time, number, edge) for number, span in enumerate(spans) for edge, time in enumerate(span))
    names: dict[tuple[int, int], str] = {}
    for place, (time, number, edge) in enumerate(edges, start=1):
        names[number, edge] = f"ts{place}"
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": f"ts{place}", "TIME_VALUE": str(time)})
    return [(names[number, 0], names[number, 1]) for number in range(len(segments))]


def _media(file: str, folder: Path | None) -> dict[str, str]:
    """Where ELAN looks for the recording: at its full path, then relative to the document. Spaces stay as they are."""
    guess = mimetypes.guess_type(PurePath(file).name)[0]
    mime_type = "audio/x-wav" if file.lower().endswith(".wav") else guess or "unknown"  # ELAN's names
    if "://" in file:
        return {"MEDIA_URL": _xml(file), "MIME_TYPE": mime_type}
    path = _full_path(file, folder)
    relative = path
    if folder is not None:
        try:
            relative = os.path.relpath(path, folder)
        except ValueError:  # another drive of Windows
            relative = PurePath(path).name
    elif PurePath(path).is_absolute():
        relative = PurePath(path).name
    relative = PurePath(relative).as_posix()
    relative = relative if relative.startswith("../") else f"./{relative}"
    full = f"file:///{PurePath(path).as_posix().lstrip('/')}" if PurePath(path).is_absolute() else relative
    return {"MEDIA_URL": _xml(full), "MIME_TYPE": mime_type, "RELATIVE_MEDIA_URL": _xml(relative)}


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _distinct(name: str, taken: set[str]) -> str:
    """The name, with a number after it if another label has the same name already."""
    number = 1
    distinct = name
    while distinct in taken:
        number += 1
        distinct = f"{name} ({number})"
    return distinct


FORMATS: dict[str, Format] = {
    "json": Format(".json", _json),  # one object; for several recordings, the command line makes a list
    "csv": Format(
        ".csv",
        _csv,
        header="file,start,end,label,score\n",
        task_header="file,start,end,label,score,task\n",
        name_header=",name",
    ),
    "audacity": Format(".txt", _audacity),
    "srt": Format(".srt", _srt, between="\n"),  # an empty line ends a subtitle
    "elan": Format(".eaf", _elan, single=True),
    "raven": Format(".selections.txt", _raven, header="\t".join(_RAVEN) + "\n"),
}
