"""Which clips a run trains on and which it holds out."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.errors import AinextError, ParameterError

Clips = tuple[Clip, ...]
HOLD_OUT = 0.05  # share of recordings without labels


def split_clips(
    dataset: Dataset, *, folds: str | None = None, split: str | None = None, hold_out: float = 0.2, seed: int = 0
) -> tuple[Clips, Clips]:
    """Divide a data set into the clips to train on and those to hold out. Clips without a label are in neither.

    Args:
        dataset: the clips.
        folds, split: the clips to train on, as for `Dataset.select`. The other folds are held out; of a data set with
            splits, the validation split or else the test split. If neither is given, a data set with splits is trained
            on its split ``train``, one with folds on all of its clips, and any other one on all but ``hold_out``.
        hold_out: share of each class's clips to hold out, rounded, but at least one clip. Clips of one source stay
            together, and every class keeps clips to train on.
        seed: decides which clips are held out.

    Returns:
        The clips to train on and the held-out clips, which may be none.

    Raises:
        ParameterError: there are no such folds or splits.
        AinextError: no labelled clip is left to train on.

    >>> training, held_out = split_clips(load_dataset("kitchen20", "Kitchen20"), folds="1-4")
    """
    if folds is None and split is None and dataset.splits:
        if "train" not in dataset.splits:
            found = ", ".join(dataset.splits)
            reason = f"{dataset.name} has no split train but {found}; name the splits to train on"
            raise ParameterError("split", None, reason)
        split = "train"
    if folds is None and split is None and not dataset.folds and hold_out:
        inside, outside = _hold_out(dataset, hold_out, seed)
    else:
        inside, outside = dataset.select(folds, split)
    inside, outside = (tuple(c for c in clips if c.label != UNLABELLED) for clips in (inside, outside))
    outside = outside if split is None else _for_validation(outside)
    if not inside:
        raise AinextError(f"{dataset.name}: there are no labelled clips to train on")
    return inside, outside


def _for_validation(outside: Clips) -> Clips:
    """Of clips that are outside the splits to train on, those of the validation split, or else of the test split."""
    for name in ("validation", "test"):
        if own := tuple(clip for clip in outside if clip.split == name):
            return own
    return outside


def split_recordings(
    dataset: Dataset, root: Path, hold_out: float | None = None, *, folds: str | None = None, split: str | None = None
) -> tuple[Clips, Clips]:
    """Divide clips into those to train on and those to hold out, without a look at their labels.

    Args:
        dataset: the clips.
        root: the folder of the data set.
        hold_out: share of the clips that are held out if neither folds nor splits are given; `HOLD_OUT` by default. A
            hash of a recording's path decides, so it stays on its side while a collection grows. At least one clip is
            held out, unless the share is 0.
        folds, split: as for `split_clips`. A data set with splits is trained on its split ``train``, if it has one,
            unless others are given.

    Raises:
        ParameterError: there are no such folds or splits.
        AinextError: no recording is left to train on.
    """
    if folds is None and split is None and "train" in dataset.splits:
        split = "train"
    if folds is not None or split is not None:
        training, held_out = dataset.select(folds, split)
        held_out = held_out if split is None else _for_validation(held_out)
    else:
        share = HOLD_OUT if hold_out is None else hold_out
        places = [_place(clip, root) for clip in dataset.clips]
        first = min(places)
        bound = max(share, first + 1e-12) if share and max(places) > first else 0.0
        pairs = list(zip(dataset.clips, places, strict=True))
        training = tuple(clip for clip, place in pairs if place >= bound)
        held_out = tuple(clip for clip, place in pairs if place < bound)
    if not training:
        raise AinextError(f"{dataset.name}: no recording is left to train on; hold out fewer")
    return training, held_out


def _place(clip: Clip, root: Path) -> float:
    """A number from 0 to 1, by a hash of the clip's source or of its path within the data set."""
    name = str(clip.path.relative_to(root)) if clip.path.is_relative_to(root) else clip.path.name
    text = f"{clip.group or name}:{clip.key or ''}"
    return int(hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8], 16) / 2**32


def set_aside(dataset: Dataset, clips: Sequence[Clip], share: float, seed: int) -> tuple[Clips, Clips]:
    """Divide the training clips of a run into those that it learns from and those that decide between its weights.

    Args:
        dataset: of the clips.
        clips: to divide.
        share, seed: as ``hold_out`` and ``seed`` of `split_clips`. With a share of 0, no clip is set aside.
    """
    return _hold_out(replace(dataset, clips=tuple(clips)), share, seed) if share else (tuple(clips), ())


def _hold_out(dataset: Dataset, share: float, seed: int) -> tuple[Clips, Clips]:
    clips, kinds = dataset.clips, dataset.kinds
    groups: defaultdict[str, list[Clip]] = defaultdict(list)
    for index, clip in enumerate(clips):
        groups[f"group {clip.group}" if clip.group is not None else f"clip {index}"].append(clip)
    total = Counter(label for clip in clips for label in kinds(clip))
    wanted = {label: max(1, round(share * count)) for label, count in total.items()}
    held: Counter[int] = Counter()  # clips by class
    names = [list(groups)[place] for place in np.random.default_rng(seed).permutation(len(groups))]
    taken: set[int] = set()
    # The rarest of several labels come first, since clips of a frequent one are easily found (Sechidis et al., 2011).
    for label in sorted(total, key=(lambda n: (total[n], n)) if dataset.multi_label else None):
        for name in names:
            own = Counter(label for clip in groups[name] for label in kinds(clip))
            # Every class in the group has to keep some clips to learn from.
            if held[label] < wanted[label] and own[label] and all(held[c] + own[c] < total[c] for c in own):
                held += own
                taken.update(id(clip) for clip in groups[name])
                groups[name] = []
    return tuple(c for c in clips if id(c) not in taken), tuple(c for c in clips if id(c) in taken)


def limit_per_class(
    clips: Clips, per_class: int, seed: int = 0, kinds: Callable[[Clip], tuple[int, ...]] = lambda clip: (clip.label,)
) -> Clips:
    """At most ``per_class`` clips of each class, chosen by ``seed``, in the order that they had.

    Args:
        clips: to choose from.
        per_class: their number.
        seed: of the choice.
        kinds: the classes of a clip, see `Dataset.kinds`. A clip of several is taken if one of them needs it, so that a
            frequent class may have more.
    """
    taken: set[int] = set()
    count: Counter[int] = Counter()
    for index in np.random.default_rng(seed).permutation(len(clips)):
        own = kinds(clips[index])
        if any(count[label] < per_class for label in own):
            count.update(own)
            taken.add(int(index))
    return tuple(clips[index] for index in sorted(taken))
