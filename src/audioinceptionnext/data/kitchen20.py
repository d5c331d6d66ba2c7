"""Kitchen20 (Moreaux et al., 2019): 800 clips of 5 s, 20 kitchen sounds and actions, 5 folds.

Layout: ``meta.csv`` (``filename, fold, target, category, source_id, …``) and the clips under ``audio/``.
"""

from __future__ import annotations

import csv
from pathlib import Path

from audioinceptionnext.data.clip import Clip, Dataset
from audioinceptionnext.errors import AinextError

COLUMNS = ("filename", "fold", "target", "category", "source_id")


def load(root: Path) -> Dataset:
    """Raises `AinextError` when ``root`` holds no Kitchen20, or clips of its list are missing."""
    meta = root / "meta.csv"
    if not meta.is_file():
        raise AinextError(f"{root}: no Kitchen20 here: {meta.name} is missing; --root names the folder that holds it")
    with meta.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        absent = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if absent:
            raise AinextError(f"{meta}: has no column {absent[0]!r}; Kitchen20's list has {', '.join(COLUMNS)}")
        rows = list(reader)
    if not rows:
        raise AinextError(f"{meta}: lists no clips")
    names: dict[int, str] = {}
    clips = []
    for number, row in enumerate(rows, start=2):
        try:
            target, fold = int(row["target"]), int(row["fold"])
        except ValueError:
            raise AinextError(f"{meta}: line {number}: target and fold are whole numbers") from None
        names[target] = row["category"]
        clips.append(Clip(root / "audio" / row["filename"], target, fold=fold, group=row["source_id"]))
    if sorted(names) != list(range(len(names))):
        raise AinextError(f"{meta}: the targets are not 0 to {len(names) - 1}")
    missing = [clip.path for clip in clips if not clip.path.is_file()]
    if missing:
        raise AinextError(f"{meta}: {len(missing)} of {len(clips)} clips are missing, e.g. {missing[0]}")
    return Dataset("kitchen20", tuple(names[i] for i in range(len(names))), tuple(clips))
