"""The clips that an export is calibrated and checked on, and how they become a file's input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
import torch

from audioinceptionnext.network.storage import StoredModel

Input = Literal["waveform", "log-mel"]  # of an exported file
RENDERED_CLIPS = 200  # to calibrate on, and as many others to compare on, where no recordings are given
# A rendered clip counts if its best class leads by this probability. If it leads by less, which class leads is chance.
MIN_LEAD = 0.1


class ExportClips(NamedTuple):
    """Waveforms (samples,) at a model's rate, which are read once.

    Attributes:
        calibration: clips to calibrate int8 on.
        comparison: other clips, to compare the precisions on.
        min_lead: see `agreement.compare`.
    """

    calibration: Iterable[np.ndarray]
    comparison: Iterable[np.ndarray]
    min_lead: float = 0.0


def rendered_clips(model: StoredModel) -> ExportClips:
    """Rendered sound, for a model whose own recordings are not at hand.

    The model is undecided about many of these clips, so that only those with a clear best class are compared.
    """
    first, others = (rendered_waveforms(model, RENDERED_CLIPS, seed) for seed in (0, RENDERED_CLIPS))
    return ExportClips(first, others, MIN_LEAD)


def rendered_waveforms(model: StoredModel, count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield waveforms (samples,) of rendered sound at the model's rate, 1.5 times as long as its clip."""
    from audioinceptionnext.rendering import render  # needs scipy

    for number in range(count):
        yield render(seed + number, 1.5 * model.clip_seconds, model.sample_rate)[0]


def model_inputs(model: StoredModel, input: Input, waveforms: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield waveforms (samples,) as they are, or as the log-mels (frames, bands) that a file takes as its input."""
    front_end = model.front_end()
    for waveform in waveforms:
        with torch.no_grad():
            yield waveform if input == "waveform" else front_end(torch.from_numpy(waveform)[None])[0, 0].numpy()


def input_batches(model: StoredModel, input: Input, waveforms: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Yield `model_inputs` as batches of one, by the name of the file's input."""
    return ({input_name(input): values[None]} for values in model_inputs(model, input, waveforms))


def input_name(input: Input) -> str:
    """The name of the input of an exported file."""
    return "waveform" if input == "waveform" else "log_mel"
