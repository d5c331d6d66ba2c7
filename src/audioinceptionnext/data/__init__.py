"""Data sets: one module each, all of which give the same records, `Dataset` and `Clip`.

A further data set is a module here and an entry in `DATASETS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from audioinceptionnext.data import (
    csv_list,
    epic_kitchens,
    epic_sounds,
    esc,
    folder,
    fsdd,
    kitchen20,
    label_tracks,
    nsynth,
    speech_commands,
    urbansound8k,
    vggsound,
)
from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.errors import ParameterError, suggest

DATASETS: dict[str, Callable[[Path, Path | None], Dataset]] = {
    "kitchen20": kitchen20.load,
    "esc10": esc.load_esc10,
    "esc50": esc.load_esc50,
    "urbansound8k": urbansound8k.load,
    "fsdd": fsdd.load,
    "speechcommands": speech_commands.load,
    "nsynth": nsynth.load,
    "vggsound": vggsound.load,
    "epic-sounds": epic_sounds.load,
    "epic-kitchens": epic_kitchens.load,
    "folder": folder.load,
    "csv": csv_list.load,
    "labels": label_tracks.load,
}


def load_dataset(data: str, root: str | Path, audio: str | Path | None = None) -> Dataset:
    """Read a data set's list and find its recordings, without decoding any.

    Rows that cannot be used are left out; `Dataset.problems` says why.

    Args:
        data: one of `DATASETS`.
        root: the folder that holds the data set; for ``csv`` also the list itself.
        audio: the folder or the HDF5 file of the recordings, if they are not below ``root``.

    Raises:
        ParameterError: there is no such data set (the nearest name is suggested), folder or file.
        FileError: the folder does not hold this data set, or none of its clips can be used.

    >>> load_dataset("kitchen20", "Kitchen20").labels[:2]
    ('blender', 'dishwasher')
    """
    if data not in DATASETS:
        raise ParameterError("data", data, f"no such data set; {suggest(data, DATASETS)}")
    root, audio = Path(root), None if audio is None else Path(audio)
    if not root.is_dir() and not (data == "csv" and root.is_file()):
        raise ParameterError("root", root, "no such folder; check the name")
    if audio is not None and not audio.exists():
        raise ParameterError("audio", audio, "no such folder or file; check the name")
    return DATASETS[data](root, audio)


__all__ = ["DATASETS", "UNLABELLED", "Clip", "Dataset", "load_dataset"]
