"""Datasets: one file each, all giving the same `Clip` record. A new one is a file here and a line in `DATASETS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from audioinceptionnext.data import (
    csv_list,
    epic_sounds,
    esc,
    folder,
    fsdd,
    kitchen20,
    urbansound8k,
    vggsound,
)
from audioinceptionnext.data.clip import UNLABELLED, Clip, Dataset
from audioinceptionnext.errors import AinextError, suggest

DATASETS: dict[str, Callable[[Path, Path | None], Dataset]] = {
    "kitchen20": kitchen20.load,
    "esc10": esc.load_esc10,
    "esc50": esc.load_esc50,
    "urbansound8k": urbansound8k.load,
    "fsdd": fsdd.load,
    "vggsound": vggsound.load,
    "epic-sounds": epic_sounds.load,
    "folder": folder.load,
    "csv": csv_list.load,
}


def load_dataset(name: str, root: str | Path, audio: str | Path | None = None) -> Dataset:
    """Read a dataset's list and find its recordings; nothing is decoded.

    Rows that cannot be used are left out and stand in `Dataset.problems`.

    Args:
        audio: the folder or HDF5 file of the recordings, where they are not below ``root``.

    Raises:
        AinextError: an unknown dataset (with the nearest known one), a place that does not exist, that holds another
            dataset, or of which nothing can be used.
    """
    if name not in DATASETS:
        raise AinextError(f"--data {name}: no such dataset; {suggest(name, DATASETS)}")
    root, audio = Path(root), None if audio is None else Path(audio)
    if not root.is_dir() and not (name == "csv" and root.is_file()):
        raise AinextError(f"--root {root}: no such folder")
    if audio is not None and not audio.exists():
        raise AinextError(f"--audio {audio}: no such folder or file")
    return DATASETS[name](root, audio)


__all__ = ["DATASETS", "UNLABELLED", "Clip", "Dataset", "load_dataset"]
