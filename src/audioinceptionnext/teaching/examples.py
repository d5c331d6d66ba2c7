"""Examples of sounds: recordings with their classes, from a folder or as they are given."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from audioinceptionnext.audio.discover import find_media
from audioinceptionnext.errors import FileError, ParameterError, printable
from audioinceptionnext.inference.recogniser import Recogniser
from audioinceptionnext.inference.recordings import Recording, each_recording, mono_blocks_of
from audioinceptionnext.teaching.features import MAX_SECONDS, features_of, features_of_file

SPLITS = ("train", "test", "validation", "val")  # folders of these names alone hold the folders of the classes


@dataclass(frozen=True)
class Example:
    """A recording, or a part of one, that has one class.

    Attributes:
        label: of its class; ``nothing`` for what is to get no label.
        recording: a file; or samples at the model's rate, as `Recogniser.predict` takes them.
        start, end: the part of a file, in seconds. An ``end`` of None is the end of the file.
        source: what it was cut from. Examples of one source are left out together.
        fold: of the data set, if it has folds.
    """

    label: str
    recording: Path | np.ndarray
    start: float = 0.0
    end: float | None = None
    source: str | None = None
    fold: int | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        return printable(self.recording) if isinstance(self.recording, Path) else f"an array of {self.label}"

    def features(self, model: Recogniser) -> np.ndarray:
        """What the model's last layer gets of it: (stretches, channels), without rows if it is digital silence.

        Raises:
            MediaError: it cannot be read.
        """
        if isinstance(self.recording, Path):
            return features_of_file(model, self.recording, self.start, self.end)
        blocks = mono_blocks_of(self.recording, model.sample_rate, MAX_SECONDS, lambda _: None)
        return features_of(model, np.concatenate(list(blocks))[: round(MAX_SECONDS * model.sample_rate)])


def examples_in(folder: str | PathLike[str]) -> list[Example]:
    """The recordings below a folder with one subfolder per class, which gives the class its name.

    Raises:
        ParameterError: there is no such folder.
        FileError: it has no subfolders with recordings.

    >>> examples_in("my_sounds")[0]
    Example(label='doorbell', recording=PosixPath('my_sounds/doorbell/1.wav'), ...)
    """
    root = Path(folder)
    if not root.is_dir():
        raise ParameterError("root", root, "no such folder; check the name")
    folders = _folders(root)
    if folders and all(folder.name.lower() in SPLITS for folder in folders):
        folders = sorted((one for folder in folders for one in _folders(folder)), key=lambda one: one.name)
    examples: list[Example] = []
    for folder in folders:
        own = [Example(folder.name, file) for file in find_media([folder]) if isinstance(file, Path)]
        if not own:
            warnings.warn(f"{printable(folder)}: no recordings in this class folder", stacklevel=2)
        examples += own
    if not examples:
        raise FileError(root, "no recordings in subfolders; give a folder with one subfolder per class")
    return examples


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def examples_of(recordings: Mapping[str, Recording | Iterable[Recording]]) -> list[Example]:
    """Recordings by class: files, or arrays at the model's rate; for each class one or many, as `embed` takes them."""
    return [
        Example(str(label), one if isinstance(one, np.ndarray) else Path(one))
        for label, own in recordings.items()
        for one in each_recording(own)
    ]
