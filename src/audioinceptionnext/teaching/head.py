"""A linear layer on the features of a network, by logistic regression, and how well it does on sounds left out.

What is fitted
    Every example is a vector of features with a class: one of the labels, or none of them. None of them are the
    examples of the class `NOTHING`, noise, and other sounds (`others.py`). So the layer has a column for each label and
    up to three for none of them, and the probability of a label is its share of the softmax over all columns. What is
    none of the labels has a low probability for all of them.

How
    Features are standardised: less their mean, divided by their deviation. The layer minimises the sum over the
    examples of the cross-entropy, plus half the sum of the squares of all weights (not of the biases). That is convex,
    and has one solution; L-BFGS finds it from zero in less than a hundred steps. With fewer examples than channels, the
    examples are first turned into the space that they span: with the Cholesky factor L of the matrix of their products,
    X X' = L L', the rows of L stand for those of X. The solution there has the same probabilities, and weights V become
    X' inverse(L') V. At the end, the standardisation becomes part of weights and biases.

How well it does
    Five folds, even by class, with what was cut from one recording in one fold; or the folds that are given. Each fold
    is predicted by a layer that did not see it. An example is right if its class has the highest probability, among
    the labels and, if there are examples of it, `NOTHING`, whose probability is that of all columns for none.
    The onset threshold is what four of five examples of labels reach when they are left out, from `THRESHOLDS`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NOTHING = "nothing"  # the class of what is to get no label
NONE = -1  # its number in place of that of a label
FOLDS = 5
MISSED = 0.2  # the share of the left-out examples that may stay below the onset threshold
THRESHOLDS = (0.5, 0.9)  # the lowest and the highest onset threshold
MAX_STEPS, MEMORY = 300, 10  # of L-BFGS
TOLERANCE = 1e-4  # of the largest element of the gradient


class Examples(NamedTuple):
    """What a layer is fitted to.

    Attributes:
        features: (examples, channels) float64.
        classes: (examples,), the number of each one's label, or `NONE`.
        folds: (examples,), those with the same number are left out together.
    """

    features: np.ndarray
    classes: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class Head:
    """A linear layer from features to a column for each label, and then columns for none of them.

    Attributes:
        weight, bias: float32, (channels, columns) and (columns,).
        threshold: the onset threshold of all labels.
        confusions: how many examples of each class (a row) are taken for each when they are left out. `NOTHING` is the
            last class, if there are examples of it.
    """

    weight: np.ndarray
    bias: np.ndarray
    threshold: float
    confusions: np.ndarray

    @property
    def top1(self) -> float:
        """The share of all examples that are right when they are left out, 0 to 1."""
        return float(np.trace(self.confusions) / self.confusions.sum())

    @property
    def per_class(self) -> np.ndarray:
        """The same for each class."""
        shares: np.ndarray = np.diagonal(self.confusions) / self.confusions.sum(axis=1)
        return shares


def fit_head(examples: Examples, labels: int, others: np.ndarray, noises: int) -> Head:
    """Fit a layer, and measure it by cross-validation.

    Args:
        examples: at least two of each label in different folds.
        labels: the number of labels.
        others: (sounds, channels), features of other sounds.
        noises: how many of these, from the first on, are noise.
    """
    count, own, few = len(examples.classes), examples.classes, labels
    none = own == NONE
    # Columns: the labels, `NOTHING` if there is such an example, noise, and other sounds.
    kinds = np.repeat([few, few + 1], [noises, len(others) - noises]) + int(none.any())
    columns = np.concatenate([np.where(none, few, own), kinds])
    total = int(columns.max()) + 1
    folds = np.concatenate([examples.folds, np.arange(len(others)) % FOLDS + examples.folds.min()])
    space = Space(np.concatenate([examples.features, others]))

    left_out = np.zeros((len(columns), total))
    for fold in np.unique(examples.folds):
        outside = folds == fold
        weight, bias = regression(space.rows[~outside], columns[~outside], total)
        left_out[outside] = softmax(space.rows[outside] @ weight + bias)
    found = left_out[:count, :few]
    if none.any():
        found = np.column_stack([found, left_out[:count, few:].sum(axis=1)])
    confusions = np.zeros((found.shape[1],) * 2, int)
    np.add.at(confusions, (columns[:count], found.argmax(axis=1)), 1)
    reached = left_out[np.arange(count), columns[:count]][~none]
    threshold = round(float(np.clip(np.quantile(reached, MISSED), *THRESHOLDS)), 2)

    weight, bias = space.layer(*regression(space.rows, columns, total))
    return Head(weight.astype(np.float32), bias.astype(np.float32), threshold, confusions)


class Space:
    """Standardised features, in as few dimensions as they span.

    Attributes:
        rows: (examples, dimensions).
    """

    def __init__(self, features: np.ndarray) -> None:
        self.mean, deviation = features.mean(axis=0), features.std(axis=0)
        self.deviation = np.maximum(deviation, 1e-6 * deviation.max() + 1e-12)  # a feature may be constant
        self._all = (features - self.mean) / self.deviation
        self.rows = self._all
        if self._all.shape[0] < self._all.shape[1]:
            products = self._all @ self._all.T
            products[np.diag_indices(len(products))] += 1e-9 * np.trace(products)
            self.rows = np.linalg.cholesky(products)

    def layer(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights and biases for features as they are, from those for `rows`."""
        if self.rows is not self._all:
            weight = self._all.T @ np.linalg.solve(self.rows.T, weight)
        weight = weight / self.deviation[:, None]
        return weight, bias - self.mean @ weight


