"""An evaluation as a folder that can be read, sorted, opened in a spreadsheet and listened to.

index.html       figures with intervals, the table of classes, the pictures
mistakes.html    the mistakes that the model was surest of, to listen to; their sound in mistakes/
confusion.png, reliability.png, and learning.png where a training log is given
metrics.json     every figure      per_class.csv      predictions.csv
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from audioinceptionnext.data import Clip
from audioinceptionnext.errors import AinextError, writing
from audioinceptionnext.evaluation import plots, report_pages
from audioinceptionnext.evaluation.calibration import Calibration, expected_calibration_error, reliability
from audioinceptionnext.evaluation.per_class import ClassFigures, class_table, confusion_counts, frequent_confusions
from audioinceptionnext.results.plot import check_can_draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LISTED = 50  # mistakes, each with its sound
SECONDS = 30.0  # of a mistake's sound at most
GUESSES = 5
CONFUSIONS = 15
SOUNDS = "mistakes"  # the folder of the mistakes' sound
OURS = (
    *("index.html", "mistakes.html", "metrics.json", "per_class.csv", "predictions.csv"),
    *("confusion.png", "reliability.png", "learning.png"),
)

Reader = Callable[[Clip], tuple[np.ndarray, int]]


def check_can_report(folder: Path) -> None:
    """Make ``folder`` and see that a report can be written there, before hours go into what it reports.

    Raises:
        AinextError: matplotlib is missing, or the folder cannot be made or written to.
    """
    check_can_draw()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def write_report(
    folder: Path,
    figures: Mapping[str, Any],
    probabilities: np.ndarray,
    targets: np.ndarray,
    labels: Sequence[str],
    clips: Sequence[Clip],
    intervals: Mapping[str, tuple[float, float]] | None = None,
    calibration: Calibration | None = None,
    title: str | None = None,
    read: Reader | None = None,
    log: Path | None = None,
) -> Path:
    """Write the report of an evaluation and return its ``index.html``.

    Everything is made before anything is replaced: a report that is there stays whole if this one fails. Of an older
    report all goes; other files in the folder stay.

    Args:
        figures: from `metrics.score`, with what else is to be told (``data``, ``model``, …).
        probabilities: (clips, classes).
        targets: (clips,) class indices.
        intervals: from `bootstrap`.
        calibration: from `calibrate`.
        title: what the page is called; model and data unless given.
        read: gives a clip's waveform, mono float of shape (samples,), and its rate; without it the mistakes have no
            sound. A clip for which it raises AinextError is listed with the message.
        log: Lightning's metrics.csv of the training, for its curve.

    Raises:
        AinextError: a file that cannot be written, by name; matplotlib missing; no training log.
        ValueError: arrays that do not belong together.
    """
    seen = _Evaluation(figures, np.asarray(probabilities), np.asarray(targets), labels, clips, intervals, calibration)
    seen.check()
    check_can_report(folder)
    title = title or " on ".join(str(figures[name]) for name in ("model", "data") if name in figures) or "Evaluation"
    table = class_table(seen.probabilities, seen.targets, labels)
    with tempfile.TemporaryDirectory(prefix=".report-", dir=folder) as place:
        staged = _Staged(folder, Path(place))
        staged.text("metrics.json", _metrics(seen))
        staged.text("per_class.csv", _csv(ClassFigures._fields, (map(_cell, row) for row in table)))
        staged.text("predictions.csv", _predictions(seen))
        staged.bytes("confusion.png", plots.png(plots.draw_confusion(seen.counts, labels)))
        staged.bytes("reliability.png", plots.png(_reliability_picture(seen)))
        if log is not None:
            staged.bytes("learning.png", plots.png(plots.draw_learning(log)))
        mistakes, total = _mistakes(staged, seen, read)
        staged.text("mistakes.html", report_pages.mistakes_page(title, mistakes, total))
        confusions = frequent_confusions(seen.counts, labels, CONFUSIONS)
        how_many = len(mistakes), total
        index = report_pages.index_page(
            title, figures, intervals, seen.ece, calibration, table, confusions, how_many, log is not None
        )
        staged.text("index.html", index)
        staged.replace()
    return folder / "index.html"


@dataclass(frozen=True)
class _Evaluation:
    """What a report is about; as in `write_report`."""

    figures: Mapping[str, Any]
    probabilities: np.ndarray
    targets: np.ndarray
    labels: Sequence[str]
    clips: Sequence[Clip]
    intervals: Mapping[str, tuple[float, float]] | None
    calibration: Calibration | None

    def check(self) -> None:
        """Raises ValueError for arrays that do not belong together."""
        clips, classes = len(self.clips), len(self.labels)
        if not clips or self.probabilities.shape != (clips, classes) or self.targets.shape != (clips,):
            shapes = f"probabilities {self.probabilities.shape}, targets {self.targets.shape}"
            raise ValueError(f"{shapes} for {clips} clips of {classes} classes")
        if self.targets.min() < 0 or self.targets.max() >= classes:
            raise ValueError("a target is no class: leave clips without a label out")

    @cached_property
    def ranked(self) -> np.ndarray:
        """(clips, classes): class indices, the likeliest first."""
        return np.argsort(-self.probabilities, axis=1, kind="stable")

    @cached_property
    def counts(self) -> np.ndarray:
        return confusion_counts(self.targets, self.ranked[:, 0], len(self.labels))

    @cached_property
    def ece(self) -> float:
        return expected_calibration_error(self.probabilities, self.targets)

    def rank(self, clip: int) -> int:
        """The place of the true class, 1 the likeliest."""
        return int(np.flatnonzero(self.ranked[clip] == self.targets[clip])[0]) + 1


class _Staged:
    """A report in the making: its files lie in ``place`` until `replace` puts them into ``folder``."""

    def __init__(self, folder: Path, place: Path) -> None:
        self.folder, self.place = folder, place
        with writing(folder / SOUNDS):
            (place / SOUNDS).mkdir()

    def text(self, name: str, content: str) -> None:
        with writing(self.folder / name):
            # A file name that is not UTF-8 is in the string as surrogates.
            (self.place / name).write_text(content, encoding="utf-8", errors="backslashreplace", newline="")

    def bytes(self, name: str, content: bytes) -> None:
        with writing(self.folder / name):
            (self.place / name).write_bytes(content)

    def replace(self) -> None:
        """Put the new files in, the page that shows them last, and remove what only the older report had."""
        sounds = self.folder / SOUNDS
        with writing(sounds):
            sounds.mkdir(exist_ok=True)
        old = {path for path in sounds.iterdir() if re.fullmatch(r"\d+\.flac", path.name)}
        old |= {self.folder / name for name in OURS}
        for path in sorted(
            (path for path in self.place.rglob("*") if path.is_file()), key=lambda p: p.suffix == ".html"
        ):
            target = self.folder / path.relative_to(self.place)
            with writing(target):
                path.replace(target)
            old.discard(target)
        for path in old:
            with writing(path):
                path.unlink(missing_ok=True)


def _metrics(seen: _Evaluation) -> str:
    calibrated: dict[str, Any] = {"ece": seen.ece}
    if seen.calibration is not None:
        names = ("nll", "temperature", "ece_scaled", "nll_scaled")
        calibrated |= {name: getattr(seen.calibration, name) for name in names}
    calibrated["reliability"] = [row._asdict() for row in reliability(seen.probabilities, seen.targets)]
    document = {
        **seen.figures,
        "intervals": dict(seen.intervals or {}),
        "calibration": calibrated,
        "confusion": {"labels": list(seen.labels), "counts": seen.counts.tolist()},
    }
    text = json.dumps(_plain(document), ensure_ascii=False, indent=2)
    # A list of numbers on one line: a line break inside "[" can be no part of a string in JSON.
    return re.sub(r"\[\n\s+([-\d.e,\s]+?)\n\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def _plain(value: Any) -> Any:
    """For JSON: rounded, numpy's numbers as Python's, and None for NaN, which JSON lacks."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def _predictions(seen: _Evaluation) -> str:
    """A row a clip: what it is, what it was recognised as, and the other best guesses."""
    most = min(GUESSES, len(seen.labels))
    fields = ["name", "id", "label", "predicted", "score", "correct", "label_score", "label_rank"]
    for place in range(2, most + 1):
        fields += [f"top{place}", f"top{place}_score"]
    rows = []
    for number, clip in enumerate(seen.clips):
        target, scores, order = seen.targets[number], seen.probabilities[number], seen.ranked[number]
        row = [clip.name, clip.id or "", seen.labels[target], seen.labels[order[0]], f"{scores[order[0]]:.4f}"]
        row += [str(int(order[0] == target)), f"{scores[target]:.4f}", str(seen.rank(number))]
        for column in order[1:most]:
            row += [seen.labels[column], f"{scores[column]:.4f}"]
        rows.append(row)
    return _csv(fields, rows)


