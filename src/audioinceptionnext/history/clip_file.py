"""A kept clip as a file: its name, what it holds, and what its tags say."""

from __future__ import annotations

import io
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, cast

import av
import numpy as np
from av.error import FFmpegError

from audioinceptionnext.audio.resample import Resampler
from audioinceptionnext.history.records import iso_time

ClipFormat = Literal["flac", "opus"]
_CODECS = {"flac": ("flac", "flac"), "opus": ("ogg", "libopus")}
_OPUS_RATES, _OPUS_RATE, _OPUS_BITS = (8_000, 12_000, 16_000, 24_000, 48_000), 48_000, 48_000
_NAME_BYTES = 80  # of the input's name and of the label in a file's name
_NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}[+-]\d{4})_(.+)_(.+)_([0-9a-f]{4})\.(?:flac|opus)")
_START = "CLIP_START"  # the tag that says when the file begins, in Unix seconds


@dataclass(frozen=True, slots=True)
class ClipName:
    """What a clip's file name says.

    Attributes:
        start: of the segment, in Unix seconds.
        source, label: as `in_name` spells them.
    """

    start: float
    source: str
    label: str


def new_name(source: str, start: float, label: str, form: ClipFormat) -> str:
    """A name for a new file, which sorts by time and which no other clip has.

    >>> new_name("front door", 1795939202.34, "Dog, bark", "flac")
    '2026-11-29T08-00-02.340+0000_front-door_Dog-bark_5f0c.flac'
    """
    moment = datetime.fromtimestamp(round(start, 3)).astimezone()
    time = f"{moment:%Y-%m-%dT%H-%M-%S}.{round(moment.microsecond / 1000):03}{moment:%z}"
    return f"{time}_{in_name(source)}_{in_name(label)}_{secrets.token_hex(2)}.{form}"


def read_name(name: str) -> ClipName | None:
    """What the name of a file says; None if it is not that of a clip."""
    if (found := _NAME.fullmatch(name)) is None:
        return None
    try:
        start = datetime.strptime(found[1], "%Y-%m-%dT%H-%M-%S.%f%z").timestamp()
    except ValueError:
        return None
    return ClipName(start, found[2], found[3])


def in_name(text: str) -> str:
    """A text as a file's name has it: letters and digits of any script, and - for the rest."""
    words = re.sub(r"[\W_]+", "-", text).strip("-").encode()[:_NAME_BYTES].decode(errors="ignore")
    return words or "-"


def encode_clip(samples: np.ndarray, rate: int, form: ClipFormat, tags: Mapping[str, str]) -> bytes:
    """The content of a file.

    Args:
        samples: (n,) int16, mono.
        rate: in Hz.
        tags: what the file says of itself.
    """
    container, codec = _CODECS[form]
    if form == "opus" and rate not in _OPUS_RATES:
        resampler = Resampler(rate, _OPUS_RATE)
        floats = np.concatenate([resampler.push(samples.astype(np.float32) / 32768), resampler.finish()])
        samples, rate = (np.clip(floats, -1, 1) * 32767).round().astype(np.int16), _OPUS_RATE
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        output.metadata.update({name: text for name, text in tags.items() if text})
        stream = cast(av.AudioStream, output.add_stream(codec, rate=rate, layout="mono"))
        if form == "opus":
            stream.bit_rate = _OPUS_BITS
        frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            output.mux(packet)
    return file.getvalue()


def tags_of(
    source: str, start: float, end: float, label: str, score: float, model: str, clip_start: float
) -> dict[str, str]:
    """The tags of a clip: players show the title, the artist, the date and the comment.

    Args:
        start, end: of the segment, in Unix seconds, as is ``clip_start``, the beginning of the file.
    """
    between = f"{max(0.0, start - clip_start):.2f} s to {end - clip_start:.2f} s"
    return {
        "title": f"{label} ({source})",
        "artist": source,
        "date": iso_time(start),
        "comment": f"{label}, {score:.0%} according to {model}, from {between} of this clip",
        "LABEL": label,
        "SCORE": f"{score:.4f}",
        "MODEL": model,
        _START: f"{clip_start:.3f}",
    }


def clip_start_of(path: Path) -> float | None:
    """When a clip begins, in Unix seconds, as its tags have it; None if it cannot be read."""
    try:
        with av.open(str(path), metadata_errors="replace") as file:
            tags = dict(file.metadata)
            for stream in file.streams.audio:
                tags |= stream.metadata
        return float({name.upper(): text for name, text in tags.items()}[_START])
    except (FFmpegError, OSError, KeyError, ValueError):
        return None
