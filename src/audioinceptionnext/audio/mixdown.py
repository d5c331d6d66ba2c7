"""From several channels to one: their mean, or the loudest channel where the mean would lose the sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

_CELLS = 20  # a second: 50 ms for each decision
_FADES = 100  # in a second: 10 ms from one choice to the next, less than a cell
_DECAY = math.exp(-4 / _CELLS)  # what a cell counts one cell later; a quarter of a second later it is 1/e
_FAR_BELOW = 0.1  # power of the mean by that of the loudest channel: -10 dB
_NEAR = 0.2  # -7 dB
_MUCH_LOUDER = 4.0  # 6 dB
_AS_LOUD = 0.8  # 1 dB
_AUDIBLE = 1e-8  # mean square: -80 dB of full scale
_WARNING = "its channels cancel each other, or most of them are silent, so that the loudest one is used"
_MEAN = -1  # in place of a channel's number


class Mixdown:
    """Mixes channels down to one, block by block, in the memory of a block.

    The rule: the mean of the channels counts, unless its power is more than 10 dB below that of the loudest channel.
    Then the loudest channel counts, until the mean is back within 7 dB. Another channel takes its place if it is louder
    by 6 dB. Channels within 1 dB of the loudest are as loud, and the first of them is taken.

    The mean of uncorrelated channels, as of up to eight microphones, is at most 9 dB below each of them, and that of a
    stereo recording with one silent side 6 dB. So much softer, the demo scene keeps its five segments; 12 dB softer, as
    the mean of four channels of which one is live, it has four. In opposite phase, nothing is left of the mean.

    Powers are taken over cells of 50 ms and decay within a quarter of a second. A choice depends on earlier cells alone
    and is crossfaded over 10 ms, so it does not click, adds no delay, and does not depend on how samples are split into
    blocks. Only the first cell that is not digital silence, at the start or minutes later, decides about itself. Where
    channels that were in phase come to cancel each other, it takes half a second to notice.

    Args:
        warn: for live inputs, which may never end: called with one line when a second is of the loudest channel.

    Attributes:
        seconds: mixed so far.
        replaced: of these, how many seconds of audible sound are of the loudest channel.

    >>> mixdown = Mixdown()
    >>> mono = [mixdown.mix([left, right], 48_000) for left, right in blocks]
    """

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        self.seconds = self.replaced = 0.0
        self._warn = warn
        self._start(0, 1)

    def _start(self, channels: int, rate: int) -> None:
        self._format = channels, rate
        self._cell, self._fade = max(1, rate // _CELLS), max(1, rate // _FADES)
        self._powers = [0.0] * (channels + 1)  # of each channel and of the mean, decayed
        self._partial = [0.0] * (channels + 1)  # the same of the cell that is not complete
        self._at = 0  # samples of that cell
        self._choice = self._before = _MEAN  # for this cell and for the one before

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
        mean = channels[0] + channels[1]
        for channel in channels[2:]:
            mean += channel
        mean /= np.float32(len(channels))
        every = [*channels, mean]
        # The rest of a cell, whole cells, and the beginning of another one.
        head = min(samples, -self._at % self._cell)
        tail = samples - (samples - head) % self._cell
        mixed = self._part(mean, every, 0, head)
        if not self._skip(every, head, tail):
            for start in range(head, tail, self._cell):
                mixed = self._part(mixed, every, start, start + self._cell)
        return self._part(mixed, every, tail, samples)

    def warning(self) -> str | None:
        """One line if more than a moment was not the mean of the channels."""
        if self.replaced <= min(1.0, 0.1 * self.seconds):
            return None
        return f"{_WARNING} for {self.replaced:.1f} s"

    def _skip(self, every: list[np.ndarray], start: int, end: int) -> bool:
        """Count whole cells all at once, if none of them can change that the mean counts; otherwise count nothing."""
        if self._choice != _MEAN or self._before != _MEAN or start == end:
            return False
        cells = [one[start:end].reshape(-1, self._cell) for one in every]
        powers = np.array([np.einsum("ij,ij->i", one, one) for one in cells], np.float64)
        if (powers[-1] < _FAR_BELOW * powers[:-1].max(axis=0)).any():
            return False
        weights = _DECAY ** np.arange(powers.shape[1], -1, -1)
        self._powers = (weights[0] * np.array(self._powers) + powers @ weights[1:]).tolist()
        return True

    def _part(self, mixed: np.ndarray, every: list[np.ndarray], start: int, end: int) -> np.ndarray:
        """Mix and count a cell or a part of one. ``mixed`` is the mean itself until a part of it is anything else."""
        if start == end:
            return mixed
        powers = [float(np.dot(one[start:end], one[start:end])) for one in every]
        if not any(self._powers) and not any(self._partial):
            self._choice = self._before = self._next(powers, _MEAN)
        if self._choice != _MEAN or self._before != _MEAN:
            mixed = mixed.copy() if mixed is every[_MEAN] else mixed
            mixed[start:end] = every[self._choice][start:end]
            if self._choice != self._before and (fading := min(end - start, self._fade - self._at)) > 0:
                before, after = (every[one][start : start + fading] for one in (self._before, self._choice))
                weight = np.arange(self._at + 1, self._at + fading + 1, dtype=np.float32) / np.float32(self._fade)
                mixed[start : start + fading] = before + weight * (after - before)
            if self._choice != _MEAN and max(powers) > _AUDIBLE * (end - start):
                self.replaced += (end - start) / self._format[1]
                if self._warn is not None and self.replaced > 1:
                    self._warn(_WARNING)
                    self._warn = None
        self._partial = [sum(pair) for pair in zip(self._partial, powers, strict=True)]
        self._at += end - start
        if self._at == self._cell:  # complete: it decides about the next one
            so_far = self._choice if any(self._powers) else _MEAN  # nothing that a part of the first cell decided
            self._powers = [_DECAY * old + new for old, new in zip(self._powers, self._partial, strict=True)]
            self._partial, self._at = [0.0] * len(every), 0
            self._before, self._choice = self._choice, self._next(self._powers, so_far)
        return mixed

    @staticmethod
    def _next(powers: list[float], choice: int) -> int:
        """The choice that follows another one."""
        *channels, mean = powers
        loudest = max(channels)
        if mean >= loudest * (_FAR_BELOW if choice == _MEAN else _NEAR):
            return _MEAN if loudest else choice
        if choice != _MEAN and channels[choice] * _MUCH_LOUDER >= loudest:
            return choice
        return next(number for number, power in enumerate(channels) if power >= _AS_LOUD * loudest)
