"""What the submissions of both EPIC-SOUNDS challenges have in common: a zip with one JSON document, and its head."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import SUBMISSION, FileError, ParameterError, check_kind
from audioinceptionnext.evaluation.predictions import readable

MEMBER = "test.json"
RECOGNITION, DETECTION = "audio_based_interaction_recognition", "audio_based_interaction_detection"
CALLED = {RECOGNITION: "recognition", DETECTION: "detection"}
VERSION = "0.1"
# Supervision Levels Scale (arXiv 2008.09890): of pre-training, training labels and training data.
LEVELS = ("sls_pt", "sls_tl", "sls_td")
MAX_LEVEL = 5


def head(challenge: str, sls_pt: int, sls_tl: int, sls_td: int, t_mod: int) -> dict[str, Any]:
    """The document without its results.

    Raises:
        ParameterError: a level is out of range.
    """
    levels = dict(zip(LEVELS, (sls_pt, sls_tl, sls_td), strict=True))
    for name, level in levels.items():
        if not _is_level(level):
            raise ParameterError(name, level, f"give a level from 0 to {MAX_LEVEL}")
    return {"version": VERSION, "challenge": challenge, **levels, "t_mod": t_mod}


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Write a zip with the document in it, or the document alone if the name ends in .json.

    A file that cannot be finished is removed, and an older one of that name stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    text = json.dumps(document, allow_nan=False)
    try:
        if path.suffix.lower() == ".json":
            partial.write_text(text, encoding="utf-8")
        else:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(MEMBER, text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_submitted(path: Path) -> None:
    """Raise a `FileError` if a file is of quite another kind, such as a list or a model."""
    wanted = f"a submission, which is a zip file with {MEMBER}, or that document alone"
    check_kind(path, (SUBMISSION, "a zip file", "a JSON file"), wanted)


def read_document(path: Path, zipped: bool) -> tuple[dict[str, Any], list[str]]:
    """The document of a submission, and the keys that occur twice in one object of it.

    Args:
        path: of the file.
        zipped: whether it is a zip that holds the document, or the document alone.

    Raises:
        FileError: as `read_zip`, or the document is not JSON, or not an object.
    """
    check_submitted(path)
    return _parse(read_zip(path), path, MEMBER) if zipped else _parse(path.read_bytes(), path, "the file")


def read_zip(path: Path) -> bytes:
    """The text of the document in a submission.

    Raises:
        FileError: not a zip, or one without the document.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if MEMBER in archive.namelist():
                return archive.read(MEMBER)
            members = readable(", ".join(archive.namelist())) or "nothing"
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise FileError(path, f"not a zip file, or damaged ({error})") from error
    raise FileError(path, f"the zip holds no {MEMBER} at its top; it holds {members}")


def _parse(text: bytes, path: Path, name: str) -> tuple[dict[str, Any], list[str]]:
    """`read_document` of a text, which errors call ``name``."""
    repeated: list[str] = []
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: _dict_noting_repeats(pairs, repeated))
    except (ValueError, RecursionError) as error:
        raise FileError(path, f"{name} is not JSON ({error})") from error
    if not isinstance(document, dict):
        raise FileError(path, f"{name} is a {type(document).__name__}, not an object")
    return document, repeated


def head_problems(document: dict[str, Any], challenge: str) -> list[str]:
    """What is wrong with the document apart from its results, one line each."""
    problems = [
        f"{key} is {document.get(key)!r:.40}, not {value!r}"
        for key, value in {"version": VERSION, "challenge": challenge}.items()
        if document.get(key) != value
    ]
    problems += [
        f"{key} is {document.get(key)!r:.40}, not a whole number from 0 to {MAX_LEVEL}"
        for key in LEVELS
        if not _is_level(document.get(key))
    ]
    if type(mode := document.get("t_mod")) is not int or mode < 0:
        problems.append(f"t_mod is {mode!r:.40}, not a whole number (0 is audio only)")
    return problems


def is_finite_number(value: Any) -> bool:
    """Whether a value of a JSON document is a number that a float can hold."""
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer larger than any float
        return False


def _dict_noting_repeats(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        repeated.extend(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return document


def _is_level(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_LEVEL
