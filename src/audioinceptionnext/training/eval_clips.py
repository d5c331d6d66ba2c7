"""The published evaluation of held-out clips, while a run lasts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from audioinceptionnext.data.waveforms import Batch
from audioinceptionnext.evaluation.clip_starts import clip_starts
from audioinceptionnext.network.frontend import LogMel
from audioinceptionnext.training.batch_transform import crop


def mean_over_clips(
    batch: Batch, log_mel: LogMel, clip_seconds: float, count: int, predict: Callable[[Tensor], Tensor]
) -> Tensor:
    """The mean probabilities (batch, classes) of evenly spaced clips of each recording, see `clip_starts`.

    Args:
        batch: whole recordings.
        log_mel: the front end.
        clip_seconds: length of a clip.
        count: clips per recording.
        predict: log-mel to probabilities (batch, steps, classes).
    """
    samples = round(log_mel.sample_rate * clip_seconds) - 1
    starts = [clip_starts(length, samples, count) for length in batch.full_lengths.tolist()]
    found = []
    for first in torch.tensor(starts, device=batch.lengths.device).T:
        first = first.minimum(batch.lengths - 1)
        index = first[:, None] + torch.arange(samples, device=first.device)
        cut = batch.waveforms.gather(1, index.clamp(max=batch.waveforms.shape[1] - 1))
        x = crop(log_mel, cut, (batch.lengths - first).clamp(max=samples), clip_seconds, random=False)
        found.append(predict(x).mean(1))
    return torch.stack(found).sum(0) / count
