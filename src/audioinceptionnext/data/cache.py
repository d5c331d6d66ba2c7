"""Decoded clips on disk: one 16-bit file each, made when first used and shared by all processes."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch

from audioinceptionnext.data.clip import Clip
from audioinceptionnext.data.reader import Reader, to_int16
from audioinceptionnext.errors import AinextError

_VERSION = 1  # of the files' content: another number and none of the old ones is used


class DiskCache:
    """Whole clips as int16 in ``folder``, memory mapped. Nothing is ever removed: delete the folder when done.

    A file's name is a hash of the recording's path, size and time of change, the clip's bounds, and the rate: a
    recording that changes is decoded again. A file appears whole or not at all, whoever else writes it. When the disk
    is full, a warning says so once, and clips are decoded anew each time.

    Raises `AinextError` when the folder cannot be made or written.
    """

    def __init__(self, folder: Path, reader: Reader) -> None:
        self.folder, self.reader = folder, reader
        self._full = torch.zeros(1, dtype=torch.uint8).share_memory_()  # seen by all workers
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise AinextError(f"{folder}: cannot keep decoded clips here: {error.strerror}; name another") from None

    def get(self, clip: Clip) -> np.ndarray:
        """The whole clip: int16, shape (n,), read-only. Raises `MediaError`."""
        path = self._path(clip)
        if path is not None and (kept := _kept(path)) is not None:
            return kept
        samples = to_int16(self.reader.read(clip))
        if path is not None and not self._full:
            self._keep(path, samples)
        return samples

    def _path(self, clip: Clip) -> Path | None:
        try:
            source = clip.path.stat()
        except OSError:  # the reader will say what is wrong
            return None
        rates = (self.reader.sample_rate, self.reader.hdf5_rate if clip.key is not None else None)
        recording = (str(clip.path.absolute()), source.st_size, source.st_mtime_ns, clip.key)
        name = hashlib.sha256(repr((_VERSION, *recording, clip.start, clip.end, *rates)).encode()).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.npy"

    def _keep(self, path: Path, samples: np.ndarray) -> None:
        temporary = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
                temporary = Path(file.name)
                np.save(file, samples)
            temporary.replace(path)
        except OSError as error:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
            if not self._full:
                self._full.fill_(1)
                goes_on = "decoded clips are no longer kept there, which costs time only"
                warnings.warn(f"{self.folder}: {error.strerror or error}: {goes_on}", RuntimeWarning, stacklevel=2)


def _kept(path: Path) -> np.ndarray | None:
    """What is in a cache file; None if there is none, or it is damaged."""
    if not os.access(path, os.R_OK):
        return None
    try:
        samples = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError):
        return None
    return samples if isinstance(samples, np.ndarray) and samples.dtype == np.int16 and samples.ndim == 1 else None
