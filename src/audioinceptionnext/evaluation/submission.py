"""The file that the EPIC-SOUNDS recognition challenge takes, and what is wrong with a file for either challenge."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from audioinceptionnext.errors import FileError
from audioinceptionnext.evaluation import challenge_file
from audioinceptionnext.evaluation.detection_file import CHALLENGE as DETECTION
from audioinceptionnext.evaluation.detection_file import result_problems as detection_problems
from audioinceptionnext.evaluation.epic_sounds import read_ids, read_videos
from audioinceptionnext.evaluation.predictions import CLASSES, Predictions, count_of, mismatches, readable

CHALLENGE = challenge_file.RECOGNITION
KEYS = tuple(map(str, range(CLASSES)))


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
    results = {
        name: {"interaction": dict(zip(KEYS, row, strict=True))}
        for name, row in zip(predictions.ids, predictions.scores.tolist(), strict=True)
    }
    document = challenge_file.head(CHALLENGE, sls_pt, sls_tl, sls_td, t_mod) | {"results": results}
    challenge_file.write_document(Path(path), document)


def check_submission(path: str | Path, timestamps: str | Path | None = None) -> list[str]:
    """What the challenge's server would refuse: one line per problem. Empty if the file is in order.

    Arguments and errors are those of `inspect_submission`, which says more.
    """
    return inspect_submission(path, timestamps)[1]


def inspect_submission(path: str | Path, timestamps: str | Path | None = None) -> tuple[str | None, list[str]]:
    """Which challenge a submission is for, and what the challenge's server would refuse in it.

    The document says which of the two challenges it is for: recognition, or detection.

    Args:
        path: of the zip file; a name that ends in .json may be that of the document alone.
        timestamps: ``EPIC_Sounds_recognition_test_timestamps`` as CSV or pickle, to check that every segment is there
            and no other; for detection ``EPIC_Sounds_detection_test_videos`` or annotations, for every video.

    Returns:
        ``recognition`` or ``detection``, or None if the document does not say; and one line per problem, none if the
        file is in order.

    Raises:
        FileError: the file does not exist or is no submission at all, or the list cannot be read or is that of the
            other challenge.
    """
    path = Path(path)
    if not path.exists():
        raise FileError(path, "no such file; check the name")
    challenge_file.check_submitted(path)
    try:
        zipped = path.suffix.lower() != ".json" or zipfile.is_zipfile(path)
        document, repeated = challenge_file.read_document(path, zipped)
    except FileError as error:
        return None, [error.reason]
    name = document.get("challenge")
    challenge = challenge_file.CALLED.get(name) if isinstance(name, str) else None
    detection = name == DETECTION
    problems = [_repeated_keys(repeated)] if repeated else []
    problems += challenge_file.head_problems(document, DETECTION if detection else CHALLENGE)
    kind = "video" if detection else "segment"
    required = None if timestamps is None else (read_videos if detection else read_ids)(timestamps)
    results = document.get("results")
    if not isinstance(results, dict) or not results:
        return challenge, [*problems, f"results is not an object with one key per {kind}"]
    problems += detection_problems(results) if detection else _result_problems(results)
    problems += [] if required is None else mismatches(results, required, kind=kind)
    return challenge, problems


def _repeated_keys(keys: list[str]) -> str:
    counted = f"{len(keys):,} keys occur" if len(keys) > 1 else "1 key occurs"
    return f"{counted} twice, e.g. {readable(keys[0])}"


def _result_problems(results: dict[str, Any]) -> list[str]:
    malformed, incomplete, infinite = [], [], []
    for name, result in results.items():
        scores = result.get("interaction") if isinstance(result, dict) else None
        if not isinstance(scores, dict):
            malformed.append(name)
        elif scores.keys() != set(KEYS):
            incomplete.append(name)
        elif not all(challenge_file.is_finite_number(value) for value in scores.values()):
            infinite.append(name)
    by_problem = {
        'without {"interaction": {…}}': malformed,
        f'without exactly the classes "0" to "{CLASSES - 1}"': incomplete,
        "with a score that is not a finite number": infinite,
    }
    return [f"{count_of(ids)} {problem}, e.g. {readable(ids[0])}" for problem, ids in by_problem.items() if ids]
