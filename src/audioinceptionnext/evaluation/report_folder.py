"""Writes an evaluation as a folder of pages, pictures and tables.

index.html       figures with intervals, the table of classes, the pictures
mistakes.html    the most confident mistakes to listen to; their audio is in mistakes/
confusion.png, reliability.png, and learning.png if there is a training log
metrics.json     all figures       per_class.csv      predictions.csv
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from audioinceptionnext.data import Clip
from audioinceptionnext.errors import FileError, check_can_write, replacing, writing
from audioinceptionnext.evaluation import plots, report_pages
from audioinceptionnext.evaluation.calibration import (
    MIN_CLIPS,
    Calibration,
    expected_calibration_error,
    reliability,
)
from audioinceptionnext.evaluation.per_class import ClassFigures, class_table, confusion_counts, frequent_confusions
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
from audioinceptionnext.results.plot import check_can_plot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_GUESSES = 5  # columns of predictions.csv
MAX_CONFUSIONS = 15  # rows of the table of frequent confusions


def check_can_report(folder: Path) -> None:
    """Check that a report can be written to ``folder``, before hours of work that it will report on.

    Nothing is created: the call may still be refused for another reason.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        FileError: the folder cannot be created or written to, or is a file.
    """
    check_can_plot()
    if folder.exists() and not folder.is_dir():
        raise FileError(folder, "is no folder, which a report is; give another name")
    check_can_write(folder)


def write_report(
    folder: Path,
    figures: Mapping[str, Any],
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    clips: Sequence[Clip],
    *,
    intervals: Mapping[str, tuple[float, float]] | None = None,
    calibration: Calibration | None = None,
    title: str | None = None,
    read: ReadClip | None = None,
    training_logs: Sequence[Path] = (),
) -> Path:
    """Write the report of an evaluation and return the path of its ``index.html``.

    All files are made before any is replaced, so that an existing report stays whole if this one fails. All files of an
    older report are removed; other files in the folder stay.

    Args:
        folder: where to write; it is created if necessary.
        figures: from `metrics.score`, with further entries to show, such as ``data`` and ``model``.
        probabilities: (clips, classes).
        targets: (clips,) class indices.
        labels: one per class.
        clips: with the names and audio of the rows of ``probabilities``.
        intervals: from `bootstrap`.
        calibration: from `calibrate`.
        title: of the page; names the model and the data set unless given.
        read: returns the waveform of a clip, mono float of shape (samples,), and its sample rate. Without it, the
            mistakes have no audio. If it raises an AinextError, the clip is listed with the error's message.
        training_logs: Lightning's metrics.csv of the training, one for each time it was started or resumed, for the
            learning curve.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        FileError: a file cannot be written, or one of ``training_logs`` is not a training log.
        ValueError: the arrays do not fit together.
    """
    content = _Content(figures, np.asarray(probabilities), np.asarray(targets), labels, clips, intervals, calibration)
    content.check()
    check_can_report(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    title = title or " on ".join(str(figures[name]) for name in ("model", "data") if name in figures) or "Evaluation"
    table = class_table(content.probabilities, content.targets, labels)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as temporary:
        staged = StagedFiles(folder, Path(temporary))
        staged.write_text("metrics.json", _metrics_json(content))
        staged.write_text("per_class.csv", csv_text(ClassFigures._fields, (map(cell, row) for row in table)))
        staged.write_text("predictions.csv", _predictions_csv(content))
        staged.write_bytes("confusion.png", plots.png(plots.draw_confusion(content.counts, labels)))
        if content.ece is not None:
            staged.write_bytes("reliability.png", plots.png(_reliability_diagram(content, content.ece)))
        if training_logs:
            staged.write_bytes("learning.png", plots.png(plots.draw_learning(*training_logs)))
        mistakes, total = _list_mistakes(staged, content, read)
        staged.write_text("mistakes.html", report_pages.mistakes_page(title, mistakes, total))
        index = report_pages.index_page(
            title,
            figures,
            intervals=intervals,
            ece=content.ece,
            calibration=calibration,
            table=table,
            confusions=frequent_confusions(content.counts, labels, MAX_CONFUSIONS),
            listed_mistakes=len(mistakes),
            total_mistakes=total,
            has_learning_curve=bool(training_logs),
        )
        staged.write_text("index.html", index)
        staged.publish()
    return folder / "index.html"


def write_tasks_index(folder: Path, title: str, figures: Mapping[str, Any], tasks: Sequence[str]) -> Path:
    """Write the page that leads to the reports of several tasks, which are in folders of their names.

    Args:
        folder, title: as for `write_report`.
        figures: those of all tasks together, and what was evaluated.
        tasks: their names.

    Raises:
        FileError: the page cannot be written.
    """
    path = folder / "index.html"
    with replacing(path) as new:
        new.write_text(report_pages.tasks_page(title, figures, tasks), encoding="utf-8")
    return path


@dataclass(frozen=True)
class _Content:
    """What a report is made from, as given to `write_report`, and what follows from it."""

    figures: Mapping[str, Any]
    probabilities: np.ndarray
    targets: np.ndarray
    labels: Sequence[str]
    clips: Sequence[Clip]
    intervals: Mapping[str, tuple[float, float]] | None
    calibration: Calibration | None

    def check(self) -> None:
        """Raise a ValueError unless the arrays fit together."""
        clips, classes = len(self.clips), len(self.labels)
        if not clips or self.probabilities.shape != (clips, classes) or self.targets.shape != (clips,):
            shapes = f"probabilities {self.probabilities.shape}, targets {self.targets.shape}"
            raise ValueError(f"{shapes} for {clips} clips of {classes} classes")
        if self.targets.min() < 0 or self.targets.max() >= classes:
            raise ValueError(f"targets are not all class indices from 0 to {classes - 1}; leave out unlabelled clips")

    @cached_property
    def ranked(self) -> np.ndarray:
        """(clips, classes): class indices, the most probable first."""
        return np.argsort(-self.probabilities, axis=1, kind="stable")

    @cached_property
    def counts(self) -> np.ndarray:
        """The confusion matrix."""
        return confusion_counts(self.targets, self.ranked[:, 0], len(self.labels))

    @cached_property
    def ece(self) -> float | None:
        """The expected calibration error; None if these clips cannot tell it."""
        if len(self.clips) < MIN_CLIPS or self.figures.get(report_pages.SEEN):
            return None
        return expected_calibration_error(self.probabilities, self.targets)

    def rank(self, clip: int) -> int:
        """The rank of a clip's true class by probability, from 1."""
        return int(np.flatnonzero(self.ranked[clip] == self.targets[clip])[0]) + 1


