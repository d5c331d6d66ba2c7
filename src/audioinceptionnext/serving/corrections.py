"""Corrected recordings in a folder of the server, each with its label track: together the data set `labels`."""

from __future__ import annotations

import hashlib
import re
import shutil
import unicodedata
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from threading import Lock
from typing import Annotated, Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from audioinceptionnext.audio.container import open_container
from audioinceptionnext.audio.discover import MEDIA_SUFFIXES
from audioinceptionnext.errors import FileError, MediaError, check_can_write, replacing, writing
from audioinceptionnext.results.formats import FORMATS
from audioinceptionnext.results.segmentation import EPSILON_S
from audioinceptionnext.results.types import RecognitionData, Segment
from audioinceptionnext.serving.errors import RequestError, storing

#: Recordings that are worth correcting: what so many of half a minute teach is measured in docs/timelines.md.
WANTED = 20
MAX_SEGMENTS, MAX_LABEL = 10_000, 200
MAX_SEGMENTS_BYTES = 2_000_000  # of the form's field
_STEM_BYTES = 80  # of the client's name of a recording, in that of its file
_DIGEST = 16  # hexadecimal digits by which the content of a recording is known
_FALLBACK_SUFFIX = ".mka"  # Matroska's, which may hold any sound; FFmpeg goes by the content


class CorrectedSegment(BaseModel):
    """A segment as a person has it. Other keys, such as the score of the model, are left out."""

    start: float = Field(ge=0, allow_inf_nan=False, description="Seconds from the recording's start.")
    end: float = Field(gt=0, allow_inf_nan=False, description="Seconds, after the start.")
    label: str = Field(min_length=1, max_length=MAX_LABEL)


_SEGMENTS = TypeAdapter(Annotated[list[CorrectedSegment], Field(max_length=MAX_SEGMENTS)])


class Corrections(BaseModel):
    """What has been corrected so far."""

    recordings: int
    segments: int
    labels: dict[str, int] = Field(description="The number of segments of each label, the most frequent first.")
    wanted: int = Field(description=f"How many more recordings are worth correcting before training, of {WANTED}.")

    model_config = {
        "json_schema_extra": {
            "examples": [{"recordings": 3, "segments": 41, "labels": {"Dog": 30, "Bark": 11}, "wanted": 17}]
        }
    }


class SavedCorrections(Corrections):
    """The same, with the recording that has just been saved."""

    recording: str = Field(description="The name of its file in the server's folder; the label track is beside it.")
    replaced: bool = Field(description="Whether the recording had been saved before, so that its track is a new one.")


def clean_label(label: str) -> str:
    """A label as people write it, on one line, without spaces around it, and with composed letters."""
    return unicodedata.normalize("NFC", " ".join(label.split()))


def read_segments(text: str, known: Mapping[str, str]) -> list[Segment]:
    """The segments of a request.

    Args:
        text: JSON, a list of `CorrectedSegment`.
        known: labels as a model writes them, by themselves in lower case. Another spelling becomes that one.

    Raises:
        RequestError: 422, the text is no such list.
    """
    try:
        given = _SEGMENTS.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        detail = f"segments{place}: {first['msg']}; give a JSON list of objects with start, end and label"
        raise RequestError(422, detail, parameter="segments") from None
    segments = []
    for number, one in enumerate(given):
        if not (label := clean_label(one.label)):
            raise RequestError(422, f"segments[{number}].label is empty: give a label", parameter="segments")
        if one.end <= one.start:
            detail = f"segments[{number}] ends at {one.end:g} s, but starts at {one.start:g} s"
            raise RequestError(422, detail, parameter="segments")
        segments.append(Segment(one.start, one.end, known.get(label.casefold(), label), 1.0))
    return sorted(segments, key=lambda one: (one.start, one.end, one.label))


