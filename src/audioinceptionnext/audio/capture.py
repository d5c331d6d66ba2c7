"""Live inputs, and the thread that reads them ahead of the recogniser.

A live input is a series of mono float32 blocks at the model's rate, each given as soon as it is there. Files and raw
samples are in this module; `microphone.py` and `network_stream.py` have the others.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from numbers import Real
from threading import Condition, Thread
from typing import Any

import numpy as np

from audioinceptionnext.audio.mixdown import Mixdown
from audioinceptionnext.audio.resample import Resampler, missing_band
from audioinceptionnext.audio.samples import Scale, as_float, check_array, damage, kind_of_bytes, read_array
from audioinceptionnext.audio.soundtrack import MAX_RATE, MIN_RATE, SoundTrack
from audioinceptionnext.errors import MediaError, ParameterError, printable

_READ_BYTES = 1 << 16  # as many as a pipe holds
#: How raw samples may be encoded, with NumPy's name for each.
ENCODINGS = {"s16le": "<i2", "f32le": "<f4"}


def public_name(source: str) -> str:
    """A file or URL as messages and logs name it: without a password."""
    return re.sub(r"://[^/]*@", "://", printable(source))  # up to the last @, as FFmpeg has it


class SampleConverter:
    """Converts samples of any type and number of channels to mono float32 at another rate.

    Args:
        sample_rate: of the samples that will be pushed, in Hz.
        target_rate: of what comes out, in Hz.
        warn: called with one line for everything that is wrong with the samples but can be used; once for each.
        name: of the samples, for errors.

    Raises:
        ParameterError: ``sample_rate`` is out of range, or not a whole number.
    """

    def __init__(
        self,
        sample_rate: float,
        target_rate: int,
        warn: Callable[[str], None] = lambda line: None,
        name: str = "samples",
    ) -> None:
        # It decides how long the resampler's filter is.
        number = isinstance(sample_rate, Real) and not isinstance(sample_rate, bool)
        if not number or not MIN_RATE <= sample_rate <= MAX_RATE or sample_rate % 1:
            inside = number and MIN_RATE <= sample_rate <= MAX_RATE
            reason = "give a whole number of Hz" if inside else f"give {MIN_RATE} to {MAX_RATE} Hz"
            raise ParameterError("sample_rate", sample_rate, reason)
        self._resampler = Resampler(int(sample_rate), target_rate)
        self._mixdown = Mixdown(warn)
        self._name, self._warn = name, warn
        self._warned: set[str] = set()  # the beginnings of the lines, which the numbers follow
        if line := missing_band(int(sample_rate), target_rate):
            self._warn_once(line)

    def push(self, samples: Any) -> np.ndarray:
        """Take samples and return what is complete so far.

        Args:
            samples: (n,) or (n, channels), as for `Stream.push`.

        Returns:
            (m,) float32, a copy; m may be 0.

        Raises:
            ParameterError: an array of another shape or type.
        """
        array = read_array(samples, self._name, self._warn_once)
        mono = self._convert(array)
        return mono.copy() if np.may_share_memory(mono, array) else mono

    def whole(self, samples: Any, block_seconds: float) -> Iterator[np.ndarray]:
        """Convert a whole recording in blocks.

        Args:
            samples: as for `push`.
            block_seconds: length of a block.

        Raises:
            ParameterError: as `push`; or there are no samples, or they do not look like floats of -1…1, or like
                (samples, channels).
        """
        array = check_array(samples, self._name, whole=True)
        size = round(block_seconds * self._resampler.sample_rate)
        scale = Scale()
        for start in range(0, len(array), size):  # before any block is used, since the scale can be refused
            scale.add(array[start : start + size])
        if scale.damaged:
            self._warn_once(damage(scale.damaged))
        if (problem := scale.problem()) is not None:
            if array.dtype.kind == "f":
                raise ParameterError(self._name, None, problem)
            self._warn_once(problem)
        self._mixdown = Mixdown()  # which is asked at the end
        for start in range(0, len(array), size):
            yield self._convert(as_float(array[start : start + size], scale.damaged > 0))
        yield self.finish()
        if (line := self._mixdown.warning()) is not None:
            self._warn_once(line)

    def _convert(self, array: np.ndarray) -> np.ndarray:
        if not len(array):
            return np.zeros(0, np.float32)
        channels = [array] if array.ndim == 1 else [np.ascontiguousarray(column) for column in array.T]
        return self._resampler.push(self._mixdown.mix(channels, self._resampler.sample_rate))

    def _warn_once(self, line: str) -> None:
        kind = line.split()[0]
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(line)

    def finish(self) -> np.ndarray:
        """Return the rest, (m,) float32."""
        return self._resampler.finish()


@dataclass
class LiveInput:
    """A recording that is read as it comes in.

    Attributes:
        name: what messages call it.
        blocks: mono float32 at the model's rate; None where the sound breaks off and goes on later, when it comes. The
            iterator raises MediaError if the input cannot be opened or ends before its time.
        waits: whether the input waits while nobody reads it, as a file and a pipe do. A microphone does not: what is
            not read in time is lost.
        recorded: whether everything is there from the start, so that nothing can be late.
        close: releases the input; to be called at the end.
    """

    name: str
    blocks: Iterator[np.ndarray | None]
    waits: bool
    recorded: bool = False
    close: Callable[[], None] = lambda: None


def file_input(path: str, target_rate: int, warn: Callable[[str], None]) -> LiveInput:
    """A file, decoded as `decode.read_blocks` does it, one second at a time.

    Args:
        target_rate: of the blocks, in Hz.
        warn: called at the end with one line if the file is damaged.
    """

    def blocks() -> Iterator[np.ndarray]:
        with closing(SoundTrack(path)) as track:
            yield from track.waveform(target_rate)
            track.check_plausible()
            rate = int(track.stream.codec_context.sample_rate)
            if warning := "; ".join(filter(None, (track.warning(), missing_band(rate, target_rate)))):
                warn(f"{printable(path)}: {warning}")

    return LiveInput(printable(path), blocks(), waits=True, recorded=True)


def pcm_input(
    descriptor: int,
    encoding: str,
    channels: int,
    sample_rate: int,
    target_rate: int,
    warn: Callable[[str], None] = lambda line: None,
) -> LiveInput:
    """Raw samples, without a header, from a pipe.

    Args:
        descriptor: of the pipe, a file descriptor of the system.
        encoding: one of `ENCODINGS`.
        channels, sample_rate: of the raw samples.
        target_rate: of the blocks, in Hz.
        warn: called with one line for everything that is wrong with the samples but can be used; once for each.

    Raises:
        ParameterError: ``sample_rate`` is out of range.
    """
    dtype = np.dtype(ENCODINGS[encoding])
    converter = SampleConverter(sample_rate, target_rate, lambda line: warn(f"stdin: {line}"))
    size = dtype.itemsize * channels

    def blocks() -> Iterator[np.ndarray]:
        rest = b""
        first = True
        while data := os.read(descriptor, _READ_BYTES):
            if first and (kind := kind_of_bytes(data)):
                reason = f"starts like {kind}, not like raw samples; give the file's name, or /dev/stdin"
                raise MediaError("stdin", reason)
            first = False
            data = rest + data
            whole = len(data) // size * size
            rest = data[whole:]
            yield converter.push(np.frombuffer(data[:whole], dtype).reshape(-1, channels))
        if first:
            raise MediaError("stdin", "ended before any sound arrived; pipe raw samples into it")
        yield converter.finish()

    return LiveInput("stdin", blocks(), waits=True)


class Backlog:
    """Samples that have come in and were not taken yet. A thread reads the input into it.

    Args:
        source: the input.
        sample_rate: of its blocks, in Hz.
        max_seconds: how much to keep. An input that waits is then made to wait; any other ends with a MediaError.
        drop: keep the newest samples instead; `skip` says how many were dropped.

    Attributes:
        error: what ended the input early, if anything did.
    """

    def __init__(self, source: LiveInput, sample_rate: int, max_seconds: float, drop: bool = False) -> None:
        self._source, self._rate, self._drop = source, sample_rate, drop
        self._max_samples = round(max_seconds * sample_rate)
        self._dropped = 0
        self._blocks: deque[np.ndarray | None] = deque()
        self._samples = 0
        self._closed = False
        self._changed = Condition()
        self._ended = False
        self.error: Exception | None = None
        Thread(target=self._read, name="backlog", daemon=True).start()  # what it waits for may never come

    @property
    def seconds(self) -> float:
        """Seconds that wait to be taken."""
        return self._samples / self._rate

    @property
    def over(self) -> bool:
        """Whether the input has ended and every sample was taken."""
        with self._changed:
            return self._ended and not self._samples

    def take(self, max_samples: int, timeout: float) -> np.ndarray:
        """Take up to ``max_samples``, and at least one unless none comes within ``timeout`` seconds: (n,) float32.

        None are given past a place where the sound breaks off, until `breaks_off` was asked.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._ended, timeout)
            return self._cut(max_samples)

    def breaks_off(self) -> bool:
        """Whether the sound breaks off here. What is taken next comes after that."""
        with self._changed:
            found = bool(self._blocks) and self._blocks[0] is None
            if found:
                self._blocks.popleft()
            return found

    def skip(self, keep: int) -> int:
        """Drop the oldest samples until ``keep`` are left. Returns how many were dropped since the last call."""
        with self._changed:
            dropped, self._dropped = self._dropped + len(self._cut(max(0, self._samples - keep))), 0
            return dropped

    def close(self) -> None:
        """Stop reading and release the input."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._source.close()

    def _cut(self, max_samples: int) -> np.ndarray:
        parts = [np.zeros(0, np.float32)]
        while max_samples > 0 and self._blocks and (block := self._blocks[0]) is not None:
            self._blocks.popleft()
            if len(block) > max_samples:
                self._blocks.appendleft(block[max_samples:])
            parts.append(block[:max_samples])
            max_samples -= len(parts[-1])
        taken = np.concatenate(parts)
        self._samples -= len(taken)
        self._changed.notify_all()
        return taken

    def _read(self) -> None:
        try:
            for block in self._source.blocks:
                if not self._put(block):
                    return
        except Exception as error:
            self.error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _put(self, block: np.ndarray | None) -> bool:
        """Add a block; False once the backlog is closed."""
        with self._changed:
            if block is None:
                self._blocks.append(None)
                self._changed.notify_all()
                return not self._closed
            if self._drop:
                self._dropped += len(self._cut(max(0, self._samples - self._max_samples)))
            elif self._source.waits:
                self._changed.wait_for(lambda: self._closed or self._samples < self._max_samples)
            elif self._samples > self._max_samples:
                hint = "use longer steps or a smaller model, or let it skip ahead"
                raise MediaError(self._source.name, f"recognition is {self.seconds:.0f} s behind, so it stops; {hint}")
            if len(block) and not self._closed:
                self._blocks.append(block)
                self._samples += len(block)
                self._changed.notify_all()
            return not self._closed
