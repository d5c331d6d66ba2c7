"""What a model can be given: files, arrays and their blocks, each as mono blocks at the model's rate."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator

import numpy as np

from audioinceptionnext.audio import decode
from audioinceptionnext.audio.capture import SampleConverter
from audioinceptionnext.audio.samples import MAX_CHANNELS, as_array
from audioinceptionnext.errors import ParameterError
from audioinceptionnext.inference.prefetch import prefetch

Recording = str | os.PathLike[str] | np.ndarray  # a file, or samples


def mono_blocks_of(
    recording: Recording | Iterator[np.ndarray],
    model_rate: int,
    block_seconds: float,
    on_warning: Callable[[str], None],
    *,
    sample_rate: int | None = None,
    track: int | None = None,
    on_packet: Callable[[], None] | None = None,
) -> Iterator[np.ndarray]:
    """A recording as blocks (samples,) float32, mono, at the model's rate.

    Args:
        recording, sample_rate, track, on_packet: as for `Recogniser.predict`.
        model_rate: in Hz.
        block_seconds: length of a block.
        on_warning: called as by `decode.read_blocks`.

    Raises:
        MediaError: as `Recogniser.predict`, also while the blocks are read.
        ParameterError: likewise.
    """
    if isinstance(recording, str | os.PathLike):
        if sample_rate is not None:
            raise ParameterError("sample_rate", sample_rate, "only arrays need it; leave it out for a file")
        path = os.fspath(recording)
        return prefetch(decode.read_blocks(path, model_rate, block_seconds, on_warning, track, on_packet, True))
    if track is not None:
        raise ParameterError("track", track, "only files have sound tracks; leave it out for an array")
    rate = model_rate if sample_rate is None else sample_rate
    converter = SampleConverter(rate, model_rate, on_warning, "recording")
    if isinstance(recording, Iterator) and not hasattr(recording, "read"):  # an open file would give lines
        return prefetch(_converted(recording, converter))
    return converter.whole(recording, block_seconds)


def each_recording(recordings: Recording | Iterable[Recording]) -> Iterator[Recording]:
    """One recording after another, of one or of many; file names may be an array, as scikit-learn gives them.

    Raises:
        ParameterError: an array that looks like (samples, channels), where (recordings, samples) is meant.
    """
    if hasattr(recordings, "__array__"):
        recordings = as_array(recordings, "recordings")
        if recordings.ndim < 2 and recordings.dtype.kind not in "UO":
            recordings = [recordings]
        elif recordings.ndim == 2 and 0 < recordings.shape[1] <= min(MAX_CHANNELS, len(recordings) - 1):
            reason = f"an array of shape {recordings.shape} is that many recordings of so few samples"
            raise ParameterError("recordings", None, f"{reason}; give [array] for (samples, channels)")
    elif isinstance(recordings, str | bytes | os.PathLike) or not isinstance(recordings, Iterable):
        recordings = [recordings]
    elif hasattr(recordings, "read"):  # an open file would give lines
        raise ParameterError("recordings", None, f"{type(recordings).__name__} is no array; give the name of the file")
    yield from recordings


def _converted(blocks: Iterator[np.ndarray], converter: SampleConverter) -> Generator[np.ndarray]:
    samples = 0
    for block in blocks:
        samples += len(converted := converter.push(block))
        yield converted
    samples += len(converted := converter.finish())
    if not samples:
        raise ParameterError("recording", None, "its blocks have no samples; give at least one")
    yield converted
