"""Writes an evaluation on clips of several labels as a folder, like `report_folder` does for clips of one label.

index.html       figures with intervals, the table of labels
mistakes.html    the most confident wrong decisions to listen to; their audio is in mistakes/
learning.png     if there is a training log
metrics.json     all figures       per_class.csv      predictions.csv
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import writing
from audioinceptionnext.evaluation import plots
from audioinceptionnext.evaluation.clip_predictions import ClipPredictions
from audioinceptionnext.evaluation.intervals import FEW_SOURCES
from audioinceptionnext.evaluation.multi_label import true_labels
from audioinceptionnext.evaluation.report_files import (
    AUDIO_FOLDER,
    MAX_MISTAKES,
    ReadClip,
    StagedFiles,
    cell,
    csv_text,
    json_text,
    write_audio,
)
from audioinceptionnext.evaluation.report_folder import check_can_report
from audioinceptionnext.evaluation.report_pages import FITTED, LONG_TABLE, SEEN, about, shown_figures
from audioinceptionnext.evaluation.thresholds import peaks
from audioinceptionnext.results.templates import render

COLUMNS = ("clips", "average_precision", "auc", "threshold", "precision", "recall", "f1")  # of a label
NONE = "none of the labels"


@dataclass(frozen=True)
class WrongDecision:
    """A label that was reported of a clip but is not true, or is true but was not reported.

    Attributes:
        label: that the decision is about.
        reported: whether it was.
        peak: its highest probability over the clip's steps.
        true: the labels of the clip, as text.
        name, path, audio, why_no_audio: as in `report_pages.Mistake`.
    """

    label: str
    reported: bool
    peak: float
    true: str
    name: str
    path: str
    audio: str | None = None
    why_no_audio: str = ""


def write_label_report(
    folder: Path,
    figures: Mapping[str, Any],
    predictions: ClipPredictions,
    labels: Sequence[str],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    title: str | None = None,
    read: ReadClip | None = None,
    training_logs: Sequence[Path] = (),
) -> Path:
    """Write the report of a multi-label data set and return the path of its ``index.html``.

    Args:
        figures: from `score_labels`, with further entries to show.
        predictions: of the clips that the figures are of.
        labels: one per class.
        folder, intervals, title, read, training_logs: as for `write_report`.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        FileError: a file cannot be written, or one of ``training_logs`` is not a training log.
    """
    check_can_report(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    title = title or " on ".join(str(figures[name]) for name in ("model", "data") if name in figures) or "Evaluation"
    per_label: Mapping[str, Mapping[str, Any]] = figures["per_label"]
    peak, true = peaks(predictions.outputs), true_labels(predictions.clips, len(labels))
    thresholds = np.array([per_label[label]["threshold"] for label in labels])
    rows = [[label, *(per_label[label][name] for name in COLUMNS)] for label in labels]
    with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as temporary:
        staged = StagedFiles(folder, Path(temporary))
        staged.write_text("metrics.json", json_text({**figures, "intervals": dict(intervals or {})}))
        staged.write_text("per_class.csv", csv_text(("label", *COLUMNS), (map(cell, row) for row in rows)))
        staged.write_text("predictions.csv", _predictions_csv(predictions, labels, peak, true, thresholds))
        if training_logs:
            staged.write_bytes("learning.png", plots.png(plots.draw_learning(*training_logs)))
        wrong, total = _wrong_decisions(staged, predictions, labels, peak, true, thresholds, read)
        page = {"title": title, "wrong": wrong, "total": total}
        staged.write_text("mistakes.html", render("evaluation/label_mistakes.html.j2", **page))
        index = render(
            "evaluation/labels.html.j2",
            **page,
            about=about(title, figures),
            headlines=shown_figures(figures, intervals or {}),
            intervals=intervals,
            seen=figures.get(SEEN, 0),
            fitted=figures.get(FITTED, False),
            clips=len(predictions.clips),
            sources=figures.get("sources"),
            few_sources=FEW_SOURCES,
            per_label=per_label,
            long_table=LONG_TABLE,
            has_learning_curve=bool(training_logs),
        )
        staged.write_text("index.html", index)
        staged.publish()
    return folder / "index.html"


def _listed(labels: Sequence[str], chosen: np.ndarray) -> str:
    return "; ".join(labels[c] for c in np.flatnonzero(chosen).tolist())


def _predictions_csv(
    predictions: ClipPredictions, labels: Sequence[str], peak: np.ndarray, true: np.ndarray, thresholds: np.ndarray
) -> str:
    """One row per clip and label that is true or reported, and one for a clip without either."""
    rows: list[Sequence[object]] = []
    for clip, scores, highest, own in zip(predictions.clips, predictions.probabilities, peak, true, strict=True):
        reported = highest >= thresholds
        about_clip = (clip.name, clip.id or "")
        for c in np.flatnonzero(own | reported).tolist():
            rows.append(
                (*about_clip, labels[c], int(own[c]), int(reported[c]), f"{highest[c]:.4f}", f"{scores[c]:.4f}")
            )
        if not (own | reported).any():
            rows.append((*about_clip, "", "", "", "", ""))
    return csv_text(("name", "id", "label", "true", "reported", "peak", "score"), rows)


def _wrong_decisions(
    staged: StagedFiles,
    predictions: ClipPredictions,
    labels: Sequence[str],
    peak: np.ndarray,
    true: np.ndarray,
    thresholds: np.ndarray,
    read: ReadClip | None,
) -> tuple[list[WrongDecision], int]:
    """The decisions whose probability is farthest on the wrong side of the threshold, and the number of all wrong."""
    wrong = np.argwhere((peak >= thresholds) != true)
    distance = np.abs(peak - thresholds)[wrong[:, 0], wrong[:, 1]]
    found, audio = [], dict[int, tuple[str | None, str]]()
    for row, c in wrong[np.argsort(-distance, kind="stable")[:MAX_MISTAKES]].tolist():
        clip = predictions.clips[row]
        if row not in audio:  # a clip may be here for several labels
            audio[row] = write_audio(staged, f"{AUDIO_FOLDER}/{len(audio) + 1:02}.flac", clip, read)
        found.append(
            WrongDecision(
                label=labels[c],
                reported=bool(peak[row, c] >= thresholds[c]),
                peak=float(peak[row, c]),
                true=_listed(labels, true[row]) or NONE,
                name=clip.path.name + clip.name.removeprefix(str(clip.path)),
                path=clip.name,
                audio=audio[row][0],
                why_no_audio=audio[row][1],
            )
        )
    return found, len(wrong)
