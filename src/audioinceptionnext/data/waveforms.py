"""Clips as waveforms for torch: decoded once, kept as 16-bit, handed out in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from audioinceptionnext import media
from audioinceptionnext.data.clip import Clip

FULL_SCALE = 32_767


class Waveforms(Dataset[tuple[Tensor, int]]):
    """(waveform (samples,) float32, label) of each clip; all of them are decoded on construction.

    Raises `media.MediaError` for a clip that cannot be read.
    """

    def __init__(self, clips: Sequence[Clip], sample_rate: int) -> None:
        self.clips = tuple(clips)
        self._samples: list[Tensor] = []
        for clip in self.clips:
            length = None if clip.end is None else clip.end - clip.start
            waveform = torch.from_numpy(media.read(clip.path, sample_rate, clip.start, length))
            self._samples.append((waveform.clamp(-1, 1) * FULL_SCALE).round().short())

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._samples[index].float() / FULL_SCALE, self.clips[index].label


class EpochShuffle(Sampler[int]):
    """An order for each epoch that depends on the seed and the epoch alone, so that a resumed run goes on with it."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch)
        yield from torch.randperm(self.size, generator=generator).tolist()


def collate(items: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """To waveforms (batch, longest), how many samples of each are sound (batch,), labels (batch,)."""
    waveforms = torch.nn.utils.rnn.pad_sequence([waveform for waveform, _ in items], batch_first=True)
    lengths = torch.tensor([len(waveform) for waveform, _ in items])
    return waveforms, lengths, torch.tensor([label for _, label in items])
