"""The steps that a page gets to find segments at other onset thresholds: what they leave out never matters."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from audioinceptionnext.results import likely_steps
from audioinceptionnext.results.likely_steps import encode_likely_steps
from audioinceptionnext.results.segmentation import find_segments
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.types import RecognitionData, Segment

STEP, WINDOW = 0.05, 0.05


def recording(steps: int, classes: int, seed: int) -> RecognitionData:
    """Random probabilities: mostly low, with bumps of all heights and lengths, and labels that are never likely."""
    draw = np.random.default_rng(seed)
    found = draw.uniform(0, 0.02, (steps, classes))
    for column in range(classes - 2):
        for _ in range(draw.integers(0, 12)):
            first, length = draw.integers(0, max(1, steps)), draw.integers(1, 80)
            found[first : first + length, column] += draw.uniform(0, 1) * draw.uniform(
                0.3, 1, len(found[first:][:length])
            )
    probabilities = np.clip(found, 0, 1).astype(np.float32)
    labels = tuple(f"label {n}" for n in range(classes))
    return RecognitionData("a.wav", steps * STEP, "m", [], [], labels, probabilities, STEP, WINDOW)


def decoded(given: dict[str, Any]) -> np.ndarray:
    """(steps, labels), with 0 for what was left out."""
    blocks = -(-given["steps"] // given["block"])
    rows = np.zeros((len(given["labels"]) * blocks, given["block"]), np.float32)
    rows[given["places"]] = np.frombuffer(base64.b64decode(given["data"]), "<f4").reshape(-1, given["block"])
    return rows.reshape(len(given["labels"]), -1)[:, : given["steps"]].T


def segments_at(given: dict[str, Any], onset: float) -> list[Segment]:
    settings = SegmentationSettings(
        onset_threshold=onset,
        offset_threshold=given["offset_share"] * onset,
        merge_gap=given["merge_gap"],
        class_smoothing=tuple(given["smoothing"]),
        class_min_durations=tuple(given["min_duration"]),
    )
    return find_segments(decoded(given), STEP, WINDOW, given["duration"], given["labels"], settings)


def as_printed(segments: list[Segment]) -> list[dict[str, Any]]:
    return [one.as_dict() for one in segments]


@pytest.mark.parametrize("steps", [1, 63, 64, 65, 1500])
@pytest.mark.parametrize(("smoothing", "merge_gap", "share"), [(0.32, 0.3, 0.6), (0.0, 0.8, 0.2), (6.0, 3.0, 0.6)])
def test_segments_at_any_threshold_are_those_of_all_probabilities(
    steps: int, smoothing: float, merge_gap: float, share: float
) -> None:
    result = recording(steps, 9, seed=steps)
    settings = SegmentationSettings(0.5, share * 0.5, smoothing, 0.1, merge_gap)
    given = encode_likely_steps(result, replace(settings, class_thresholds=(0.7,) * 9))
    assert given is not None and given["lowest"] == 0.05 and not {"label 7", "label 8"} & set(given["labels"])
    for onset in (0.05, 0.2, 0.5, 0.8, 0.99):
        at = replace(settings, onset_threshold=onset, offset_threshold=share * onset)
        wanted = find_segments(result.probabilities, STEP, WINDOW, result.duration, result.labels, at)
        assert as_printed(segments_at(given, onset)) == as_printed(wanted)


def test_what_is_too_much_begins_at_a_higher_threshold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likely_steps, "MAX_VALUES", 3000)
    result, settings = recording(1500, 9, seed=3), SegmentationSettings()
    given = encode_likely_steps(result, settings)
    assert given is not None and 0.05 < given["lowest"] <= 1
    at = SegmentationSettings.from_threshold(given["lowest"])
    wanted = find_segments(result.probabilities, STEP, WINDOW, result.duration, result.labels, at)
    assert as_printed(segments_at(given, given["lowest"])) == as_printed(wanted)
    monkeypatch.setattr(likely_steps, "MAX_VALUES", 10)
    assert encode_likely_steps(replace(result, probabilities=np.ones_like(result.probabilities)), settings) is None
