"""Mixtures of recordings, each of which depends only on the seed and its number.

A mixture holds one to three recordings, or parts of them, at random levels and speeds. It is then coloured,
band-limited, put into a room and mixed with noise, each with some probability, and its level is random.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from scipy import fft
from scipy.signal import resample_poly

from audioinceptionnext.data.sampling import Draw
from audioinceptionnext.data.waveforms import Failure, Waveforms
from audioinceptionnext.errors import MediaError
from audioinceptionnext.training.recipe import Recipe

NUMBERS = (0.4, 0.4, 0.2)  # probabilities of one, two and three recordings
SOFTER_DB = 20.0  # the second and the third are softer than the first by at most this
REPEATED = 0.4  # probability that a recording which is shorter than the mixture repeats
PAUSE_SECONDS = (0.02, 1.5)  # between repetitions
COLOURED, LIMITED = 0.5, 0.15  # probabilities
LIMIT_HZ = (3_000.0, 12_000.0)  # above such a frequency, the level falls by `FALL_DB` per hertz, as in lossy recordings
FALL_DB = 0.05
ROOM_SECONDS = 0.5  # of an impulse response
LEVEL_DB = (-55.0, -14.0)  # root mean square of a mixture, relative to full scale
PLAIN_DB = -26.0  # of the first recording, in a mixture that is not augmented
SECONDS = (0.3, 60.0)  # lengths of recordings that count as they are; others count as the nearer of the two
FOLDER = 0.35  # the power of the number of recordings in a folder by which they count less


class Mixer:
    """Makes mixtures of recordings.

    Args:
        waveforms: the recordings. Their ``max_seconds`` is the most of one that a mixture may need.
        recipe: gives the seed, speeds, colour, rooms and noise.
        augmented: False gives mixtures of recordings as they are, at one level.

    Attributes:
        unreadable: see `Waveforms.unreadable`. A mixture takes none of these recordings.
    """

    def __init__(self, waveforms: Waveforms, recipe: Recipe, *, augmented: bool = True) -> None:
        self.waveforms, self.recipe, self.augmented = waveforms, recipe, augmented
        self.rate = waveforms.reader.sample_rate
        self.unreadable = waveforms.unreadable()
        self._reached = np.cumsum(self._shares())
        self._reached[-1] = 1.0  # in spite of rounding

    def __call__(self, index: int, samples: int) -> np.ndarray:
        """The mixture of this number: (samples,) float32. It may be used from several threads."""
        rng = np.random.default_rng((self.recipe.seed, index))
        mixture = np.zeros(samples, np.float32)
        for order in range(1 + int(rng.choice(len(NUMBERS), p=NUMBERS))):
            gain = rng.uniform(-SOFTER_DB, 0) if order else 0.0
            mixture += _db(gain) * self._recording(rng, index, order, samples)
        if not self.augmented:
            return np.clip(mixture * _db(PLAIN_DB), -1, 1)
        sound = _unit(self._in_a_room(mixture, rng))
        if rng.random() < self.recipe.noise_probability:
            sound += _db(-rng.uniform(*self.recipe.noise_snr_db)) * _noise(samples, rng)
        return np.clip(sound * _db(rng.uniform(*LEVEL_DB)), -1, 1)

    def _recording(self, rng: np.random.Generator, index: int, order: int, samples: int) -> np.ndarray:
        """One recording at a random place of a mixture, with a root mean square of 1 where it sounds."""
        number = int(np.searchsorted(self._reached, rng.random()))
        item = self.waveforms[Draw(index, number, order)]
        waveform = np.zeros(0, np.float32) if isinstance(item, Failure) else item.waveform.numpy()
        if self.augmented and self.recipe.speed != (1, 1):
            percent = round(100 * math.exp(rng.uniform(*np.log(self.recipe.speed))))
            waveform = resample_poly(waveform, 100, percent) if len(waveform) else waveform
        placed, length = np.zeros(samples, np.float32), len(waveform)
        start = int(rng.uniform() * abs(samples - length))
        period = samples + length
        if rng.random() < REPEATED:
            period = length + max(1, int(rng.uniform(*PAUSE_SECONDS) * self.rate))
        if length >= samples:
            placed = waveform[start : start + samples]
        else:
            for first in range(start % period - period, samples, period):
                skipped = max(0, -first)
                part = waveform[skipped : max(skipped, samples - first)]
                placed[first + skipped : first + skipped + len(part)] = part
        sounding = max(1, int(np.count_nonzero(placed)))
        level = math.sqrt(float(np.square(placed).sum()) / sounding)
        return placed / np.float32(max(level, 1e-3))  # silence stays silent

    def _shares(self) -> np.ndarray:
        """(recordings,): the probability of each, as √seconds / (number in its folder)^`FOLDER`.

        So a long recording outweighs short ones, but not by all of its length, and no collection drowns the others.
        """
        clips, reader = self.waveforms.clips, self.waveforms.reader
        folders = Counter(clip.path.parent for clip in clips)
        unreadable = {index for index, _ in self.unreadable}
        shares = np.zeros(len(clips))
        for index, clip in enumerate(clips):
            try:
                seconds = 0.0 if index in unreadable else reader.seconds(clip)
            except MediaError:
                continue
            if seconds > 0:
                shares[index] = min(max(seconds, SECONDS[0]), SECONDS[1]) ** 0.5 / folders[clip.path.parent] ** FOLDER
        shares /= max(shares.sum(), 1e-9)
        return shares

    def _in_a_room(self, mixture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The mixture coloured, band-limited and with reverberation, each by chance."""
        recipe, samples, room = self.recipe, len(mixture), round(ROOM_SECONDS * self.rate)
        points = fft.next_fast_len(samples + room, real=True)
        hertz = np.linspace(0, self.rate / 2, points // 2 + 1, dtype=np.float32)
        gain_db = np.zeros_like(hertz)
        if rng.random() < COLOURED:
            octaves = np.log2(np.maximum(hertz, 62.5) / 62.5)
            heights = rng.uniform(-recipe.equaliser_db, recipe.equaliser_db, 8)
            gain_db += np.interp(octaves, np.linspace(0, 8, 8), heights)
        if rng.random() < LIMITED:
            lowest, highest = LIMIT_HZ
            limit = math.exp(rng.uniform(math.log(lowest), math.log(highest)))
            gain_db -= np.clip((hertz - limit) * FALL_DB, 0, 60)
        response = _db(gain_db).astype(np.complex64)
        if rng.random() < recipe.reverb_probability:
            shortest, longest = recipe.reverb_seconds
            fall = math.log(1000) / rng.uniform(shortest, longest)  # by 60 dB in this time
            tail = rng.standard_normal(room, np.float32) * np.exp(-fall * np.arange(room) / self.rate).astype(
                np.float32
            )
            tail *= _db(rng.uniform(*recipe.reverb_db)) / max(1e-9, float(np.linalg.norm(tail)))
            response *= 1 + fft.rfft(tail, points)
        found: np.ndarray = fft.irfft(fft.rfft(mixture, points) * response, points)[:samples]
        return found


def _noise(samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power falls with the frequency, by a random slope from white to that of brown: (samples,)."""
    points = fft.next_fast_len(samples, real=True)
    spectrum = fft.rfft(rng.standard_normal(points, np.float32))
    spectrum /= np.arange(1, len(spectrum) + 1, dtype=np.float32) ** np.float32(rng.uniform())
    return _unit(fft.irfft(spectrum, points)[:samples])


def _unit(waveform: np.ndarray) -> np.ndarray:
    """With a root mean square of 1; silence stays silent."""
    level = float(np.sqrt(np.mean(np.square(waveform))))
    return waveform / np.float32(max(level, 1e-3))


def _db(db: float | np.ndarray) -> np.ndarray:
    return np.float32(10) ** (np.asarray(db, np.float32) / np.float32(20))