class CorrectionsFolder:
    """The folder of one server. Programs may read it at any time: whatever appears there is complete.

    A recording is known by its content, so that saving it again under any name replaces its track.

    Args:
        folder: is created if it does not exist.

    Raises:
        FileError: it cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists() and not folder.is_dir():
            raise FileError(folder, "is a file; give a folder")
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        check_can_write(folder)
        self._lock = Lock()

    def save(self, path: Path, name: str, segments: list[Segment], seconds: float) -> dict[str, Any]:
        """Copy a recording into the folder, unless it is there, and write its track.

        Args:
            path: of the recording.
            name: what its client calls it.
            segments: of which none begins after its end.
            seconds: its duration. What reaches beyond it is cut.

        Returns:
            The members of `SavedCorrections`.

        Raises:
            RequestError: 422 for a segment after the end; as `storing` if the folder cannot be written to.
        """
        if late := next((one for one in segments if one.start >= seconds - EPSILON_S), None):
            detail = f"a segment starts at {late.start:g} s, but the recording ends at {seconds:.3f} s"
            raise RequestError(422, detail, parameter="segments")
        cut = [Segment(one.start, min(one.end, seconds), one.label, one.score) for one in segments]
        text = FORMATS["audacity"].text(_recording(name, seconds, cut))
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:_DIGEST]
        with storing(), self._lock:
            known = next((one for one in self._recordings() if one.stem.endswith(f"-{digest}")), None)
            recording = known or self.folder / f"{_stem(name)}-{digest}{_suffix(path, name)}"
            if known is None:
                with replacing(recording) as new:
                    shutil.copyfile(path, new)
            with replacing(recording.with_suffix(".txt")) as new:
                new.write_text(text, encoding="utf-8", newline="\n")
        return {**self.summary(), "recording": recording.name, "replaced": known is not None}

    def summary(self) -> dict[str, Any]:
        """The members of `Corrections`: of all recordings in the folder that have a track of Audacity.

        Raises:
            RequestError: as `storing` if the folder cannot be read.
        """
        labels: Counter[str] = Counter()
        recordings = 0
        with storing():
            found = self._recordings()
        for recording in found:
            with suppress(OSError, UnicodeDecodeError):
                lines = recording.with_suffix(".txt").read_text(encoding="utf-8-sig").splitlines()
                labels.update(parts[2] for line in lines if len(parts := line.split("\t", 2)) == 3)
                recordings += 1
        return {
            "recordings": recordings,
            "segments": labels.total(),
            "labels": dict(labels.most_common()),
            "wanted": max(0, WANTED - recordings),
        }

    def _recordings(self) -> list[Path]:
        with writing(self.folder):
            return sorted(path for path in self.folder.iterdir() if path.suffix.lower() in MEDIA_SUFFIXES)


def _recording(name: str, seconds: float, segments: list[Segment]) -> RecognitionData:
    nothing: Any = None  # the writer of label tracks asks for no probabilities
    return RecognitionData(name, seconds, "", [], segments, (), nothing, 0.0, 0.0)


def _stem(name: str) -> str:
    """The client's name of a recording without its suffix, as any file system and any shell takes it."""
    stem = re.sub(r"[^\w.]+", "-", unicodedata.normalize("NFC", PurePath(name).stem)).strip("-._")
    return stem.encode()[:_STEM_BYTES].decode(errors="ignore") or "recording"


def _suffix(path: Path, name: str) -> str:
    """The suffix of the client's name, or one of the file's format, since a data set consists of files of media."""
    if (suffix := PurePath(name).suffix.lower()) in MEDIA_SUFFIXES:
        return suffix
    with suppress(MediaError):
        container, source = open_container(path)
        try:
            suffixes = sorted(f".{one}" for one in container.format.extensions)
        finally:
            container.close()
            if source is not None:
                source.close()
        return next((one for one in suffixes if one in MEDIA_SUFFIXES), _FALLBACK_SUFFIX)
    return _FALLBACK_SUFFIX
