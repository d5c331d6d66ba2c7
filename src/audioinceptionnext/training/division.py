"""Which clips a run trains on and which it is scored on."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.errors import AinextError

Clips = tuple[Clip, ...]


def divide(
    dataset: Dataset, folds: str | None = None, split: str | None = None, hold_out: float = 0.2, seed: int = 0
) -> tuple[Clips, Clips]:
    """Clips to train on, and clips to score on, perhaps none; never one without a label.

    Args:
        folds, split: as in `Dataset.select`, the clips to train on. Held out are the other folds; of a data set with
            splits its validation, or else its test. With neither: the split ``train`` where there is one, all clips of
            a data set with folds, and otherwise all but ``hold_out`` of each class.
        hold_out: share of each class's clips, at least one clip of two; clips of one source stay together.

    Raises:
        AinextError: folds or splits that do not exist, or nothing to train on.
    """
    if folds is None and split is None and "train" in dataset.splits:
        split = "train"
    if folds is None and split is None and not dataset.folds and hold_out:
        inside, outside = _hold_out(dataset.clips, hold_out, seed)
    else:
        inside, outside = dataset.select(folds, split)
        for name in ("validation", "test"):
            if split is not None and any(clip.split == name and clip.label != UNLABELLED for clip in outside):
                outside = tuple(clip for clip in outside if clip.split == name)
                break
    inside, outside = (tuple(c for c in clips if c.label != UNLABELLED) for clips in (inside, outside))
    if not inside:
        raise AinextError(f"{dataset.name}: no labelled clips to train on")
    return inside, outside


def _hold_out(clips: Clips, share: float, seed: int) -> tuple[Clips, Clips]:
    classes: defaultdict[int, dict[str, list[int]]] = defaultdict(dict)
    for index, clip in enumerate(clips):
        classes[clip.label].setdefault(clip.group or f"clip {index}", []).append(index)
    held: set[int] = set()
    rng = np.random.default_rng(seed)
    for label in sorted(classes):
        groups = list(classes[label].values())
        total = sum(map(len, groups))
        wanted = max(1, round(share * total)) if len(groups) > 1 else 0
        taken: list[int] = []
        for place in rng.permutation(len(groups))[: len(groups) - 1]:  # one source at least stays to learn from
            if len(taken) >= wanted:
                break
            taken += groups[place]
        held.update(taken)
    names = {clips[i].group for i in held if clips[i].group is not None}
    outside = [i in held or clip.group in names for i, clip in enumerate(clips)]
    return (
        tuple(clip for clip, out in zip(clips, outside, strict=True) if not out),
        tuple(clip for clip, out in zip(clips, outside, strict=True) if out),
    )


def few(clips: Clips, per_class: int, seed: int = 0) -> Clips:
    """At most so many clips of each class, drawn by ``seed``; in the order that they had."""
    order = np.random.default_rng(seed).permutation(len(clips))
    taken: defaultdict[int, list[int]] = defaultdict(list)
    for index in order:
        if len(taken[clips[index].label]) < per_class:
            taken[clips[index].label].append(int(index))
    return tuple(clips[index] for index in sorted(i for indices in taken.values() for i in indices))
