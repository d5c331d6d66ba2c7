"""Teaches a model sounds of one's own, in seconds: recordings in, a model file out."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from audioinceptionnext.errors import (
    AinextError,
    FileError,
    ModelError,
    ParameterError,
    check_can_write,
    describe,
    printable,
    replacing,
)
from audioinceptionnext.inference.parallel import MAX_PARALLEL, available_cores, parallel_map
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.recordings import Recording
from audioinceptionnext.models.load import read_model
from audioinceptionnext.models.names import DEFAULT_MODEL
from audioinceptionnext.teaching.examples import Example, examples_in, examples_of
from audioinceptionnext.teaching.features import features_of
from audioinceptionnext.teaching.lesson import Described, learn
from audioinceptionnext.teaching.onnx_file import metadata_of, with_new_head
from audioinceptionnext.teaching.others import other_sounds

Recordings = str | PathLike[str] | Mapping[str, Recording | Iterable[Recording]] | Sequence[Example]


@dataclass(frozen=True)
class Taught:
    """A model that was taught, and how well it recognises recordings that were left out.

    Attributes:
        model: its file, which `audioinceptionnext.load` takes.
        clips: how many recordings it was taught from.
        top1: the share of these, in percent, that a layer gets right that was not taught from them (five folds).
        per_class: the same for each class.
        confusions: for each class, how many of its recordings were taken for each; long ones count once every 5 s.
        threshold: the onset threshold of all its labels.
        seconds: that teaching took.
        left_out: one line for each recording that could not be used; each was also a Python warning.
    """

    model: Path
    clips: int
    top1: float
    per_class: dict[str, float]
    confusions: dict[str, dict[str, int]]
    threshold: float
    seconds: float
    left_out: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that `ainext teach` prints."""
        return {
            "model": str(self.model),
            "clips": self.clips,
            "classes": len(self.per_class),
            "top1": self.top1,
            "seconds": round(self.seconds, 2),
            "per_class": self.per_class,
            "confusions": self.confusions,
            "threshold": self.threshold,
            "left_out": list(self.left_out),
        }


def teach(
    recordings: Recordings,
    out: str | PathLike[str],
    *,
    model: str | Path = DEFAULT_MODEL,
    data: str = "folder",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Taught:
    """Teach a model sounds of your own: a new last layer on its features, from a few examples of each sound.

    Args:
        recordings: a folder with one subfolder per class; or for each class its recordings, which are files, or arrays
            at the model's rate. The class ``nothing`` is for what is to get no label.
        out: the file to write, which ends in ``.onnx``. It may replace a model that was taught.
        model: whose features to use, a name or a file as for `load`.
        data: the kind of data set, which the file states.
        threads: CPU threads; all cores unless given.
        overwrite: whether ``out`` may replace any other file.
        progress: called with the numbers of the sounds that are done and of all.

    Raises:
        AinextError: fewer than two classes have recordings that can be used, or one of them has only one.
        FileError: ``out`` cannot be written.
        ModelError: there is no such model, or it gives no features.
        ParameterError: there is no such folder, or ``out`` would replace another kind of file.

    >>> audioinceptionnext.teach({"doorbell": ["1.wav", "2.wav"], "nothing": ["room.wav"]}, "mine.onnx").top1
    100.0
    """
    begun, out = perf_counter(), Path(out)
    check_output(out, overwrite)
    if isinstance(recordings, str | PathLike):
        examples = examples_in(recordings)
    else:
        examples = examples_of(recordings) if isinstance(recordings, Mapping) else list(recordings)
    base = read_model(model)
    recogniser = Recogniser(*base, threads=1)
    if "features" not in recogniser.metadata:
        raise ModelError(base.source, "gives no features, so it cannot be taught; export it again")
    described, others, left_out = _features(recogniser, examples, threads, progress)
    for line in left_out:
        warnings.warn(line, stacklevel=2)
    lesson = learn(described, others)
    about = lesson.about(recogniser.name, data)
    content = with_new_head(base.content, base.source, lesson.head, lesson.labels, out.stem, about)
    with replacing(out) as new:
        new.write_bytes(content)
    seconds = perf_counter() - begun
    clips = sum(lesson.clips.values())
    return Taught(
        out, clips, lesson.top1, lesson.per_class, lesson.confusions, lesson.head.threshold, seconds, tuple(left_out)
    )


def check_output(out: Path, overwrite: bool = False) -> None:
    """Check that a model can be written there, and that this replaces nothing but a model that was taught.

    Raises:
        FileError: it cannot.
        ParameterError: it would replace something else.
    """
    if out.suffix != ".onnx":
        raise FileError(out, "the name of the new model must end in .onnx")
    check_can_write(out)
    if out.exists() and not overwrite and not is_taught(out):
        reason = f"{printable(out)} is no model that was taught, and would be replaced; allow it, or give another name"
        raise ParameterError("overwrite", None, reason)


def is_taught(path: Path) -> bool:
    """Whether this is the file of a model that was taught."""
    try:
        return "taught_from" in json.loads(metadata_of(path.read_bytes()).get("info", "{}"))
    except (OSError, ValueError):
        return False


def _features(
    model: Recogniser, examples: Sequence[Example], threads: int | None, progress: Callable[[int, int], None] | None
) -> tuple[list[Described], np.ndarray, list[str]]:
    """The features of examples and of other sounds, and a line for each example that is left out."""
    described: list[Described] = []
    others: list[np.ndarray] = []
    left_out: list[str] = []
    sounds: list[Example | np.ndarray] = [*examples, *other_sounds(model.sample_rate)]

    def features(sound: Example | np.ndarray) -> np.ndarray:
        return features_of(model, sound) if isinstance(sound, np.ndarray) else sound.features(model)

    at_once = min(threads or len(available_cores()), MAX_PARALLEL)
    for done, (sound, found) in enumerate(parallel_map(features, sounds, at_once), 1):
        if progress is not None:
            progress(done, len(sounds))
        if isinstance(sound, np.ndarray):
            if isinstance(found, Exception):
                raise found
            others.append(found)
        elif isinstance(found, AinextError):
            left_out.append(f"{sound.name}: {describe(found)}: left out")
        elif isinstance(found, Exception):
            raise found
        elif not len(found):
            left_out.append(f"{sound.name}: digital silence: left out")
        else:
            described.append(Described(sound.label, found, sound.source, sound.fold))
    if not described:
        raise AinextError(left_out[0] if left_out else "there are no recordings to teach from")
    return described, np.concatenate(others), left_out