def _csv(fields: Sequence[str], rows: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text)  # RFC 4180, CRLF: a bare "\r" in a label is quoted too
    writer.writerow(fields)
    writer.writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else value


def _reliability_picture(seen: _Evaluation) -> Figure:
    table = reliability(seen.probabilities, seen.targets)
    if (calibration := seen.calibration) is None:
        return plots.draw_reliability(table, seen.ece)
    words = f"temperature {calibration.temperature:.2f} (ECE {calibration.ece_scaled:.3f})"
    return plots.draw_reliability(table, seen.ece, reliability(calibration.scaled, seen.targets), words)


def _mistakes(staged: _Staged, seen: _Evaluation, read: Reader | None) -> tuple[list[report_pages.Mistake], int]:
    """The `LISTED` mistakes with the highest probability for what is wrong, and how many mistakes there are."""
    wrong = np.flatnonzero(seen.ranked[:, 0] != seen.targets)
    worst = wrong[np.argsort(-seen.probabilities[wrong].max(axis=1), kind="stable")][:LISTED]
    found = []
    for number, place in enumerate(worst, start=1):
        clip, scores, target = seen.clips[place], seen.probabilities[place], seen.targets[place]
        audio, silence = _sound(staged, f"{SOUNDS}/{number:02}.flac", clip, read)
        first, *others = seen.ranked[place][:3]
        guesses = [first, *(column for column in others if column != target)]
        found.append(
            report_pages.Mistake(
                name=clip.path.name + clip.name.removeprefix(str(clip.path)),
                path=clip.name,
                label=seen.labels[target],
                guesses=tuple((seen.labels[column], float(scores[column])) for column in guesses),
                score=float(scores[target]),
                rank=seen.rank(int(place)),
                audio=audio,
                silence=silence,
            )
        )
    return found, len(wrong)


def _sound(staged: _Staged, name: str, clip: Clip, read: Reader | None) -> tuple[str | None, str]:
    """Write a clip's sound; its name, or None and why there is none."""
    if read is None:
        return None, ""
    try:
        samples, rate = read(clip)
    except AinextError as error:
        return None, str(error)
    if not len(samples):
        return None, "no sound"
    staged.bytes(name, flac(samples[: round(SECONDS * rate)], rate))
    return name, ""


def flac(samples: np.ndarray, rate: int) -> bytes:
    """A FLAC file of 16 bit. samples: mono float, shape (n,), full scale -1..1; what is beyond is clipped."""
    whole = (np.clip(np.nan_to_num(samples), -1, 1) * 32767).round().astype(np.int16)
    file = io.BytesIO()
    with av.open(file, "w", format="flac") as output:
        stream = output.add_stream("flac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(whole[None], "s16", "mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()
