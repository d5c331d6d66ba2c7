"""From examples as features to a layer with its labels, and what is to be said of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from audioinceptionnext.errors import AinextError, printable
from audioinceptionnext.teaching.head import NONE, NOTHING, Examples, Head, fit_head, fold_numbers
from audioinceptionnext.teaching.others import NOISES


class Described(NamedTuple):
    """The features of an example.

    Attributes:
        label: of its class; `NOTHING`, in any case, for what is to get no label.
        features: (stretches, channels).
        source: what it was cut from; itself unless given.
        fold: which others it is left out with, if that is known of all examples.
    """

    label: str
    features: np.ndarray
    source: str | None = None
    fold: int | None = None


@dataclass(frozen=True)
class Lesson:
    """What was learnt from examples.

    Attributes:
        labels: of the new model.
        head: the layer.
        clips: the number of examples of each class, with `NOTHING` last if there are any.
        top1: in percent, cross-validated.
        per_class: the same for each class.
    """

    labels: tuple[str, ...]
    head: Head
    clips: dict[str, int]

    @property
    def top1(self) -> float:
        return round(100 * self.head.top1, 2)

    @property
    def per_class(self) -> dict[str, float]:
        return {name: round(100 * float(share), 2) for name, share in zip(self.clips, self.head.per_class, strict=True)}

    @property
    def confusions(self) -> dict[str, dict[str, int]]:
        """How many examples of each class are taken for each."""
        rows = zip(self.clips, self.head.confusions.tolist(), strict=True)
        return {name: dict(zip(self.clips, row, strict=True)) for name, row in rows}

    def about(self, base: str, data: str) -> dict[str, Any]:
        """What the model's file says of it.

        Args:
            base: the name of the model whose features these are.
            data: the kind of data set.
        """
        clips = sum(self.clips.values())
        return {
            "data": data,
            "taught_from": base,
            "clips": self.clips,
            "top1": self.top1,
            "measured": f"top-1 {self.top1:.1f} %, cross-validated on the {clips} clips that it was taught from",
            "date": datetime.now(UTC).date().isoformat(),
        }


def learn(examples: Sequence[Described], others: np.ndarray) -> Lesson:
    """Fit a layer to examples.

    Args:
        examples: those without stretches do not count. Labels are in the order in which they come.
        others: (sounds, channels), the features of `others.other_sounds`.

    Raises:
        AinextError: there are fewer than two classes, or a label has only one stretch.
    """
    examples = [one for one in examples if len(one.features)]
    names = [NOTHING if one.label.casefold() == NOTHING else one.label for one in examples]
    counts = Counter(names)
    labels = tuple(name for name in counts if name != NOTHING)
    if len(counts) < 2 or not labels:
        has = f"only of {printable(next(iter(counts)))}" if counts else "none"
        reason = f"a model is taught from two classes or more, and the examples that can be used are {has}"
        raise AinextError(f"{reason}; add another class, or {NOTHING!r} with what is to get no label")
    sizes = Counter[str]()
    for name, one in zip(names, examples, strict=True):
        sizes[name] += len(one.features)
    if few := [name for name in labels if sizes[name] < 2]:
        raise AinextError(f"{printable(few[0])}: only one example can be used; give two or more, better ten")
    number = {name: place for place, name in enumerate(labels)} | {NOTHING: NONE}
    rows = np.repeat(np.arange(len(examples)), [len(one.features) for one in examples])
    classes = np.array([number[name] for name in names])[rows]
    folds = [one.fold for one in examples]
    own = np.array([fold for fold in folds if fold is not None])
    if len(own) == len(examples) and len(np.unique(own)) > 1:
        of_rows = own[rows]
    else:
        sources = [f"{row}" if one.source is None else f"source {one.source}" for row, one in enumerate(examples)]
        of_rows = fold_numbers(classes.tolist(), [sources[row] for row in rows])
    features = np.concatenate([one.features for one in examples]).astype(np.float64)
    head = fit_head(Examples(features, classes, of_rows), len(labels), others, NOISES)
    clips = {name: counts[name] for name in (*labels, *([NOTHING] if NOTHING in counts else []))}
    return Lesson(labels, head, clips)
