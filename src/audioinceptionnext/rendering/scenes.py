"""Composes scenes whose times are known from single recordings: events at random times over a background.

A scene depends on the seed, its number, the settings and the recordings alone, not on scenes before it. All scenes of a
seed are one sequence, in which every recording is used once before any is used a second time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.signal import fftconvolve, resample_poly

from audioinceptionnext.data.annotated import Segments
from audioinceptionnext.data.reader import Reader
from audioinceptionnext.data.unlabelled import read_recordings
from audioinceptionnext.data.waveforms import Keep, Waveforms
from audioinceptionnext.errors import AinextError, printable
from audioinceptionnext.rendering.bursts import find_bursts, frame_levels, frame_samples
from audioinceptionnext.rendering.scene_settings import NOISE, SILENCE, SceneSettings

VERSION = 1  # of the scenes: other code gives other ones
COUNTS, ORDER, CONTENT = range(3)  # what a generator of random numbers is for
RANGE_DB = 30.0  # what is softer than an event's loudest frame by more than this does not count, even over silence
PLACES = 100  # that are tried for an event
SHORTEST_SECONDS = 0.05  # of an event; less is the edge of a sound that is otherwise below the background
SEEN_SECONDS = 0.2  # of an event that an end of the scene cuts, at least, or all of it
SLOPES = (0.0, 2.0)  # of background noise: its power falls with the frequency to this power, from white to brown
LEVEL_BELOW_HZ = 50.0  # brown noise that rises down to 0 Hz would be mostly inaudible
FADE_FRAMES = 1  # before the onset and after the offset


@dataclass(frozen=True)
class Scene:
    """A scene.

    Attributes:
        waveform: (samples,) float32 of -1…1.
        segments: what sounds, (n, 3) float64 by start: start and end in seconds, class index. An event of several
            labels is one segment of each.
        used: the indices of the recordings in it, one for each event.
        left_out: the indices of those that were drawn for it and are not in it: they are silent, stay below the
            background, or found no place.
    """

    waveform: np.ndarray
    segments: Segments
    used: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()


class Composer:
    """Composes the scenes of a seed.

    An event is one burst of a recording (see `find_bursts`), or a random part of it. Its onset is the first frame of
    10 ms, and its offset the end of the last one, in which it is at least as loud as the background, and not more than
    `RANGE_DB` softer than its loudest frame; in a room, that includes its reverberation. It is cut off there, with a
    fade of 10 ms before and after. If scenes would exceed full scale, they are softened as a whole.

    Args:
        waveforms: the recordings, whole. Those without a label, and those that cannot be read, are not used.
        settings: what scenes are like.
        seed: of the sequence.
        whole: whether events lie wholly within a scene, which then has at least one. Otherwise its ends may cut them,
            as those of a stretch of a long recording do.
        backgrounds: the recordings of the folder that the settings name, see `open_backgrounds`.
        only: the indices of those to use; all unless given.

    Attributes:
        unreadable: see `Waveforms.unreadable`.
        usable, clips: the recordings that are used: their indices, and themselves.

    Raises:
        AinextError: no recording can be used.

    >>> compose = Composer(Waveforms(dataset.clips, Reader(24_000)), SceneSettings(seconds=10), seed=0)
    >>> compose(3).waveform.shape
    (240000,)
    """

    def __init__(
        self,
        waveforms: Waveforms,
        settings: SceneSettings,
        seed: int,
        *,
        whole: bool = True,
        backgrounds: Waveforms | None = None,
        only: Collection[int] | None = None,
    ) -> None:
        self.waveforms, self.settings, self.seed, self.whole = waveforms, settings, seed, whole
        self.backgrounds = backgrounds
        self.rate = waveforms.reader.sample_rate
        self.samples = round(settings.seconds * self.rate)
        self.unreadable = waveforms.unreadable()
        unreadable = {index for index, _ in self.unreadable}
        among = range(len(waveforms)) if only is None else sorted(only)
        self.usable = [index for index in among if waveforms.clips[index].labels and index not in unreadable]
        if not self.usable:
            raise AinextError("none of the recordings has a label and can be read, so there is nothing to compose")
        self._readable: list[int] = []
        if backgrounds is not None:
            broken = {index for index, _ in backgrounds.unreadable()}
            self._readable = [index for index in range(len(backgrounds)) if index not in broken]
            if not self._readable:
                raise AinextError(f"none of the recordings in {printable(settings.background)} can be read")
        self.clips = [waveforms.clips[index] for index in self.usable]
        self._ends = np.zeros(0, np.int64)  # events up to the end of each scene
        self._orders: dict[int, np.ndarray] = {}
        self._bursts: dict[int, list[tuple[int, int]]] = {}

    @property
    def events(self) -> float:
        """The mean number of events in a scene."""
        return self.settings.seconds / 60 * sum(self.settings.events_per_minute) / 2

    def scenes_of_a_pass(self) -> int:
        """How many scenes use about every recording once."""
        return max(1, math.ceil(len(self.usable) / max(self.events, 0.1)))

    def __call__(self, number: int) -> Scene:
        """Compose the scene of this number, from 0.

        Raises:
            MediaError: a recording cannot be read after all.
        """
        settings = self.settings
        rng = np.random.default_rng((self.seed, CONTENT, number))
        level = _gain(rng.uniform(*settings.background_db))
        room = self._room(rng)
        waveform = self._background(rng) * np.float32(level)
        timeline = _Timeline(self.samples, frame_samples(self.rate), settings.overlap, round(settings.gap * self.rate))
        rows: list[tuple[float, float, int]] = []
        used: list[int] = []
        left_out: list[int] = []
        for index in self._drawn(number):
            labels = self.waveforms.clips[index].labels
            event = self._event(index, level, room, rng)
            start = None if event is None else timeline.place(labels, self._length(event), self.whole, rng, self.rate)
            if event is None or start is None:
                left_out.append(index)
                continue
            used.append(index)
            _add(waveform, event, start - self._fade)
            ends = max(0, start), min(self.samples, start + self._length(event))
            rows += [(ends[0] / self.rate, ends[1] / self.rate, label) for label in labels]
        waveform /= max(1.0, float(np.abs(waveform).max(initial=0)))
        return Scene(waveform, np.array(sorted(rows), float).reshape(-1, 3), tuple(used), tuple(left_out))

    @property
    def _fade(self) -> int:
        return FADE_FRAMES * frame_samples(self.rate)

    def _length(self, event: np.ndarray) -> int:
        """Samples from an event's onset to its offset."""
        return len(event) - 2 * self._fade

    def _drawn(self, number: int) -> list[int]:
        """The recordings of a scene."""
        if number >= len(self._ends):
            # Both numbers of a scene are the same however many scenes are drawn at once.
            draws = np.random.default_rng((self.seed, COUNTS)).random((2 * number + 64, 2))
            low, high = self.settings.events_per_minute
            wanted = self.settings.seconds / 60 * (low + (high - low) * draws[:, 0])
            # Whole numbers that are right on average.
            self._ends = np.cumsum(np.maximum(np.floor(wanted + draws[:, 1]), 1 if self.whole else 0).astype(np.int64))
        places = range(self._ends[number - 1] if number else 0, self._ends[number])
        return [self.usable[self._order(place // len(self.usable))[place % len(self.usable)]] for place in places]

    def _order(self, number: int) -> np.ndarray:
        """The order of the recordings in a pass over all of them."""
        if number not in self._orders:
            if len(self._orders) > 8:  # an epoch draws from a few
                self._orders.clear()
            self._orders[number] = np.random.default_rng((self.seed, ORDER, number)).permutation(len(self.usable))
        return self._orders[number]

    def _event(self, index: int, level: float, room: np.ndarray | None, rng: np.random.Generator) -> np.ndarray | None:
        """One burst of a recording at its level in the scene, with a fade before its onset and after its offset.

        None if hardly anything of it is as loud as the background, whose level is ``level``.
        """
        settings, fade = self.settings, self._fade
        whole = None if index in self._bursts else self.waveforms.part(index)
        if whole is not None:
            self._bursts[index] = find_bursts(whole, self.rate, settings.gap)
        if not (bursts := self._bursts[index]):
            return None
        percent = round(100 * math.exp(rng.uniform(*np.log(settings.speed))))
        first, last = bursts[int(rng.integers(len(bursts)))]
        longest = round(rng.uniform(*settings.event_seconds) * self.rate * percent / 100)
        if last - first > longest:
            first += int(rng.integers(last - first - longest + 1))
            last = first + longest
        begin = max(0, first - fade)
        count = last + fade - begin
        sound = self.waveforms.part(index, begin, count) if whole is None else whole[begin : begin + count]
        if percent != 100:
            sound = resample_poly(sound, 100, percent)
        inside = slice((first - begin) * 100 // percent, (last - begin) * 100 // percent)
        if room is not None:
            sound = fftconvolve(sound, room)
        power = float(np.square(sound[inside]).mean()) if len(sound[inside]) else 0.0
        if not power > 0:
            return None
        sound = sound * np.float32(level * _gain(rng.uniform(*settings.snr_db)) / math.sqrt(power))
        size, levels = frame_samples(self.rate), frame_levels(sound, self.rate)
        audible = np.flatnonzero(levels >= max(level, levels.max(initial=0) * _gain(-RANGE_DB)))
        if not len(audible):
            return None
        # A recording that begins or ends with its sound gives a frame for the fade.
        onset = max(fade, int(audible[0]) * size)
        offset = min(len(sound) - fade, (int(audible[-1]) + 1) * size)
        if offset - onset < SHORTEST_SECONDS * self.rate:
            return None
        event = sound[onset - fade : offset + fade].astype(np.float32)
        rise = np.sin(np.linspace(0, np.pi / 2, fade, dtype=np.float32)) ** 2
        event[:fade] *= rise
        event[-fade:] *= rise[::-1]
        return event

    def _room(self, rng: np.random.Generator) -> np.ndarray | None:
        """The impulse response of the scene's room, by Polack's model; None if the scene is in none."""
        settings = self.settings
        chance, time, power = rng.random(), rng.uniform(*settings.reverb_seconds), rng.uniform(*settings.reverb_db)
        if chance >= settings.reverb_probability:
            return None
        length = max(2, round(time * self.rate))
        tail = rng.standard_normal(length, np.float32)
        tail *= np.exp(-math.log(1000) * np.arange(length) / length).astype(np.float32)  # by 60 dB in this time
        tail *= np.float32(_gain(power) / np.linalg.norm(tail))
        tail[0] = 1
        return tail

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """The background with a root mean square of 1, (samples,) float32; or silence."""
        if self.settings.background == SILENCE:
            return np.zeros(self.samples, np.float32)
        if self.settings.background == NOISE:
            return _unit(_noise(rng, self.samples, self.rate))
        assert self.backgrounds is not None
        index = self._readable[int(rng.integers(len(self._readable)))]
        length, place = self.backgrounds.reader.samples(self.backgrounds.clips[index]), rng.random()
        first = int(place * max(0, length - self.samples + 1))
        found = self.backgrounds.part(index, first, self.samples)
        if 0 < len(found) < self.samples:
            found = np.resize(np.roll(found, -int(place * len(found))), self.samples)
        return _unit(found) if len(found) else np.zeros(self.samples, np.float32)


def open_backgrounds(settings: SceneSettings, rate: int, keep: Keep | None = None) -> Waveforms | None:
    """The recordings of the folder that settings name, if they name one.

    Args:
        settings: of scenes.
        rate: in Hz.
        keep: see `Waveforms`.

    Raises:
        FileError: the folder holds no recording.
    """
    if settings.background_folder is None:
        return None
    return Waveforms(read_recordings(settings.background_folder).clips, Reader(rate), keep=keep)


class _Timeline:
    """What is taken of a scene by the events that are placed already.

    Args:
        samples: of the scene.
        unit: samples of a frame. Events count as if they began and ended with one.
        overlap: most events at once.
        gap: samples that have to be between two events of one label.
    """

    def __init__(self, samples: int, unit: int, overlap: int, gap: int) -> None:
        self.samples, self.unit, self.overlap, self.gap = samples, unit, overlap, gap
        frames = -(-samples // unit)
        self._events = np.zeros(frames, np.int8)
        self._labels: defaultdict[int, np.ndarray] = defaultdict(lambda: np.zeros(frames, bool))

    def place(self, labels: Sequence[int], length: int, whole: bool, rng: np.random.Generator, rate: int) -> int | None:
        """The first sample of a place for an event, before 0 if the scene begins within it; None if none is found."""
        seen = length if whole else min(length, round(SEEN_SECONDS * rate))
        low, high = seen - length, self.samples - seen
        for start in rng.integers(low, high + 1, PLACES).tolist() if high >= low else ():
            taken = self._frames(start, start + length)
            near = self._frames(start - self.gap, start + length + self.gap)
            if self._events[taken].max(initial=0) < self.overlap and not any(
                self._labels[label][near].any() for label in labels
            ):
                self._events[taken] += 1
                for label in labels:
                    self._labels[label][taken] = True
                return int(start)
        return None

    def _frames(self, start: int, end: int) -> slice:
        return slice(max(0, start // self.unit), max(0, -(-end // self.unit)))


def _add(waveform: np.ndarray, event: np.ndarray, start: int) -> None:
    """Add what of an event lies within a scene, from sample ``start`` on."""
    skipped = max(0, -start)
    inside = event[skipped : max(skipped, len(waveform) - start)]
    waveform[start + skipped : start + skipped + len(inside)] += inside


def _noise(rng: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Noise of a random colour from white to brown, (samples,) float32."""
    points = fft.next_fast_len(samples, real=True)
    bins = points // 2 + 1
    spectrum = rng.standard_normal(2 * bins, np.float32).view(np.complex64)
    places = np.maximum(np.arange(bins, dtype=np.float32), np.float32(LEVEL_BELOW_HZ * points / rate))
    spectrum *= np.exp(np.float32(-rng.uniform(*SLOPES) / 2) * np.log(places))
    found: np.ndarray = fft.irfft(spectrum, points)[:samples]
    return found


def _unit(waveform: np.ndarray) -> np.ndarray:
    """With a root mean square of 1; silence stays silent."""
    return waveform / np.float32(max(1e-9, math.sqrt(float(np.square(waveform).mean()))))


def _gain(db: float) -> float:
    return float(10 ** (db / 20))
