"""Recordings in chunks (WAV, RF64, W64, AIFF, CAF, AU) whose header states another length than they have.

FFmpeg believes these headers. So a recorder that crashed, a size that does not fit into four bytes, and files that were
joined with ``cat`` cost most of the sound, and tags at the end are taken for sound where its length is not stated.
web/src/chunks.js does the same for WAV.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from audioinceptionnext.audio.layout import (
    FORMS,
    MOST_CHUNKS,
    Layout,
    Readable,
    find_layout,
    length_of,
    meant,
    read_head,
)

MOST_RECORDINGS = 1000  # one after another in a file
TAIL_BYTES = 1 << 22  # tags at the end, with pictures, are looked for in so many bytes
_SEARCHED_BYTES = 1 << 28  # in which another recording is looked for where no size says where it starts
_MOST_TRIES, _MOST_CHUNKS_OF_A_TRY = 30, 32  # bytes in the sound may look like a header
_BLOCK_BYTES = 1 << 20
_JUNK_BYTES = 64  # what follows the samples is no sound if it is not longer
_TAGS = b"LIST bext id3  ID3  iXML _PMX cue  smpl fact JUNK junk PAD  FLLR inst acid PEAK umid axml chna afsp info"
_TAG_NAMES = {_TAGS[at : at + 4] for at in range(0, len(_TAGS), 5)}
_ANY_TAG = re.compile(b"|".join(sorted(_TAG_NAMES)))
_OTHER_TAGS = (b"TAG", b"ID3", b"APETAGEX")  # these are no chunks


@dataclass(frozen=True)
class Repair:
    """What a file has to be read as.

    Attributes:
        pieces: bytes, or a part of the file from one place to another.
        stated: bytes of samples that the headers state.
        decoded: bytes of samples that will be decoded.
        joins: how many recordings were joined.
        left: bytes of recordings that do not fit to the first one, and were left out.
        other: bytes after the samples that are neither sound nor tags, and were left out.
    """

    pieces: list[bytes | tuple[int, int]]
    stated: int
    decoded: int
    joins: int = 1
    left: int = 0
    other: int = 0

    def note(self, seconds: float) -> str | None:
        """What to say about it, if ``seconds`` were decoded."""
        parts = []
        if self.stated != self.decoded and self.decoded:
            stated = f"{seconds * self.stated / self.decoded:.1f} s"
            if self.stated < self.decoded:
                parts.append(f"the header states {stated} of sound; all {seconds:.1f} s that are there were decoded")
            else:
                parts.append(f"ends early: decoded {seconds:.1f} s of {stated}")
        if self.joins > 1:
            parts.append(f"{self.joins} recordings follow each other in the file and were joined")
        if self.left:
            parts.append(f"another recording follows in the file and was left out ({_kilobytes(self.left)})")
        if self.other:
            parts.append(f"what follows the sound is no part of it and was left out ({_kilobytes(self.other)})")
        return "; ".join(parts) or None


def _kilobytes(size: int) -> str:
    return f"{max(1, round(size / 1000)):,} kB"


def find_repair(file: Readable) -> Repair | None:
    """How to read a file whose header states another length than there is; None where FFmpeg may read it as it is.

    Raises:
        ValueError: the header has more chunks than any recorder writes.
    """
    first = layout = find_layout(file)
    if first is None or layout is None:
        return None
    total = length_of(file)
    if first.start >= total:
        return None
    spans: list[tuple[int, int]] = []
    stated = left = other = 0
    for number in range(MOST_RECORDINGS):
        follows, found = what_follows(file, layout, total)
        place = layout.start + (layout.stated or 0)
        if number == 0 and layout.stated is not None and follows == "nothing":
            return None  # as it should be
        end, following = max(layout.start, min(place, total)), found if isinstance(found, Layout) else None
        if follows == "sound":
            following = find_next(file, layout, place, total)
            end = before_tags(file, layout, place, following.at if following else total)
        spans.append((layout.start, end))
        stated += end - layout.start if layout.stated is None else layout.stated
        if not isinstance(found, Layout):
            other = total - found if follows == "other" else 0
        left = total - following.at if following else 0
        if following is None or not fits(following, first):
            break
        layout = following
    decoded = sum(end - start for start, end in spans)
    patches = sorted(first.patches(decoded).items())
    pieces: list[bytes | tuple[int, int]] = []
    place = 0
    for at, content in patches:
        pieces += [(place, at), content]
        place = at + len(content)
    pieces += [(place, first.start), *spans]
    return Repair(pieces, stated, decoded, len(spans), left, other)


def fits(layout: Layout, first: Layout) -> bool:
    """Whether the samples of a recording can be decoded with those of the first one."""
    return layout.magic == first.magic and layout.encoding == first.encoding


def what_follows(
    file: Readable, layout: Layout, total: int
) -> tuple[Literal["nothing", "padding", "sound", "recording", "other"], Layout | int]:
    """What follows the samples that a header states, and where it starts.

    Tags, and chunks of which each ends where the next one starts up to the end of the file, are nothing.

    Args:
        file: where to look.
        layout: of the recording. If it states no length, this says whether it begins with sound.
        total: where the file ends.
    """
    first = place = layout.start + (layout.stated or 0)
    align = FORMS[layout.magic].align if layout.magic in FORMS else 1
    known = False  # whether the first that follows is a tag
    for number in range(MOST_CHUNKS):
        if place >= total:
            return "nothing", total
        aligned = place + (layout.at - place) % align  # some leave out the bytes up to there
        tried = [(at, _pass_chunk(file, layout, at, total)) for at in dict.fromkeys((aligned, place))]
        found = next((found for _, found in tried if found is not None), None)
        if number == 0:
            known = any(_starts_other(file, at) for at, _ in tried)
            if layout.stated is None and not known:
                break
        if isinstance(found, Layout):
            return "recording", found
        if found is None:
            break
        place = found
    if layout.stated is None and not known:
        return "sound", first
    if total - place <= _JUNK_BYTES or _is_zeros(file, place):
        return "padding", place if known else first
    return ("other", place) if known else ("sound", first)


def _starts_other(file: Readable, at: int) -> bool:
    """Whether a tag starts here, or a file of another kind."""
    file.seek(at)
    head = file.read(8)
    return head.startswith(_OTHER_TAGS) or head[:4] in _TAG_NAMES or head[:4] in FORMS


def _pass_chunk(file: Readable, layout: Layout, at: int, total: int) -> Layout | int | None:
    """Where the chunk or tag ends that starts here, or the layout of the recording; None for anything else."""
    if (found := find_layout(file, at)) is not None:
        return found
    file.seek(at)
    head = file.read(40)
    form, end = FORMS.get(layout.magic), None
    if head.startswith(b"TAG"):
        end = at + 128
    elif head.startswith(b"ID3") and head[3:4] != b" ":  # each byte holds seven bits of the size
        end = at + 10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
    elif head.startswith(b"APETAGEX"):
        end = at + 32 + int.from_bytes(head[12:16], "little")
    elif form is not None and len(head) >= form.name + form.size and head[:4] not in FORMS:
        begin, size = read_head(head, form)
        if head[: form.name] == form.sound:
            stated = meant(file, at + begin + form.before, size - form.before, form.size)
            return replace(layout, at=at, start=at + begin + form.before, stated=stated)
        end = at + begin + size if size >= 0 and all(32 <= byte < 127 for byte in head[:4]) else None
    return None if end is None or end > total + 1 else end


def find_next(file: Readable, layout: Layout, place: int, end: int) -> Layout | None:
    """The next recording like this one that starts between two places, where no size says at which."""
    tries, end = 0, min(end, place + _SEARCHED_BYTES)
    for start in range(place, end, _BLOCK_BYTES):
        file.seek(start)
        block = file.read(min(_BLOCK_BYTES, end - start) + 3)
        at = block.find(layout.magic)
        while at >= 0 and tries < _MOST_TRIES:
            tries += 1
            with suppress(ValueError):
                found = find_layout(file, start + at, _MOST_CHUNKS_OF_A_TRY)
                # The header of AU has little by which it is known.
                if found and (layout.magic in FORMS or found.encoding == layout.encoding):
                    return found
            at = block.find(layout.magic, at + 1)
    return None


def before_tags(file: Readable, layout: Layout, place: int, end: int) -> int:
    """Where the tags start that end at ``end``, not before ``place``; ``end`` if there are none."""
    first = max(place, end - TAIL_BYTES)
    file.seek(first)
    tail = file.read(end - first)
    order = FORMS[layout.magic].order if layout.magic in FORMS else "big"
    places = sorted(first + found.start() for found in _ANY_TAG.finditer(tail))[-MOST_CHUNKS:]
    ends = [(at, at + 8 + int.from_bytes(tail[at - first + 4 : at - first + 8], order)) for at in places]
    while (found := next((at for at, its_end in ends if at < end and abs(its_end - end) <= 1), None)) is not None:
        end = found
    return end


def _is_zeros(file: Readable, place: int) -> bool:
    file.seek(place)
    while block := file.read(_BLOCK_BYTES):
        if block.count(0) < len(block):
            return False
    return True
