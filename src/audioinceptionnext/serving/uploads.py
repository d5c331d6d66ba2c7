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
MAX_FIELD_BYTES, MAX_FIELDS = 4_096, 100  # unless a route takes longer ones
# Bytes that `curl -d @file` leaves out of a file. Any recording has some of them, if only in its header.
LEFT_OUT_BY_CURL = b"\0\r\n"


class Upload:
    """A file in the server's temporary folder, which is removed when it is closed.

    Attributes:
        path: chosen by the server.
        name: what the client calls the file. It appears in responses and never becomes a path.
        size: bytes received so far.
        fields: names and values of the form's other fields.
        max_field_bytes: size of such a field.
        begun: whether a file with a name has begun to arrive.
    """

    def __init__(self, folder: Path, max_bytes: int, max_field_bytes: int = MAX_FIELD_BYTES) -> None:
        handle, path = tempfile.mkstemp(dir=folder)
        self._file: IO[bytes] | None = os.fdopen(handle, "wb")
        self.path, self.name, self.size, self.begun = Path(path), "recording", 0, False
        self.fields: list[tuple[str, str]] = []
        self._max_bytes, self.max_field_bytes = max_bytes, max_field_bytes

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
        if self.begun and not self.size:
            raise RequestError(400, f"{self.name} is empty (0 bytes): copy or record it again")
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


async def receive(request: Request, folder: Path, settings: Settings, max_field_bytes: int = MAX_FIELD_BYTES) -> Upload:
    """The request's recording, which the caller has to close.

    Args:
        folder: of the upload.
        max_field_bytes: size of the form's other fields.

    Raises:
        RequestError: 400 for a body without a file or broken multipart, 408 for a slow upload, 413 for a large one, 415
            for a body that is no recording by its type, 422 for a form that holds more or other things than a file.
        starlette.requests.ClientDisconnect: the client has left.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > settings.max_bytes + MAX_HEADER_BYTES + max_field_bytes:
        raise too_large(settings.max_bytes)
    content_type, options = parse_options_header(request.headers.get("content-type", ""))
    _check_type(content_type, request.headers.get("content-encoding", "identity"))
    upload = Upload(folder, settings.max_bytes, max_field_bytes)
    try:
        chunks = body_chunks(request, settings)
        if content_type == b"multipart/form-data":
            await _receive_form(chunks, options.get(b"boundary", b""), upload)
        else:
            whole = content_type != b"application/x-www-form-urlencoded"  # what curl calls any body
            async for chunk in chunks:
                whole = whole or any(byte in chunk for byte in LEFT_OUT_BY_CURL)
                upload.write(chunk)
                await asyncio.sleep(0)  # a fast client must not keep the server from others
            if upload.size and not whole:
                raise RequestError(
                    415,
                    "the body is a web form, not a recording: with curl, write -F file=@dinner.mp4 or --data-binary "
                    "@dinner.mp4, since -d leaves bytes out",
                )
        upload.complete()
    except BaseException:
        upload.close()
        raise
    return upload


def _check_type(content_type: bytes, encoding: str) -> None:
    """Raise `RequestError` (415) for a body that cannot be a recording."""
    if content_type.endswith((b"/json", b"+json")):
        reason = "the body is JSON: send the recording itself"
    elif content_type.startswith(b"multipart/") and content_type != b"multipart/form-data":
        reason = f"the body is {content_type.decode('latin-1')[:50]}: send the recording"
    elif encoding.strip().lower() != "identity":
        reason = f"the body is compressed with {encoding[:50]}: send the recording as it is"
    else:
        return
    raise RequestError(415, f"{reason}, as multipart/form-data in the field file, or as the body")


async def body_chunks(request: Request, settings: Settings) -> AsyncIterator[bytes]:
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
    """Write the part that is named file, or has a file's name, and note the fields. Raises `RequestError`."""
    form = _Form(upload)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for chunk in chunks:
            parser.write(chunk)
            await asyncio.sleep(0)
        parser.finalize()
    except (FormParserError, ValueError):
        raise RequestError(400, "the multipart/form-data is broken or incomplete: send it again") from None


class _Form:
    """Callbacks of the multipart parser that write the file to an upload, and collect the other fields."""

    def __init__(self, upload: Upload) -> None:
        self.upload = upload
        self.header, self.value, self.disposition = b"", b"", b""
        self.name, self.text = "", b""  # of the part, unless it has a file's name
        self.is_file = self.is_named = self.found = False

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
        self.header = self.value = self.disposition = self.text = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]
        self._check_length()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]
        self._check_length()

    def _check_length(self) -> None:
        if len(self.header) + len(self.value) > MAX_HEADER_BYTES:
            raise RequestError(400, "the headers of a part are too long")

    def _header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            self.disposition = self.value
        self.header = self.value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self.disposition)
        self.name = options.get(b"name", b"").decode("utf-8", "replace")
        self.is_named = b"filename" in options
        self.is_file = self.is_named or self.name == "file"
        if self.is_file and not self.found:
            self.upload.begun = bool(options.get(b"filename"))  # browsers send no name where no file was chosen
            self.upload.name = display_name(options.get(b"filename", b"").decode("utf-8", "replace"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self.is_file:
            if self.found:
                raise RequestError(422, "there are two files: send each in a request of its own", parameter="file")
            self.upload.write(data[start:end])
        if not self.is_named and len(self.text) <= self.upload.max_field_bytes:
            self.text += data[start:end]

    def _end(self) -> None:
        if self.is_file:
            self.found = self.upload.size > 0
            self._check_is_no_text()
            return
        if len(self.text) > self.upload.max_field_bytes or len(self.upload.fields) == MAX_FIELDS:
            raise RequestError.of_parameter(self.name[:100], None, "the form is too long: send a recording as file")
        self.upload.fields.append((self.name, self.text.decode("utf-8", "replace")))

    def _check_is_no_text(self) -> None:
        """Refuse what becomes of ``curl -F file=dinner.mp4``, without the @."""
        text = self.text.decode("utf-8", "replace")
        if not self.is_named and text and text.isprintable() and len(text) <= MAX_NAME_LENGTH:
            detail = f"file is the text {text!r}, not a recording: with curl, write -F file=@{text}"
            raise RequestError(422, detail, parameter="file")


def display_name(name: str) -> str:
    """The client's name of a file as responses show it: without folders, printable, and not too long."""
    base = name.replace("\\", "/").rpartition("/")[2].strip()[:MAX_NAME_LENGTH]
    return printable(base.encode("utf-8", "replace").decode()) or "recording"
