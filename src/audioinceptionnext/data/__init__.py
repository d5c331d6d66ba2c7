"""Datasets: one file each, all giving the same `Clip` record. A new one is a file here and a line in `DATASETS`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from audioinceptionnext.data import kitchen20
from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.errors import AinextError

DATASETS: dict[str, Callable[[Path], Dataset]] = {"kitchen20": kitchen20.load}


def load_dataset(name: str, root: str | Path) -> Dataset:
    """Raises `AinextError`: an unknown dataset (with the nearest known one), a missing folder, an incomplete copy."""
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, 1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(DATASETS)}"
        raise AinextError(f"--data {name}: no such dataset; {hint}")
    root = Path(root)
    if not root.is_dir():
        raise AinextError(f"--root {root}: no such folder")
    return DATASETS[name](root)


__all__ = ["DATASETS", "Clip", "Dataset", "load_dataset"]