def regression(x: np.ndarray, columns: np.ndarray, total: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (dimensions, total) and biases (total,) of the logistic regression of these examples."""
    size = x.shape[1] * total
    truth = np.eye(total)[columns]

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = parameters[:size].reshape(-1, total), parameters[size:]
        share = softmax(x @ weight + bias)
        value = -np.log(np.maximum(share[np.arange(len(x)), columns], 1e-300)).sum() + (weight**2).sum() / 2
        wrong = share - truth
        return float(value), np.concatenate([(x.T @ wrong + weight).ravel(), wrong.sum(axis=0)])

    found = minimise(loss, np.zeros(size + total))
    return found[:size].reshape(-1, total), found[size:]


def minimise(loss: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray) -> np.ndarray:
    """L-BFGS (Nocedal, 1980) with steps that are halved until the loss falls enough.

    Args:
        loss: the value and the gradient of a convex function.
        start: where to begin, (n,).
    """
    place, (value, gradient) = start, loss(start)
    moved: list[np.ndarray] = []
    changed: list[np.ndarray] = []
    for _ in range(MAX_STEPS):
        if np.abs(gradient).max() < TOLERANCE:
            break
        direction = gradient.copy()
        amounts = []
        for s, y in zip(reversed(moved), reversed(changed), strict=True):
            amounts.append((s @ direction) / (s @ y))
            direction -= amounts[-1] * y
        direction *= (moved[-1] @ changed[-1]) / (changed[-1] @ changed[-1]) if moved else 1 / np.abs(gradient).sum()
        for s, y, amount in zip(moved, changed, reversed(amounts), strict=True):
            direction += (amount - (y @ direction) / (s @ y)) * s
        step, slope = 1.0, gradient @ direction
        while True:
            after = place - step * direction
            new_value, new_gradient = loss(after)
            if new_value <= value - 1e-4 * step * slope or step < 1e-10:
                break
            step /= 2
        s, y = after - place, new_gradient - gradient
        if s @ y > 1e-12 * (y @ y):
            moved, changed = [*moved, s][-MEMORY:], [*changed, y][-MEMORY:]
        place, value, gradient = after, new_value, new_gradient
    return place


def softmax(logits: np.ndarray) -> np.ndarray:
    """The softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fold_numbers(classes: Sequence[int], sources: Sequence[str], count: int = FOLDS) -> np.ndarray:
    """Divide examples into folds, evenly by class, so that all examples of a source are in one.

    The sources with most examples go first, each into the fold that has the fewest of its class. If all examples of a
    class are from one source, each of them counts as a source.

    Args:
        classes: the class of each example.
        sources: the recording that each is of or was cut from.

    Returns:
        (examples,) numbers from 0 on.
    """
    of_class: dict[int, set[str]] = {}
    for one, source in zip(classes, sources, strict=True):
        of_class.setdefault(one, set()).add(source)
    names = [
        (source, number if len(of_class[one]) == 1 else -1)
        for number, (one, source) in enumerate(zip(classes, sources, strict=True))
    ]
    sizes = Counter(names)
    fold_of: dict[tuple[str, int], int] = {}
    taken: Counter[tuple[int, int]] = Counter()  # examples by (fold, class)
    size: Counter[int] = Counter()
    for name, one in sorted(zip(names, classes, strict=True), key=lambda pair: -sizes[pair[0]]):
        if name not in fold_of:
            fold_of[name] = min(range(count), key=lambda fold: (taken[fold, one], size[fold], fold))
        taken[fold_of[name], one] += 1
        size[fold_of[name]] += 1
    return np.array([fold_of[name] for name in names])
