"""Detections of the sounds in videos, in the file that the EPIC-SOUNDS detection challenge takes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import FileError, counted
from audioinceptionnext.evaluation import challenge_file
from audioinceptionnext.evaluation.predictions import CLASSES, readable
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS
from audioinceptionnext.results.types import Segment

CHALLENGE = challenge_file.DETECTION
CLASS_IDS = {label: number for number, label in enumerate(EPIC_SOUNDS_LABELS)}
_KEYS = ("interaction", "score", "segment")
SEGMENT_FAULT = "with a segment that is not [start, end] in seconds, the start before the end"


@dataclass(frozen=True, eq=False)
class Detections:
    """Detections of any number of videos, in the order of their file.

    Attributes:
        videos: the ids of all videos of the file, those without a detection included.
        video: (n,) indices into ``videos``.
        interaction: (n,) class ids, 0 to 43; a lower number in the file is -1 here, and a higher one 44.
        score: (n,) float64, finite.
        segment: (n, 2) float64, start and end in seconds, finite and the start before the end.
        source: the file that they come from, for error messages.
    """

    videos: tuple[str, ...]
    video: np.ndarray = field(repr=False)
    interaction: np.ndarray = field(repr=False)
    score: np.ndarray = field(repr=False)
    segment: np.ndarray = field(repr=False)
    source: str = "detections"


def write_detections(
    path: str | Path,
    results: Mapping[str, Sequence[Segment]],
    *,
    sls_pt: int,
    sls_tl: int,
    sls_td: int,
    t_mod: int = 0,
) -> None:
    """Write a submission for the detection challenge: a zip with ``test.json``, or the JSON alone.

    Args:
        path: of the file. A name that ends in .json gets the JSON alone, any other a zip.
        results: segments of each video, by its id, of at least 2 ms, as `find_detections` returns them. Times are
            written in milliseconds, scores with six digits.
        sls_pt, sls_tl, sls_td, t_mod: as for `write_submission`.

    Raises:
        ParameterError: a level is out of range. Nothing is written then.
        KeyError: a segment's label is not one of EPIC-SOUNDS.

    >>> write_detections("test.zip", {"P01_11": [Segment(2.07, 2.99, "rustle", 0.7)]}, sls_pt=2, sls_tl=3, sls_td=4)
    """
    document = challenge_file.head(CHALLENGE, sls_pt, sls_tl, sls_td, t_mod)
    document["results"] = {video: [_entry(segment) for segment in found] for video, found in results.items()}
    challenge_file.write_document(Path(path), document)


def read_detections(path: str | Path) -> Detections:
    """Read the JSON of a submission, or the zip that holds it.

    Only ``results`` is read; `check_submission` looks at the rest, too.

    Raises:
        FileError: the file does not exist, is not such a file, or has a detection without a class id, a finite score
            or a segment whose start lies before its end.

    >>> read_detections("test.zip").segment.shape
    (61202, 2)
    """
    path = Path(path)
    if not path.exists():
        raise FileError(path, "no such file; check the name")
    document, _ = challenge_file.read_document(path, zipfile.is_zipfile(path))
    if document.get("challenge") == challenge_file.RECOGNITION:
        reason = "is a submission for the recognition challenge, not for detection; score the predictions that it is of"
        raise FileError(path, reason)
    results = document.get("results")
    if not isinstance(results, dict):
        raise FileError(path, 'has no "results" with one list of detections per video')
    for place, fault in _faults(results):
        raise FileError(path, f"has a detection {fault}: {place}" if place else fault)
    entries = [entry for found in results.values() for entry in found]
    return Detections(
        tuple(results),
        np.repeat(np.arange(len(results)), [len(found) for found in results.values()]),
        np.array([min(max(entry["interaction"], -1), CLASSES) for entry in entries], dtype=np.int64),
        np.array([entry["score"] for entry in entries], dtype=np.float64),
        np.array([entry["segment"] for entry in entries], dtype=np.float64).reshape(-1, 2),
        str(path),
    )


def result_problems(results: dict[str, Any]) -> list[str]:
    """What the challenge would refuse in the results of a submission: one line per kind of problem."""
    by_fault: dict[str, list[str]] = {}
    for place, fault in _faults(results, strict=True):
        by_fault.setdefault(fault, []).append(place)
    return [
        f"{counted(len(places), 'detection')} {fault}, e.g. {places[0]}" if places[0] else fault
        for fault, places in by_fault.items()
    ]


def _faults(results: dict[str, Any], strict: bool = False) -> Iterator[tuple[str, str]]:
    """Where something is wrong, and what; the place is empty where a video has no list."""
    for video, found in results.items():
        if not isinstance(found, list):
            yield "", f"results of {readable(video)} is a {type(found).__name__}, not a list of detections"
            continue
        for number, entry in enumerate(found):
            if fault := _fault(entry) or (_strict_fault(entry) if strict else None):
                yield f"number {number} of {readable(video)}", fault


def _fault(entry: Any) -> str | None:
    """Why a detection cannot be scored."""
    if not isinstance(entry, dict):
        return "that is not an object"
    for key in _KEYS:
        if key not in entry:
            return f"without {key}"
    if type(entry["interaction"]) is not int:
        return "with an interaction that is not a whole number"
    if not challenge_file.is_finite_number(entry["score"]):
        return "with a score that is not a finite number"
    segment = entry["segment"]
    if not isinstance(segment, list) or len(segment) != 2 or not all(map(challenge_file.is_finite_number, segment)):
        return SEGMENT_FAULT
    return None if segment[0] < segment[1] else SEGMENT_FAULT


def _strict_fault(entry: dict[str, Any]) -> str | None:
    """What is wrong with a detection that can be scored: it could never be right."""
    if not 0 <= entry["interaction"] < CLASSES:
        return f"with an interaction that is not a class id from 0 to {CLASSES - 1}"
    return "with a segment that starts before the video" if entry["segment"][0] < 0 else None


def _entry(segment: Segment) -> dict[str, Any]:
    times = [round(segment.start, 3), round(segment.end, 3)]
    return {"interaction": CLASS_IDS[segment.label], "score": float(f"{segment.score:.6g}"), "segment": times}
