"""Clips as waveforms for torch: decoded each time, or once and kept, and handed out in batches."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from audioinceptionnext.data.cache import DiskCache
from audioinceptionnext.data.clip import UNLABELLED, Clip
from audioinceptionnext.data.reader import Reader, to_float, to_int16
from audioinceptionnext.data.sampling import Draw, EpochOrder
from audioinceptionnext.errors import MediaError

MEMORY_LIMIT = 2_000_000_000  # bytes of 16-bit samples that are kept in memory by default
Keep = Literal["memory", "disk", "nothing"]


@dataclass(frozen=True, slots=True)
class Item:
    """A clip that was read.

    Attributes:
        waveform: (samples,) float32.
        label: class index.
        index: of the clip in the list of clips.
        full_length: number of samples that count, see `Reader.full_length`.
        also: indices of further labels, see `Clip`.
        start: where the waveform begins, in samples after the start of the clip.
        segments: what sounds in it and when, if that was composed with it, see `annotated.Stretch`.
    """

    waveform: Tensor
    label: int
    index: int
    full_length: int
    also: tuple[int, ...] = ()
    start: int = 0
    segments: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A clip that cannot be read.

    Attributes:
        index: of the clip in the list of clips.
        error: why it cannot be read.
    """

    index: int
    error: MediaError


class Batch(NamedTuple):
    """A batch of clips. Lightning moves its tensors to the device and leaves the list as it is.

    Attributes:
        waveforms: (batch, longest) float32; shorter waveforms are followed by zeros.
        lengths: (batch,) number of samples of each waveform, without those zeros.
        labels: (batch,) class indices.
        indices: (batch,) of the clips in the list of clips.
        failures: the index of each clip of this batch that cannot be read, and one line that says why. If none can be
            read, ``batch`` is 0.
        full_lengths: (batch,) number of samples that count, at least ``lengths``; see `Reader.full_length`.
        also: (batch, most) further labels, see `Clip.also`; `UNLABELLED` where a clip has fewer than others.
        starts: (batch,) where each waveform begins, in samples after the start of its clip.
        segments: those of each waveform, see `Item.segments`; none unless all have them.
    """

    waveforms: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor
    failures: list[tuple[int, str]]
    full_lengths: Tensor
    also: Tensor = torch.zeros(0, 0, dtype=torch.long)
    starts: Tensor = torch.zeros(0, dtype=torch.long)
    segments: Sequence[np.ndarray] = ()


