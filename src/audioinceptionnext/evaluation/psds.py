"""The polyphonic sound detection score (PSDS) of timelines, by the package ``sed_scores_eval``, and its files.

PSDS (Bilen et al., 2020) is the area under a curve of the share of events that are found, over false alarms per hour,
for all thresholds at once. Both scenarios are those of DCASE, task 4: the first asks for exact times, the second for
the right label.
"""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from audioinceptionnext.errors import FileError, MissingDependencyError, check_can_write, printable, replacing, writing
from audioinceptionnext.evaluation.intervals import draw_weights, group_numbers, known
from audioinceptionnext.evaluation.timelines import Timeline
from audioinceptionnext.results.types import Segment

CRITERIA: dict[str, dict[str, Any]] = {
    "psds1": {"dtc_threshold": 0.7, "gtc_threshold": 0.7, "cttc_threshold": None},
    "psds2": {"dtc_threshold": 0.1, "gtc_threshold": 0.1, "cttc_threshold": 0.3},
}
CROSS_TRIGGERS = {"psds1": 0.0, "psds2": 0.5}  # how much they weigh beside false alarms (alpha_ct)
INSTABILITY = 1.0  # how much the deviation between labels is subtracted from their mean (alpha_st)
MAX_ALARMS = 100  # false alarms per hour, up to which the area is taken
DECIMALS = 6  # of scores and times
PIECE_SECONDS = 60.0  # of longer recordings; the work grows with the square of the length
RESAMPLES, FEWEST = 100, 40  # at most, and at least for an interval
# Changes of counts that all resamples together may have, see `_affordable`. They take about a minute.
MAX_CHANGES = 500_000_000
MISSING = MissingDependencyError("PSDS", "audioinceptionnext[psds]")
_HEADER = "onset\toffset\t"


@dataclass(frozen=True)
class Psds:
    """What `psds` computes; all of it is empty without `sed_scores_eval`, but ``figures`` has None.

    Attributes:
        figures: ``psds1`` and ``psds2``, 0 to 1.
        intervals: of those, as `intervals.known` gives them.
        per_label: the same two of each label that has true segments.
        rocs: the curve of each: false alarms per hour and the share of events found, (points,) each.
    """

    figures: dict[str, float | None]
    intervals: dict[str, list[float]] = field(default_factory=dict)
    per_label: dict[str, dict[str, float]] = field(default_factory=dict)
    rocs: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def can_score() -> bool:
    """Whether `sed_scores_eval` is installed, see `MISSING`."""
    return importlib.util.find_spec("sed_scores_eval") is not None


def psds(timelines: Sequence[Timeline], labels: Sequence[str], resamples: int) -> Psds:
    """Compute PSDS 1 and 2 of timelines.

    Labels without true segments are left out, since the package cannot score them. Recordings of more than a minute
    and a half are cut into pieces of about a minute where no true segment is, and after two minutes wherever it is.

    Args:
        timelines: at least one.
        labels: see `TimelineEvaluation`.
        resamples: of the bootstrap over recordings, of which at most `RESAMPLES` are drawn. There are no intervals if
            it is 0, or if even `FEWEST` would take minutes.
    """
    present = {event.label for one in timelines for event in one.true}
    names = [label for label in labels if label in present]
    if not names or not can_score():
        return Psds(dict.fromkeys(CRITERIA))
    scores, truth, seconds, owner = _tables(timelines, labels, names)
    groups = [one.recording.group for one in timelines]
    everything = np.ones(len(timelines))
    figures: dict[str, float | None] = {}
    intervals, rocs = dict[str, tuple[float, float]](), {}
    per_label: dict[str, dict[str, float]] = {name: {} for name in names}
    for name, criteria in CRITERIA.items():
        deltas = _deltas(scores, truth, criteria)
        value, of_labels, (found, alarms) = _scored(name, _drawn(deltas, owner, everything), truth, seconds)
        figures[name], rocs[name] = value, (alarms, found)
        for label, one in of_labels.items():
            per_label[names[int(label)]][name] = one
        if count := _affordable(deltas, min(resamples, RESAMPLES)):
            drawn = next(draw_weights(group_numbers(groups), count, 0, count)).T
            values = np.array([_scored(name, _drawn(deltas, owner, own), truth, seconds)[0] for own in drawn])
            # Labels deviate more in a resample, which lowers all of them: only their spread around their median counts.
            low, high = np.nanquantile(values - np.nanmedian(values) + value, (0.025, 0.975)).clip(0, 1)
            intervals[name] = float(low), float(high)
    known_figures = {name: value for name, value in figures.items() if value is not None}
    return Psds(figures, known(known_figures, intervals, groups), per_label, rocs)


