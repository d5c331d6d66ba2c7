"""How recordings in chunks (WAV, RF64, W64, AIFF, CAF) and AU are laid out: where the samples are, by the header."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

MOST_CHUNKS = 1000  # recorders write ten or so; FFmpeg takes seconds for millions of empty ones
_PLACEHOLDER = 0x7FFF0000  # a size of four bytes that is larger than this and than the file is not meant
_UNKNOWN = {4: _PLACEHOLDER, 8: 1 << 62}
_W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of most of its identifiers


class Readable(Protocol):
    """What is needed of a file."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Form:
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


FORMS = {
    b"RIFF": Form(),
    b"RF64": Form(),
    b"BW64": Form(),
    b"RIFX": Form("big"),
    b"FORM": Form("big", sound=b"SSND", description=b"COMM", before=8),
    b"caff": Form("big", size=8, align=1, first=8, description=b"desc", before=4, whole=None),
    b"riff": Form("little", 16, 8, 24, 8, 40, b"data" + _W64_TAIL, b"fmt " + _W64_TAIL, whole=(16, 8)),
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
        form = FORMS[self.magic]
        size = 8 if self.magic in _LONG else form.size
        stated = min(length + (0 if self.magic in _LONG else form.before + form.counted), 2 ** (8 * size) - 1)
        found = {self.size_at: stated.to_bytes(size, form.order)}
        if form.whole and self.magic not in _LONG:
            place, size = form.whole
            whole = self.start + length - self.at - (0 if form.counted else 8)
            found[self.at + place] = min(whole, 2 ** (8 * size) - 1).to_bytes(size, form.order)
        return found


def find_layout(file: Readable, at: int = 0, most_chunks: int = MOST_CHUNKS) -> Layout | None:
    """Where the samples are in the recording that starts at this place of a file; None where no such recording does.

    Raises:
        ValueError: the header has more than ``most_chunks`` chunks, and so many no recorder writes.
    """
    file.seek(at)
    head = file.read(40)
    magic = head[:4]
    if magic == b".snd" and len(head) >= 24:
        start, size = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return Layout(at, magic, head[12:24], at + start, None if size in (0, 0xFFFFFFFF) else size, at + 8)
    form = FORMS.get(magic)
    if form is None or not head[8:12].startswith(_KINDS.get(magic, b"")):
        return None
    encoding, long_size = b"", None
    for number, (name, begin, size) in enumerate(chunks_from(file, form, at + form.first)):
        if number == most_chunks:
            raise ValueError(f"more than {most_chunks} chunks before the sound")
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
            return Layout(at, magic, encoding, start, meant(file, start, stated, bytes_of_size), size_at)
    return None


def meant(file: Readable, start: int, stated: int, bytes_of_size: int) -> int | None:
    """The stated number of bytes; None for a placeholder."""
    unknown = stated <= 0 or (stated >= _UNKNOWN[bytes_of_size] and stated > length_of(file) - start)
    return None if unknown else stated


def chunks_from(file: Readable, form: Form, place: int) -> Iterator[tuple[bytes, int, int]]:
    """The identifier, the start and the size of each chunk from this place on."""
    head, first = form.name + form.size, place
    while True:
        file.seek(place)
        found = file.read(head)
        if len(found) < head:
            return
        begin, size = read_head(found, form)
        yield found[: form.name], place + begin, size
        place += begin + max(0, size)
        place += (first - place) % form.align


def read_head(head: bytes, form: Form) -> tuple[int, int]:
    """How long the head of a chunk is, and the size of its content."""
    begin = form.name + form.size
    return begin, int.from_bytes(head[form.name : begin], form.order, signed=form.size == 8) - form.counted


def length_of(file: Readable) -> int:
    return file.seek(0, io.SEEK_END)
