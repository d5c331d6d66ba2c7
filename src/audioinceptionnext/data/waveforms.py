"""Clips as waveforms for torch: decoded as they are needed or kept, and handed out in batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from audioinceptionnext.audio.source import MediaError
from audioinceptionnext.data.cache import DiskCache
from audioinceptionnext.data.clip import Clip
from audioinceptionnext.data.reader import Reader, to_float, to_int16
from audioinceptionnext.data.sampling import Draw, EpochOrder

MEMORY_LIMIT = 2_000_000_000  # bytes of 16-bit samples that are kept in memory without being asked
Keep = Literal["memory", "disk", "nothing"]


@dataclass(frozen=True, slots=True)
class Item:
    """A clip that was read: waveform (samples,) float32, label, place in the list of clips."""

    waveform: Tensor
    label: int
    index: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A clip that cannot be read: place in the list of clips, and one line that names it and says why."""

    index: int
    reason: str


class Batch(NamedTuple):
    """What `collate` gives. Lightning moves the tensors to the device; the list stays as it is.

    Attributes:
        waveforms: (batch, longest) float32, zeros after the end of the shorter.
        lengths: (batch,) how many samples of each are sound.
        labels, indices: (batch,).
        failures: (index, reason) of clips that should be in the batch and cannot be read. With all of them here, batch
            is 0.
    """

    waveforms: Tensor
    lengths: Tensor
    labels: Tensor
    indices: Tensor
    failures: list[tuple[int, str]]


class Waveforms(Dataset[Item | Failure]):
    """Clips, or stretches of them, by `Draw` as `EpochOrder` gives it, or by number (which is that of epoch 0).

    Args:
        seconds: the longest stretch that is of use. Of a longer clip, so much is given from a place that depends on
            the seed and the draw alone, not on workers, processes or what came before; with ``keep="nothing"`` no
            more than that is decoded. None gives whole clips.
        keep: ``memory`` decodes every clip now and keeps it as 16-bit, ``disk`` keeps it in the folder ``cache`` when
            it is first used, ``nothing`` decodes each time. None chooses: memory where all clips take less than
            `MEMORY_LIMIT`, else disk if ``cache`` is given, else nothing. What is kept is clamped to -1..1.
        workers: processes that decode to memory; 0 decodes in this one.
        progress: called with (done, of) meanwhile.

    Attributes:
        keep: what was chosen.

    A clip that cannot be read is a `Failure` each time it is drawn; any other error is raised.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        reader: Reader,
        seconds: float | None = None,
        seed: int = 0,
        keep: Keep | None = None,
        cache: Path | None = None,
        workers: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.clips, self.reader, self.seed = tuple(clips), reader, seed
        self.longest = None if seconds is None else round(seconds * reader.sample_rate)
        if self.longest is not None and self.longest < 1:
            raise ValueError(f"a stretch of {seconds} s has no sample at {reader.sample_rate} Hz")
        if keep == "disk" and cache is None:
            raise ValueError("keep='disk' needs cache, a folder")
        self.keep: Keep = keep or ("memory" if self._fits() else "nothing" if cache is None else "disk")
        self._cache = DiskCache(cache, reader) if self.keep == "disk" and cache is not None else None
        self._reasons: dict[int, str] = {}  # of what could not be decoded to memory
        if self.keep == "memory":
            self._decode(workers, progress)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, draw: Draw | int) -> Item | Failure:
        draw = draw if isinstance(draw, Draw) else Draw(0, draw)
        try:
            waveform = self._hear(draw)
        except MediaError as error:
            return Failure(draw.index, str(error))
        return Item(torch.from_numpy(waveform), self.clips[draw.index].label, draw.index)

    def _hear(self, draw: Draw) -> np.ndarray:
        """The draw's stretch, float32. Raises `MediaError`."""
        clip, longest = self.clips[draw.index], self.longest
        if self.keep == "nothing":
            if longest is None or (length := self.reader.samples(clip)) <= longest:
                whole = self.reader.read(clip)
            else:
                rate = self.reader.sample_rate
                heard = self.reader.read(clip, self._place(draw, length) / rate, longest / rate)
                if len(heard) == longest:
                    return heard
                whole = self.reader.read(clip)  # it ends before its header or the list says: rare, and dear
        elif self._cache is not None:
            whole = self._cache.get(clip)
        elif draw.index in self._reasons:
            raise MediaError(self._reasons[draw.index])
        else:
            whole = self._samples[self._first[draw.index] : self._first[draw.index + 1]].numpy()
        if longest is not None and len(whole) > longest:
            place = self._place(draw, len(whole))
            whole = whole[place : place + longest]
        return to_float(whole) if whole.dtype == np.int16 else whole

    def _place(self, draw: Draw, length: int) -> int:
        """Where the stretch begins in a clip of so many samples."""
        assert self.longest is not None
        return int(
            np.random.default_rng((self.seed, draw.epoch, draw.index, draw.again)).integers(length - self.longest + 1)
        )

    def _fits(self) -> bool:
        size = 0
        for clip in self.clips:
            with suppress(MediaError):
                size += 2 * self.reader.samples(clip)
            if size > MEMORY_LIMIT:
                return False
        return True

    def _decode(self, workers: int, progress: Callable[[int, int], None] | None) -> None:
        """All clips into one tensor, which the workers of a loader share however they are started."""
        plain = Waveforms(self.clips, self.reader, keep="nothing")
        # Processes, because threads pass Python's lock to and fro for each packet: two are slower than one.
        batches = DataLoader(plain, 8, num_workers=workers, collate_fn=_as_int16, generator=torch.Generator())
        decoded: list[np.ndarray] = []
        for found in itertools.chain.from_iterable(batches):
            if isinstance(found, str):
                self._reasons[len(decoded)] = found
            decoded.append(np.zeros(0, np.int16) if isinstance(found, str) else found)
            if progress is not None:
                progress(len(decoded), len(self.clips))
        self._first = [0, *itertools.accumulate(len(samples) for samples in decoded)]
        self._samples = torch.empty(self._first[-1], dtype=torch.int16)
        for index, first in enumerate(self._first[:-1]):
            self._samples[first : self._first[index + 1]] = torch.from_numpy(decoded[index])
            decoded[index] = decoded[index][:0].copy()  # so that never much more than once all of it is in memory