class Waveforms(Dataset[Item | Failure]):
    """Clips, or random stretches of them, by `Draw` (as `EpochOrder` gives them) or by index (as in epoch 0).

    A clip that cannot be read gives a `Failure`. Any other error is raised.

    Args:
        clips: to read.
        reader: decodes them at its own sample rate.
        max_seconds: length of the stretch that is taken from a longer clip, at a random place that depends on the
            seed and the draw alone, not on workers, processes or earlier draws. With ``keep="nothing"`` only that
            stretch is decoded. Whole clips are given by default.
        seed: of the random places.
        keep: ``memory`` decodes all clips now and keeps them with 16 bits; ``disk`` keeps each clip in ``cache`` after
            its first use; ``nothing`` decodes a clip each time. The default is ``memory`` if all clips fit into
            `MEMORY_LIMIT`, otherwise ``disk`` if ``cache`` is given, otherwise ``nothing``. Samples that are kept are
            clipped to -1…1.
        cache: the folder for ``disk``.
        workers: processes that decode into memory; 0 decodes in this process.
        progress: called with the number of clips that were decoded so far, and of all clips.

    Attributes:
        keep: where decoded clips are kept.

    Raises:
        ValueError: ``max_seconds`` is shorter than a sample, or ``disk`` is given without ``cache``.
        FileError: the folder ``cache`` cannot be written.

    >>> waveforms = Waveforms(dataset.clips, Reader(24_000), 2.08)
    >>> waveforms[Draw(epoch=3, index=17)].waveform.shape
    torch.Size([49920])
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        reader: Reader,
        max_seconds: float | None = None,
        *,
        seed: int = 0,
        keep: Keep | None = None,
        cache: Path | None = None,
        workers: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.clips, self.reader, self.seed = tuple(clips), reader, seed
        self.max_samples = None if max_seconds is None else round(max_seconds * reader.sample_rate)
        if self.max_samples is not None and self.max_samples < 1:
            raise ValueError(f"{max_seconds} s at {reader.sample_rate} Hz is less than one sample")
        if keep == "disk" and cache is None:
            raise ValueError("keep='disk' needs cache, the folder to keep decoded clips in")
        self.keep: Keep = keep or ("memory" if self._fits() else "nothing" if cache is None else "disk")
        self._cache = DiskCache(cache, reader) if self.keep == "disk" and cache is not None else None
        self._unreadable: dict[int, MediaError] = {}  # clips that could not be decoded into memory
        if self.keep == "memory":
            self._decode_all(workers, progress)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, draw: Draw | int) -> Item | Failure:
        draw = draw if isinstance(draw, Draw) else Draw(0, draw)
        try:
            waveform, start = self._stretch(draw)
        except MediaError as error:
            return Failure(draw.index, error)
        clip, length = self.clips[draw.index], len(waveform)
        if self.max_samples is None:
            length = self.reader.full_length(clip, length)
        return Item(torch.from_numpy(waveform), clip.label, draw.index, length, clip.also, start)

    def part(self, index: int, first: int = 0, count: int | None = None) -> np.ndarray:
        """A part of a clip with 16 bits, as float32 (samples,). It ends early where the clip does.

        Args:
            index: of the clip.
            first: sample of the clip at which the part begins.
            count: number of samples; up to the end of the clip by default.

        Raises:
            MediaError: the clip cannot be read.
        """
        if self.keep == "nothing":
            rate = self.reader.sample_rate
            read = self.reader.read(self.clips[index], first / rate, None if count is None else count / rate)
            return to_float(to_int16(read))  # as those that are kept
        found = self._whole(index)[first : None if count is None else first + count]
        return to_float(found)

    def unreadable(self) -> list[tuple[int, str]]:
        """The index of each clip that is known to be unreadable, and why; for a run to say so before it begins.

        Clips in memory were decoded. Of the others, each recording is opened, which takes about a millisecond.
        """
        if self.keep == "memory":
            return [(index, str(error)) for index, error in self._unreadable.items()]
        opened: dict[tuple[Path, str | None], str | None] = {}
        for clip in self.clips:
            if (recording := (clip.path, clip.key)) not in opened:
                opened[recording] = self.reader.why_unreadable(clip)
        reasons = enumerate(opened[clip.path, clip.key] for clip in self.clips)
        return [(index, reason) for index, reason in reasons if reason]

    def _stretch(self, draw: Draw) -> tuple[np.ndarray, int]:
        """The stretch that a draw stands for, float32 (samples,), and its first sample. Raises `MediaError`."""
        clip, longest, start = self.clips[draw.index], self.max_samples, 0
        if self.keep == "nothing":
            if longest is None or self._spare(clip, length := self.reader.samples(clip)) <= 0:
                whole = self.reader.read(clip)
            else:
                rate, start = self.reader.sample_rate, self._start(draw, length)
                stretch = self.reader.read(clip, start / rate, longest / rate)
                if len(stretch) == longest:
                    return stretch, start
                start = 0
                whole = self.reader.read(clip)  # shorter than its header or the list states: rare, and slow
        else:
            whole = self._whole(draw.index)
        if longest is not None:
            start = self._start(draw, len(whole))
            whole = whole[start : start + longest]
        return to_float(whole) if whole.dtype == np.int16 else whole, start

    def _whole(self, index: int) -> np.ndarray:
        """A whole clip that is kept, int16 (samples,). Raises `MediaError`."""
        if self._cache is not None:
            return self._cache.get(self.clips[index])
        if (error := self._unreadable.get(index)) is not None:
            raise MediaError(error.path, error.reason)
        return self._samples[self._first[index] : self._first[index + 1]].numpy()

    def _start(self, draw: Draw, length: int) -> int:
        """The first sample of a draw's stretch in a clip that has ``length`` samples."""
        spare = self._spare(self.clips[draw.index], length)
        rng = np.random.default_rng((self.seed, draw.epoch, draw.index, draw.repeat))
        return int(rng.integers(spare)) if spare > 0 else 0

    def _spare(self, clip: Clip, length: int) -> int:
        """The number of places at which a stretch of the clip can begin, as published; 0 or less if only at its start.

        At least one sample of a stretch is there.
        """
        assert self.max_samples is not None
        return min(self.reader.full_length(clip, length) - self.max_samples, length - 1)

    def _fits(self) -> bool:
        """Whether all clips fit into `MEMORY_LIMIT`."""
        size = 0
        for clip in self.clips:
            with suppress(MediaError):
                size += 2 * self.reader.samples(clip)
            if size > MEMORY_LIMIT:
                return False
        return True

    def _decode_all(self, workers: int, progress: Callable[[int, int], None] | None) -> None:
        """Decode all clips into one tensor, which the workers of a loader share however they are started."""
        plain = Waveforms(self.clips, self.reader, keep="nothing")
        # Processes and not threads, which hand Python's lock to and fro for each packet: two are slower than one.
        batches = DataLoader(plain, 8, num_workers=workers, collate_fn=_as_int16, generator=torch.Generator())
        with _no_garbage_for_workers():
            iterator = iter(batches)
        decoded: list[np.ndarray] = []
        for found in itertools.chain.from_iterable(iterator):
            if isinstance(found, MediaError):
                self._unreadable[len(decoded)] = found
            decoded.append(np.zeros(0, np.int16) if isinstance(found, MediaError) else found)
            if progress is not None:
                progress(len(decoded), len(self.clips))
        self._first = [0, *itertools.accumulate(len(samples) for samples in decoded)]
        self._samples = torch.empty(self._first[-1], dtype=torch.int16)
        for index, first in enumerate(self._first[:-1]):
            self._samples[first : self._first[index + 1]] = torch.from_numpy(decoded[index])
            decoded[index] = decoded[index][:0].copy()  # frees it, so that hardly more than one copy is in memory


