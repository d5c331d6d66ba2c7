"""Receives a request's recording into a file: from a multipart form or as the body, within the server's limits."""

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
from audioinceptionnext.serving.errors import RequestError
from audioinceptionnext.serving.settings import Settings

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_HEADER_BYTES = 16_384  # of a part's headers
MAX_NAME_LENGTH = 200  # of a file's name in responses


class Upload:
    """A file in the server's temporary folder, which is removed when it is closed.

    Attributes:
        path: chosen by the server.
        name: what the client calls the file. It appears in responses and never becomes a path.
        size: bytes received so far.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        handle, path = tempfile.mkstemp(dir=folder)
        self._file: IO[bytes] | None = os.fdopen(handle, "wb")
        self.path, self.name, self.size = Path(path), "recording", 0
        self._max_bytes = max_bytes

    def write(self, data: bytes) -> None:
        """Append data. Raises `RequestError` (413) beyond the limit."""
        self.size += len(data)
        if self.size > self._max_bytes:
            raise too_large(self._max_bytes)
        assert self._file is not None
        self._file.write(data)

    def complete(self) -> None:
        """Finish writing, when everything has arrived. Raises `RequestError` (400) if nothing did."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if not self.size:
            raise RequestError(
                400,
                "the request holds no recording: send one as multipart/form-data in the field file, or as the body",
            )

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)


def too_large(max_bytes: int) -> RequestError:
    """The refusal of an upload that exceeds the limit."""
    return RequestError(413, f"larger than {max_bytes / 1e6:,.0f} MB, this server's limit: cut or compress it")


async def receive(request: Request, folder: Path, settings: Settings) -> Upload:
    """The request's recording, which the caller has to close.

    Raises:
        RequestError: 400 for a body without a file or broken multipart, 408 for a slow upload, 413 for a large one.
        starlette.requests.ClientDisconnect: the client has left.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > settings.max_bytes + MAX_HEADER_BYTES:
        raise too_large(settings.max_bytes)
    upload = Upload(folder, settings.max_bytes)
    try:
        content_type, options = parse_options_header(request.headers.get("content-type", ""))
        chunks = _chunks(request, settings)
        if content_type == b"multipart/form-data":
            await _receive_form(chunks, options.get(b"boundary", b""), upload)
        else:
            upload.name = _display_name(request.query_params.get("name", ""))
            async for chunk in chunks:
                upload.write(chunk)
                await asyncio.sleep(0)  # a fast client must not keep the server from others
        upload.complete()
    except BaseException:
        upload.close()
        raise
    return upload


async def _chunks(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    """The body's chunks without empty ones. Raises `RequestError` (408) for a client that is idle or too slow."""
    stream, start, size = request.stream().__aiter__(), monotonic(), 0
    while True:
        try:
            async with asyncio.timeout(settings.idle_seconds):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise RequestError(408, f"nothing arrived for {settings.idle_seconds:g} s: send it again") from None
        size += len(chunk)
        seconds = monotonic() - start
        if seconds > settings.idle_seconds and size < settings.min_upload_rate * seconds:
            rate = settings.min_upload_rate / 1000
            raise RequestError(408, f"the upload is slower than {rate:g} kB per second: send it again")
        if chunk:
            yield chunk


async def _receive_form(chunks: AsyncIterator[bytes], boundary: bytes, upload: Upload) -> None:
    """Write the first part that is named file, or has a file's name. Raises `RequestError` (400)."""
    part = _FilePart(upload)
    try:
        parser = MultipartParser(boundary, part.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
            await asyncio.sleep(0)
        parser.finalize()
    except (FormParserError, ValueError):
        raise RequestError(400, "the multipart/form-data is broken or incomplete: send it again") from None


class _FilePart:
    """Callbacks of the multipart parser that write the part with the file to an upload."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.field, self.value, self.disposition = b"", b"", b""
        self.found = self.writing = False

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
        self._check_length()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]
        self._check_length()

    def _check_length(self) -> None:
        if len(self.field) + len(self.value) > MAX_HEADER_BYTES:
            raise RequestError(400, "the headers of a part are too long")

    def _header_end(self) -> None:
        if self.field.lower() == b"content-disposition":
            self.disposition = self.value
        self.field = self.value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.writing = not self.found and (b"filename" in options or options.get(b"name") == b"file")
        if self.writing:
            self.upload.name = _display_name(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.writing:
            self.upload.write(data[start:end])

    def _end(self) -> None:
        self.found = self.found or self.writing
        self.writing = False


def _display_name(name: str) -> str:
    """The client's name of a file as responses show it: without folders, printable, and not too long."""
    base = name.replace("\\", "/").rpartition("/")[2].strip()[:MAX_NAME_LENGTH]
    return printable(base.encode("utf-8", "replace").decode()) or "recording"
