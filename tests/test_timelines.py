"""Timelines against annotated segments: figures, PSDS, the report, and a round trip from corrected labels."""

from __future__ import annotations

import csv
import json
import math
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audioinceptionnext.cli.figures import print_timeline_figures
from audioinceptionnext.data import Clip, load_dataset
from audioinceptionnext.data.annotated import annotated_recordings
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.errors import FileError
from audioinceptionnext.evaluation import psds
from audioinceptionnext.evaluation.events import STRICT, Collars, event_counts
from audioinceptionnext.evaluation.timeline_figures import timeline_figures, weighted_median
from audioinceptionnext.evaluation.timeline_report import (
    INVENTED,
    MISPLACED,
    MISSED,
    RIGHT,
    verdicts,
    write_timeline_report,
)
from audioinceptionnext.evaluation.timelines import Timeline, merged, smoothed
from audioinceptionnext.results.segmentation import find_segments
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.types import Segment
from audioinceptionnext.training.recipe import as_yaml
from tests.annotated_scenes import STEPS, write_scenes
from tests.command import ainext, plain, refused
from tests.data_files import write_list
from tests.small_sounds import LABELS, quick

STEP = 0.16


def event(label: str, start: float, end: float, score: float = 1.0) -> Segment:
    return Segment(start, end, label, score)


def timeline(number: int, true: list[Segment], found: list[Segment], seconds: float = 20.0) -> Timeline:
    """A recording whose scores are those of what was found, and a little noise."""
    bounds = np.append(np.arange(0, seconds, STEP), seconds)
    scores = np.random.default_rng(number).uniform(0, 0.1, (len(bounds) - 1, len(LABELS))).astype(np.float32)
    for one in found:
        scores[(bounds[1:] > one.start) & (bounds[:-1] < one.end), LABELS.index(one.label)] = one.score
    clip = Clip(Path(f"{number}.wav"), -1, end=seconds, group=f"{number}.wav")
    return Timeline(clip, merged(true), found, bounds, scores)


def some_timelines(count: int = 8, seconds: float = 20.0) -> list[Timeline]:
    """Timelines in which some events are right, some misplaced, some missed and some invented."""
    rng = np.random.default_rng(5)
    timelines = []
    for number in range(count):
        true, found = [], []
        for label in LABELS:
            start = rng.uniform(0.5, 2)
            while start + 3 < seconds:
                true.append(event(label, start, end := start + rng.uniform(0.5, 2)))
                if rng.uniform() < 0.8:
                    shift = rng.normal(0.05, 0.15), rng.normal(-0.05, 0.2)
                    found.append(event(label, start + shift[0], max(end + shift[1], start + 0.4), rng.uniform(0.4, 1)))
                start = end + rng.uniform(1, 3)
        for start in rng.uniform(0, seconds - 1, 4):
            found.append(event(LABELS[number % 2], start, start + 0.6, rng.uniform(0.4, 1)))
        timelines.append(timeline(number, true, found, seconds))
    return timelines


# --- Figures ---


def test_collars_by_hand() -> None:
    true = [event("tap", 1.0, 2.0), event("tap", 5.0, 9.0), event("bowl", 1.0, 2.0)]
    found = [event("tap", 1.2, 2.2), event("tap", 4.8, 9.8), event("bowl", 1.0, 2.3)]
    assert event_counts(true, found, STRICT).true_positives == 2  # 20 % of 4 s are 0.8 s, but of 1 s the 0.2 s count
    assert event_counts(true, found, Collars(0.1, 0.2, 0.2)).true_positives == 0  # one onset is right, not its offset
    assert event_counts(true, found, Collars(0.2, 0.2)).true_positives == 1
    assert event_counts(true, found, Collars(0.2)).true_positives == 3
    # One estimate is right for one event only, and as many pairs as possible are made.
    assert event_counts([event("tap", 0, 1), event("tap", 0.3, 1)], [event("tap", 0.15, 1)], STRICT).true_positives == 1
    two = [event("tap", 0.2, 1), event("tap", 0.35, 1)]
    assert event_counts([event("tap", 0, 1), event("tap", 0.3, 1)], two, STRICT).true_positives == 2
    with pytest.raises(ValueError, match="give seconds"):
        Collars(math.nan)


