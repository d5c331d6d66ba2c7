"""Segmentation: from probabilities over time to segments."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext.errors import ParameterError
from audioinceptionnext.results.segmentation import Segmenter, find_segments, step_bounds
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.thresholds import parse_thresholds, settings_for
from audioinceptionnext.results.types import Segment
from tests.strategies import segmentation_settings

STEP, WINDOW = 0.16, 2.08
CLOSE = 1e-6


@st.composite
def timelines(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Probabilities (steps, classes) that wander, so that runs of many lengths come about, and a fitting duration."""
    steps, classes = draw(st.integers(1, 60)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    walk = np.cumsum(rng.normal(size=(steps, classes)) * draw(st.sampled_from([0.3, 1.0, 4.0])), axis=0)
    powers = np.exp(walk - walk.max(axis=1, keepdims=True))
    # From shorter than a window, up to as long as is possible without a further step.
    duration = draw(st.floats(0.05, WINDOW)) if steps == 1 else (steps - 1) * STEP + WINDOW + draw(st.floats(0, 0.15))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), duration


def segments_of(timeline: tuple[np.ndarray, float], chosen: SegmentationSettings) -> list[Segment]:
    probabilities, duration = timeline
    labels = [f"class {column}" for column in range(probabilities.shape[1])]
    return find_segments(probabilities, STEP, WINDOW, duration, labels, chosen)


def covered(found: list[Segment], label: str) -> np.ndarray:
    """Whether each of the moments 1/100 s apart lies in a segment of the label."""
    moments = np.arange(0, 13, 0.01)
    return np.any(
        [(one.start <= moments) & (moments < one.end) for one in found if one.label == label] or [moments < 0], axis=0
    )


@settings(max_examples=200, deadline=None)
@given(timelines(), segmentation_settings())
def test_segments_lie_inside_sorted_apart_and_long_enough(
    timeline: tuple[np.ndarray, float], chosen: SegmentationSettings
) -> None:
    found = segments_of(timeline, chosen)
    assert found == sorted(found, key=lambda one: one.start)
    for one in found:
        assert 0 <= one.start < one.end <= timeline[1]
        assert one.end - one.start >= chosen.min_duration - CLOSE
        assert 0 < one.score <= 1
    for label in {one.label for one in found}:
        same = [one for one in found if one.label == label]
        for before, after in pairwise(same):
            assert after.start - before.end >= chosen.merge_gap - CLOSE


@settings(max_examples=100, deadline=None)
@given(timelines(), segmentation_settings())
def test_both_thresholds_hold(timeline: tuple[np.ndarray, float], chosen: SegmentationSettings) -> None:
    """Without smoothing and merging: segments keep to both thresholds and contain every step that reaches the onset."""
    probabilities, duration = timeline
    plain = SegmentationSettings(
        onset_threshold=chosen.onset_threshold,
        offset_threshold=chosen.offset_threshold,
        smoothing=0,
        min_duration=0,
        merge_gap=0,
    )
    found = segments_of(timeline, plain)
    bounds = step_bounds(len(probabilities), STEP, WINDOW, duration)
    taken = np.zeros(probabilities.shape, bool)
    for one in found:
        first, end = np.searchsorted(bounds, [one.start, one.end])
        column = int(one.label.removeprefix("class "))
        inside = probabilities[first:end, column]
        taken[first:end, column] = True
        assert inside.max() >= plain.onset_threshold and inside.min() >= plain.offset_threshold
        assert one.score == pytest.approx(inside.mean(), abs=CLOSE)
    assert not (probabilities[~taken] >= plain.onset_threshold).any()


@settings(max_examples=150, deadline=None)
@given(timelines(), segmentation_settings(), st.floats(0, 1))
def test_a_higher_onset_threshold_never_adds_time(
    timeline: tuple[np.ndarray, float], chosen: SegmentationSettings, share: float
) -> None:
    higher = SegmentationSettings(
        **{**vars(chosen), "onset_threshold": min(chosen.onset_threshold + share * (1 - chosen.onset_threshold), 1.0)},
    )
    lax, strict = segments_of(timeline, chosen), segments_of(timeline, higher)
    for column in range(timeline[0].shape[1]):
        label = f"class {column}"
        assert not (covered(strict, label) & ~covered(lax, label)).any()


@settings(max_examples=100, deadline=None)
@given(onset=st.floats(1.2, 6), length=st.floats(1, 3))
def test_an_event_is_found_to_within_a_step(onset: float, length: float) -> None:
    duration, steps = 12.0, int((12.0 - WINDOW) / STEP) + 1
    centres = np.arange(steps) * STEP + WINDOW / 2
    event = np.where((centres >= onset) & (centres < onset + length), 0.9, 0.05)
    probabilities = np.stack((event, 1 - event), axis=1).astype(np.float32)
    found = find_segments(probabilities, STEP, WINDOW, duration, ["kettle", "other"], SegmentationSettings(smoothing=0))
    (kettle,) = [one for one in found if one.label == "kettle"]
    assert abs(kettle.start - onset) <= STEP
    assert abs(kettle.end - (onset + length)) <= STEP
    assert kettle.score == pytest.approx(0.9, abs=CLOSE)