def score_table(timeline: Timeline) -> tuple[np.ndarray, np.ndarray]:
    """The scores of a recording as files have them: (steps + 1,) times and (steps, labels) scores, both rounded.

    Steps of no length, after the recording's end, are left out.
    """
    bounds = np.round(timeline.bounds, DECIMALS)
    kept = np.diff(bounds) > 0
    times = np.concatenate([bounds[:-1][kept], bounds[-1:]])
    return times, np.round(timeline.scores[kept].astype(np.float64), DECIMALS)


def write_scores(folder: Path, timelines: Sequence[Timeline], labels: Sequence[str]) -> list[Path]:
    """Write scores and truth in the files that `sed_scores_eval` reads.

    Args:
        folder: gets a file ``NAME.tsv`` for each recording, with the columns onset, offset and one per label.
            Beside it are ``FOLDER_ground_truth.tsv`` and ``FOLDER_durations.tsv``. Scores of other recordings there
            are removed, since the package reads all that a folder holds.
        timelines, labels: see `evaluate_timelines`.

    Returns:
        The paths of the ground truth and of the durations.

    Raises:
        FileError: a file cannot be written, or the folder holds something else, see `check_can_write_scores`.
    """
    folder = folder if folder.name else folder.absolute()  # for the names beside it
    check_can_write_scores(folder)
    names = _names(timelines)
    truth, lengths = ["filename\tonset\toffset\tevent_label"], ["filename\tduration"]
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for older in folder.iterdir():
        if older.stem not in names:
            older.unlink()
    for name, timeline in zip(names, timelines, strict=True):
        times, scores = score_table(timeline)
        rows = ["\t".join((_HEADER.strip(), *map(_column, labels)))]
        for begin, end, row in zip(times[:-1], times[1:], scores, strict=True):
            values = (f"{value:.{DECIMALS}g}" for value in row)
            rows.append("\t".join((f"{begin:.{DECIMALS}f}", f"{end:.{DECIMALS}f}", *values)))
        _write(folder / f"{name}.tsv", rows)
        truth += [f"{name}.wav\t{e.start:.6f}\t{e.end:.6f}\t{_column(e.label)}" for e in timeline.true]
        truth += [f"{name}.wav\t\t\t"] if not timeline.true else []
        lengths.append(f"{name}.wav\t{times[-1]:.6f}")
    beside = [folder.with_name(f"{folder.name}_{what}.tsv") for what in ("ground_truth", "durations")]
    for path, rows in zip(beside, (truth, lengths), strict=True):
        _write(path, rows)
    return beside


def check_can_write_scores(folder: Path) -> None:
    """Check that a folder can take scores: it is not there, is empty, or holds nothing but scores.

    Raises:
        FileError: it cannot. `sed_scores_eval` reads no folder that holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise FileError(folder, "is no folder, which scores are written to; give another name")
    for path in folder.iterdir() if folder.is_dir() else ():
        is_score = path.suffix == ".tsv" and path.is_file()
        if not is_score or not path.read_bytes().startswith(_HEADER.encode()):
            reason = f"holds {printable(path.name)}, which is no file of scores; give a folder for these alone"
            raise FileError(folder, reason)
    check_can_write(folder)


def _write(path: Path, rows: Sequence[str]) -> None:
    with replacing(path) as new:
        new.write_text("\n".join(rows) + "\n", encoding="utf-8", errors="backslashreplace")


def _column(label: str) -> str:
    """A label as the package takes it, for which a backslash has a meaning of its own."""
    return " ".join(label.split()).replace("\\", "/")


def _names(timelines: Sequence[Timeline]) -> list[str]:
    """A name for each recording that no other has: its file's, with those of its folders and a number if need be."""
    paths = [one.recording.path for one in timelines]
    keys = [one.recording.key for one in timelines]
    names = [key or path.stem for path, key in zip(paths, keys, strict=True)]
    often = Counter(names)
    names = [
        name if often[name] == 1 else f"{path.parent.name}_{name}" for name, path in zip(names, paths, strict=True)
    ]
    names = [name.replace("/", "_").replace("\\", "_") for name in names]
    taken: Counter[str] = Counter()
    distinct = []
    for name in names:
        taken[name] += 1
        distinct.append(name if taken[name] == 1 else f"{name}_{taken[name]}")
    return distinct


