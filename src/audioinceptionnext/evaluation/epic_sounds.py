"""The metrics of the EPIC-SOUNDS recognition challenge, and the annotation files that it scores against."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import FileError, check_kind
from audioinceptionnext.evaluation.metrics import score
from audioinceptionnext.evaluation.predictions import CLASSES, ID, Predictions, mismatches, readable

BACKGROUND = 13  # class_id of "background", which the challenge's test set leaves out
VIDEO, CLASS = "video_id", "class_id"
PICKLE = b"\x80"  # first byte of every pickle since protocol 2


def score_predictions(
    predictions: Predictions, annotations: str | Path, redact_background: bool = False, *, partial: bool = False
) -> dict[str, Any]:
    """Compute the challenge's figures, which equal those of its own scorer.

    Of equal scores, the class with the highest id counts as the more likely one in top-1 and top-5, and the one with
    the lowest id in the mean class accuracy, as in the challenge's scorer.

    Args:
        predictions: from `read_predictions`.
        annotations: the published CSV or pickle with ``annotation_id`` and ``class_id``.
        redact_background: leave out the segments of class ``background``, as the challenge's test set does. The scores
            of this class still take part in the ranking of the other segments.
        partial: score the segments that have a prediction, where some have none. Such figures cannot be compared with
            those of all segments.

    Returns:
        ``top1``, ``top5``, ``mca`` and ``map`` in %, ``mauc`` from 0 to 1, and the number of ``segments``; with
        ``partial`` also that of the ``missing`` ones. Means over classes leave out those without a segment.

    Raises:
        FileError: the annotations cannot be read, or the predictions are for other segments, or not for all of them
            and ``partial`` is not set.

    >>> score_predictions(read_predictions("predictions.pkl"), "EPIC_Sounds_validation.csv")["segments"]
    8035
    """
    targets = read_targets(annotations)
    scored = [name for name, label in targets.items() if not (redact_background and label == BACKGROUND)]
    if not scored:
        raise FileError(annotations, "has no segments of another class than background")
    row = {name: number for number, name in enumerate(predictions.ids)}
    required = [name for name in scored if name in row] if partial else scored
    if problems := mismatches(predictions.ids, required, targets):
        raise FileError(predictions.source, f"does not fit {annotations}: {'; '.join(problems)}")
    if not required:
        raise FileError(predictions.source, f"has none of the segments of {annotations}")
    missing, scored = len(scored) - len(required), required
    figures = score(
        predictions.scores[[row[name] for name in scored]],
        np.array([targets[name] for name in scored]),
        tuple(map(str, range(CLASSES))),
        last_of_equals=True,
    )
    del figures["per_class"]
    return figures | {"segments": len(scored)} | ({"missing": missing} if partial else {})


def read_targets(path: str | Path) -> dict[str, int]:
    """The class id of each annotation id, in the order of the file.

    Raises:
        FileError: as for `read_ids`, or a class id is missing or not from 0 to 43.
    """
    ids, labels = read_columns(path, ID, CLASS)
    return {name: class_id(label, name, path) for name, label in zip(ids, labels, strict=True)}


def read_ids(path: str | Path) -> tuple[str, ...]:
    """The annotation ids of a published CSV or pickle, with or without labels.

    Raises:
        FileError: the file does not exist, is neither CSV nor pickle, lacks the column, is empty, or has an annotation
            id twice.
    """
    return tuple(read_columns(path, ID)[0])


def read_videos(path: str | Path) -> tuple[str, ...]:
    """Each video id, once, of a CSV or pickle: of the published list for detection, or of annotations.

    Raises:
        FileError: the file does not exist, is neither CSV nor pickle, lists no videos, or is the list of the test
            segments for recognition, which are in other videos.

    >>> len(read_videos("EPIC_Sounds_detection_test_videos.csv"))
    23
    """
    table = _read_table(path := Path(path))
    if ID in table and CLASS not in table:
        raise FileError(path, "lists segments for recognition; give EPIC_Sounds_detection_test_videos.csv or .pkl")
    if not table.get(VIDEO):
        raise FileError(path, f"lists no videos; it has {readable(', '.join(table)) or 'nothing'}")
    return tuple(dict.fromkeys(map(str, table[VIDEO])))


def class_id(value: Any, name: str, path: str | Path) -> int:
    """The class id that a list states for the annotation ``name``.

    Raises:
        FileError: not a number from 0 to 43.
    """
    try:
        number = int(value) if int(value) == float(value) else -1
    except (TypeError, ValueError, OverflowError):
        number = -1
    if not 0 <= number < CLASSES:
        reason = f"class_id of {readable(name)} is {value!r:.40}, not a number from 0 to {CLASSES - 1}"
        raise FileError(path, reason)
    return number


def read_columns(path: str | Path, *names: str) -> list[list[Any]]:
    """Columns of a published CSV or pickle, in the order of its rows. Each row has an annotation id of its own.

    Raises:
        FileError: as for `read_ids`.
    """
    table = _read_table(path := Path(path))
    for name in dict.fromkeys((ID, *names)):
        if name not in table:
            hint = " (the labels of a test set are not published)" if name == CLASS else ""
            raise FileError(path, f"has no column {name}{hint}; it has {readable(', '.join(table)) or 'none'}")
    ids = table[ID]
    if not ids:
        raise FileError(path, "has no segments")
    if invalid := [name for name in ids if not isinstance(name, str) or not name]:
        raise FileError(path, f"an {ID} is {invalid[0]!r:.40}, not text such as 'P01_11_0'")
    if len(set(ids)) < len(ids):
        raise FileError(path, f"has the {ID} {readable(Counter(ids).most_common(1)[0][0])} more than once")
    return [table[name] for name in names]


def _read_table(path: Path) -> dict[str, list[Any]]:
    if not path.exists():
        raise FileError(path, "no such file; check the name")
    check_kind(path, ("a CSV file", "a pickle"), "a published list, which is a CSV file or a pickle")
    with path.open("rb") as file:
        pickled = file.read(1) == PICKLE
    return _read_frame(path) if pickled else _read_csv(path)


def _read_csv(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            body = [row for row in rows if row]
    except (UnicodeDecodeError, csv.Error) as error:
        detail = f" ({error})" if isinstance(error, csv.Error) else ""
        raise FileError(path, f"neither a CSV file nor a pickle{detail}; give the published list") from error
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise FileError(path, f"row {number} has {len(row)} values, but the header has {len(header)}")
    return {name: [row[column] for row in body] for column, name in enumerate(header)}


def _read_frame(path: Path) -> dict[str, list[Any]]:
    from audioinceptionnext.data.safe_pickle import read_pickle

    frame: Any = read_pickle(path)
    if isinstance(frame, dict | list | tuple):
        raise FileError(path, "holds predictions or other numbers, not a table; the list comes after the predictions")
    if type(frame).__name__ != "DataFrame":
        raise FileError(path, f"holds a {type(frame).__name__}, not a table of annotations (a pandas DataFrame)")
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    if (index := frame.index.name) in (ID, VIDEO):
        columns.setdefault(index, frame.index.tolist())
    return columns
