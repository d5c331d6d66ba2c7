"""A recording from a pipe, of which nothing can be read twice. WAV reaches FFmpeg as it does from a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

from audioinceptionnext.audio.chunks import PLACEHOLDER, Repair, is_chunk, is_tag

_BLOCK_BYTES = 1 << 16
_MOST_HEADER_BYTES = 1 << 24  # with all chunks before the samples


class PipedFile(io.RawIOBase):
    """Reads a pipe for PyAV, and closes it with itself. Parts of it are passed on as they come in.

    Args:
        file: unbuffered.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._blocks = self._read_blocks()
        self._rest = b""
        self._stated = self._decoded = 0  # bytes of samples
        self._understated = False
        self._joins, self._left = 1, 0

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
        """As `Repair.note`; and whether the pipe ended before the samples that the header states."""
        if 0 < self._decoded < self._stated:
            return f"ends early: decoded {seconds:.1f} s of {seconds * self._stated / self._decoded:.1f} s"
        stated = self._stated if self._understated else None
        return Repair([], stated, self._decoded, self._joins, self._left).note(seconds) if self._decoded else None

    def _read_blocks(self) -> Iterator[bytes]:
        header, encoding, size = self._read_header(b"")
        if size is None or size >= PLACEHOLDER:
            yield header
            yield from self._all()
            return
        if size == 0:  # unknown; or no samples, and tags come next
            head = self._take(4)
            yield header
            if head and not is_tag(head):
                yield head
                yield from self._all()
            return
        yield header[:-4] + b"\xff" * 4
        while True:
            self._stated += size
            yield from self._samples(size)
            head = self._take(13 if size % 2 else 12)
            head = head[1:] if size % 2 and head[:1] == b"\0" else head
            while len(head) == 12 and is_chunk(head):
                length = int.from_bytes(head[4:8], "little")
                self._skip(length + length % 2 - 4)
                head = self._take(12)
            if not head or is_tag(head):
                return
            if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
                header, other, following = self._read_header(head[:12])
                if other != encoding or not following:
                    self._left = len(header) + sum(len(block) for block in self._all())
                    return
                self._joins, size = self._joins + 1, following
                continue
            self._understated = True
            self._decoded += len(head)
            yield head
            for block in self._all():
                self._decoded += len(block)
                yield block
            return

    def _read_header(self, head: bytes) -> tuple[bytes, bytes, int | None]:
        """What was read, and the description and the number of bytes of the samples, if it is the header of a WAV."""
        header, encoding = bytearray(head or self._take(12)), b""
        if header[:4] != b"RIFF" or header[8:12] != b"WAVE":
            return bytes(header), encoding, None
        while len(header) < _MOST_HEADER_BYTES:
            chunk = self._take(8)
            header += chunk
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data" and len(chunk) == 8:
                return bytes(header), encoding, size
            content = self._take(min(size + size % 2, _MOST_HEADER_BYTES))
            header += content
            if chunk[:4] == b"fmt ":
                encoding = content
            if len(content) < size or len(chunk) < 8:
                break
        return bytes(header), encoding, None

    def _samples(self, count: int) -> Iterator[bytes]:
        while count and (block := self._file.read(min(count, _BLOCK_BYTES))):
            count -= len(block)
            self._decoded += len(block)
            yield block

    def _all(self) -> Iterator[bytes]:
        while block := self._file.read(_BLOCK_BYTES):
            yield block

    def _skip(self, count: int) -> None:
        while count > 0 and (block := self._file.read(min(count, _BLOCK_BYTES))):
            count -= len(block)

    def _take(self, count: int) -> bytes:
        """So many bytes, or fewer at the end."""
        found = b""
        while len(found) < count and (block := self._file.read(count - len(found))):
            found += block
        return found
