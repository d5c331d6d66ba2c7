"""A request's recording on disk, as it comes: multipart or as the body itself, never more than is allowed."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import IO, TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from audioinceptionnext.errors import printable
from audioinceptionnext.serving.errors import Refused
from audioinceptionnext.serving.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

HEADERS = 16_384  # bytes of a part's headers, at most
NAME = 200  # letters of a file's name, in answers


class Upload:
    """A file of a server's temporary folder that goes when it is closed.

    Attributes:
        path: chosen here.
        name: the client's, for answers alone: it never becomes a path.
        size: bytes so far.
    """

    def __init__(self, folder: Path, most: int) -> None:
        handle, path = tempfile.mkstemp(dir=folder)
        self._file: IO[bytes] | None = os.fdopen(handle, "wb")
        self.path, self.name, self.size = Path(path), "recording", 0
        self._most = most

    def write(self, data: bytes) -> None:
        """Raises `Refused` (413) beyond the limit."""
        self.size += len(data)
        if self.size > self._most:
            raise too_large(self._most)
        assert self._file is not None
        self._file.write(data)

    def complete(self) -> None:
        """To be called when all has come. Raises `Refused` (400) if nothing did."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if not self.size:
            raise Refused(400, "no recording came: send a file as multipart/form-data, field file, or as the body")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)


def too_large(most: int) -> Refused:
    return Refused(413, f"larger than {most / 1e6:,.0f} MB, the most that this server takes: cut or compress it")


async def receive(request: Request, folder: Path, settings: Settings) -> Upload:
    """The request's recording; the caller closes it.

    Raises:
        Refused: 400 for a body without a file or of broken multipart, 408 for one that is too slow, 413 too large.
        starlette.requests.ClientDisconnect: the client left.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > settings.most_bytes + HEADERS:
        raise too_large(settings.most_bytes)
    upload = Upload(folder, settings.most_bytes)
    try:
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        chunks = _in_time(request, settings)
        if kind == b"multipart/form-data":
            await _from_form(chunks, options.get(b"boundary", b""), upload)
        else:
            upload.name = _shown(request.query_params.get("name", ""))
            async for chunk in chunks:
                await _written(upload, chunk)
        upload.complete()
    except BaseException:
        upload.close()
        raise
    return upload


async def _written(upload: Upload, chunk: bytes) -> None:
    upload.write(chunk)
    await asyncio.sleep(0)  # a fast client must not keep the others from being served


async def _in_time(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    """The body's chunks, not empty ones. Raises `Refused` (408) for a client that keeps us waiting."""
    stream, begin, size = request.stream().__aiter__(), monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(settings.idle_seconds):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Refused(408, f"nothing came for {settings.idle_seconds:g} s: send it again") from None
        size += len(chunk)
        seconds = monotonic() - begin
        if seconds > settings.idle_seconds and size < settings.least_rate * seconds:
            raise Refused(408, f"slower than {settings.least_rate / 1000:g} kB a second: send it again")
        if chunk:
            yield chunk


async def _from_form(chunks: AsyncIterator[bytes], boundary: bytes, upload: Upload) -> None:
    """The first part that is called file, or has a file's name. Raises `Refused` (400)."""
    part = _Part(upload)
    try:
        parser = MultipartParser(boundary, part.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
            await asyncio.sleep(0)
        parser.finalize()
    except (FormParserError, ValueError):
        raise Refused(400, "this is no whole multipart/form-data: send it again") from None


class _Part:
    """Takes what the parser finds."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.field, self.value, self.disposition = b"", b"", b""
        self.taken = self.taking = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self.field = self.value = self.disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self.field += data[start:end]
        self._bounded()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]
        self._bounded()

    def _bounded(self) -> None:
        if len(self.field) + len(self.value) > HEADERS:
            raise Refused(400, "a part's headers are absurdly long")

    def _header_end(self) -> None:
        if self.field.lower() == b"content-disposition":
            self.disposition = self.value
        self.field = self.value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.taking = not self.taken and (b"filename" in options or options.get(b"name") == b"file")
        if self.taking:
            self.upload.name = _shown(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.taking:
            self.upload.write(data[start:end])

    def _end(self) -> None:
        self.taken = self.taken or self.taking
        self.taking = False


def _shown(name: str) -> str:
    """A client's name for a file as answers may call it."""
    return (
        printable(name.replace("\\", "/").rpartition("/")[2].strip()[:NAME].encode("utf-8", "replace").decode())
        or "recording"
    )
