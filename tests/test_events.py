"""Metrics of sound event detection, and the scripts that measure with them."""

from __future__ import annotations

import importlib
import json
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audioinceptionnext.evaluation.events import (
    Collars,
    Counts,
    Events,
    event_counts,
    match_by_collars,
    match_by_overlap,
    score_events,
    segment_counts,
)
from audioinceptionnext.results.types import Segment
from tests.audio_files import sine, write_wav
from tests.small_sounds import write_kitchen

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
RATE = 24_000
EVENTS = st.lists(
    st.builds(
        lambda label, start, length: Segment(start / 10, (start + length) / 10, label, 1.0),
        st.sampled_from("ab"),
        st.integers(0, 100),
        st.integers(1, 40),
    ),
    max_size=8,
)


def event(label: str, start: float, end: float) -> Segment:
    return Segment(start, end, label, 1.0)


def test_segment_counts_by_hand() -> None:
    reference = [event("tap", 0.5, 2.2), event("bowl", 2.0, 3.0)]  # tap in seconds 0, 1, 2; bowl in 2
    estimated = [event("tap", 1.9, 4.0), event("peel", 2.5, 2.6)]  # tap in 1, 2, 3; peel in 2
    counts = segment_counts(reference, estimated)
    assert counts == Counts(true_positives=2, false_positives=2, false_negatives=2)
    assert (counts.precision, counts.recall, counts.f1) == (0.5, 0.5, 0.5)
    # Two events of one label in one second are one active second, and ten times 0.1 s is no more than a second.
    assert segment_counts([event("tap", 0, 0.2), event("tap", 0.5, sum([0.1] * 10))], []) == Counts(0, 0, 1)
    assert segment_counts([event("tap", 0.3 / 0.1, 4.0)], []) == Counts(0, 0, 1)  # 2.9999999999999996 is 3


@given(EVENTS, EVENTS)
def test_properties_of_all_counts(reference: Events, estimated: Events) -> None:
    for measure in (segment_counts, event_counts):
        counts, swapped = measure(reference, estimated), measure(estimated, reference)
        assert (counts.true_positives, counts.false_positives) == (swapped.true_positives, swapped.false_negatives)
        if reference:
            assert measure(reference, reference).f1 == 1
    active = {(one.label, k) for one in reference for k in range(200) if one.start < k + 1 and one.end > k}
    assert segment_counts(reference, []).false_negatives == len(active)


@given(EVENTS, EVENTS, st.sampled_from([0.0, 0.2, 0.5, 2.0]), st.sampled_from([(math.inf, 0.0), (0.2, 0.2), (0.0, 1)]))
def test_events_are_matched_as_often_as_possible(
    reference: Events, estimated: Events, onset: float, offset: tuple[float, float]
) -> None:
    fits = {
        i: [
            j
            for j, other in enumerate(estimated)
            if one.label == other.label
            and abs(one.start - other.start) <= onset + 1e-6
            and abs(one.end - other.end) <= max(offset[0], offset[1] * (one.end - one.start)) + 1e-6
        ]
        for i, one in enumerate(reference)
    }
    pairs = match_by_collars(reference, estimated, Collars(onset, *offset))
    assert all(j in fits[i] for i, j in pairs) and len({j for _, j in pairs}) == len(pairs) == most_pairs(fits)


def most_pairs(fits: dict[int, list[int]]) -> int:
    """The size of a maximum matching, by augmenting paths."""
    owner: dict[int, int] = {}

    def place(one: int, tried: set[int]) -> bool:
        for other in fits[one]:
            if other not in tried:
                tried.add(other)
                if other not in owner or place(owner[other], tried):
                    owner[other] = one
                    return True
        return False

    return sum(place(one, set()) for one in fits)


def test_onset_errors_and_sums_over_recordings() -> None:
    # The longest piece stands for the first tap, although another one begins closer. Nothing overlaps the second tap.
    reference = [event("tap", 10, 14), event("tap", 30, 31), event("bowl", 20, 24)]
    estimated = [event("tap", 9.9, 10.5), event("tap", 11, 14), event("bowl", 18.5, 25), event("peel", 30, 31)]
    assert match_by_overlap(reference, estimated) == [(0, 1), (2, 2)]
    total = score_events([(reference, estimated), ([event("peel", 1, 2)], [event("peel", 1.25, 2)]), ([], [])])
    assert total.onset_errors.tolist() == [1.0, -1.5, 0.25] and total.offset_errors.tolist() == [0, 1, 0]
    assert total.events == Counts(2, 3, 2)
    figures = total.as_dict()
    assert figures["event_f1"] == pytest.approx(100 * 4 / 9)
    assert (figures["onset_median"], figures["onset_bias"], figures["onset_pairs"]) == (1.0, 0.25, 3)
    assert figures["onset_mean"] == pytest.approx(2.75 / 3)
    nothing = score_events([]).as_dict()
    assert nothing.pop("onset_pairs") == 0 and all(math.isnan(value) for value in nothing.values())
    with pytest.raises(ValueError, match="give seconds"):
        segment_counts([], [], 0)


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[ModuleType, ...]:
    """The scripts as modules, with the imports that ``python benchmarks/…`` would find."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return tuple(importlib.import_module(name) for name in ("timeline_scores", "false_alarms"))


def test_both_scripts_run(
    scripts: tuple[ModuleType, ...],
    files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    timeline, alarms = scripts
    kitchen = write_kitchen(tmp_path / "kitchen", clips=8, seconds=(2, 3))
    digits = tmp_path / "fsdd"
    digits.mkdir()
    for digit in range(10):
        write_wav(digits / f"{digit}_ann_0.wav", sine(200, 0.4, 8000), 8000)
    monkeypatch.setattr(alarms, "LEVELS", (-60, -10))
    common = ["--model", str(files["dense"]), "--root", str(kitchen), "--fold", "2", "--json"]

    monkeypatch.setattr(
        sys,
        "argv",
        [
            *("timeline_scores.py", *common, "--tune", "1", "--scenes", "1"),
            *("--onset-threshold", "0.5", "--also", "merge_gap=2"),
        ],
    )
    timeline.main()
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["merge_gap=2"] == {
        **{"onset_threshold": 0.5, "offset_threshold": 0.3, "smoothing": 0.32},
        **{"min_duration": 0.3, "merge_gap": 2},
    }
    assert report["events"]["tuning"]["count"] == 10
    best, default = (report["tuning"][name] for name in ("best", "own"))
    assert best["segment_f1"] + best["event_f1"] >= default["segment_f1"] + default["event_f1"]

    sys.argv.remove("--json")
    timeline.main()
    assert "tuning: fold 1, 1 scenes of each, 10 events" in capsys.readouterr().out

    monkeypatch.setattr(sys, "argv", ["false_alarms.py", *common, "--clips", "1", "--fsdd", str(digits)])
    alarms.main()
    report = json.loads(capsys.readouterr().out)
    groups = {row["group"]: row for row in report["groups"]}
    assert groups["noise"]["clips"] == 3 and groups["real"]["clips"] == 4
    silence = next(row for row in report["kinds"] if row["kind"] == "digital silence")
    assert not any(share["clips"] for share in silence["any"].values())
    assert groups["real"]["correct"]["0.5"]["clips"] <= groups["real"]["any"]["0.5"]["clips"]