def test_figures_by_hand() -> None:
    first = timeline(0, [event("hiss", 1, 2), event("whistle", 4, 6)], [event("hiss", 1.1, 2.1), event("hiss", 9, 10)])
    second = timeline(1, [event("hiss", 3, 5)], [event("hiss", 2.5, 5)])
    figures = timeline_figures([first, second], LABELS, STRICT, 0)
    assert (figures["segments"], figures["found"], figures["onset_pairs"]) == (3, 3, 2)
    assert figures["event_f1"] == pytest.approx(100 * 2 / 6)  # one of three is right
    # Seconds: hiss 1 (and 2 by 0.1 s), 3, 4; whistle 4, 5. Found: hiss 1, 2, 9, 2, 3, 4.
    assert figures["segment_f1"] == pytest.approx(100 * 6 / (6 + 3 + 2))
    assert figures["onset_median"] == pytest.approx(0.3) and figures["onset_bias"] == pytest.approx(-0.2)
    assert figures["offset_median"] == pytest.approx(0.05)
    hiss, whistle = (figures["per_label"][label] for label in LABELS)
    assert hiss["event_f1"] == pytest.approx(100 * 2 / 5) and whistle["event_f1"] == 0
    assert hiss["event_precision"] == pytest.approx(100 / 3) and hiss["event_recall"] == 50
    assert whistle["segments"] == 1 and math.isnan(whistle["onset_median"])
    assert figures["event_f1_macro"] == pytest.approx(20)
    histogram = figures["histograms"]["onset"]
    assert sum(histogram["counts"]) == 2 and len(histogram["bounds"]) == len(histogram["counts"]) + 1
    assert figures["collars"] == {"onset": 0.2, "offset": 0.2, "offset_share": 0.2} and "intervals" not in figures


@pytest.mark.needs("psds")
def test_figures_are_those_of_sed_eval() -> None:
    """Which comes with `sed_scores_eval`. It too matches as many events as possible."""
    from dcase_util.containers import MetaDataContainer
    from sed_eval.sound_event import EventBasedMetrics, SegmentBasedMetrics

    timelines = some_timelines()
    events = EventBasedMetrics(list(LABELS), t_collar=0.2, percentage_of_length=0.2)
    segments = SegmentBasedMetrics(list(LABELS), time_resolution=1.0)
    for one in timelines:
        both = [
            MetaDataContainer(
                [{"filename": "a", "onset": e.start, "offset": e.end, "event_label": e.label} for e in own]
            )
            for own in (one.true, one.found)
        ]
        events.evaluate(*both)
        segments.evaluate(*both)
    ours = timeline_figures(timelines, LABELS, STRICT, 0)
    for name, theirs in (("event", events), ("segment", segments)):
        overall = theirs.results_overall_metrics()["f_measure"]
        for key, own in (("f1", "f_measure"), ("precision", "precision"), ("recall", "recall")):
            assert ours[f"{name}_{key}"] == pytest.approx(100 * overall[own])
        for label, values in theirs.results_class_wise_metrics().items():
            assert ours["per_label"][label][f"{name}_f1"] == pytest.approx(100 * values["f_measure"]["f_measure"])


def test_intervals_contain_their_figures_and_need_recordings() -> None:
    figures = timeline_figures(some_timelines(), LABELS, STRICT, 300)
    for name in ("segment_f1", "event_f1", "event_f1_macro", "onset_median", "offset_bias"):
        low, high = figures["intervals"][name]
        assert low < figures[name] < high
    low, high = figures["per_label"]["hiss"]["intervals"]["event_f1"]
    assert low < figures["per_label"]["hiss"]["event_f1"] < high
    assert timeline_figures(some_timelines(3), LABELS, STRICT, 50)["intervals"] == {}
    assert timeline_figures(some_timelines(), LABELS, STRICT, 300) == figures


