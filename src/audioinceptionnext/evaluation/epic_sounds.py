"""The EPIC-SOUNDS recognition challenge's metrics, and the annotation files that they are taken against."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import AinextError
from audioinceptionnext.evaluation.metrics import score
from audioinceptionnext.evaluation.predictions import CLASSES, ID, Predictions, mismatches, readable

BACKGROUND = 13  # class_id of "background", which the challenge's test set leaves out
PICKLE = b"\x80"  # first byte of every pickle since protocol 2


def score_predictions(
    predictions: Predictions, annotations: str | Path, redact_background: bool = False
) -> dict[str, Any]:
    """The challenge's figures, equal to those of its own scorer.

    Of equal scores the class of the lowest id counts as the likelier; which one the challenge's scorer takes is not
    known here. Scores of a network are hardly ever equal.

    Args:
        annotations: the published CSV or pickle with ``annotation_id`` and ``class_id``.
        redact_background: leave out the segments of class ``background``, as the challenge's test set does. Its column
            still takes part in the ranking of the others.

    Returns:
        ``top1``, ``top5``, ``mca``, ``map`` in %, ``mauc`` 0 to 1, and the number of ``segments``. Means over classes
        leave out those without a segment.

    Raises:
        AinextError: annotations that cannot be read, predictions for other segments or not for all: a score of a part
            cannot be compared with anything.
    """
    target = read_targets(annotations)
    scored = [name for name, label in target.items() if not (redact_background and label == BACKGROUND)]
    if not scored:
        raise AinextError(f"{annotations}: no segments of another class than background")
    if problems := mismatches(predictions.ids, scored, target):
        raise AinextError(f"{predictions.source}: does not fit {annotations}: {'; '.join(problems)}")
    row = {name: number for number, name in enumerate(predictions.ids)}
    found = score(
        predictions.scores[[row[name] for name in scored]],
        np.array([target[name] for name in scored]),
        tuple(map(str, range(CLASSES))),
    )
    del found["per_class"]
    return found | {"segments": len(scored)}


def read_targets(path: str | Path) -> dict[str, int]:
    """Annotation id and class id of each segment, in the file's order.

    Raises:
        AinextError: as `read_ids`, or class ids that are missing or not 0 to 43.
    """
    ids, labels = _columns(Path(path), ID, "class_id")
    found = {}
    for name, label in zip(ids, labels, strict=True):
        try:
            number = int(label) if int(label) == float(label) else -1
        except (TypeError, ValueError, OverflowError):
            number = -1
        if not 0 <= number < CLASSES:
            raise AinextError(
                f"{path}: class_id of {readable(name)} is {label!r:.40}, not a number from 0 to {CLASSES - 1}"
            )
        found[name] = number
    return found


def read_ids(path: str | Path) -> tuple[str, ...]:
    """Annotation ids of a published CSV or pickle, with or without labels.

    Raises:
        AinextError: no such file, neither CSV nor pickle, without the column, empty, or an id that stands there twice.
    """
    return tuple(_columns(Path(path), ID)[0])


def _columns(path: Path, *names: str) -> list[list[Any]]:
    if not path.is_file():
        raise AinextError(f"{path}: no such file")
    with path.open("rb") as file:
        pickled = file.read(1) == PICKLE
    table = _read_frame(path) if pickled else _read_csv(path)
    for name in names:
        if name not in table:
            hint = "; a test set's labels are not published" if name == "class_id" else ""
            raise AinextError(f"{path}: no column {name}{hint}; it has {readable(', '.join(table)) or 'none'}")
    ids = table[ID]
    if not ids:
        raise AinextError(f"{path}: no segments")
    if strange := [name for name in ids if not isinstance(name, str) or not name]:
        raise AinextError(f"{path}: an {ID} is {strange[0]!r:.40}, not text such as 'P01_11_0'")
    if len(set(ids)) < len(ids):
        raise AinextError(f"{path}: {ID} {readable(Counter(ids).most_common(1)[0][0])} stands there more than once")
    return [table[name] for name in names]


def _read_csv(path: Path) -> dict[str, list[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            body = [row for row in rows if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise AinextError(f"{path}: neither a CSV file nor a pickle ({error})") from error
    for number, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise AinextError(f"{path}: row {number} has {len(row)} values, the header {len(header)}")
    return {name: [row[column] for row in body] for column, name in enumerate(header)}


def _read_frame(path: Path) -> dict[str, list[Any]]:
    from audioinceptionnext.data.safe_pickle import read_pickle

    frame: Any = read_pickle(path)
    if type(frame).__name__ != "DataFrame":
        raise AinextError(f"{path}: holds a {type(frame).__name__}, not a table of annotations (pandas DataFrame)")
    columns = {str(name): frame[name].tolist() for name in frame.columns}
    if ID not in columns and frame.index.name == ID:
        columns[ID] = frame.index.tolist()
    return columns
