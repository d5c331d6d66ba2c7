"""The file that the EPIC-SOUNDS recognition challenge takes, and what is wrong with one."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.epic_sounds import read_ids
from audioinceptionnext.evaluation.predictions import CLASSES, Predictions, mismatches, of_all, readable

MEMBER = "test.json"
VERSION, CHALLENGE = "0.1", "audio_based_interaction_recognition"
KEYS = tuple(map(str, range(CLASSES)))
# Supervision Levels Scale, arXiv 2008.09890: what the model was pre-trained on, labels and data that it was trained on.
LEVELS = ("sls_pt", "sls_tl", "sls_td")
HIGHEST_LEVEL = 5


def write_submission(
    predictions: Predictions, path: str | Path, sls_pt: int, sls_tl: int, sls_td: int, t_mod: int = 0
) -> None:
    """A zip that holds ``test.json``: for each segment a score a class, the views' sum.

    Args:
        sls_pt, sls_tl, sls_td: supervision levels of pre-training, training labels and training data, each 0 to 5
            (arXiv 2008.09890).
        t_mod: what the model perceives at test time; 0 is audio only.

    Raises:
        AinextError: a level out of range. Nothing is written then, and a file that cannot be finished is not left.
    """
    levels = dict(zip(LEVELS, (sls_pt, sls_tl, sls_td), strict=True))
    for name, level in levels.items():
        if not _is_level(level):
            raise AinextError(f"--{name.replace('_', '-')} {level}: give a level from 0 to {HIGHEST_LEVEL}")
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
    """What the challenge's server would refuse, one line each; nothing if the file is in order.

    Args:
        timestamps: ``EPIC_Sounds_recognition_test_timestamps`` as CSV or pickle; with it, whether every segment is
            there and no other.

    Raises:
        AinextError: no such file, or timestamps that cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise AinextError(f"{path}: no such file")
    wanted = None if timestamps is None else read_ids(timestamps)
    try:
        with zipfile.ZipFile(path) as archive:
            if MEMBER not in archive.namelist():
                held = readable(", ".join(archive.namelist())) or "nothing"
                return [f"the zip holds no {MEMBER} at its top; it holds {held}"]
            text = archive.read(MEMBER)
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        return [f"not a zip file, or damaged ({error})"]
    repeated: list[str] = []
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: _dict_noting(pairs, repeated))
    except (ValueError, RecursionError) as error:
        return [f"{MEMBER} is not JSON ({error})"]
    if not isinstance(document, dict):
        return [f"{MEMBER} is a {type(document).__name__}, not an object"]
    problems = [_repetition(repeated)] if repeated else []
    problems += _head_problems(document)
    results = document.get("results")
    if not isinstance(results, dict) or not results:
        return [*problems, "results is not an object with a segment a key"]
    return problems + _result_problems(results) + ([] if wanted is None else mismatches(results, wanted))


def _dict_noting(pairs: list[tuple[str, Any]], repeated: list[str]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        repeated.extend(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return found


def _repetition(keys: list[str]) -> str:
    counted = f"{len(keys):,} keys stand" if len(keys) > 1 else "1 key stands"
    return f"{counted} there twice, e.g. {readable(keys[0])}"


def _head_problems(document: dict[str, Any]) -> list[str]:
    problems = [
        f"{key} is {document.get(key)!r:.40}, not {value!r}"
        for key, value in {"version": VERSION, "challenge": CHALLENGE}.items()
        if document.get(key) != value
    ]
    problems += [
        f"{key} is {document.get(key)!r:.40}, not a whole number from 0 to {HIGHEST_LEVEL}"
        for key in LEVELS
        if not _is_level(document.get(key))
    ]
    if type(mode := document.get("t_mod")) is not int or mode < 0:
        problems.append(f"t_mod is {mode!r:.40}, not a whole number (0 is audio only)")
    return problems


def _is_level(value: Any) -> bool:
    return type(value) is int and 0 <= value <= HIGHEST_LEVEL


def _result_problems(results: dict[str, Any]) -> list[str]:
    malformed, incomplete, infinite = [], [], []
    for name, result in results.items():
        scores = result.get("interaction") if isinstance(result, dict) else None
        if not isinstance(scores, dict):
            malformed.append(name)
        elif scores.keys() != set(KEYS):
            incomplete.append(name)
        elif not all(_is_number(value) for value in scores.values()):
            infinite.append(name)
    found = {
        'without {"interaction": {…}}': malformed,
        f'without exactly the classes "0" to "{CLASSES - 1}"': incomplete,
        "with a score that is no finite number": infinite,
    }
    return [f"{of_all(names)} {what}, e.g. {readable(names[0])}" for what, names in found.items() if names]


def _is_number(value: Any) -> bool:
    try:
        return type(value) in (int, float) and math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False
