"""Opens a file with FFmpeg, which gets it with a right header where that states another length than there is."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from contextlib import ExitStack
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.logging
from av.error import FFmpegError

from audioinceptionnext.audio.chunks import Repair, find_repair
from audioinceptionnext.audio.piped import PipedFile
from audioinceptionnext.errors import MediaError

# FFmpeg's log must not reach the user's terminal, and a log callback in Python could deadlock with FFmpeg's threads.
av.logging.set_level(None)

# The formats that FFmpeg may take a file for. Left out are those that would "recognise" a text file (subtitles, tty),
# those without a header, which decode anything (g722, raw PCM), still images, and playlists, which open other files.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gxf,iff,ircam,loas,matroska,mlp,mov,mp3,mpc,"
    "mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,qoa,rm,shn,sox,swf,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)
NOT_FROM_A_PIPE = (
    "cannot be read from a pipe: it is empty, or a format that has to be read out of order, as most movies have; "
    "write it to a file first"
)
_OPTIONS = {
    "format_whitelist": FORMATS,
    "protocol_whitelist": "file",
    "merge_pmt_versions": "1",  # MPEG-TS: a track that goes on with another number (PID) is the same track
}


def open_container(path: str | Path) -> tuple[Any, RepairedFile | PipedFile | None]:
    """Open a file with FFmpeg.

    Returns:
        PyAV's InputContainer; and what it reads in place of the file, to be closed after it, if it does.

    Raises:
        MediaError: the file cannot be opened.
    """
    try:
        if Path(path).is_dir():
            raise MediaError(path, "is a folder, not a file; give a recording inside it")
        head, source = _source(path)
    except FileNotFoundError:
        raise MediaError(path, "no such file; check the name") from None
    except PermissionError:
        raise MediaError(path, "no permission to read it; change its permissions") from None
    except (OSError, ValueError) as error:
        raise MediaError(path, f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    try:
        name = f"file:{os.fspath(path)}"  # without the prefix, "concat:x" or "a:b" would name a protocol
        # Tags in Latin-1 are no reason to fail.
        return av.open(source or name, options=_OPTIONS, metadata_errors="replace"), source
    except (FFmpegError, OSError, ValueError, RuntimeError):
        if source is not None:
            source.close()
        if not Path(path).is_file():
            reason = NOT_FROM_A_PIPE
        elif head[4:8] == b"ftyp":
            reason = "its index is missing or damaged, as in a recording or copy that was cut off; get a complete copy"
        else:
            reason = (
                "not an audio or video file that FFmpeg can read, or damaged at its start; try to play or convert it"
            )
        raise MediaError(path, reason) from None


def _source(path: str | Path) -> tuple[bytes, RepairedFile | PipedFile | None]:
    """The first bytes of a file, and what PyAV is to read in its place."""
    with ExitStack() as stack:
        if not Path(path).is_file():  # nothing can be read twice
            piped = PipedFile(io.FileIO(path))
            return b"", piped
        file = stack.enter_context(Path(path).open("rb"))
        head = file.read(12)
        if not head:
            raise MediaError(path, "is empty (0 bytes); copy or record it again")
        found = os.fstat(file.fileno())
        repair = _repair_of(str(Path(path).absolute()), found.st_mtime_ns, found.st_size)
        if repair is None:
            return head, None
        stack.pop_all()  # PyAV reads on
        return head, RepairedFile(file, repair)


@lru_cache(256)  # a data set reads many clips of a file
def _repair_of(path: str, changed: int, size: int) -> Repair | None:
    with Path(path).open("rb") as file:
        return find_repair(file)


class RepairedFile(io.RawIOBase):
    """Reads a file as its repair says. It takes what PyAV asks of a file, and closes the file with itself."""

    def __init__(self, file: BinaryIO, repair: Repair) -> None:
        self._file, self._place = file, 0
        self.note = repair.note
        self._pieces = [piece for piece in repair.pieces if isinstance(piece, bytes) or piece[0] < piece[1]]
        lengths = [len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in self._pieces]
        self._starts = list(accumulate(lengths, initial=0))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._starts[-1]}[whence])
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes, from one piece; empty at the end."""
        number = bisect_right(self._starts, self._place) - 1
        if number >= len(self._pieces):
            return b""
        piece, inside = self._pieces[number], self._place - self._starts[number]
        left = self._starts[number + 1] - self._place
        size = left if size < 0 else min(size, left)
        if isinstance(piece, bytes):
            found = piece[inside : inside + size]
        else:
            self._file.seek(piece[0] + inside)
            found = self._file.read(size)
        self._place += len(found)
        return found

    def close(self) -> None:
        self._file.close()
        super().close()
