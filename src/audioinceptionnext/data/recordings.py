"""Finds the recordings that a list names: files anywhere below a folder, or recordings in an HDF5 file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audioinceptionnext.audio.discover import MEDIA_SUFFIXES, walk
from audioinceptionnext.errors import FileError

HDF5_SUFFIXES = (".hdf5", ".h5", ".hdf")
_SOUND_ONLY = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a")  # preferred to a video of the same name: less to read


@dataclass(frozen=True)
class Recordings:
    """Recordings by name.

    Attributes:
        place: the folder, or the HDF5 file.
        files: the path of each file, by its name without the suffix.
        keys: names of the recordings in the HDF5 file.
    """

    place: Path
    files: dict[str, Path]
    keys: frozenset[str]

    def find(self, *names: str) -> tuple[Path, str | None] | None:
        """Return the path and the key of the first of these names that is there, or None.

        The key is the name of a recording in an HDF5 file, and None for any other file.
        """
        for name in names:
            if name in self.keys:
                return self.place, name
            if name in self.files:
                return self.files[name], None
        return None

    def lengths(self, names: Iterable[str]) -> dict[str, int]:
        """Return the number of samples of recordings in the HDF5 file, by name, without reading them.

        Names that are not there, or whose shape is not that of a mono recording, are left out.

        Raises:
            FileError: the file is damaged.
        """
        if not self.keys:
            return {}
        with _hdf5(self.place) as file:
            found = {name: file.get(name) for name in names if name in self.keys}
            return {name: item.shape[0] for name, item in found.items() if len(getattr(item, "shape", None) or ()) == 1}


def recordings_at(place: Path) -> Recordings:
    """Find all recordings at any depth of a folder, as `walk` does, or in an HDF5 file.

    Raises:
        FileError: the file is not an HDF5 file.
    """
    if place.is_file():
        if place.suffix.lower() not in HDF5_SUFFIXES:
            raise FileError(place, f"recordings are in a folder or an HDF5 file ({', '.join(HDF5_SUFFIXES)})")
        with _hdf5(place) as file:
            return Recordings(place, {}, frozenset(file.keys()))
    files: dict[str, Path] = {}
    for parent, names in walk(place):
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122 - pathlib is slow for hundreds of thousands of files
            if suffix.lower() not in MEDIA_SUFFIXES:
                continue
            if stem not in files or (suffix.lower() in _SOUND_ONLY and files[stem].suffix.lower() not in _SOUND_ONLY):
                files[stem] = Path(parent, name)
    return Recordings(place, files, frozenset())


def hdf5_below(root: Path, depth: int) -> list[Path]:
    """Find HDF5 files in a folder and up to ``depth`` levels below it."""
    return sorted(path for path in below(root, depth) if path.suffix.lower() in HDF5_SUFFIXES)


def below(root: Path, depth: int) -> list[Path]:
    """Find files in a folder and up to ``depth`` levels below it, the upper levels first. Hidden files are skipped."""
    found, folders = [], [root]
    for _ in range(depth + 1):
        items = [p for folder in folders for p in sorted(folder.iterdir()) if not p.name.startswith(".")]
        found += [p for p in items if p.is_file()]
        folders = [p for p in items if p.is_dir()]
    return found


@contextmanager
def _hdf5(path: Path) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, RuntimeError) as error:
        line = " ".join(str(error).split())
        raise FileError(path, f"not a complete HDF5 file: {line}; get a complete copy") from None