def _as_int16(items: Sequence[Item | Failure]) -> list[np.ndarray | MediaError]:
    """The samples of each clip, or why it cannot be read."""
    return [item.error if isinstance(item, Failure) else to_int16(item.waveform.numpy()) for item in items]


def collate(items: Sequence[Item | Failure]) -> Batch:
    """Make a batch of the clips that were read, in their order, and a list of the others."""
    read = [item for item in items if isinstance(item, Item)]
    waveforms = torch.zeros(len(read), max((len(item.waveform) for item in read), default=0))
    for row, item in zip(waveforms, read, strict=True):
        row[: len(item.waveform)] = item.waveform
    also = torch.full((len(read), max((len(item.also) for item in read), default=0)), UNLABELLED)
    for further, item in zip(also, read, strict=True):
        further[: len(item.also)] = torch.tensor(item.also, dtype=torch.long)
    return Batch(
        waveforms,
        torch.tensor([len(item.waveform) for item in read], dtype=torch.long),
        torch.tensor([item.label for item in read], dtype=torch.long),
        torch.tensor([item.index for item in read], dtype=torch.long),
        [(item.index, str(item.error)) for item in items if isinstance(item, Failure)],
        torch.tensor([item.full_length for item in read], dtype=torch.long),
        also,
        torch.tensor([item.start for item in read], dtype=torch.long),
        [item.segments for item in read if item.segments is not None],
    )


@contextmanager
def _no_garbage_for_workers() -> Iterator[None]:
    """Keep the objects of this process from the garbage collectors of the workers that are forked inside this block.

    A forked worker has a copy of every object of its parent, but only one of its threads. If its collector freed an
    ONNX Runtime session that was already garbage in the parent, the session's destructor would wait for ever for
    threads that do not exist in the worker. Frozen objects are never collected; only the worker's stay frozen.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class _Loader(DataLoader[Any]):
    def __iter__(self) -> Any:
        # As a generator, it starts no worker before the first batch is requested: when a run is resumed, Lightning
        # calls iter() of the loader before set_epoch() of the order, and workers would already read epoch 0.
        with _no_garbage_for_workers():
            batches = super().__iter__()
        yield from batches


def loader(
    waveforms: Dataset[Item | Failure], batch_size: int, *, order: EpochOrder | None = None, workers: int = 0
) -> DataLoader[Any]:
    """Make a loader of batches (see `Batch`), which are the same for any number of workers.

    Args:
        waveforms: to read: `Waveforms`, or what else gives items by `Draw`.
        batch_size: clips per batch, the same as the order's.
        order: the order of the clips; that of the list by default, as for evaluation.
        workers: processes that read; 0 reads in this process. They live as long as the loader, with one thread each.

    Raises:
        ValueError: the order is made for another batch size.

    >>> batches = loader(waveforms, 32, order=EpochOrder(len(waveforms), 32, seed=0), workers=2)
    >>> next(iter(batches)).waveforms.shape
    torch.Size([32, 49920])
    """
    if order is not None and order.batch_size != batch_size:
        raise ValueError(f"batches of {batch_size}, but the order is made for batches of {order.batch_size}")
    return _Loader(
        waveforms,
        batch_size,
        sampler=order,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # otherwise each epoch would take a number from the global generator
    )
