"""Random results and settings, by Hypothesis, and labels that formats have to escape."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from audioinceptionnext.results.recognition import Recognition
from audioinceptionnext.results.settings import SegmentationSettings
from audioinceptionnext.results.types import Score, Segment

AWKWARD = ["kettle", 'tap, "hot"', "café – wok 🍳", "two\nlines\tand a tab", "_$x$_", "[bold]"]
TEXT = st.sampled_from([*AWKWARD, "a --> b", "a\rb"]) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def recognition(segments: list[Segment], duration: float = 8.0, classes: int = 6, **others: object) -> Recognition:
    steps = max(int((duration - 2.08) / 0.16) + 1, 1)
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(classes, 0.3), size=steps).astype(np.float32)
    labels = tuple((AWKWARD + [f"class {n}" for n in range(classes)])[:classes])
    fields: dict = {
        "file": "dîner [à deux], #1.mp4",
        "duration": duration,
        "model": "kitchen20",
        "clip": [Score("kettle", 0.9312345), Score('tap, "hot"', 0.05)],
        "segments": segments,
        "labels": labels,
        "probabilities": probabilities,
        "step_seconds": 0.16,
        "window_seconds": 2.08,
        "log_mel": rng.normal(size=(400, 128)).astype(np.float32),
    }
    return Recognition(**{**fields, **others})


@st.composite
def segment_lists(draw: st.DrawFn) -> list[Segment]:
    found = []
    for _ in range(draw(st.integers(0, 6))):
        start, length = draw(st.floats(0, 400_000)), draw(st.floats(0.01, 5000))
        found.append(Segment(start, start + length, draw(TEXT), draw(st.floats(0, 1))))
    return sorted(found, key=lambda one: one.start)


def one_line(label: str) -> str:
    return " ".join(label.split())


@st.composite
def segmentation_settings(draw: st.DrawFn) -> SegmentationSettings:
    onset_threshold = draw(st.floats(0.05, 1))
    seconds = st.sampled_from([0.0, 0.16, 0.3, 0.32, 0.8, 3.0])
    return SegmentationSettings(
        onset_threshold=onset_threshold,
        offset_threshold=onset_threshold * draw(st.floats(0.1, 1)),
        smoothing=draw(seconds),
        min_duration=draw(seconds),
        merge_gap=draw(seconds),
    )
