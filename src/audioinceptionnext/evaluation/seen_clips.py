"""Which clips a model was trained on: its figures on those say nothing of new ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.clip_list import NAME, is_clip_list, trained_clips
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.inference.recogniser import Recogniser

OWN = (
    "folder",
    "csv",
    "labels",
)  # kinds of data sets of which any number exist, so that the name does not tell which it was


def seen_clips(model: str, recogniser: Recogniser, dataset: Dataset, clips: Sequence[Clip]) -> list[Clip]:
    """Those of ``clips`` that a model was trained on, as far as that is known.

    The list of clips that a run writes beside its model says it exactly. Without one, the model itself may name the
    folds or splits of a published data set.

    Args:
        model: the name or file that ``recogniser`` was loaded from.
        dataset: with the folds and splits that it was published with.
        clips: of this data set.

    Raises:
        FileError: the list beside the model is damaged.

    >>> len(seen_clips("runs/mine/model.onnx", recogniser, dataset, dataset.clips))
    80
    """
    listed = Path(model).with_name(NAME)
    if Path(model).is_file() and is_clip_list(listed):
        return trained_clips(listed, dataset, clips)
    info = json.loads(recogniser.metadata.get("info", "{}"))
    if info.get("data") != dataset.name or dataset.name in OWN:
        return []
    trained = {_identity(clip) for clip in _selected(info, dataset)}
    return [clip for clip in clips if _identity(clip) in trained]


def _selected(info: dict[str, Any], dataset: Dataset) -> Sequence[Clip]:
    """The clips that a model's description names; none if it does not say."""
    folds, split = info.get("folds"), info.get("split")
    if info.get("per_class"):  # only some of them
        return ()
    if folds is None and split is None and "fold" not in info:
        folds, split = ("all", None) if dataset.folds and not dataset.splits else (None, "train")
    try:
        if "fold" in info:  # of a cross-validation: it was trained on the others
            return dataset.select(str(info["fold"]))[1]
        return dataset.select(folds, split)[0]
    except ParameterError:  # other folds or splits than this copy has
        return ()


def _identity(clip: Clip) -> tuple[Any, ...]:
    return clip.path, clip.key, clip.start, clip.end
