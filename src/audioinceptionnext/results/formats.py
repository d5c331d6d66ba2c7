"""What was heard in the formats of other programs: JSON, CSV, Audacity labels, SRT subtitles, ELAN, Raven.

A new output format is one function ``(RecognitionData, Context) -> str`` and one line in `FORMATS`. One table over many
recordings, also as Parquet: `combined`.
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
from xml.etree import ElementTree

from audioinceptionnext.errors import AinextError
from audioinceptionnext.results.types import RecognitionData, Segment

# All that XML 1.0 has no way to write, not even escaped (Extensible Markup Language 1.0, 2.2).
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SCHEMA = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
_RAVEN = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)"),
    *("Begin File", "Begin Path", "File Offset (s)", "Annotation", "Score"),
)


@dataclass(frozen=True)
class Context:
    """Where one recording's lines go.

    Attributes:
        folder: of the file that they are written to, for formats that say where the recording lies. None if it is not
            known, or nobody's business: then a recording is named as it is in `Recognition.file`.
        selections, seconds: the segments that stand before them in the same text, and the length of the recordings
            that those are of.
    """

    folder: Path | None = None
    selections: int = 0
    seconds: float = 0.0

    def after(self, heard: RecognitionData) -> Context:
        """For the recording that comes next in the same text."""
        if not heard.segments:  # nothing in the text names it
            return self
        return replace(self, selections=self.selections + len(heard.segments), seconds=self.seconds + heard.duration)


@dataclass(frozen=True)
class Format:
    """A way to write what was heard."""

    suffix: str  # of its files, with the dot
    body: Callable[[RecognitionData, Context], str]  # one recording's lines, the last one ended
    header: str = ""  # what comes once before the bodies of one or many recordings
    between: str = ""  # what comes between two of them
    single: bool = False  # one text holds one recording

    def text(self, *recognitions: RecognitionData, folder: Path | None = None) -> str:
        """The whole text for one or more recordings. ``folder``: see `Context`.

        Raises AinextError for several recordings where the format has room for one.
        """
        if self.single and len(recognitions) > 1:
            raise AinextError(f"a {self.suffix} file holds one recording: write one for each")
        context, bodies = Context(folder), []
        for heard in recognitions:
            bodies.append(self.body(heard, context))
            context = context.after(heard)
        return self.header + self.between.join(bodies)


def clock(seconds: float) -> str:
    """65.25 -> "1:05.250"; from an hour on "1:00:00.000"."""
    hours, minutes, whole, thousandths = _clock_parts(seconds)
    return f"{hours}:{minutes:02}:{whole:02}.{thousandths:03}" if hours else f"{minutes}:{whole:02}.{thousandths:03}"


def _clock_parts(seconds: float) -> tuple[int, int, int, int]:
    """Hours, minutes, seconds and milliseconds, rounded once, so that 59.9996 s is a minute and not 60.000 s."""
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return whole // 3600, whole // 60 % 60, whole % 60, thousandths


def quoted(text: str, separator: str = ",") -> str:
    """A field of CSV, in quotes where it has to be (RFC 4180)."""
    # By hand: before Python 3.13 the csv module leaves a lone carriage return unquoted where lines end in "\n".
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in (separator, '"', "\r", "\n")) else text


def _one_line(label: str) -> str:
    """The label without tabs and line ends, which separate fields and lines in most of the formats below."""
    return " ".join(label.split())


def _located(file: str, folder: Path | None) -> str:
    """The recording's full path, where the caller says that its name is one."""
    return file if folder is None or not file or "://" in file else os.path.abspath(file)  # noqa: PTH100 - links stay as they are


def _json(heard: RecognitionData, context: Context) -> str:
    return json.dumps(heard.as_dict(), ensure_ascii=False, indent=2) + "\n"


def _csv(heard: RecognitionData, context: Context) -> str:
    file = quoted(heard.file)
    return "".join(
        f"{file},{segment.start:.3f},{segment.end:.3f},{quoted(segment.label)},{segment.score:.4f}\n"
        for segment in heard.segments
    )


def _audacity(heard: RecognitionData, context: Context) -> str:
    return "".join(
        f"{segment.start:.6f}\t{segment.end:.6f}\t{_one_line(segment.label)}\n" for segment in heard.segments
    )


def _srt(heard: RecognitionData, context: Context) -> str:
    def moment(seconds: float) -> str:
        hours, minutes, whole, thousandths = _clock_parts(seconds)
        return f"{hours:02}:{minutes:02}:{whole:02},{thousandths:03}"

    cues = sorted(heard.segments, key=lambda segment: (segment.start, segment.end))
    return "\n".join(
        f"{number}\n{moment(cue.start)} --> {moment(cue.end)}\n"
        f"{_one_line(cue.label).replace('-->', '→')} {cue.score:.0%}\n"
        for number, cue in enumerate(cues, start=1)
    )


