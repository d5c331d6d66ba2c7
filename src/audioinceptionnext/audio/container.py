"""Opens a file with FFmpeg, which gets it with a right header where that states another length than there is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.logging
from av.error import FFmpegError

from audioinceptionnext.audio.chunks import Repair, RepairedFile, find_repair
from audioinceptionnext.errors import MediaError

# FFmpeg's log must not reach the user's terminal, and a log callback in Python could deadlock with FFmpeg's threads.
av.logging.set_level(None)

# The formats that FFmpeg may take a file for. Left out are those that would "recognise" a text file (subtitles, tty),
# those without a header, which decode anything (g722, raw PCM), still images, and playlists, which open other files.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gxf,iff,ircam,loas,matroska,mlp,mov,mp3,mpc,"
    "mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,qoa,rm,shn,sox,swf,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)
_OPTIONS = {
    "format_whitelist": FORMATS,
    "protocol_whitelist": "file",
    "merge_pmt_versions": "1",  # MPEG-TS: a track that goes on with another number (PID) is the same track
}


def open_container(path: str | Path) -> tuple[Any, Repair | None]:
    """Open a file with FFmpeg.

    Returns:
        PyAV's InputContainer, and what had to be repaired in the file's header.

    Raises:
        MediaError: the file cannot be opened.
    """
    repair: Repair | None = None
    file: BinaryIO | None = None
    try:
        if Path(path).is_dir():
            raise MediaError(path, "is a folder, not a file; give a recording inside it")
        if Path(path).is_file():  # from a pipe, nothing can be read twice
            file = Path(path).open("rb")
            head = file.read(12)
            if not head:
                raise MediaError(path, "is empty (0 bytes); copy or record it again")
            repair = find_repair(file)
        else:
            head = b""
            Path(path).stat()
    except FileNotFoundError:
        raise MediaError(path, "no such file; check the name") from None
    except PermissionError:
        raise MediaError(path, "no permission to read it; change its permissions") from None
    except (OSError, ValueError) as error:
        raise MediaError(path, f"cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    finally:
        if file is not None and repair is None:
            file.close()
    # Without the prefix, "concat:x" or "a:b" would name a protocol.
    source = f"file:{os.fspath(path)}" if repair is None else RepairedFile(file, repair)
    try:
        # Tags in Latin-1 are no reason to fail.
        return av.open(source, options=_OPTIONS, metadata_errors="replace"), repair
    except (FFmpegError, OSError, ValueError, RuntimeError):
        if file is not None:
            file.close()
        if head[4:8] == b"ftyp":
            reason = "its index is missing or damaged, as in a recording or copy that was cut off; get a complete copy"
        else:
            reason = (
                "not an audio or video file that FFmpeg can read, or damaged at its start; try to play or convert it"
            )
        raise MediaError(path, reason) from None
