"""Clips as waveforms for torch: decoded once, kept as 16-bit, handed out in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from audioinceptionnext import media
from audioinceptionnext.data.clip import Clip

FULL_SCALE = 32_767


class Waveforms(Dataset[tuple[Tensor, int]]):
    """(waveform (samples,) float32, label) of each clip; all of them are decoded on construction.

    Raises `media.MediaError` for a clip that cannot be read.
    """

    def __init__(
        self, clips: Sequence[Clip], sample_rate: int, progress: Callable[[int], object] | None = None
    ) -> None:
        self.clips = tuple(clips)
        self._samples: list[Tensor] = []
        for number, clip in enumerate(self.clips, start=1):
            length = None if clip.end is None else clip.end - clip.start
            waveform = torch.from_numpy(media.read(clip.path, sample_rate, clip.start, length))
            self._samples.append((waveform.clamp(-1, 1) * FULL_SCALE).round().short())
            if progress is not None:
                progress(number)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._samples[index].float() / FULL_SCALE, self.clips[index].label


def collate(items: Sequence[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """To waveforms (batch, longest), how many samples of each are sound (batch,), labels (batch,)."""
    waveforms = torch.nn.utils.rnn.pad_sequence([waveform for waveform, _ in items], batch_first=True)
    lengths = torch.tensor([len(waveform) for waveform, _ in items])
    return waveforms, lengths, torch.tensor([label for _, label in items])
