"""What a file's own header promises, where FFmpeg does not say how sure it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Formats whose header states the length; in the others FFmpeg guesses it from the bit rate.
_STATED = ("wav", "w64", "aiff", "au", "caf", "flac", "mov", "matroska", "avi", "tta", "wv", "ape")


def promised_seconds(path: Path, container: Any, stream: Any) -> float | None:
    """Return how long the sound is by a header that states it; None where that would be a guess."""
    name = container.format.name
    if not (name.startswith(_STATED) or (name == "mp3" and _mp3_is_short(path))):
        return None
    if stream.duration:
        stretch = _wav_claim(path) if name == "wav" else 1.0
        return float(stream.duration * stream.time_base) * stretch
    # Matroska states where the sound ends, not how long it is.
    starts = float((stream.start_time or 0) * stream.time_base)
    clock = stream.metadata.get("DURATION", "")  # Matroska: 00:01:02.345000000
    if clock.count(":") == 2:
        try:
            hours, minutes, seconds = clock.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - starts
        except ValueError:
            return None
    # The container's length is that of its longest stream, which need not be the sound.
    return container.duration / 1e6 - starts if container.duration and len(container.streams) == 1 else None


def was_cut(path: Path, container: Any) -> bool:
    """Return whether an Ogg file lacks its last page: that alone shows it, since nothing in Ogg states a length."""
    if container.format.name != "ogg" or not path.is_file():
        return False
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2**17))  # a page has at most 65307 bytes
        tail = file.read()
    at = tail.rfind(b"OggS")
    page = tail[at:]
    if at < 0 or len(page) < 27:
        return True
    segments = page[27 : 27 + page[26]]
    return not page[5] & 4 or len(segments) < page[26] or len(page) < 27 + page[26] + sum(segments)


def _wav_claim(path: Path) -> float:
    """Return how many times the data that is there a WAV header claims; FFmpeg tells only of what is there."""
    if not path.is_file():
        return 1.0
    length = path.stat().st_size
    with path.open("rb") as file:
        if file.read(12)[:4] != b"RIFF":
            return 1.0
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            there = length - file.tell()
            if chunk[:4] == b"data":
                # Who writes to a pipe cannot go back to enter the size: 0, or the largest number, means unknown.
                return size / there if 0 < there < size < 0x7FFF0000 else 1.0
            file.seek(size + size % 2, 1)
    return 1.0


def _mp3_is_short(path: Path) -> bool:
    """Return whether an MP3 is shorter than its first frame (Xing) says; if it is longer, FFmpeg guesses its length."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(10)
        tags = 0
        if head[:3] == b"ID3" and len(head) == 10:  # tags come first; their size is in seven bits a byte
            tags = 10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        file.seek(tags)
        first = file.read(2048)
    at = max(first.find(b"Xing"), first.find(b"Info"))
    if at < 0 or len(first) < at + 16 or first[at + 7] & 3 != 3:  # both numbers, of frames and of bytes
        return False
    return int.from_bytes(first[at + 12 : at + 16], "big") > path.stat().st_size - tags
