"""Which clips are trained on and which are held out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audioinceptionnext.data import Clip, Dataset
from audioinceptionnext.data.clip import UNLABELLED
from audioinceptionnext.errors import AinextError
from audioinceptionnext.training.splits import limit_per_class, split_clips


def dataset(*clips: Clip) -> Dataset:
    return Dataset("made", ("a", "b", "c"), clips)


def clip(number: int, label: int, **where: object) -> Clip:
    return Clip(Path(f"{number}.wav"), label, **where)  # type: ignore[arg-type]


def test_folds() -> None:
    made = dataset(*(clip(n, n % 3, fold=1 + n % 5) for n in range(30)), clip(30, UNLABELLED, fold=1))
    training, held_out = split_clips(made, folds="1-4")
    assert {c.fold for c in training} == {1, 2, 3, 4} and {c.fold for c in held_out} == {5}
    assert len(training) == 24 and len(held_out) == 6
    training, held_out = split_clips(made, folds="2")
    assert {c.fold for c in training} == {2} and {c.fold for c in held_out} == {1, 3, 4, 5}
    assert split_clips(made) == (made.clips[:30], ())  # all folds: this is how a model to ship is trained
    assert split_clips(made, folds="all", hold_out=0.5) == (made.clips[:30], ())


def test_splits() -> None:
    splits = ("train", "validation", "test")
    made = dataset(*(clip(n, n % 3, split=splits[n % 3]) for n in range(30)))
    for training, held_out in (split_clips(made), split_clips(made, split="train")):
        assert {c.split for c in training} == {"train"} and {c.split for c in held_out} == {"validation"}
    training, held_out = split_clips(made, split="train,validation")
    assert {c.split for c in training} == {"train", "validation"} and {c.split for c in held_out} == {"test"}
    assert split_clips(made, split="all") == (made.clips, ())
    # A test split without labels cannot be held out, nor does it take the place of the validation split.
    blind = dataset(*(clip(n, UNLABELLED if n % 3 == 2 else n % 3, split=splits[n % 3]) for n in range(30)))
    assert {c.split for c in split_clips(blind)[1]} == {"validation"}
    assert split_clips(blind, split="train,validation")[1] == ()
    with pytest.raises(AinextError, match="there are no labelled clips to train on"):
        split_clips(blind, split="test")
    with pytest.raises(AinextError, match="has the splits"):
        split_clips(made, split="exam")


def test_a_share_of_each_class_is_held_out() -> None:
    made = dataset(*(clip(n, 0) for n in range(50)), *(clip(n, 1) for n in range(50, 60)), clip(60, 2))
    training, held_out = split_clips(made)
    assert Counter(c.label for c in held_out) == {0: 10, 1: 2}  # no clip of a class that has a single one
    assert sorted([*training, *held_out], key=made.clips.index) == list(made.clips)
    assert split_clips(made) == (training, held_out) != split_clips(made, seed=1)
    assert Counter(c.label for c in split_clips(made, hold_out=0.5)[1]) == {0: 25, 1: 5}
    assert split_clips(made, hold_out=0) == (made.clips, ())
    two = dataset(clip(0, 0), clip(1, 0), clip(2, 1), clip(3, 1))
    assert Counter(c.label for c in split_clips(two)[1]) == {0: 1, 1: 1}


GROUPED = st.lists(
    st.tuples(st.sampled_from([UNLABELLED, 0, 1, 2]), st.sampled_from([None, *"uvwxyz"])), min_size=1, max_size=40
)


@settings(max_examples=150, deadline=None)
@given(GROUPED, st.floats(0.05, 0.9), st.integers(0, 5))
def test_sources_stay_whole_and_every_class_keeps_clips_to_learn_from(
    clips: list[tuple[int, str | None]], share: float, seed: int
) -> None:
    made = dataset(*(clip(n, label, group=group) for n, (label, group) in enumerate(clips)))
    labelled = [c for c in made.clips if c.label != UNLABELLED]
    if not labelled:
        with pytest.raises(AinextError, match="no labelled clips"):
            split_clips(made, hold_out=share, seed=seed)
        return
    training, held_out = split_clips(made, hold_out=share, seed=seed)
    assert sorted([*training, *held_out], key=made.clips.index) == labelled
    assert not {c.group for c in training if c.group} & {c.group for c in held_out if c.group}
    assert {c.label for c in training} == {c.label for c in labelled}


def test_a_few_clips_of_each_class() -> None:
    clips = tuple(clip(n, 0 if n < 20 else 1) for n in range(23))
    taken = limit_per_class(clips, 10)
    assert Counter(c.label for c in taken) == {0: 10, 1: 3}
    assert list(taken) == sorted(taken, key=clips.index) and len(set(taken)) == 13
    assert taken == limit_per_class(clips, 10) != limit_per_class(clips, 10, seed=1)
