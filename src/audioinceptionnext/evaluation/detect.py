"""Detects the sounds of EPIC-SOUNDS in whole recordings."""

from __future__ import annotations

from collections.abc import Callable

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.evaluation.epic_sounds import BACKGROUND
from audioinceptionnext.evaluation.evaluate import map_labels
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.network.labels import EPIC_SOUNDS_LABELS
from audioinceptionnext.results.detection import DetectionSettings, find_detections
from audioinceptionnext.results.types import Segment


def check_labels(recogniser: Recogniser) -> None:
    """Check that the model knows all classes of EPIC-SOUNDS. It may have others, and any order.

    Raises:
        ModelError: it does not.
    """
    map_labels(recogniser, Dataset("epic-sounds", EPIC_SOUNDS_LABELS, ()), ())


def detect_video(
    recogniser: Recogniser,
    clip: Clip,
    reader: Reader,
    settings: DetectionSettings | None = None,
    step_seconds: float | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[list[Segment], list[str]]:
    """Detect the sounds in a recording of any length, in the memory of a few blocks.

    Args:
        recogniser: with the classes of EPIC-SOUNDS, see `check_labels`; with a softmax or multi-label.
        clip: the whole recording.
        reader: at the model's sample rate.
        settings: the defaults unless given.
        step_seconds, progress: as for `Recogniser.predict`.

    Returns:
        The detections, best first and without ``background``, which the challenge does not score; and what was wrong
        with the recording, one line each.

    Raises:
        MediaError: the recording cannot be read.
        ParameterError: the model does not support this ``step_seconds``.

    >>> clip = videos(Path("EPIC-SOUNDS"), "validation")["P01_11"]
    >>> detect_video(model, clip, Reader(model.sample_rate))[0][0].label
    'rustle'
    """
    warnings: list[str] = []
    blocks = reader.read_blocks(clip, on_warning=warnings.append)
    found = recogniser.predict(blocks, step_seconds=step_seconds, progress=progress)
    unwanted = set(found.labels) - set(EPIC_SOUNDS_LABELS) | {EPIC_SOUNDS_LABELS[BACKGROUND]}
    detections = find_detections(
        found.probabilities,
        found.step_seconds,
        found.window_seconds,
        found.duration,
        found.labels,
        settings,
        unwanted,
    )
    return detections, warnings
