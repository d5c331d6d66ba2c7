"""Which clips a run trains on and which it is scored on."""

from __future__ import annotations

from collections import Counter, defaultdict

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
            splits its validation, or else its test. With neither: the split ``train`` of a data set with splits, all
            clips of one with folds, and otherwise all but ``hold_out`` of each class.
        hold_out: share of each class's clips, at least one clip of two; clips of one source stay together.

    Raises:
        AinextError: folds or splits that do not exist, or nothing to train on.
    """
    if folds is None and split is None and dataset.splits:
        if "train" not in dataset.splits:
            has = ", ".join(dataset.splits)
            raise AinextError(f"{dataset.name}: has no split train but {has}; --split says which ones to train on")
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
    groups: defaultdict[str, list[Clip]] = defaultdict(list)
    for index, clip in enumerate(clips):
        groups[f"group {clip.group}" if clip.group is not None else f"clip {index}"].append(clip)
    total = Counter(clip.label for clip in clips)
    wanted = {label: max(1, round(share * count)) for label, count in total.items()}
    held: Counter[int] = Counter()  # clips by class
    names = [list(groups)[place] for place in np.random.default_rng(seed).permutation(len(groups))]
    taken: set[int] = set()
    for label in sorted(total):
        for name in names:
            own = Counter(clip.label for clip in groups[name])
            # Of each class that the group has clips of, some have to stay to learn from.
            if held[label] < wanted[label] and own[label] and all(held[c] + own[c] < total[c] for c in own):
                held += own
                taken.update(id(clip) for clip in groups[name])
                groups[name] = []
    return tuple(c for c in clips if id(c) not in taken), tuple(c for c in clips if id(c) in taken)


def few(clips: Clips, per_class: int, seed: int = 0) -> Clips:
    """At most so many clips of each class, drawn by ``seed``; in the order that they had."""
    order = np.random.default_rng(seed).permutation(len(clips))
    taken: defaultdict[int, list[int]] = defaultdict(list)
    for index in order:
        if len(taken[clips[index].label]) < per_class:
            taken[clips[index].label].append(int(index))
    return tuple(clips[index] for index in sorted(i for indices in taken.values() for i in indices))
