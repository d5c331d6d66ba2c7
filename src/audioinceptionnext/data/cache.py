"""Decoded clips on disk: one 16-bit file per clip, written after its first use and shared by all processes."""

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
from audioinceptionnext.errors import FileError

_VERSION = 3  # of the files' content; files of any other version are ignored


class DiskCache:
    """Whole clips as memory-mapped int16 files in a folder.

    The name of a file is a hash of the recording's path, size and time of change, the clip's start and end, and the
    sample rate, so that a recording that changes is decoded again. Files are written under another name and then
    renamed, so that several processes may write the same file. If the disk is full, one warning says so, and from then
    on clips are decoded each time. Nothing is ever removed: delete the folder when it is no longer needed.

    Args:
        folder: is made if it does not exist.
        reader: decodes the clips.

    Raises:
        FileError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path, reader: Reader) -> None:
        self.folder, self.reader = folder, reader
        self._full = torch.zeros(1, dtype=torch.uint8).share_memory_()  # shared with all workers
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            reason = f"cannot keep decoded clips here: {error.strerror}; give another folder"
            raise FileError(folder, reason) from None

    def get(self, clip: Clip) -> np.ndarray:
        """Return a whole clip: int16 (samples,), read-only.

        Raises:
            MediaError: the clip cannot be read.
        """
        path = self._path(clip)
        if path is not None and (cached := _cached(path)) is not None:
            return cached
        samples = to_int16(self.reader.read(clip))
        if path is not None and not self._full:
            self._write(path, samples)
        return samples

    def _path(self, clip: Clip) -> Path | None:
        try:
            source = clip.path.stat()
        except OSError:  # the reader will report it
            return None
        rates = (self.reader.sample_rate, self.reader.hdf5_rate if clip.key is not None else None)
        recording = (str(clip.path.absolute()), source.st_size, source.st_mtime_ns, clip.key)
        name = hashlib.sha256(repr((_VERSION, *recording, clip.start, clip.end, *rates)).encode()).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.npy"

    def _write(self, path: Path, samples: np.ndarray) -> None:
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
                effect = "decoded clips are no longer kept there, which only costs time"
                warnings.warn(f"{self.folder}: {error.strerror or error}: {effect}", RuntimeWarning, stacklevel=2)


def _cached(path: Path) -> np.ndarray | None:
    """The samples in a cache file; None if it does not exist or is damaged."""
    if not os.access(path, os.R_OK):
        return None
    try:
        samples = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError):
        return None
    return samples if isinstance(samples, np.ndarray) and samples.dtype == np.int16 and samples.ndim == 1 else None
