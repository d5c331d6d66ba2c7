"""The length that a file's header states. FFmpeg gives one too, but does not say whether it is stated or guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audioinceptionnext.audio.layout import find_layout

# Formats whose headers state the length; for the others, FFmpeg guesses it from the bit rate.
STATED = ("wav", "w64", "aiff", "au", "caf", "flac", "mov", "matroska", "avi", "tta", "wv", "ape", "ogg")


_AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_FRAME = 3840  # bytes at most


def stated_duration(container: Any, stream: Any) -> float | None:
    """The length in seconds that a file states, from the first of its streams to the last; None if it is a guess."""
    name = container.format.name
    # Matroska states no lengths of streams. There is one where FFmpeg guessed it from the bit rate, as for PCM.
    guessed = not name.startswith(STATED) or (name.startswith("matroska") and stream.duration)
    return None if guessed or not container.duration else float(container.duration / 1e6)


def stated_seconds(path: Path, container: Any, stream: Any, late: float = 0.0) -> float | None:
    """The length of the sound as the header states it; None where it would be a guess.

    Args:
        late: seconds by which the sound starts later than FFmpeg says.
    """
    name = container.format.name
    if not (name.startswith(STATED) or (name == "mp3" and _mp3_is_short(path))):
        return None
    if name == "ogg" and (stream.start_time or 0) * stream.time_base > 0.1:
        return None  # a part of a stream; FFmpeg's length of Opus then counts from the stream's beginning
    if stream.duration and not name.startswith("matroska"):
        factor = _claim(path) if name in ("wav", "w64", "caf") else 1.0
        return float(stream.duration * stream.time_base) * factor - late
    # Matroska states where the sound ends, not how long it is.
    starts = float((stream.start_time or 0) * stream.time_base) + late
    clock = stream.metadata.get("DURATION", "")  # Matroska: 00:01:02.345000000
    if clock.count(":") == 2:
        try:
            hours, minutes, seconds = clock.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds) - starts
        except ValueError:
            return None
    # The container is as long as its longest stream, which need not be the sound.
    whole = stated_duration(container, stream)
    return whole - starts if whole and len(container.streams) == 1 else None


def was_cut(path: Path, container: Any) -> bool:
    """Whether a file ends within a packet, or before its last one, in a format that states no length otherwise."""
    name = container.format.name
    if name not in _ENDS or not path.is_file():
        return False
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        file.seek(max(0, length - 2**17))  # a page of Ogg has at most 65307 bytes
        tail = file.read()
    return _ENDS[name](head, tail, length)


def _ogg_was_cut(head: bytes, tail: bytes, length: int) -> bool:
    """Whether the last page is incomplete, or does not say that it is the last."""
    at = tail.rfind(b"OggS")
    page = tail[at:]
    if at < 0 or len(page) < 27:
        return True
    segments = page[27 : 27 + page[26]]
    return not page[5] & 4 or len(segments) < page[26] or len(page) < 27 + page[26] + sum(segments)


def _ts_was_cut(head: bytes, tail: bytes, length: int) -> bool:
    """Whether the last packet is incomplete. Cameras write a time stamp before each, which makes it 192 bytes long."""
    return length % (192 if head[4:5] == b"\x47" else 188) != 0


def _flv_was_cut(head: bytes, tail: bytes, length: int) -> bool:
    """Whether no tag ends with the file. After each tag comes its size."""
    size = int.from_bytes(tail[-4:], "big")
    return not 11 <= size <= len(tail) - 4 or tail[-4 - size] not in (8, 9, 18)


def _avi_was_cut(head: bytes, tail: bytes, length: int) -> bool:
    """Whether the header states more. A size of 0 stands in one that was never finished."""
    return length < 8 + int.from_bytes(head[4:8], "little") < 8 + 0xFFFFFFFF


def _mpg_was_cut(head: bytes, tail: bytes, length: int) -> bool:
    """Whether the last packet is incomplete. Those of sound, pictures and padding have the numbers from BC to EF."""
    at = len(tail)
    while (at := tail.rfind(b"\0\0\1", 0, at)) >= 0:
        if 0xBC <= int.from_bytes(tail[at + 3 : at + 4], "big") <= 0xEF:
            return at + 6 + int.from_bytes(tail[at + 4 : at + 6], "big") > len(tail)
    return False


def _ac3_was_cut(head: bytes, tail: bytes, length: int) -> bool:
    """Whether no frame ends with the file. The fifth byte of a frame holds its sample rate and its size."""
    at = tail.find(b"\x0bw", max(0, len(tail) - _AC3_FRAME))
    while at >= 0:
        code = tail[at + 4] if at + 5 < len(tail) else 0xFF
        rate, number = code >> 6, code & 63
        if rate < 3 and number < 2 * len(_AC3_KBPS):
            kbps = _AC3_KBPS[number // 2]
            if at + (4 * kbps, 2 * (320 * kbps // 147 + number % 2), 6 * kbps)[rate] == len(tail):
                return False
        at = tail.find(b"\x0bw", at + 1)
    return True


_ENDS = {
    "ogg": _ogg_was_cut,
    "mpegts": _ts_was_cut,
    "flv": _flv_was_cut,
    "avi": _avi_was_cut,
    "mpeg": _mpg_was_cut,
    "ac3": _ac3_was_cut,
}


def _claim(path: Path) -> float:
    """The length that a header claims, as a multiple of the data that is there. FFmpeg reports only the data."""
    if not path.is_file():
        return 1.0
    with path.open("rb") as file:
        layout = find_layout(file)
        present = path.stat().st_size - layout.start if layout else 0
    # RF64 states its length to FFmpeg, and an unknown length claims nothing.
    if layout is None or layout.stated is None or layout.magic not in (b"RIFF", b"RIFX", b"riff", b"caff"):
        return 1.0
    return max(1.0, layout.stated / present) if present > 0 else 1.0


def _mp3_is_short(path: Path) -> bool:
    """Whether an MP3 is shorter than its first frame (Xing) states. If it is longer, FFmpeg guesses its length."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(10)
        tags = 0
        if head[:3] == b"ID3" and len(head) == 10:  # tags come first; each byte holds seven bits of their size
            tags = 10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        file.seek(tags)
        first = file.read(2048)
    at = max(first.find(b"Xing"), first.find(b"Info"))
    if at < 0 or len(first) < at + 16 or first[at + 7] & 3 != 3:  # it has to state both its frames and its bytes
        return False
    return int.from_bytes(first[at + 12 : at + 16], "big") > path.stat().st_size - tags