def _as_int16(items: Sequence[Item | Failure]) -> list[np.ndarray | str]:
    """Samples, or why there are none."""
    return [item.reason if isinstance(item, Failure) else to_int16(item.waveform.numpy()) for item in items]


def collate(items: Sequence[Item | Failure]) -> Batch:
    """The items that were read, in their order, and the list of the others."""
    heard = [item for item in items if isinstance(item, Item)]
    waveforms = torch.zeros(len(heard), max((len(item.waveform) for item in heard), default=0))
    for row, item in zip(waveforms, heard, strict=True):
        row[: len(item.waveform)] = item.waveform
    return Batch(
        waveforms,
        torch.tensor([len(item.waveform) for item in heard], dtype=torch.long),
        torch.tensor([item.label for item in heard], dtype=torch.long),
        torch.tensor([item.index for item in heard], dtype=torch.long),
        [(item.index, item.reason) for item in items if isinstance(item, Failure)],
    )


class _Loader(DataLoader[Any]):
    def __iter__(self) -> Any:
        # Nothing is fetched before the first batch is asked for: Lightning calls iter() of a resumed run's loader
        # before set_epoch() of its order, and workers would by then have fetched batches of epoch 0.
        yield from super().__iter__()


def loader(waveforms: Waveforms, batch: int, order: EpochOrder | None = None, workers: int = 0) -> DataLoader[Any]:
    """Batches as `collate` makes them, the same ones whatever the number of workers.

    Args:
        batch: clips a batch; with an order, the order's.
        order: None goes through the list once, as evaluation does.
        workers: processes that read; 0 reads in this one. They live as long as the loader, with one thread each.
    """
    if order is not None and order.batch != batch:
        raise ValueError(f"a batch of {batch}, but its order is made for {order.batch}")
    return _Loader(
        waveforms,
        batch,
        sampler=order,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # else each epoch would take a number from the one that training uses
    )