def _tables(
    timelines: Sequence[Timeline], labels: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, Any], dict[str, list[Any]], dict[str, float], dict[str, int]]:
    """What the package takes of each piece: scores, truth and length; and to which recording it belongs."""
    from pandas import DataFrame

    class Scores(DataFrame):
        """A table whose arrays can be written to, since the package asks for it: up to 0.0.4, with pandas 3."""

        @property
        def _constructor(self) -> Any:
            return Scores

        def to_numpy(self, *args: Any, **options: Any) -> np.ndarray:
            return super().to_numpy(*args, **options).copy()

    columns = [labels.index(name) for name in names]
    scores, truth, seconds, owner = {}, {}, {}, {}
    for number, timeline in enumerate(timelines):
        times, values = score_table(timeline)
        for first, last in _pieces(times, timeline.true):
            piece = f"{number}:{first}"
            table = np.column_stack([times[first:last], times[first + 1 : last + 1], values[first:last, columns]])
            scores[piece] = Scores(table, columns=["onset", "offset", *map(str, range(len(names)))])
            begin, end = float(times[first]), float(times[last])
            truth[piece] = [
                (max(event.start, begin), min(event.end, end), str(names.index(event.label)))
                for event in timeline.true
                if event.start < end and event.end > begin
            ]
            seconds[piece], owner[piece] = end - begin, number
    return scores, truth, seconds, owner


def _pieces(times: np.ndarray, events: Sequence[Segment]) -> Iterator[tuple[int, int]]:
    """The steps between which a recording is cut: one piece of most, see `psds`."""
    first = 0
    bounds = np.array([(event.start, event.end) for event in events]).reshape(-1, 2)
    for place in range(1, len(times) - 1):
        since = times[place] - times[first]
        if since < PIECE_SECONDS or times[-1] - times[place] < PIECE_SECONDS / 2:
            continue
        if since >= 2 * PIECE_SECONDS or not ((bounds[:, 0] < times[place]) & (bounds[:, 1] > times[place])).any():
            yield first, place
            first = place
    yield first, len(times) - 1


_Deltas = dict[str, dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]]


def _deltas(scores: Mapping[str, Any], truth: Mapping[str, Any], criteria: Mapping[str, Any]) -> _Deltas:
    """How counts change with the threshold, of each piece and label: what takes most of the work, and is done once."""
    from sed_scores_eval.intersection_based import intermediate_statistics_deltas

    labels = next(iter(scores.values())).columns[2:]
    criteria = dict(criteria)
    if len(labels) == 1:  # of one label, nothing triggers another one
        criteria["cttc_threshold"] = None
    found: _Deltas = intermediate_statistics_deltas(dict(scores), dict(truth), **criteria)
    return found


def _affordable(deltas: _Deltas, resamples: int) -> int:
    """How many resamples to draw: all, or as many as are not too much work; 0 if that is too few for an interval."""
    changes = sum(array.size for own in deltas.values() for _, counts in own.values() for array in counts.values())
    count = min(resamples, MAX_CHANGES // max(1, changes))
    return count if count >= min(resamples, FEWEST) else 0


def _drawn(deltas: _Deltas, owner: Mapping[str, int], weights: np.ndarray) -> dict[str, tuple[str, Any]]:
    """The pieces of a resample: each of a recording as often as it was drawn, under a name of its own."""
    return {
        f"{piece}#{copy}": (piece, own) for piece, own in deltas.items() for copy in range(int(weights[owner[piece]]))
    }


def _scored(
    name: str, drawn: Mapping[str, tuple[str, Any]], truth: Mapping[str, list[Any]], seconds: Mapping[str, float]
) -> tuple[float, dict[str, float], tuple[np.ndarray, np.ndarray]]:
    """PSDS of a resample, over the labels that have true segments in it."""
    from sed_scores_eval.intersection_based import psds as score

    true = {copy: truth[piece] for copy, (piece, _) in drawn.items()}
    present = {label for events in true.values() for _, _, label in events}
    if not present:
        return math.nan, {}, (np.zeros(0), np.zeros(0))
    kept = {
        copy: {
            label: (scores, {key: value for key, value in counts.items() if _other(key) in (None, *present)})
            for label, (scores, counts) in own.items()
            if label in present
        }
        for copy, (_, own) in drawn.items()
    }
    criteria, weight = dict(CRITERIA[name]), CROSS_TRIGGERS[name]
    if len(present) == 1:
        criteria["cttc_threshold"], weight = None, 0.0
    value, of_labels, roc, _ = score(
        None, true, {copy: seconds[piece] for copy, (piece, _) in drawn.items()}, deltas=kept,
        **criteria, alpha_ct=weight, alpha_st=INSTABILITY, max_efpr=MAX_ALARMS,
    )  # fmt: skip
    return float(value), {label: float(one) for label, one in of_labels.items()}, roc


def _other(key: str) -> str | None:
    """The other label that a count of cross triggers is of; None of other counts."""
    return key.partition("\\")[2] or None