def test_smoothing_and_merging_bridge_a_dip() -> None:
    event = np.full(40, 0.05, np.float32)
    event[10:30] = 0.9
    event[20] = 0.1  # the dip
    probabilities = np.stack((event, 1 - event), axis=1)

    def kettles(**others: float) -> int:
        chosen = SegmentationSettings(**{"smoothing": 0, "merge_gap": 0, **others})
        return sum(
            one.label == "kettle" for one in find_segments(probabilities, STEP, WINDOW, 9, ["kettle", "x"], chosen)
        )

    assert kettles() == kettles(merge_gap=0.16) == 2  # the dip is one step long, and only shorter ones are merged
    assert kettles(merge_gap=0.17) == 1
    assert kettles(smoothing=0.32) == 1  # (0.9 + 0.1 + 0.9) / 3 is above `offset_threshold`


@pytest.mark.parametrize("settings_", [SegmentationSettings(), SegmentationSettings(smoothing=0)])
def test_ends_and_short_recordings(settings_: SegmentationSettings) -> None:
    for steps, duration in [(1, 0.4), (1, 2.08), (1, 2.2), (50, 10.0)]:
        found = find_segments(np.ones((steps, 1), np.float32), STEP, WINDOW, duration, ["hum"], settings_)
        assert found == [Segment(0.0, duration, "hum", 1.0)]
    assert find_segments(np.ones((0, 1), np.float32), STEP, WINDOW, 0.0, ["hum"], settings_) == []


@pytest.mark.parametrize(("smoothing", "steps"), [(0, 1), (0.16, 1), (0.32, 3), (0.5, 3), (0.64, 5)])
def test_smoothing_takes_an_odd_number_of_steps(smoothing: float, steps: int) -> None:
    """A single step of 0.9 is spread over this many steps, and the segment is as long and as high."""
    lone = np.zeros((40, 2), np.float32)
    lone[20, 0] = 0.9
    chosen = SegmentationSettings(
        onset_threshold=0.9 / steps - 0.01, offset_threshold=0.05, smoothing=smoothing, min_duration=0
    )
    (one,) = find_segments(lone, STEP, WINDOW, 9, ["beep", "x"], chosen)
    assert one.end - one.start == pytest.approx(steps * STEP) and one.score == pytest.approx(0.9 / steps)


def test_a_step_that_stands_for_no_time_gives_no_segment() -> None:
    padded = np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10, np.float32)
    chosen = SegmentationSettings(smoothing=0, min_duration=0)
    found = find_segments(padded, STEP, WINDOW, 2.2, ["tap", "padding"], chosen)
    assert [one.label for one in found] == ["tap"]


def test_step_bounds_surround_the_windows_centres() -> None:
    bounds = step_bounds(4, STEP, WINDOW, 2.6)
    np.testing.assert_allclose(bounds, [0, 1.12, 1.28, 1.44, 2.6])
    # A window that reaches past the end of the recording gives no time past it.
    assert step_bounds(20, STEP, WINDOW, 2.2).max() == 2.2


@pytest.mark.parametrize(
    "wrong",
    [
        {"onset_threshold": 0},
        {"onset_threshold": 1.5},
        {"onset_threshold": float("nan")},
        {"offset_threshold": 0.6},
        {"offset_threshold": 0},
    ]
    + [
        {name: value}
        for name in ("smoothing", "min_duration", "merge_gap")
        for value in (-1, 86_401, 1e308, float("inf"), float("nan"), "1", 1j)
    ],
)
def test_settings_out_of_range_are_errors_of_one_line(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ParameterError, match=f"^{name} is .*: give [^\n]*$"):
        SegmentationSettings(**wrong)


def test_thresholds_of_single_classes() -> None:
    """Each class has the segments that it would have if its own threshold were that of all classes."""
    probabilities = np.tile(np.array([[0.4, 0.55]], np.float32), (20, 1))

    def found(**thresholds: Any) -> set[str]:
        chosen = SegmentationSettings(**thresholds)
        return {s.label for s in find_segments(probabilities, STEP, WINDOW, 5.0, ["kettle", "other"], chosen)}

    assert found(class_thresholds=(0.35, 0.6)) == {"kettle"}
    assert found(class_thresholds=(0.45, 0.5)) == {"other"} == found()
    with pytest.raises(ValueError, match="3 values of class_thresholds for 2 classes"):
        found(class_thresholds=(0.35, 0.6, 0.5))
    with pytest.raises(ParameterError, match="class_thresholds is 1"):
        found(class_thresholds=(0.35, 1.5))