@pytest.mark.parametrize(("recordings", "reason"), [(6, False), (3, True)])
def test_few_recordings_are_named_only_if_they_are_why_there_are_no_intervals(
    recordings: int, reason: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If nothing is found, F1 is 0 in every resample, however many there are."""
    timelines = [timeline(number, [event("hiss", 1, 2)], []) for number in range(recordings)]
    figures = {"data": "labels", "model": "mine", "recordings": recordings, "unreadable": [], "hours": 0.1}
    figures |= timeline_figures(timelines, LABELS, STRICT, 50)
    assert figures["intervals"] == {}
    print_timeline_figures(figures)
    page = write_timeline_report(tmp_path / "report", figures, timelines, STRICT, rocs={}).read_text(encoding="utf-8")
    for said in (plain(capsys.readouterr().out), page):
        assert (f"{recordings} recordings cannot tell how far" in said) == reason


def test_a_weighted_median_is_that_of_the_repeated_values() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.standard_normal(9), rng.integers(0, 3, (9, 20))
    wanted = [np.median(np.repeat(values, own)) for own in weights.T]
    assert weighted_median(values, weights) == pytest.approx(wanted)
    assert np.isnan(weighted_median(values[:0], weights[:0])).all()


def test_what_overlaps_or_touches_is_one_and_scores_are_those_of_the_segmenter() -> None:
    events = [event("a", 2, 3), event("a", 1, 2), event("b", 1, 4), event("a", 2.5, 2.7), event("a", 3.1, 4)]
    assert merged(events) == [event("a", 1, 3), event("b", 1, 4), event("a", 3.1, 4)]
    probabilities = np.random.default_rng(0).uniform(0, 1, (100, 2)).astype(np.float32)
    settings = SegmentationSettings(0.6, 0.5)
    smooth = smoothed(probabilities, STEP, np.full(probabilities.shape[1], settings.smoothing))
    segments = find_segments(probabilities, STEP, STEP, 16.0, LABELS, settings)
    assert segments
    for one in segments:
        column = smooth[round(one.start / STEP) : round(one.end / STEP), LABELS.index(one.label)]
        assert one.score == pytest.approx(float(column.mean()), abs=1e-5)


def test_verdicts() -> None:
    true = [event("hiss", 1, 2), event("hiss", 5, 7), event("hiss", 12, 13)]
    found = [event("hiss", 1.1, 2.1), event("hiss", 5.5, 7), event("hiss", 15, 16), event("whistle", 12, 13)]
    kinds = [(one.kind, one.label, one.bounds) for one in verdicts(timeline(0, true, found), STRICT)]
    assert kinds == [
        (RIGHT, "hiss", (1, 2.1)), (MISPLACED, "hiss", (5, 7)), (MISSED, "hiss", (12, 13)),
        (INVENTED, "whistle", (12, 13)), (INVENTED, "hiss", (15, 16)),
    ]  # fmt: skip


# --- PSDS and its files ---


@pytest.mark.needs("psds")
def test_psds_is_that_of_the_package_on_the_written_scores(tmp_path: Path) -> None:
    timelines = [*some_timelines(), timeline(99, [], [event("hiss", 3, 4, 0.8)])]  # in the last one, nothing sounds
    found = psds.psds(timelines, LABELS, 20)
    beside = psds.write_scores(tmp_path / "scores", timelines, LABELS)
    direct = directly(tmp_path / "scores", *beside)
    for name, (value, per_label) in direct.items():
        assert found.figures[name] == pytest.approx(value, abs=1e-9) and 0.05 < value <= 1
        assert {label: own[name] for label, own in found.per_label.items()} == pytest.approx(per_label)
    assert found.figures["psds1"] < found.figures["psds2"]  # type: ignore[operator]
    assert all(low < found.figures[name] < high for name, (low, high) in found.intervals.items())  # type: ignore[operator]
    # A table with another label's column, which has no events, changes nothing.
    assert psds.psds(timelines, (*LABELS, "other"), 0).figures == found.figures


def directly(scores: Path, truth: Path, durations: Path) -> dict[str, tuple[float, dict[str, float]]]:
    """PSDS 1 and 2 by `sed_scores_eval` alone, with the parameters of DCASE, task 4."""
    import pandas
    from sed_scores_eval import io
    from sed_scores_eval.intersection_based import psds as score

    class Writable(pandas.DataFrame):  # what `sed_scores_eval` 0.0.4 needs with pandas 3
        _constructor = property(lambda self: Writable)  # type: ignore[assignment]

        def to_numpy(self, *args: Any, **options: Any) -> np.ndarray:
            return super().to_numpy(*args, **options).copy()

    tables = {name: Writable(table) for name, table in io.read_sed_scores(scores).items()}
    common = {"max_efpr": 100, "alpha_st": 1, "unit_of_time": "hour"}
    found = {}
    for name, own in {
        "psds1": {"dtc_threshold": 0.7, "gtc_threshold": 0.7},
        "psds2": {"dtc_threshold": 0.1, "gtc_threshold": 0.1, "cttc_threshold": 0.3, "alpha_ct": 0.5},
    }.items():
        found[name] = score(tables, str(truth), str(durations), **own, **common)[:2]
    return found


@pytest.mark.needs("psds")
def test_long_recordings_are_cut_where_nothing_is_and_one_label_has_no_cross_triggers() -> None:
    true = [event("hiss", 59, 70), event("hiss", 200, 201)]
    one = timeline(0, true, [event("hiss", 59, 70, 0.9), event("hiss", 200, 201, 0.9)], 400.0)
    times, _ = psds.score_table(one)
    cut = [(float(times[first]), float(times[last])) for first, last in psds._pieces(times, one.true)]
    assert cut[0][0] == 0 and cut[-1][1] == 400 and all(a[1] == b[0] for a, b in pairwise(cut))
    assert 70 <= cut[0][1] <= 70.2 and all(30 <= end - start <= 120.2 for start, end in cut)
    assert psds.psds([one], ("hiss", "whistle"), 0).figures == {"psds1": 1, "psds2": 1}
    nothing = timeline(1, [], [event("hiss", 1, 2)])
    assert psds.psds([nothing], LABELS, 10).figures == {"psds1": None, "psds2": None}


def test_files_of_scores(tmp_path: Path) -> None:
    timelines = some_timelines(3)
    folder = tmp_path / "scores"
    truth, durations = psds.write_scores(folder, timelines, ("hiss", "a\\b"))
    assert sorted(path.name for path in folder.iterdir()) == ["0.tsv", "1.tsv", "2.tsv"]
    with (folder / "1.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert list(rows[0]) == ["onset", "offset", "hiss", "a/b"]
    assert [row["onset"] for row in rows[1:]] == [row["offset"] for row in rows[:-1]]
    assert float(rows[-1]["offset"]) == 20 and float(rows[7]["hiss"]) == pytest.approx(
        timelines[1].scores[7, 0], abs=1e-6
    )
    assert truth.name == "scores_ground_truth.tsv" and durations.read_text().count("20.000000") == 3
    psds.write_scores(folder, timelines[:1], LABELS)
    assert [path.name for path in folder.iterdir()] == ["0.tsv"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"holds notes\.txt"):
        psds.write_scores(folder, timelines, LABELS)


# --- The command ---


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scenes(tmp_path_factory.mktemp("scenes") / "scenes")


def truth_of(scenes: Path) -> dict[str, list[tuple[float, float, str]]]:
    rows: dict[str, list[tuple[float, float, str]]] = {}
    with (scenes / "meta.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["path"], []).append((float(row["start"]), float(row["end"]), row["label"]))
    return rows


def corrected(track: Path, true: list[tuple[float, float, str]]) -> str:
    """What a person makes of a label track: every segment that is there gets its true times, and the rest goes."""
    lines = [line.split("\t") for line in track.read_text(encoding="utf-8").splitlines()]
    kept = [(start, end, label) for start, end, label in true if any(other == label for *_, other in lines)]
    missed = [one for one in true if one not in kept]
    return "".join(f"{start:.6f}\t{end:.6f}\t{label}\n" for start, end, label in sorted(kept + missed))


def test_a_round_trip_from_corrected_labels_to_a_better_model(scenes: Path, tmp_path: Path) -> None:
    """Predicted as Audacity labels, corrected by a script, which then teach the head of a timeline, and evaluated."""
    settings = {**STEPS, "learning_rate": 0.01, "gain_db": 3}
    (tmp_path / "first.yaml").write_text(as_yaml(quick(**settings, epochs=2)), encoding="utf-8")
    first, folder = tmp_path / "first", tmp_path / "mine"
    trained = ainext(
        "train", "--data", "csv", "--root", scenes, "--recipe", tmp_path / "first.yaml", "--threads", 1, "--out", first
    )
    assert trained.code == 0, trained.err
    for path in scenes.glob("*.wav"):
        place = folder / ("train" if int(path.stem) < 6 else "validation") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    labelled = ("predict", folder, "--model", first / "model.onnx", "--format", "audacity", "--out", folder)
    assert ainext(*labelled).code == 0
    truth = truth_of(scenes)
    tracks = sorted(folder.glob("*/*.txt"))
    assert len(tracks) == 8
    for track in tracks:
        track.write_text(corrected(track, truth[f"{track.stem}.wav"]), encoding="utf-8")

    ours = load_dataset("labels", folder)
    assert ours.labels == LABELS and ours.splits == ("train", "validation") and not ours.problems
    assert {(c.path.name, c.start, c.end, c.label) for c in ours.clips} == {
        (c.path.name, c.start, c.end, c.label) for c in load_dataset("csv", scenes).clips
    }
    arguments = ("--data", "labels", "--root", folder)
    run = tmp_path / "second"
    few = ("--set", "timeline_steps=100", "--set", "timeline_channels=32", "--threads", 1)
    trained = ainext("train", *arguments, "--from", first / "model.safetensors", *few, "--out", run, "--json")
    assert trained.code == 0, trained.err

    score = ("evaluate", "--timeline", *arguments, "--split", "validation", "--resamples", 50)
    before = ainext(*score, "--model", first / "model.onnx", "--json").json
    written = ("--report", tmp_path / "report", "--scores", tmp_path / "scores")
    after = ainext(*score, "--model", run / "model.onnx", "--json", *written)
    assert after.code == 0, after.err
    figures = after.json
    assert trained.json["event_f1"] == figures["event_f1"]
    assert figures["recordings"] == 2 and figures["segments"] == sum(len(truth[f"{n}.wav"]) for n in (6, 7))
    assert figures["event_f1"] > max(60, before["event_f1"] or 0) and figures["segment_f1"] > 80
    assert figures["onset_median"] < 0.2 and figures["intervals"] == {}
    assert set(figures["per_label"]) == set(LABELS) and figures["data"] == "labels"
    check_report(tmp_path / "report", figures)
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == ["6.tsv", "7.tsv"]
    assert "trained on" not in after.err
    tracks[0].write_text("")  # a clip of the list, but no segment
    seen = ainext("evaluate", "--timeline", *arguments, "--model", run / "model.onnx", "--resamples", 50)
    counts = [sum(len(truth[f"{track.stem}.wav"]) for track in some) for some in (tracks[1:6], tracks[1:])]
    assert seen.code == 0 and "was trained on {} of these {} segments".format(*counts) in seen.err
    assert "Event F1" in plain(seen.out) and "events: onsets within 0.2 s, offsets within 0.2 s or 20 %" in plain(
        seen.out
    )
    assert "bootstrap intervals, over recordings" in plain(seen.out)


def check_report(folder: Path, figures: dict[str, Any]) -> None:
    """A report says what the figures say, has no link to a file that is not there, and lists every event."""
    index, mistakes = ((folder / name).read_text(encoding="utf-8") for name in ("index.html", "mistakes.html"))
    for page in (index, mistakes):
        for link in re.findall(r'(?:href|src)="([^"#:]+)"', page):
            assert (folder / link).is_file(), link
    assert f"{figures['event_f1']:.1f}" in index and "within 0.2 s of the true one" in index
    assert json.loads((folder / "metrics.json").read_text())["event_f1"] == pytest.approx(figures["event_f1"], abs=1e-3)
    with (folder / "events.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    kinds = [row["verdict"] for row in rows]
    assert sum(row["start"] != "" for row in rows) == figures["segments"]
    assert sum(row["found_start"] != "" for row in rows) == figures["found"]
    assert 200 * kinds.count("right") / (figures["segments"] + figures["found"]) == pytest.approx(
        figures["event_f1"], abs=1e-3
    )
    assert mistakes.count("<audio") == len(rows) - kinds.count("right")
    assert (folder / "errors.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "psds.png").exists() == (figures["psds1"] is not None)


def test_without_the_package_the_figures_lack_psds_in_one_line(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also: a model of one label at a time, and recordings that cannot be read."""
    root = tmp_path / "meta.csv"
    text = (scenes / "meta.csv").read_text(encoding="utf-8").replace("hiss", "blender").replace("whistle", "peel")
    damaged = "broken.wav,0.5,1,blender,validation\n"
    root.write_text(text.replace("\n", f"\n{damaged}", 1), encoding="utf-8")
    (tmp_path / "broken.wav").write_bytes(b"no sound " * 100)
    for path in scenes.glob("*.wav"):
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.setattr(psds, "can_score", lambda: False)
    labels = load_dataset("csv", root).labels
    assert labels == ("blender", "peel")
    call = ("evaluate", "--timeline", "--data", "csv", "--root", root, "--split", "validation", "--onset-collar", 0.5)
    found = ainext(*call, "--model", "kitchen20-small", "--json", "--resamples", 10)
    assert found.code == 1 and found.json["psds1"] is None and len(found.json["unreadable"]) == 1
    assert found.json["collars"]["onset"] == 0.5
    (warning,) = (line for line in found.err.splitlines() if line.startswith("ainext: warning:"))
    assert warning.endswith("pip install 'audioinceptionnext[psds]'") and "PSDS" in warning
    assert any(line.startswith(f"ainext: {tmp_path / 'broken.wav'}") for line in found.err.splitlines())


def test_labels_that_the_model_does_not_know_are_named_and_not_counted(scenes: Path, tmp_path: Path) -> None:
    """A person who corrects the labels of a model may add a sound of their own."""
    (tmp_path / "a.wav").symlink_to(scenes / "0.wav")
    model = "kitchen20-small"
    call = ("evaluate", "--timeline", "--data", "csv", "--root", tmp_path, "--model", model, "--resamples", 0, "--json")
    rows = [("path", "start", "end", "label"), ("a.wav", 1, 2, "blender"), ("a.wav", 3, 5, "peel")]
    write_list(tmp_path / "meta.csv", *rows)
    without = ainext(*call).json
    write_list(tmp_path / "meta.csv", *rows, ("a.wav", 2, 3, "a kettle"), ("a.wav", 4, 6, "zither"))
    found = ainext(*call, "--report", tmp_path / "report")
    assert found.code == 0 and without["unknown_labels"] == [] and without["segments"] == 2
    page = Path(found.json["report"]).read_text(encoding="utf-8")
    assert found.json == without | {"unknown_labels": ["a kettle", "zither"], "report": found.json["report"]}
    said = f"{model} does not know 2 labels of the data: a kettle, zither; segments of these are not counted"
    assert found.err.splitlines().count(f"ainext: warning: {said}") == 1
    assert "The model does not know a kettle, zither, so segments of these labels are not counted" in page


def test_segments_end_with_their_recording(scenes: Path, tmp_path: Path) -> None:
    """Which is 7.3 s long. A hundredth of a second may come from rounding, and needs no warning."""
    rows = [("path", "start", "end", "label"), *(("long.wav", *row) for row in [(6, 60, "blender"), (9, 10, "peel")])]
    rows += [("rounded.wav", 5, 7.31, "peel"), ("rounded.wav", 6, 7, "blender")]
    root = write_list(tmp_path / "meta.csv", *rows)
    for name in ("long.wav", "rounded.wav"):
        (tmp_path / name).symlink_to(scenes / "0.wav")
    dataset = load_dataset("csv", root)
    lines: list[str] = []
    long, rounded = annotated_recordings(dataset.clips, Reader(24_000), on_beyond=lines.append)
    assert long.segments.tolist() == [[6, 7.3, 0]] and rounded.segments.tolist() == [[5, 7.3, 1], [6, 7, 0]]
    what = "1 segment shortened and 1 segment left out that would reach beyond the recording's end at 7.30 s"
    assert lines == [f"{tmp_path / 'long.wav'}: {what}"]
    call = ("evaluate", "--timeline", "--data", "csv", "--root", root, "--model", "kitchen20-small", "--json")
    found = ainext(*call, "--resamples", 0, "--scores", tmp_path / "scores")
    assert found.code == 0 and found.json["beyond_end"] == lines and found.json["segments"] == 3
    assert f"ainext: warning: {lines[0]}" in found.err.splitlines()
    for name, column in (("ground_truth", 2), ("durations", 1)):
        written = (tmp_path / f"scores_{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
        assert max(float(row.split("\t")[column]) for row in written) == 7.3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--timeline", "--eval-clips", 2), "--eval-clips 2: goes with clips only"),
        (("--timeline", "--predictions", "p.csv"), "--predictions p.csv: goes with clips only"),
        (("--scores", "scores"), "--scores scores: goes with --timeline only"),
        (("--onset-collar", 0.5), "--onset-collar 0.5: goes with --timeline only"),
        (("--timeline",), "knows none of the labels of csv, e.g. 'hiss'; train or fine-tune a model on them first"),
    ],
)
def test_calls_that_are_refused(scenes: Path, options: tuple[Any, ...], said: str) -> None:
    assert said in refused("evaluate", "--data", "csv", "--root", scenes, "--model", "kitchen20-small", *options)


def test_clips_without_times_have_no_timeline(scenes: Path, tmp_path: Path) -> None:
    root = write_list(tmp_path / "meta.csv", ("path", "label"), (scenes / "0.wav", "blender"))
    said = refused("evaluate", "--timeline", "--data", "csv", "--root", root, "--model", "kitchen20-small")
    assert "its clips are whole recordings, without the times of their sounds" in said
