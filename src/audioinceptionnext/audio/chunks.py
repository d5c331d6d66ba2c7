"""Recordings in chunks (WAV, RF64, W64, AIFF, CAF, AU) whose header states another length than they have.

FFmpeg believes these headers. So a recorder that crashed, a size that does not fit into four bytes, and files that were
joined with ``cat`` cost most of the sound, and tags at the end are taken for sound where its length is not stated.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

_MOST_CHUNKS = 1000  # recorders write ten or so; FFmpeg takes seconds for millions of empty ones
_MOST_RECORDINGS = 1000  # one after another in a file
_TAIL_BYTES = 1 << 16  # tags at the end are looked for in so many bytes
_JUNK_BYTES = 64  # what follows the samples is no sound if it is not longer
PLACEHOLDER = 0x7FFF0000  # a size of four bytes that is larger than this and than the file is not meant
_UNKNOWN = {4: PLACEHOLDER, 8: 1 << 62}
_TAGS = b"LIST bext id3  ID3  iXML _PMX cue  smpl fact JUNK junk PAD  FLLR inst acid PEAK umid axml chna afsp info"
_TAG_NAMES = {_TAGS[at : at + 4] for at in range(0, len(_TAGS), 5)}
_OTHER_TAGS = (b"TAG", b"ID3", b"APETAGEX")
_W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of most of its identifiers


@dataclass(frozen=True)
class _Form:
    """How a container writes its chunks: an identifier, a size, and as many bytes.

    Attributes:
        order: of the bytes of a size.
        name: length of an identifier.
        size: length of a size.
        counted: bytes of identifier and size that the size includes.
        align: a chunk starts at a multiple of this.
        first: where the first chunk starts.
        sound, description: the chunks with the samples, and with their encoding.
        before: bytes in the chunk of the samples before these.
        whole: where the header states the size of the whole file, and in how many bytes.
    """

    order: Literal["little", "big"] = "little"
    name: int = 4
    size: int = 4
    counted: int = 0
    align: int = 2
    first: int = 12
    sound: bytes = b"data"
    description: bytes = b"fmt "
    before: int = 0
    whole: tuple[int, int] | None = (4, 4)


_FORMS = {
    b"RIFF": _Form(),
    b"RF64": _Form(),
    b"BW64": _Form(),
    b"RIFX": _Form("big"),
    b"FORM": _Form("big", sound=b"SSND", description=b"COMM", before=8),
    b"caff": _Form("big", size=8, align=1, first=8, description=b"desc", before=4, whole=None),
    b"riff": _Form("little", 16, 8, 24, 8, 40, b"data" + _W64_TAIL, b"fmt " + _W64_TAIL, whole=(16, 8)),
}
_LONG = (b"RF64", b"BW64")  # these state the size in a chunk of its own, ds64
_KINDS = {b"RIFF": b"WAVE", b"RF64": b"WAVE", b"BW64": b"WAVE", b"RIFX": b"WAVE", b"FORM": b"AIF"}


@dataclass(frozen=True)
class Layout:
    """Where the samples of a recording are.

    Attributes:
        at: where the recording starts in the file.
        magic: its first four bytes.
        encoding: how it describes its samples, to be compared.
        start: where its samples start.
        stated: how many bytes they have according to the header; None if it does not say.
        size_at: where the header says so.
    """

    at: int
    magic: bytes
    encoding: bytes
    start: int
    stated: int | None
    size_at: int

    def patches(self, length: int) -> dict[int, bytes]:
        """The bytes that make the header state ``length`` bytes of samples, by their place in the file."""
        if self.magic == b".snd":
            return {self.size_at: min(length, 0xFFFFFFFF).to_bytes(4, "big")}
        form = _FORMS[self.magic]
        size = 8 if self.magic in _LONG else form.size
        stated = min(length + (0 if self.magic in _LONG else form.before + form.counted), 2 ** (8 * size) - 1)
        found = {self.size_at: stated.to_bytes(size, form.order)}
        if form.whole and self.magic not in _LONG:
            place, size = form.whole
            whole = self.start + length - self.at - (0 if form.counted else 8)
            found[self.at + place] = min(whole, 2 ** (8 * size) - 1).to_bytes(size, form.order)
        return found


def find_layout(file: BinaryIO, at: int = 0) -> Layout | None:
    """Where the samples are in the recording that starts at this place of a file; None where no such recording does.

    Raises:
        ValueError: the header has more chunks than any recorder writes.
    """
    file.seek(at)
    head = file.read(40)
    magic = head[:4]
    if magic == b".snd" and len(head) >= 24:
        start, size = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return Layout(at, magic, head[12:24], at + start, None if size in (0, 0xFFFFFFFF) else size, at + 8)
    form = _FORMS.get(magic)
    if form is None or not head[8:12].startswith(_KINDS.get(magic, b"")):
        return None
    encoding, long_size = b"", None
    for number, (name, begin, size) in enumerate(_chunks(file, form, at + form.first)):
        if number == _MOST_CHUNKS:
            raise ValueError(f"more than {_MOST_CHUNKS} chunks before the sound")
        if name == b"ds64" and magic in _LONG:
            file.seek(begin + 8)
            long_size = int.from_bytes(file.read(8), "little")
            size_at = begin + 8
        elif name == form.description:
            file.seek(begin)
            encoding = file.read(min(max(size, 0), 64))
            encoding = encoding[:2] + encoding[6:] if magic == b"FORM" else encoding  # without the number of samples
        elif name == form.sound:
            start = begin + form.before
            if magic not in _LONG:
                stated, bytes_of_size, size_at = size - form.before, form.size, begin - form.size
            elif long_size is not None:
                stated, bytes_of_size = long_size, 8
            else:
                return None
            unknown = stated <= 0 or (stated >= _UNKNOWN[bytes_of_size] and stated > _length(file) - start)
            return Layout(at, magic, encoding, start, None if unknown else stated, size_at)
    return None


@dataclass(frozen=True)
class Repair:
    """What a file has to be read as.

    Attributes:
        pieces: bytes, or a part of the file from one place to another.
        stated: bytes of samples that the header states, where there are more; None otherwise.
        decoded: bytes of samples that will be decoded.
        joins: how many recordings were joined.
        left: bytes of recordings that do not fit to the first one, and were left out.
    """

    pieces: list[bytes | tuple[int, int]]
    stated: int | None
    decoded: int
    joins: int = 1
    left: int = 0

    def note(self, seconds: float) -> str | None:
        """What to say about it, if ``seconds`` were decoded."""
        parts = []
        if self.stated is not None:
            stated = seconds * self.stated / self.decoded
            parts.append(f"the header states {stated:.1f} s of sound; all {seconds:.1f} s that are there were decoded")
        if self.joins > 1:
            parts.append(f"{self.joins} recordings follow each other in the file and were joined")
        if self.left:
            parts.append(f"another recording follows in the file and was left out ({self.left / 1000:,.0f} kB)")
        return "; ".join(parts) or None


def find_repair(file: BinaryIO) -> Repair | None:
    """How to read a file whose header states another length than there is; None where FFmpeg may read it as it is.

    Raises:
        ValueError: the header has more chunks than any recorder writes.
    """
    first = layout = find_layout(file)
    if first is None or layout is None:
        return None
    total = _length(file)
    spans: list[tuple[int, int]] = []
    understated = False
    for number in range(_MOST_RECORDINGS):
        end, follows, next_at = _end_of_sound(file, layout, total)
        spans.append((layout.start, end))
        if number == 0 and layout.stated is not None and follows == "nothing":
            return None  # as it should be
        understated = follows == "sound"
        following = find_layout(file, next_at) if follows == "recording" else None
        if following is None or following.magic != first.magic or following.encoding != first.encoding:
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
    stated = decoded - (spans[-1][1] - spans[-1][0]) + (layout.stated or 0) if understated else None
    return Repair(pieces, stated, decoded, len(spans), total - next_at if follows == "recording" else 0)


def _end_of_sound(
    file: BinaryIO, layout: Layout, total: int
) -> tuple[int, Literal["nothing", "padding", "sound", "recording"], int]:
    """Where the samples of a recording end, what follows where the header says that they do, and at which place."""
    if layout.stated is None:
        only_tags = _is_tags(file, layout, layout.start, total)
        return (layout.start if only_tags else _before_tags(file, layout, total)), "padding", total
    end = layout.start + layout.stated
    if end >= total:
        return total, "nothing", total
    places = (end + end % 2, end)  # some leave out the byte that makes the length even
    for place in places:
        if (at := _next_recording(file, layout, place)) is not None:
            return end, "recording", at
    if any(_is_tags(file, layout, place, total) for place in places):
        return end, "nothing", total
    if total - end <= _JUNK_BYTES or _is_zeros(file, end):
        return end, "padding", total
    return _before_tags(file, layout, total), "sound", total


def _next_recording(file: BinaryIO, layout: Layout, place: int) -> int | None:
    """Where another recording starts, after no more than tags."""
    if find_layout(file, place):
        return place
    form = _FORMS.get(layout.magic)
    for number, (name, begin, _) in enumerate(_chunks(file, form, place) if form else ()):
        at = begin - form.name - form.size if form else place
        if number and find_layout(file, at):
            return at
        if number == _MOST_CHUNKS or not is_tag(name):
            break
    return None


def _is_tags(file: BinaryIO, layout: Layout, place: int, total: int) -> bool:
    """Whether chunks without sound are at this place, up to the end of the file."""
    file.seek(place)
    head = file.read(8)
    if not head or is_tag(head):
        return True
    form = _FORMS.get(layout.magic)
    if form is None:
        return False
    for number, (name, begin, size) in enumerate(_chunks(file, form, place)):
        end = begin + size
        if number == _MOST_CHUNKS or size < 0 or end > total + 1 or not all(32 <= byte < 127 for byte in name[:4]):
            return False
        if end >= total - _JUNK_BYTES:
            return True
    return False


def is_tag(head: bytes) -> bool:
    """Whether what starts with these bytes, at least four, is a tag or another chunk without sound."""
    return head.startswith(_OTHER_TAGS) or is_chunk(head)


def is_chunk(head: bytes) -> bool:
    """Whether these bytes start a chunk of which is known that it holds no sound."""
    return head[:4] in _TAG_NAMES


def _before_tags(file: BinaryIO, layout: Layout, total: int) -> int:
    """Where the tags at the end of the file start; its end if there are none."""
    first = max(layout.start, total - _TAIL_BYTES)
    file.seek(first)
    tail = file.read()
    order = _FORMS[layout.magic].order if layout.magic in _FORMS else "big"
    for name in (b"LIST", b"id3 ", b"ID3 ", b"bext"):
        at = tail.find(name)
        while at >= 0:
            if abs(first + at + 8 + int.from_bytes(tail[at + 4 : at + 8], order) - total) <= 1:
                return first + at
            at = tail.find(name, at + 1)
    return total


def _is_zeros(file: BinaryIO, place: int) -> bool:
    file.seek(place)
    while block := file.read(1 << 20):
        if block.count(0) < len(block):
            return False
    return True


def _chunks(file: BinaryIO, form: _Form, place: int) -> Iterator[tuple[bytes, int, int]]:
    """The identifier, the start and the size of each chunk from this place on."""
    head, first = form.name + form.size, place
    while True:
        file.seek(place)
        found = file.read(head)
        if len(found) < head:
            return
        size = int.from_bytes(found[form.name :], form.order, signed=form.size == 8) - form.counted
        yield found[: form.name], place + head, size
        place += head + max(0, size)
        place += (first - place) % form.align


def _length(file: BinaryIO) -> int:
    return file.seek(0, io.SEEK_END)