@given(st.data())
def test_settings_by_class(data: st.DataObject) -> None:
    """Each class has the segments that it has alone, with its own values as those of all classes."""
    smoothing = tuple(data.draw(st.sampled_from([0.0, 0.32, 1.0])) for _ in range(3))
    shortest = tuple(data.draw(st.sampled_from([0.0, 0.5, 1.5])) for _ in range(3))
    labels = ["a", "b", "c"]
    probabilities = np.random.default_rng(data.draw(st.integers(0, 99))).random((40, 3), np.float32)
    settings = SegmentationSettings(class_smoothing=smoothing, class_min_durations=shortest)
    found = find_segments(probabilities, STEP, WINDOW, 9.0, labels, settings)
    for column, label in enumerate(labels):
        own = SegmentationSettings(smoothing=smoothing[column], min_duration=shortest[column])
        alone = find_segments(probabilities[:, [column]], STEP, WINDOW, 9.0, [label], own)
        assert [one for one in found if one.label == label] == alone
    portions, segmenter = [], Segmenter(labels, settings, STEP, WINDOW)
    for row in probabilities[:-1]:
        portions += segmenter.push(row[None])
    portions += segmenter.finish(probabilities[-1:], 9.0)
    assert sorted(portions, key=repr) == sorted(found, key=repr)
    some = settings.take([2, 0])
    assert (some.class_smoothing, some.class_min_durations) == (smoothing[2::-2], shortest[2::-2])


def test_from_threshold_keeps_the_ratio_of_both_thresholds() -> None:
    assert SegmentationSettings.from_threshold(0.5) == SegmentationSettings()
    assert SegmentationSettings.from_threshold(0.1, merge_gap=1).offset_threshold == pytest.approx(0.06)
    with pytest.raises(ParameterError):
        SegmentationSettings.from_threshold(0)


LABELS = ["blender", "kettle", "a=b"]


@pytest.mark.parametrize(
    ("texts", "onset"),
    [
        ([], (0.6, 0.7, 0.8)),  # the model's own
        (["0.5"], (0.5, 0.5, 0.5)),
        (["blender=0.9"], (0.9, 0.7, 0.8)),
        (["kettle=0.9", "0.5", "a=b=0.2", "0.50"], (0.5, 0.9, 0.2)),
    ],
)
def test_thresholds_by_label_replace_those_of_the_model(texts: list[str], onset: tuple[float, ...]) -> None:
    everywhere, by_label = parse_thresholds(texts)
    found = settings_for(LABELS, (0.6, 0.7, 0.8), by_label, onset_threshold=everywhere, smoothing=0)
    assert found.smoothing == 0
    np.testing.assert_allclose(found.thresholds(3), [onset, np.multiply(onset, 0.6)])
    # A model without its own has the default.
    rest = 0.5 if everywhere is None else everywhere
    without = settings_for(LABELS, (), by_label, onset_threshold=everywhere)
    np.testing.assert_allclose(without.thresholds(3)[0], [by_label.get(label, rest) for label in LABELS])
    # The offset threshold that is given belongs to the number that is given.
    with_offset = settings_for(LABELS, (0.6, 0.7, 0.8), by_label, onset_threshold=everywhere, offset_threshold=0.25)
    np.testing.assert_allclose(with_offset.thresholds(3)[1], np.multiply(onset, 0.25 / rest))


@pytest.mark.parametrize("texts", ["x", "", "blender", "blender=", "0", "nan", "kettle=1.1", "0.5 0.6", "a=0.5 a=0.6"])
def test_texts_that_are_no_thresholds(texts: str) -> None:
    with pytest.raises(ParameterError, match="threshold is "):
        parse_thresholds(texts.split(" "))


@pytest.mark.parametrize("value", [0, 1.5, "0.5", True, None, float("nan")])
def test_thresholds_in_python_are_checked(value: Any) -> None:
    with pytest.raises(ParameterError, match=f"^threshold is kettle={value}: give a probability above 0"):
        settings_for(LABELS, (), {"kettle": value})
    if value is not None:
        with pytest.raises(ParameterError, match=f"^threshold is {value!r}: give a probability above 0"):
            settings_for(LABELS, (), value)
    with pytest.raises(ParameterError, match="no label matches 'Ketle'; did you mean kettle"):
        settings_for(LABELS, (), {"Ketle": 0.5})
    with pytest.raises(ParameterError, match="give only one of the two"):
        settings_for(LABELS, (), 0.5, settings=SegmentationSettings())
