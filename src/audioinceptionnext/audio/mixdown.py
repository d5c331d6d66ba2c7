"""From several channels to one: the mean of all, or of those that can be mixed without losing the sound."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

_CELLS = 20  # a second: 50 ms for each decision
_FADES = 100  # in a second: 10 ms from one choice to the next, less than a cell
_DECAY = math.exp(-4 / _CELLS)  # what a cell counts one cell later; a quarter of a second later it is 1/e
_FAR_BELOW = 0.1  # power of a mean by that of the loudest channel: -10 dB
_NEAR = 0.2  # -7 dB
_SILENT = 1e-3  # power of a channel by that of the loudest: -30 dB
_FAINT = 0.1  # -10 dB
_MUCH_LOUDER = 4.0  # 6 dB
_AS_LOUD = 0.8  # 1 dB
_AUDIBLE = 1e-8  # mean square: -80 dB of full scale
_NOTHING = 1e-13  # mean square: what rounding leaves of a constant


class Mixdown:
    """Mixes channels down to one, block by block, in the memory of a block.

    The rule: the mean of all channels counts, unless its power is more than 10 dB below that of the loudest channel.
    Then the mean of the channels that are not silent counts, which are at most 30 dB below the loudest; or of those at
    most 10 dB below it; and the loudest alone if these means are far below it, too, as in opposite phase. A mean that
    does not count yet has to come within 7 dB. A channel that counts goes on to do so while the mean with it is not far
    below, and the loudest alone until another one is louder by 6 dB. Channels within 1 dB of the loudest are as loud,
    and the first of them is taken.

    The mean of uncorrelated channels, as of up to eight microphones, is at most 9 dB below each of them, and that of a
    stereo recording with one silent side 6 dB. So much softer, the demo scene keeps its five segments; 12 dB softer, as
    the mean of four channels of which one is live, it has four. In opposite phase, nothing is left of the mean.

    Powers are variances, since a constant offset is no sound. They are taken over cells of 50 ms and decay within a
    quarter of a second. A choice depends on earlier cells alone and is crossfaded over 10 ms, so it does not click,
    adds no delay, and does not depend on how samples are split into blocks. Only the first cell that is not digital
    silence, at the start or minutes later, decides about itself. Where channels that were in phase come to cancel each
    other, it takes half a second to notice.

    Args:
        warn: for live inputs, which may never end: called with one line when a second is not the mean of all channels.

    Attributes:
        seconds: mixed so far.
        replaced: of these, how many seconds of audible sound are not the mean of all channels.

    >>> mixdown = Mixdown()
    >>> mono = [mixdown.mix([left, right], 48_000) for left, right in blocks]
    """

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        self.seconds = self.replaced = 0.0
        self._warn = warn
        self._uses: defaultdict[str, float] = defaultdict(float)  # seconds by what was done instead, in words
        self._start(0, 1)

    def _start(self, channels: int, rate: int) -> None:
        self._format = channels, rate
        self._cell, self._fade = max(1, rate // _CELLS), max(1, rate // _FADES)
        self._all = tuple(range(channels))
        # Each channel's deviations from its mean, multiplied by those of each and added up. The diagonal is the powers,
        # and the mean of some channels' entries is the power of the mean of these channels.
        self._products = np.zeros((channels, channels))  # decayed
        self._partial = np.zeros((channels, channels))  # of the cell that is not complete
        self._means = np.zeros(channels)  # of that cell
        self._at = 0  # samples of that cell
        self._choice = self._before = self._all  # for this cell and for the one before: numbers of channels

    def mix(self, channels: Sequence[np.ndarray], rate: int) -> np.ndarray:
        """Mix the next block. A change of the rate or of the number of channels starts anew.

        Args:
            channels: (n,) float32 each, finite, with a full scale of 1.
            rate: in Hz.

        Returns:
            (n,) float32.
        """
        samples = len(channels[0])
        self.seconds += samples / rate
        if len(channels) == 1:
            return channels[0]
        if self._format != (len(channels), rate):
            self._start(len(channels), rate)
        mixed = _mean(channels)
        # The rest of a cell, whole cells, a second of them at a time, and the beginning of another one.
        head = min(samples, -self._at % self._cell)
        tail = samples - (samples - head) % self._cell
        self._part(mixed, channels, 0, head)
        for start in range(head, tail, _CELLS * self._cell):
            self._whole(mixed, channels, start, min(tail, start + _CELLS * self._cell))
        self._part(mixed, channels, tail, samples)
        return mixed

    def warning(self) -> str | None:
        """One line if more than a moment was not the mean of all channels."""
        if self.replaced <= min(1.0, 0.1 * self.seconds):
            return None
        return f"{max(self._uses, key=lambda line: self._uses[line])} for {self.replaced:.1f} s"

    def _whole(self, mixed: np.ndarray, channels: Sequence[np.ndarray], start: int, end: int) -> None:
        """Mix and count whole cells: all at once, if none of them can change that the mean of all channels counts."""
        cells = _sums([one[start:end].reshape(-1, self._cell) for one in channels])
        if self._choice == self._before == self._all:
            products = cells[1]
            loudest = products.diagonal(axis1=1, axis2=2).max(axis=1)
            if (products.mean(axis=(1, 2)) >= _FAR_BELOW * loudest).all():
                weights = _DECAY ** np.arange(len(products), -1, -1)
                self._products = weights[0] * self._products + np.tensordot(weights[1:], products, 1)
                return
        for at, sums in zip(range(start, end, self._cell), zip(*cells, strict=True), strict=True):
            self._part(mixed, channels, at, at + self._cell, sums)

    def _part(
        self,
        mixed: np.ndarray,
        channels: Sequence[np.ndarray],
        start: int,
        end: int,
        sums: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Mix and count a cell or a part of one. ``mixed`` is the mean of all channels already."""
        if start == end:
            return
        means, products = sums or (found[0] for found in _sums([one[None, start:end] for one in channels]))
        if not self._products.any() and not self._partial.any():
            self._choice = self._before = self._next(products, self._all)
        if self._choice != self._all or self._before != self._all:
            mixed[start:end] = _mean([channels[one][start:end] for one in self._choice])
            if self._choice != self._before and (fading := min(end - start, self._fade - self._at)) > 0:
                before = _mean([channels[one][start : start + fading] for one in self._before])
                weight = np.arange(self._at + 1, self._at + fading + 1, dtype=np.float32) / np.float32(self._fade)
                mixed[start : start + fading] = before + weight * (mixed[start : start + fading] - before)
            if self._choice != self._all and products.diagonal().max() > _AUDIBLE * (end - start):
                self._count((end - start) / self._format[1], products)
        if self._at:  # of the part and what there was before it, about their common mean
            apart, count = means - self._means, self._at + end - start
            both = self._partial + products + np.outer(apart, apart) * (self._at * (end - start) / count)
            means, products = self._means + apart * ((end - start) / count), _floored(both, count)
        self._means, self._partial = means, products
        self._at += end - start
        if self._at == self._cell:  # complete: it decides about the next one
            so_far = self._choice if self._products.any() else self._all  # nothing that a part of the first decided
            self._products = _DECAY * self._products + self._partial
            self._partial, self._at = np.zeros_like(products), 0
            self._before, self._choice = self._choice, self._next(self._products, so_far)

    def _next(self, products: np.ndarray, choice: tuple[int, ...]) -> tuple[int, ...]:
        """The choice that follows another one."""
        powers = products.diagonal()
        loudest = float(powers.max())
        if not loudest:
            return choice
        if products.mean() >= loudest * (_FAR_BELOW if choice == self._all else _NEAR):
            return self._all
        for least in (_SILENT, _FAINT):
            loud = tuple(np.flatnonzero(powers >= least * loudest).tolist())
            for some in {tuple(sorted({*loud, *choice})): None, loud: None}:
                if products[list(some)][:, some].mean() >= loudest * (_FAR_BELOW if some == choice else _NEAR):
                    return some
        if len(choice) == 1 and powers[choice[0]] * _MUCH_LOUDER >= loudest:
            return choice
        return (int(np.argmax(powers >= _AS_LOUD * loudest)),)

    def _count(self, seconds: float, products: np.ndarray) -> None:
        """Count audible sound that is not the mean of all channels; ``products`` are those of the sound."""
        self.replaced += seconds
        powers = (self._products if self._products.any() else products).diagonal()
        unused = [one for one in self._all if one not in self._choice]
        cancel = powers[unused].max() > _FAINT * powers.max()
        *others, last = [str(one + 1) for one in self._choice]
        used = f"channels {', '.join(others)} and {last}" if others else f"channel {last}"
        why = "its channels cancel each other" if cancel else "most of its channels are silent, or all but silent"
        line = f"{why}, so that only {used} of {len(self._all)} {'are' if others else 'is'} used"
        self._uses[line] += seconds
        if self._warn is not None and self.replaced > 1:
            self._warn(max(self._uses, key=lambda line: self._uses[line]))
            self._warn = None


def _mean(channels: Sequence[np.ndarray]) -> np.ndarray:
    """(n,) float32, of (n,) float32 each. A copy."""
    mean = channels[0].copy() if len(channels) == 1 else channels[0] + channels[1]
    for channel in channels[2:]:
        mean += channel
    mean /= np.float32(len(channels))
    return mean


def _sums(channels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of (cells, n) each: means, (cells, channels), and sums of products of deviations, (cells, channels, channels).

    Constants are subtracted before anything is multiplied, or rounding would make sound of them.
    """
    cells = np.stack(channels, axis=1)
    means = cells.mean(axis=2)
    cells -= means[:, :, None]
    return means.astype(np.float64), _floored((cells @ cells.transpose(0, 2, 1)).astype(np.float64), cells.shape[2])


def _floored(products: np.ndarray, samples: int) -> np.ndarray:
    """The same products, or 0 for cells without sound."""
    loudest = products.diagonal(axis1=-2, axis2=-1).max(axis=-1)
    products[loudest < _NOTHING * samples] = 0
    return products
