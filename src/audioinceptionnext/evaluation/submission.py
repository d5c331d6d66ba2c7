"""The file that the EPIC-SOUNDS recognition challenge takes: writing one, and finding what is wrong with one."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import FileError, ParameterError
from audioinceptionnext.evaluation.epic_sounds import read_ids
from audioinceptionnext.evaluation.predictions import CLASSES, Predictions, count_of, mismatches, readable

MEMBER = "test.json"
VERSION, CHALLENGE = "0.1", "audio_based_interaction_recognition"
KEYS = tuple(map(str, range(CLASSES)))
# Supervision Levels Scale (arXiv 2008.09890): of pre-training, training labels and training data.
LEVELS = ("sls_pt", "sls_tl", "sls_td")
MAX_LEVEL = 5


def write_submission(
    predictions: Predictions, path: str | Path, *, sls_pt: int, sls_tl: int, sls_td: int, t_mod: int = 0
) -> None:
    """Write a zip with ``test.json``, which holds one score per class for each segment, summed over its clips.

    Args:
        predictions: for all segments of the test set.
        path: of the zip file.
        sls_pt, sls_tl, sls_td: supervision levels of pre-training, training labels and training data, each 0 to 5
            (arXiv 2008.09890).
        t_mod: what the model perceives at test time; 0 is audio only.

    Raises:
        ParameterError: a level is out of range. Nothing is written then, and a file that could not be finished is
            removed.
    """
    levels = dict(zip(LEVELS, (sls_pt, sls_tl, sls_td), strict=True))
    for name, level in levels.items():
        if not _is_level(level):
            raise ParameterError(name, level, f"give a level from 0 to {MAX_LEVEL}")
    results = {
        name: {"interaction": dict(zip(KEYS, row, strict=True))}
        for name, row in zip(predictions.ids, predictions.scores.tolist(), strict=True)
    }
    document = {"version": VERSION, "challenge": CHALLENGE, **levels, "t_mod": t_mod, "results": results}
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(MEMBER, json.dumps(document, allow_nan=False))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_submission(path: str | Path, timestamps: str | Path | None = None) -> list[str]:
    """What the challenge's server would refuse: one line per problem. Empty if the file is in order.

    Args:
        path: of the zip file.
        timestamps: ``EPIC_Sounds_recognition_test_timestamps`` as CSV or pickle, to check that every segment is there
            and no other.

    Raises:
        FileError: the file does not exist, or the timestamps cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(path, "no such file; check the name")
    required = None if timestamps is None else read_ids(timestamps)
    try:
        with zipfile.ZipFile(path) as archive:
            if MEMBER not in archive.namelist():
                members = readable(", ".join(archive.namelist())) or "nothing"
                return [f"the zip holds no {MEMBER} at its top; it holds {members}"]
            text = archive.read(MEMBER)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        return [f"not a zip file, or damaged ({error})"]
    repeated: list[str] = []
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: _dict_noting_repeats(pairs, repeated))
    except (ValueError, RecursionError) as error:
        return [f"{MEMBER} is not JSON ({error})"]
    if not isinstance(document, dict):
        return [f"{MEMBER} is a {type(document).__name__}, not an object"]
    problems = [_repeated_keys(repeated)] if repeated else []
    problems += _head_problems(document)
    results = document.get("results")
    if not isinstance(results, dict) or not results:
        return [*problems, "results is not an object with one key per segment"]
    return problems + _result_problems(results) + ([] if required is None else mismatches(results, required))


def _dict_noting_repeats(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        repeated.extend(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return document


def _repeated_keys(keys: list[str]) -> str:
    counted = f"{len(keys):,} keys occur" if len(keys) > 1 else "1 key occurs"
    return f"{counted} twice, e.g. {readable(keys[0])}"


def _head_problems(document: dict[str, Any]) -> list[str]:
    problems = [
        f"{key} is {document.get(key)!r:.40}, not {value!r}"
        for key, value in {"version": VERSION, "challenge": CHALLENGE}.items()
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


def _is_level(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_LEVEL


def _result_problems(results: dict[str, Any]) -> list[str]:
    malformed, incomplete, infinite = [], [], []
    for name, result in results.items():
        scores = result.get("interaction") if isinstance(result, dict) else None
        if not isinstance(scores, dict):
            malformed.append(name)
        elif scores.keys() != set(KEYS):
            incomplete.append(name)
        elif not all(_is_finite_number(value) for value in scores.values()):
            infinite.append(name)
    by_problem = {
        'without {"interaction": {…}}': malformed,
        f'without exactly the classes "0" to "{CLASSES - 1}"': incomplete,
        "with a score that is not a finite number": infinite,
    }
    return [f"{count_of(ids)} {problem}, e.g. {readable(ids[0])}" for problem, ids in by_problem.items() if ids]


def _is_finite_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer larger than any float
        return False
