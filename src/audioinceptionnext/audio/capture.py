"""Where a live stream's sound comes from, and the thread that reads it ahead.

Each input is a series of mono float32 pieces at the model's rate, given as soon as they are there. Files and raw
samples are here, a microphone is in `microphone.py`, what comes over the network in `network_sound.py`.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from threading import Condition, Thread

import numpy as np

from audioinceptionnext.audio.resample import LOUDEST, Resampler
from audioinceptionnext.audio.source import MAX_RATE, MIN_RATE, Source
from audioinceptionnext.errors import AinextError, printable

_READ = 1 << 16  # bytes, as many as a pipe holds
_SIGNATURES = {b"RIFF": "a WAV file", b"fLaC": "a FLAC file", b"OggS": "an Ogg file", b"ID3": "an MP3 file"}
ENCODINGS = {"s16le": "<i2", "f32le": "<f4"}  # of raw samples


def check_rate(rate: int, name: str) -> None:
    """Raises AinextError unless sound may have that rate, in Hz: it chooses the length of the resampler's filter."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AinextError(f"{name} {rate}: no sound has so many samples a second; give {MIN_RATE} to {MAX_RATE}")


def named(source: str) -> str:
    """A file or URL as messages and logs call it: without a password."""
    return re.sub(r"://[^/@]*@", "://", printable(source))


class Intake:
    """Samples of any kind -> mono float32 at one rate. Raises AinextError for a rate out of range."""

    def __init__(self, rate: int, target: int) -> None:
        check_rate(rate, "rate")
        self._resampler = Resampler(rate, target)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """What can be said after these: (m,), a copy. samples: as in `live.Stream.push`, whose errors it raises."""
        mono = _mono(samples)
        return self._resampler.push(mono) if len(mono) else mono

    def finish(self) -> np.ndarray:
        """The rest: (m,)."""
        return self._resampler.finish()


def _mono(samples: np.ndarray) -> np.ndarray:
    if samples.ndim not in (1, 2) or 0 in samples.shape[1:]:
        raise AinextError(f"samples of shape {samples.shape}: give (samples,) or (samples, channels)")
    if samples.dtype.kind == "f":
        scaled = np.where(np.abs(samples) <= LOUDEST, samples, 0).astype(np.float32)
    elif samples.dtype.kind == "i":
        scaled = samples.astype(np.float32) / np.float32(2.0 ** (8 * samples.dtype.itemsize - 1))
    else:
        raise AinextError(f"samples of type {samples.dtype}: give floats of -1…1, or signed integers")
    return scaled if scaled.ndim == 1 else scaled.mean(axis=1, dtype=np.float32)


@dataclass
class Input:
    """Sound that is about to come.

    Attributes:
        name: as messages call it.
        pieces: mono float32 at the model's rate. They raise AinextError when it cannot be opened, and when it breaks.
        waits: whether it waits while nobody reads, as a file and a pipe do, or is lost, as a microphone's.
        recorded: whether it is all there from the start, so that nothing can be late.
        close: to be called in the end.
    """

    name: str
    pieces: Iterator[np.ndarray]
    waits: bool
    recorded: bool = False
    close: Callable[[], None] = lambda: None


def file_input(path: str, rate: int, warn: Callable[[str], None]) -> Input:
    """A file, decoded as `media.read_blocks` does, a second at a time. ``warn`` is told of damage in the end."""

    def pieces() -> Iterator[np.ndarray]:
        with closing(Source(path)) as source:
            yield from source.waveform(rate)
            source.check_sense()
            if warning := source.warning():
                warn(warning)

    return Input(printable(path), pieces(), waits=True, recorded=True)


def raw_input(descriptor: int, encoding: str, channels: int, rate: int, target: int) -> Input:
    """Samples without a header from a pipe. encoding: one of `ENCODINGS`."""
    kind = np.dtype(ENCODINGS[encoding])
    intake = Intake(rate, target)
    size = kind.itemsize * channels

    def pieces() -> Iterator[np.ndarray]:
        rest = b""
        first = True
        while data := os.read(descriptor, _READ):
            if first and (found := next((what for mark, what in _SIGNATURES.items() if data.startswith(mark)), None)):
                raise AinextError(f"stdin: starts like {found}, not like raw samples; give its name, or /dev/stdin")
            first = False
            data = rest + data
            whole = len(data) // size * size
            rest = data[whole:]
            yield intake.push(np.frombuffer(data[:whole], kind).reshape(-1, channels))
        if first:
            raise AinextError("stdin: ended before any sound came")
        yield intake.finish()

    return Input("stdin", pieces(), waits=True)


class Backlog:
    """What has come and was not heard yet: an input, read in a thread of its own.

    Args:
        most: seconds to keep. An input that waits then does; for any other, that is its end, with an AinextError.
        drop: keep the newest instead; `skip` tells how much was lost.

    Attributes:
        error: what ended it before its time.
    """

    def __init__(self, source: Input, rate: int, most: float, drop: bool = False) -> None:
        self._source, self._rate, self._most, self._drop = source, rate, round(most * rate), drop
        self._lost = 0
        self._pieces: deque[np.ndarray] = deque()
        self._samples = 0
        self._closed = False
        self._changed = Condition()
        self._ended = False
        self.error: Exception | None = None
        Thread(target=self._read, name="sound", daemon=True).start()  # what it waits for may never come

    @property
    def seconds(self) -> float:
        return self._samples / self._rate

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        with self._changed:
            return self._ended and not self._samples

    def take(self, most: int, timeout: float) -> np.ndarray:
        """Up to ``most`` samples, at least one unless none comes within ``timeout`` seconds: (n,) float32."""
        with self._changed:
            self._changed.wait_for(lambda: self._samples or self._ended, timeout)
            return self._cut(most)

    def skip(self, keep: int) -> int:
        """Drop the oldest samples until ``keep`` are left; how many were dropped since the last time."""
        with self._changed:
            dropped, self._lost = self._lost + len(self._cut(max(0, self._samples - keep))), 0
            return dropped

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._source.close()

    def _cut(self, most: int) -> np.ndarray:
        parts = [np.zeros(0, np.float32)]
        while most > 0 and self._pieces:
            piece = self._pieces.popleft()
            if len(piece) > most:
                self._pieces.appendleft(piece[most:])
            parts.append(piece[:most])
            most -= len(parts[-1])
        taken = np.concatenate(parts)
        self._samples -= len(taken)
        self._changed.notify_all()
        return taken

    def _read(self) -> None:
        try:
            for piece in self._source.pieces:
                if not self._put(piece):
                    return
        except Exception as error:
            self.error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, piece: np.ndarray) -> bool:
        with self._changed:
            if self._drop:
                self._lost += len(self._cut(max(0, self._samples - self._most)))
            elif self._source.waits:
                self._changed.wait_for(lambda: self._closed or self._samples < self._most)
            elif self._samples > self._most:
                wanted = "a longer --hop or a smaller --model needs less, --drop skips ahead"
                raise AinextError(f"{self._source.name}: {self.seconds:.0f} s behind, the most that is kept; {wanted}")
            if len(piece) and not self._closed:
                self._pieces.append(piece)
                self._samples += len(piece)
                self._changed.notify_all()
            return not self._closed
