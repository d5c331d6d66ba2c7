"""Probabilities over time -> segments."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext.errors import AinextError
from audioinceptionnext.results.segmentation import TimelineSettings, find_segments, step_bounds
from audioinceptionnext.results.types import Segment

HOP, WINDOW = 0.16, 2.08
CLOSE = 1e-6


@st.composite
def timelines(draw: st.DrawFn) -> tuple[np.ndarray, float]:
    """Probabilities (steps, classes) that wander, so that runs of many lengths come about, and a fitting duration."""
    steps, classes = draw(st.integers(1, 60)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    walk = np.cumsum(rng.normal(size=(steps, classes)) * draw(st.sampled_from([0.3, 1.0, 4.0])), axis=0)
    powers = np.exp(walk - walk.max(axis=1, keepdims=True))
    # From too short for one window, to as much over the last one as is not yet a further step.
    duration = draw(st.floats(0.05, WINDOW)) if steps == 1 else (steps - 1) * HOP + WINDOW + draw(st.floats(0, 0.15))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32), duration


@st.composite
def timeline_settings(draw: st.DrawFn) -> TimelineSettings:
    upper = draw(st.floats(0.05, 1))
    seconds = st.sampled_from([0.0, 0.16, 0.3, 0.32, 0.8, 3.0])
    return TimelineSettings(
        upper=upper,
        lower=upper * draw(st.floats(0.1, 1)),
        smoothing=draw(seconds),
        shortest=draw(seconds),
        gap=draw(seconds),
    )


def segments_of(timeline: tuple[np.ndarray, float], chosen: TimelineSettings) -> list[Segment]:
    probabilities, duration = timeline
    labels = [f"class {column}" for column in range(probabilities.shape[1])]
    return find_segments(probabilities, HOP, WINDOW, duration, labels, chosen)


def covered(found: list[Segment], label: str) -> np.ndarray:
    """Whether each of the moments 1/100 s apart lies in a segment of the label."""
    moments = np.arange(0, 13, 0.01)
    return np.any(
        [(one.start <= moments) & (moments < one.end) for one in found if one.label == label] or [moments < 0], axis=0
    )


@settings(max_examples=200, deadline=None)
@given(timelines(), timeline_settings())
def test_segments_lie_inside_sorted_apart_and_long_enough(
    timeline: tuple[np.ndarray, float], chosen: TimelineSettings
) -> None:
    found = segments_of(timeline, chosen)
    assert found == sorted(found, key=lambda one: one.start)
    for one in found:
        assert 0 <= one.start < one.end <= timeline[1]
        assert one.end - one.start >= chosen.shortest - CLOSE
        assert 0 < one.score <= 1
    for label in {one.label for one in found}:
        same = [one for one in found if one.label == label]
        for before, after in pairwise(same):
            assert after.start - before.end >= chosen.gap - CLOSE


@settings(max_examples=100, deadline=None)
@given(timelines(), timeline_settings())
def test_two_thresholds_mean_what_they_say(timeline: tuple[np.ndarray, float], chosen: TimelineSettings) -> None:
    """Unsmoothed and unjoined: each segment reaches `upper`, stays at `lower`, and nothing that does so is left out."""
    probabilities, duration = timeline
    plain = TimelineSettings(upper=chosen.upper, lower=chosen.lower, smoothing=0, shortest=0, gap=0)
    found = segments_of(timeline, plain)
    bounds = step_bounds(len(probabilities), HOP, WINDOW, duration)
    taken = np.zeros(probabilities.shape, bool)
    for one in found:
        first, end = np.searchsorted(bounds, [one.start, one.end])
        column = int(one.label.removeprefix("class "))
        heard = probabilities[first:end, column]
        taken[first:end, column] = True
        assert heard.max() >= plain.upper and heard.min() >= plain.lower
        assert one.score == pytest.approx(heard.mean(), abs=CLOSE)
    assert not (probabilities[~taken] >= plain.upper).any()


@settings(max_examples=150, deadline=None)
@given(timelines(), timeline_settings(), st.floats(0, 1))
def test_raising_upper_never_adds_time(
    timeline: tuple[np.ndarray, float], chosen: TimelineSettings, share: float
) -> None:
    higher = TimelineSettings(
        **{**vars(chosen), "upper": min(chosen.upper + share * (1 - chosen.upper), 1.0)},
    )
    lax, strict = segments_of(timeline, chosen), segments_of(timeline, higher)
    for column in range(timeline[0].shape[1]):
        label = f"class {column}"
        assert not (covered(strict, label) & ~covered(lax, label)).any()


@settings(max_examples=100, deadline=None)
@given(onset=st.floats(1.2, 6), length=st.floats(1, 3))
def test_a_planted_event_is_found_within_a_hop(onset: float, length: float) -> None:
    duration, steps = 12.0, int((12.0 - WINDOW) / HOP) + 1
    centres = np.arange(steps) * HOP + WINDOW / 2
    event = np.where((centres >= onset) & (centres < onset + length), 0.9, 0.05)
    probabilities = np.stack((event, 1 - event), axis=1).astype(np.float32)
    found = find_segments(probabilities, HOP, WINDOW, duration, ["kettle", "other"], TimelineSettings(smoothing=0))
    (kettle,) = [one for one in found if one.label == "kettle"]
    assert abs(kettle.start - onset) <= HOP
    assert abs(kettle.end - (onset + length)) <= HOP
    assert kettle.score == pytest.approx(0.9, abs=CLOSE)


def test_smoothing_and_joining_mend_a_flutter() -> None:
    event = np.full(40, 0.05, np.float32)
    event[10:30] = 0.9
    event[20] = 0.1  # one step of doubt
    probabilities = np.stack((event, 1 - event), axis=1)

    def kettles(**others: float) -> int:
        chosen = TimelineSettings(**{"smoothing": 0, "gap": 0, **others})
        return sum(
            one.label == "kettle" for one in find_segments(probabilities, HOP, WINDOW, 9, ["kettle", "x"], chosen)
        )

    assert kettles() == kettles(gap=0.16) == 2  # the pause is one hop long, and only closer ones are joined
    assert kettles(gap=0.17) == 1
    assert kettles(smoothing=0.32) == 1  # (0.9 + 0.1 + 0.9) / 3 is above `lower`


@pytest.mark.parametrize("settings_", [TimelineSettings(), TimelineSettings(smoothing=0)])
def test_ends_and_short_recordings(settings_: TimelineSettings) -> None:
    for steps, duration in [(1, 0.4), (1, 2.08), (1, 2.2), (50, 10.0)]:
        found = find_segments(np.ones((steps, 1), np.float32), HOP, WINDOW, duration, ["hum"], settings_)
        assert found == [Segment(0.0, duration, "hum", 1.0)]
    assert find_segments(np.ones((0, 1), np.float32), HOP, WINDOW, 0.0, ["hum"], settings_) == []


@pytest.mark.parametrize(("smoothing", "steps"), [(0, 1), (0.16, 1), (0.32, 3), (0.5, 3), (0.64, 5)])
def test_smoothing_takes_an_odd_number_of_steps(smoothing: float, steps: int) -> None:
    """A lone step of 0.9 is spread over as many, and what is found is as long and as high."""
    lone = np.zeros((40, 2), np.float32)
    lone[20, 0] = 0.9
    chosen = TimelineSettings(upper=0.9 / steps - 0.01, lower=0.05, smoothing=smoothing, shortest=0)
    (one,) = find_segments(lone, HOP, WINDOW, 9, ["beep", "x"], chosen)
    assert one.end - one.start == pytest.approx(steps * HOP) and one.score == pytest.approx(0.9 / steps)


def test_a_step_that_speaks_for_no_time_gives_no_segment() -> None:
    padded = np.array([[0.9, 0.1]] * 10 + [[0.1, 0.9]] * 10, np.float32)
    chosen = TimelineSettings(smoothing=0, shortest=0)
    found = find_segments(padded, HOP, WINDOW, 2.2, ["tap", "padding"], chosen)
    assert [one.label for one in found] == ["tap"]


def test_step_bounds_surround_the_windows_centres() -> None:
    bounds = step_bounds(4, HOP, WINDOW, 2.6)
    np.testing.assert_allclose(bounds, [0, 1.12, 1.28, 1.44, 2.6])
    # Padding at the end: a window that reaches past the recording gives no time past it.
    assert step_bounds(20, HOP, WINDOW, 2.2).max() == 2.2


@pytest.mark.parametrize(
    "wrong",
    [{"upper": 0}, {"upper": 1.5}, {"upper": float("nan")}, {"lower": 0.6}, {"lower": 0}]
    + [{name: value} for name in ("smoothing", "shortest", "gap") for value in (-1, float("inf"), float("nan"))],
)
def test_settings_out_of_range_say_so_in_a_line(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(AinextError, match=f"^{name} is .*: give [^\n]*$"):
        TimelineSettings(**wrong)


def test_thresholds_by_class() -> None:
    """Each class is reported as if its own threshold were everyone's."""
    probabilities = np.tile(np.array([[0.4, 0.55]], np.float32), (20, 1))

    def found(**thresholds: Any) -> set[str]:
        chosen = TimelineSettings(**thresholds)
        return {s.label for s in find_segments(probabilities, HOP, WINDOW, 5.0, ["kettle", "other"], chosen)}

    assert found(by_class=(0.35, 0.6)) == {"kettle"}
    assert found(by_class=(0.45, 0.5)) == {"other"} == found()
    with pytest.raises(ValueError, match="3 thresholds for 2 classes"):
        found(by_class=(0.35, 0.6, 0.5))
    with pytest.raises(AinextError, match="by_class is 1"):
        found(by_class=(0.35, 1.5))


def test_from_threshold_keeps_the_lower_below() -> None:
    assert TimelineSettings.from_threshold(0.5) == TimelineSettings()
    assert TimelineSettings.from_threshold(0.1, gap=1).lower == pytest.approx(0.06)
    with pytest.raises(AinextError):
        TimelineSettings.from_threshold(0)