def _raven(heard: RecognitionData, context: Context) -> str:
    """The selections of Raven: a row a segment, tabs between its fields, the box as high as the model hears.

    Names of columns are Raven's own (Raven Pro 1.4 User's Manual, chapter 6); Annotation is the column that its users
    label in. Raven opens the files of a table over several recordings one after another, as one sound: selections are
    numbered on, Begin Time counts from the start of the first file and File Offset from the start of the selection's
    own. Files without a selection are not in the table, so Raven does not open them and their length does not count.
    """
    path = _one_line(_located(heard.file, context.folder))
    name, high = _one_line(PurePath(heard.file).name), f"{heard.sample_rate / 2:.1f}"
    rows = []
    for number, one in enumerate(heard.segments, start=context.selections + 1):
        begin, end = (f"{context.seconds + moment:.6f}" for moment in (one.start, one.end))
        place = (str(number), "Spectrogram 1", "1", begin, end, "0.0", high, name, path, f"{one.start:.6f}")
        rows.append("\t".join((*place, _one_line(one.label), f"{one.score:.4f}")) + "\n")
    return "".join(rows)


def _elan(heard: RecognitionData, context: Context) -> str:
    """A document of ELAN (EAF 3.0): a tier for each label that was heard, in the order in which they begin.

    An annotation's value is the label, ready to be corrected; scores are left out, since there they would only be in
    an annotator's way. Times are whole milliseconds and no annotation is shorter than one.
    """
    # The elements, their attributes and their order: http://www.mpi.nl/tools/elan/EAFv3.0.xsd
    facts = {"AUTHOR": _xml(f"AudioInceptionNeXt, {heard.model}"), "FORMAT": "3.0", "VERSION": "3.0"}
    facts["DATE"] = datetime.now().astimezone().isoformat(timespec="seconds")
    root = ElementTree.Element("ANNOTATION_DOCUMENT", {**facts, _SCHEMA: "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"})
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if heard.file:  # samples that were given have none
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", _media(heard.file, context.folder))
    last = ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(len(heard.segments))
    slots = _time_slots(ElementTree.SubElement(root, "TIME_ORDER"), heard.segments)
    tiers: dict[str, ElementTree.Element] = {}
    names: set[str] = set()
    for number, segment in enumerate(heard.segments):
        value = _xml(_one_line(segment.label)) or "(no name)"
        if segment.label not in tiers:
            names.add(name := _distinct(value, names))
            facts = {"TIER_ID": name, "LINGUISTIC_TYPE_REF": "sound"}
            tiers[segment.label] = ElementTree.SubElement(root, "TIER", facts)
        begin, end = slots[number]
        facts = {"ANNOTATION_ID": f"a{number + 1}", "TIME_SLOT_REF1": begin, "TIME_SLOT_REF2": end}
        annotation = ElementTree.SubElement(tiers[segment.label], "ANNOTATION")
        aligned = ElementTree.SubElement(annotation, "ALIGNABLE_ANNOTATION", facts)
        ElementTree.SubElement(aligned, "ANNOTATION_VALUE").text = value
    facts = {"LINGUISTIC_TYPE_ID": "sound", "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", facts)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _time_slots(order: ElementTree.Element, segments: list[Segment]) -> list[tuple[str, str]]:
    """Writes the moments at which segments begin and end, by time; returns their names, two a segment."""
    spans = [(round(one.start * 1000), max(round(one.end * 1000), round(one.start * 1000) + 1)) for one in segments]
    edges = sorted((time, number, edge) for number, span in enumerate(spans) for edge, time in enumerate(span))
    names: dict[tuple[int, int], str] = {}
    for place, (time, number, edge) in enumerate(edges, start=1):
        names[number, edge] = f"ts{place}"
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": f"ts{place}", "TIME_VALUE": str(time)})
    return [(names[number, 0], names[number, 1]) for number in range(len(segments))]


def _media(file: str, folder: Path | None) -> dict[str, str]:
    """Where ELAN looks for the recording: at the full path, then relative to the document; spaces as they are."""
    guess = mimetypes.guess_type(PurePath(file).name)[0]
    kind = "audio/x-wav" if file.lower().endswith(".wav") else guess or "unknown"  # as ELAN calls them
    if "://" in file:
        return {"MEDIA_URL": _xml(file), "MIME_TYPE": kind}
    path = _located(file, folder)
    near = path
    if folder is not None:
        try:
            near = os.path.relpath(path, folder)
        except ValueError:  # another drive of Windows
            near = PurePath(path).name
    elif PurePath(path).is_absolute():
        near = PurePath(path).name
    near = PurePath(near).as_posix()
    near = near if near.startswith("../") else f"./{near}"
    full = f"file:///{PurePath(path).as_posix().lstrip('/')}" if PurePath(path).is_absolute() else near
    return {"MEDIA_URL": _xml(full), "MIME_TYPE": kind, "RELATIVE_MEDIA_URL": _xml(near)}


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _distinct(name: str, taken: set[str]) -> str:
    """The name, or with a number after it where another label has become it."""
    number = 1
    found = name
    while found in taken:
        number += 1
        found = f"{name} ({number})"
    return found


FORMATS: dict[str, Format] = {
    "json": Format(".json", _json),  # one object; several recordings are a list, which the command line makes
    "csv": Format(".csv", _csv, header="file,start,end,label,score\n"),
    "audacity": Format(".txt", _audacity),
    "srt": Format(".srt", _srt, between="\n"),  # an empty line ends a subtitle
    "elan": Format(".eaf", _elan, single=True),
    "raven": Format(".selections.txt", _raven, header="\t".join(_RAVEN) + "\n"),
}
