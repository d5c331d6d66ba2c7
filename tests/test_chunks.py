"""Recordings in chunks whose header states another length than they have, from files and pipes."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from audioinceptionnext.audio.chunks import find_repair
from audioinceptionnext.audio.container import RepairedFile
from audioinceptionnext.audio.decode import duration_of, read
from audioinceptionnext.errors import MediaError
from tests.audio_files import sine
from tests.containers import CONTAINERS, RATE, decoded, mux, piped

PCM = (sine(440, 2, 8000) * 32767).astype("<i2").tobytes()
LIST = b"LIST" + struct.pack("<I", 4000) + b"INFO" + b"comment " * 499 + b"1234"


def wav(data: bytes = PCM, size: int | None = None, rate: int = 8000) -> bytes:
    size = len(data) if size is None else size
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16) + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", (36 + size) & 0xFFFFFFFF) + head + data


def picture(size: int) -> bytes:
    return b"id3 " + struct.pack("<I", size) + np.random.default_rng(0).bytes(size)


STATED = "the header states 1.0 s of sound; all 2.0 s that are there were decoded"
JOINED = "2 recordings follow each other in the file and were joined"
# Name -> content, seconds, warning.
WAVS: dict[str, tuple[bytes, float, str]] = {
    "whole": (wav(), 2, ""),
    "tags at the end": (wav() + LIST, 2, ""),
    "half stated": (wav(size=len(PCM) // 2), 2, STATED),
    "two in one": (wav() + wav(), 4, JOINED),
    "two in one, the second half stated": (wav() + wav(size=16000), 4, "the header states 3.0 s of sound; all 4.0 s"),
    "two in one, with tags": (wav() + LIST + wav(), 4, JOINED),
    "two that do not fit": (
        wav() + wav(rate=16000),
        2,
        "another recording follows in the file and was left out (32 kB)",
    ),
    "length unknown": (wav(size=0), 2, ""),
    "cut": (wav()[:20044], 1.25, "ends early: decoded 1.2 s of 2.0 s"),
    "tags after an odd number of bytes": (wav(PCM[:-1]) + b"\0" + LIST, 2, ""),
    "half stated, with tags": (wav(size=len(PCM) // 2) + LIST, 2, STATED),
    "half stated, with a picture": (wav(size=len(PCM) // 2) + picture(200_000), 2, STATED),
    "half stated, then another": (wav(size=16000) + wav(), 4, "the header states 3.0 s of sound; all 4.0 s"),
    "length unknown, with tags": (wav(size=0) + LIST, 2, ""),
    "length unknown, with a picture and tags": (wav(size=0) + picture(2_000_000) + LIST, 2, ""),
    "zeros at the end": (wav() + bytes(300_000), 2, ""),
    "more zeros than are read ahead": (wav() + LIST + bytes(9_000_000), 2, ""),
    "junk at the end": (wav() + b"0123456789", 2, ""),
    "an empty chunk between": (wav() + b"JUNK" + bytes(4) + wav(), 4, JOINED),
    "a second chunk of samples": (wav() + b"data" + struct.pack("<I", len(PCM)) + PCM, 4, JOINED),
    "two of unknown length": (wav(size=0) + LIST + wav(size=0xFFFFFFFF), 4, JOINED),
    "of unknown length, another rate": (wav(size=0) + wav(rate=16000), 2, "another recording follows in the file"),
    "samples after tags": (wav() + LIST + PCM, 2, "what follows the sound is no part of it and was left out (32 kB)"),
    "the second cut": (wav() + wav()[:16044], 3, "ends early: decoded 3.0 s of 4.0 s; " + JOINED),
}


@pytest.mark.parametrize("name", WAVS)
@pytest.mark.parametrize("pipe", [False, True])
def test_all_of_a_wav_file_and_nothing_else(tmp_path: Path, name: str, pipe: bool) -> None:
    if pipe and not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes on this system")
    content, seconds, expected = WAVS[name]
    path = tmp_path / "a.wav"
    path = piped(path, content) if pipe else path
    if not pipe:
        path.write_bytes(content)
    waveform, warning = decoded(path)
    assert len(waveform) / RATE == pytest.approx(seconds, abs=0.001)
    assert warning.startswith(expected) if expected else not warning
    parts = waveform[: len(waveform) // RATE * RATE].reshape(-1, RATE)  # seconds
    assert np.abs(parts - parts[0])[:, 100:-100].max() < 0.01  # the tone has a whole number of periods in a second


@pytest.mark.parametrize("pipe", [False, True])
def test_recordings_without_the_byte_that_makes_their_length_even(tmp_path: Path, pipe: bool) -> None:
    one = wav(bytes(3 * 8001))
    one = one[:28] + struct.pack("<IHH", 24000, 3, 24) + one[36:]  # bytes a second and a sample, and bits
    path = piped(tmp_path / "a.wav", one + one) if pipe and hasattr(os, "mkfifo") else tmp_path / "b.wav"
    if path.name == "b.wav":
        path.write_bytes(one + one)
    waveform, warning = decoded(path)
    assert warning == JOINED and len(waveform) == pytest.approx(2 * 8001 * RATE / 8000, abs=2)


def test_tags_without_samples_are_no_sound(tmp_path: Path) -> None:
    for pipe in (False, hasattr(os, "mkfifo")):
        path = piped(tmp_path / "pipe.wav", wav(b"", 0) + LIST) if pipe else tmp_path / "a.wav"
        if not pipe:
            path.write_bytes(wav(b"", 0) + LIST)
        with pytest.raises(MediaError, match="no sound could be decoded"):
            decoded(path)


def halved(content: bytes, whole: int, width: int, order: str) -> bytes:
    """A copy whose header states half of ``whole`` bytes of samples."""
    at = content.index(whole.to_bytes(width, order))
    return content[:at] + (whole // 2).to_bytes(width, order) + content[at + width :]


@pytest.mark.parametrize(
    ("name", "width", "order", "more"),
    [
        ("rf64", 8, "little", 0),
        ("w64", 8, "little", 24),
        ("aiff", 4, "big", 8),
        ("caf", 8, "big", 4),
        ("au", 4, "big", 0),
    ],
)
def test_other_headers_that_state_too_little(tmp_path: Path, name: str, width: int, order: str, more: int) -> None:
    kind = CONTAINERS[name]
    tone = np.tile(sine(440, 1, kind.rate), 2)
    path = mux(tmp_path / f"a{kind.suffix}", kind, [tone])
    content = path.read_bytes()
    size = 2 * len(tone)
    for changed, seconds, expected in (
        (halved(content, size + more, width, order), 2, "the header states"),
        (content + content, 4, JOINED),
        (content[: len(content) // 2], 1, "ends early: decoded 1.0 s of 2.0 s"),
        (content + bytes(300_000), 2, ""),
    ):
        path.write_bytes(changed)
        waveform, warning = decoded(path)
        assert len(waveform) / RATE == pytest.approx(seconds, abs=0.01)
        assert warning.startswith(expected) if expected else not warning
        if hasattr(os, "mkfifo"):
            from_pipe, its_warning = decoded(piped(path.with_name(f"pipe{len(changed)}"), changed))
            assert np.array_equal(from_pipe, waveform) and its_warning == warning
        part = read(path, RATE, start=seconds - 0.5, duration=0.25)
        assert np.abs(part - waveform[round((seconds - 0.5) * RATE) :][: len(part)]).max() < 1e-3


def test_a_size_that_does_not_fit_into_four_bytes(tmp_path: Path) -> None:
    """The file is sparse: its 4.3 GB take no space on the disk."""
    path, size = tmp_path / "long.wav", 2**32 + 32_000
    path.write_bytes(wav(size=size % 2**32))
    with path.open("r+b") as file:
        file.seek(44 + size % 2**32)
        file.write(b"\1")
        file.truncate(44 + size)
    with path.open("rb") as file:
        repair = find_repair(file)
        assert repair is not None and repair.decoded == size
        assert RepairedFile(file, repair).seek(0, os.SEEK_END) == 44 + size
    assert duration_of(path) == pytest.approx(size / 16_000, rel=0.001)
    assert len(read(path, 8000, start=200_000, duration=1)) == 8000


def test_a_header_of_millions_of_chunks_is_refused(tmp_path: Path) -> None:
    """FFmpeg would look at each: 100 MB of zeros take it seconds."""
    (tmp_path / "zeros.wav").write_bytes(wav()[:12] + bytes(1_000_000))
    with pytest.raises(MediaError, match="more than 1000 chunks before the sound"):
        decoded(tmp_path / "zeros.wav")