def _metrics_json(content: _Content) -> str:
    calibration: dict[str, Any] = {"ece": content.ece}
    if content.calibration is not None:
        names = ("nll", "temperature", "ece_scaled", "nll_scaled")
        calibration |= {name: getattr(content.calibration, name) for name in names}
    calibration["reliability"] = [row._asdict() for row in reliability(content.probabilities, content.targets)]
    document = {
        **content.figures,
        "intervals": dict(content.intervals or {}),
        "calibration": calibration,
        "confusion": {"labels": list(content.labels), "counts": content.counts.tolist()},
    }
    return json_text(document)


def _predictions_csv(content: _Content) -> str:
    """One row per clip: its label, the class it was recognised as, and the next most probable classes."""
    guesses = min(MAX_GUESSES, len(content.labels))
    fields = ["name", "id", "label", "predicted", "score", "correct", "label_score", "label_rank"]
    for rank in range(2, guesses + 1):
        fields += [f"top{rank}", f"top{rank}_score"]
    rows = []
    for number, clip in enumerate(content.clips):
        target, scores, order = content.targets[number], content.probabilities[number], content.ranked[number]
        row = [clip.name, clip.id or "", content.labels[target], content.labels[order[0]], f"{scores[order[0]]:.4f}"]
        row += [str(int(order[0] == target)), f"{scores[target]:.4f}", str(content.rank(number))]
        for column in order[1:guesses]:
            row += [content.labels[column], f"{scores[column]:.4f}"]
        rows.append(row)
    return csv_text(fields, rows)


def _reliability_diagram(content: _Content, ece: float) -> Figure:
    table = reliability(content.probabilities, content.targets)
    if (calibration := content.calibration) is None:
        return plots.draw_reliability(table, ece)
    scaled_name = f"temperature {calibration.temperature:.2f} (ECE {calibration.ece_scaled:.3f})"
    scaled = reliability(calibration.scaled, content.targets)
    return plots.draw_reliability(table, ece, scaled, scaled_name)


def _list_mistakes(
    staged: StagedFiles, content: _Content, read: ReadClip | None
) -> tuple[list[report_pages.Mistake], int]:
    """The mistakes with the highest probability of the wrong class, and the number of all mistakes."""
    wrong = np.flatnonzero(content.ranked[:, 0] != content.targets)
    worst = wrong[np.argsort(-content.probabilities[wrong].max(axis=1), kind="stable")][:MAX_MISTAKES]
    mistakes = []
    for number, row in enumerate(worst, start=1):
        clip, scores, target = content.clips[row], content.probabilities[row], content.targets[row]
        audio, why_no_audio = write_audio(staged, f"{AUDIO_FOLDER}/{number:02}.flac", clip, read)
        first, *others = content.ranked[row][:3]
        guesses = [first, *(column for column in others if column != target)]
        mistakes.append(
            report_pages.Mistake(
                name=clip.path.name + clip.name.removeprefix(str(clip.path)),
                path=clip.name,
                label=content.labels[target],
                guesses=tuple((content.labels[column], float(scores[column])) for column in guesses),
                score=float(scores[target]),
                rank=content.rank(int(row)),
                audio=audio,
                why_no_audio=why_no_audio,
            )
        )
    return mistakes, len(wrong)
