"""A recording from a pipe, of which nothing can be read twice.

Recordings in chunks (chunks.py) are read as from a file, as far as a few megabytes tell that are read ahead where the
header says that the samples end. FFmpeg gets all other formats as they are.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator
from typing import BinaryIO

from audioinceptionnext.audio.chunks import (
    MOST_RECORDINGS,
    TAIL_BYTES,
    Repair,
    before_tags,
    find_next,
    fits,
    what_follows,
)
from audioinceptionnext.audio.layout import Layout, find_layout

_BLOCK_BYTES = 1 << 16
_AHEAD_BYTES = 2 * TAIL_BYTES  # tags at the end, and the header of a recording before them
_ENDLESS = 1 << 64
_LONGEST = 1 << 40  # bytes of samples that FFmpeg is told to expect; a larger size would overflow


class PipedFile(io.RawIOBase):
    """Reads a pipe for PyAV, and closes it with itself. Samples are passed on as they come in.

    Args:
        file: unbuffered.

    Raises:
        ValueError: the header has more chunks than any recorder writes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._ahead = _Ahead(file)
        self._rest = b""
        self._stated = self._decoded = 0  # bytes of samples
        self._joins, self._left, self._other = 1, 0, 0
        layout = find_layout(self._ahead)
        starts = layout and layout.start <= self._ahead.fill(layout.start)
        self._blocks = self._recordings(layout) if layout and starts else self._ahead.pass_on()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; empty at the end."""
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return b""
            self._rest = block
        size = len(self._rest) if size < 0 else size
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def close(self) -> None:
        self._file.close()
        super().close()

    def note(self, seconds: float) -> str | None:
        """As `Repair.note`."""
        return Repair([], self._stated, self._decoded, self._joins, self._left, self._other).note(seconds)

    def _recordings(self, first: Layout) -> Iterator[bytes]:
        """The header, which then states no length, and the samples of all recordings that fit to the first one."""
        ahead, following = self._ahead, first
        header = bytearray(b"".join(ahead.pass_on(first.start)))
        for at, content in first.patches(_LONGEST).items():
            header[at : at + len(content)] = content
        if first.magic == b"FORM" and (at := header.find(b"COMM", 12)) > 0:
            header[at + 10 : at + 14] = bytes(4)  # AIFF states the number of samples as well
        yield bytes(header)
        for self._joins in range(1, MOST_RECORDINGS + 1):
            layout, before = following, self._decoded
            ahead.drop(layout.start)
            yield from self._count(ahead.pass_on(layout.start + (layout.stated or 0)))
            found: Layout | int | None
            follows, found = what_follows(ahead, layout, ahead.fill())
            if follows in ("nothing", "padding") and not ahead.ended:
                follows = "other"
                if found == ahead.start:  # so far, these are zeros
                    zeros = ahead.drop_zeros()
                    follows = "sound" if ahead.fill() > ahead.start else "nothing"
                    yield from self._count(
                        bytes(_BLOCK_BYTES) for _ in range(zeros // _BLOCK_BYTES if follows == "sound" else 0)
                    )
            if follows == "sound":
                found = yield from self._unstated(layout)
            self._stated += self._decoded - before if layout.stated is None else layout.stated
            if follows == "other" and isinstance(found, int):
                ahead.drop(found)
                ahead.drop_zeros()
                self._other = ahead.drop()
            if not isinstance(found, Layout):
                return
            following = found
            if not fits(following, first):
                break
        ahead.drop(following.at)
        self._left = ahead.drop()

    def _unstated(self, layout: Layout) -> Generator[bytes, None, Layout | None]:
        """Samples up to the end, or up to the recording that follows, which this returns."""
        ahead = self._ahead
        searched = ahead.start
        while True:
            end = ahead.fill()
            last = ahead.ended
            end = end if last else end - TAIL_BYTES
            following = find_next(ahead, layout, searched, end)
            searched = end
            if following or last:
                end = before_tags(ahead, layout, ahead.start, following.at if following else end)
            yield from self._count(ahead.pass_on(end))
            if following or last:
                return following

    def _count(self, samples: Iterable[bytes]) -> Iterator[bytes]:
        for block in samples:
            self._decoded += len(block)
            yield block


class _Ahead:
    """What was read of a pipe and not passed on yet. It can be looked at as if it were the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._held = bytearray()
        self._place = 0
        self.start = 0  # of what is held
        self.ended = False

    def fill(self, place: int = _ENDLESS) -> int:
        """Read up to a place, or as far as possible. Returns where what is held ends."""
        place = min(place, self.start + _AHEAD_BYTES)
        while not self.ended and (missing := place - self.start - len(self._held)) > 0:
            self._read_block(missing)
        return self.start + len(self._held)

    def _read_block(self, most: int = _BLOCK_BYTES) -> bool:
        block = self._file.read(min(most, _BLOCK_BYTES))
        self.ended = not block
        self._held += block
        return bool(block)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + (self.fill() if whence == io.SEEK_END else 0)
        return self._place

    def read(self, size: int = -1) -> bytes:
        self.fill(_ENDLESS if size < 0 else self._place + size)
        at = self._place - self.start
        found = bytes(self._held[at:] if size < 0 else self._held[at : at + size])
        self._place += len(found)
        return found

    def pass_on(self, place: int = _ENDLESS) -> Iterator[bytes]:
        """Give away what comes up to a place, or all."""
        while self.start < place and (self._held or self._read_block()):
            block = bytes(self._held[: min(place - self.start, _BLOCK_BYTES)])
            del self._held[: len(block)]
            self.start += len(block)
            yield block

    def drop(self, place: int = _ENDLESS) -> int:
        """Pass over what comes up to a place, or all. Returns how many bytes these were."""
        return sum(len(block) for block in self.pass_on(place))

    def drop_zeros(self) -> int:
        """Pass over blocks of zeros. Returns how many bytes these were."""
        zeros = 0
        while self.fill(self.start + _BLOCK_BYTES) > self.start:
            block = self._held[:_BLOCK_BYTES]
            if block.count(0) < len(block):
                break
            zeros += self.drop(self.start + len(block))
        return zeros
