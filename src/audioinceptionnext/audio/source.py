"""One sound track of one file: found, decoded in spite of damage, brought to mono and to one rate."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import av.logging
import numpy as np
from av.error import FFmpegError

from audioinceptionnext.audio.headers import promised_seconds, was_cut
from audioinceptionnext.audio.resample import Resampler, mono_pieces, silence
from audioinceptionnext.errors import AinextError, printable

# FFmpeg's complaints never reach the user's terminal; a Python log callback could also deadlock with its threads.
av.logging.set_level(None)

# What FFmpeg may take a file for. Left out are the formats that would "recognise" a text file (subtitles, tty), that
# have no header at all and so decode anything (g722, raw PCM), still images, and playlists, which open other files.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,dtshd,dv,eac3,flac,flv,gxf,iff,ircam,loas,matroska,mlp,mov,mp3,mpc,"
    "mpc8,mpeg,mpegts,mxf,nistsphere,nsv,nut,ogg,oma,qoa,rm,shn,sox,swf,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)
# Those whose seeks land where they say (the tests compare); in any other, a late start decodes from the beginning.
_SEEKABLE = ("wav", "w64", "flac", "mov", "matroska", "ogg")
_SEEK_FROM_S = 10.0  # below this, decoding from the start costs less than it could save
_PREROLL_S = 1.0  # decoders with memory (Opus wants 80 ms, MP3 its bit reservoir) have settled after this
MIN_RATE, MAX_RATE = 100, 1_536_000  # a lying header must not choose the length of the resampler's filter
HOLE_S = 0.1  # time stamps are rounded, and clocks drift: a smaller hole is not believed
PACKET_S = 0.005  # but a damaged packet certainly leaves one
_LAST_PACKET = 4096  # samples: HE-AAC's 2048, and as many that only flush the decoder
_LATE_S = 0.02  # a sound track that starts later than this after the picture is given silence in front
DISCARD_ALL = 48  # AVDISCARD_ALL
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC: cover art, not a video with a clock of its own


class MediaError(AinextError):
    """A file that cannot be heard: one line with its name, what is wrong and what to do."""


def open_container(path: str | Path) -> Any:
    """Open a file with FFmpeg (an av InputContainer). Raises MediaError."""
    try:
        if Path(path).is_dir():
            raise MediaError(f"{printable(path)}: is a folder, not a file: give a recording inside it")
        if Path(path).is_file():  # not a pipe: what is read from that is gone
            with Path(path).open("rb") as file:
                head = file.read(12)
            if not head:
                raise MediaError(f"{printable(path)}: is empty (0 bytes): copy or record it again")
        else:
            head = b""
            Path(path).stat()
    except FileNotFoundError:
        raise MediaError(f"{printable(path)}: no such file: check the name") from None
    except PermissionError:
        raise MediaError(f"{printable(path)}: no permission to read it: change its rights") from None
    except (OSError, ValueError) as error:
        raise MediaError(f"{printable(path)}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    try:
        return av.open(
            f"file:{os.fspath(path)}",  # the prefix, else "concat:x" or "a:b" would name a protocol
            options={"format_whitelist": FORMATS, "protocol_whitelist": "file"},
            metadata_errors="replace",  # tags in Latin-1 are no reason to fail
        )
    except (FFmpegError, OSError, ValueError, RuntimeError):
        if head[4:8] == b"ftyp":
            hint = "its index is missing or damaged, as after a recording or a copy that was cut off: get a whole copy"
            raise MediaError(f"{printable(path)}: {hint}") from None
        hint = "not an audio or video file that FFmpeg can read, or damaged from its start: try to play it, or convert"
        raise MediaError(f"{printable(path)}: {hint} it to WAV") from None


def _is_cover(video: Any) -> bool:
    return bool(int(getattr(video, "disposition", 0)) & _ATTACHED_PICTURE)


class Source:
    """An open file, its sound track, and what was seen while decoding it. Raises MediaError."""

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.frames = self.damaged = 0
        self.seconds = 0.0  # decoded so far, holes included
        self.missing = 0.0  # seconds of holes without a damaged packet to explain them
        self.failed = False
        self._sought = False
        self._skip = 0  # samples to drop after a seek
        self._open()

    def _open(self) -> None:
        self.container = open_container(self.path)
        try:
            streams = self.container.streams
            if not streams.audio:
                kind = "only a picture" if streams.video else "no sound track inside"
                raise MediaError(f"{printable(self.path)}: has no sound: {kind}; give a file with a sound track")
            self.stream = streams.best("audio") or streams.audio[0]
            if self.stream.codec_context is None:
                raise MediaError(
                    f"{printable(self.path)}: its sound is in a codec that FFmpeg lacks: convert it to WAV"
                )
            for stream in streams:
                if stream is not self.stream:
                    with suppress(AttributeError):  # PyAV below 14 reads pictures and drops them: only slower
                        stream.discard = DISCARD_ALL
            self.lead, self.origin = self._clock()
            self._decoded: Iterator[av.AudioFrame] = self._decode()
        except BaseException:
            self.container.close()
            raise

    def close(self) -> None:
        self._decoded = iter(())  # the generator knows this object: without the circle all is freed at once
        self.container.close()

    def _clock(self) -> tuple[float, float]:
        """Seconds of silence before the sound, and the time stamp (s) of sample 0.

        A video's first picture is its time 0 for everyone who looks at the results in a player, so a sound track that
        starts later keeps its delay. Without a picture the first sample is time 0, whatever the time stamp.
        """
        starts = float((self.stream.start_time or 0) * self.stream.time_base)
        pictures = [video for video in self.container.streams.video if not _is_cover(video)]
        if not pictures or self.container.start_time is None:
            return 0.0, starts
        lead = starts - self.container.start_time / av.time_base
        if not _LATE_S <= lead <= (self.container.duration or 0) / av.time_base:
            return 0.0, starts
        return lead, starts - lead

    def seek(self, start: float, sample_rate: int) -> float:
        """Go to a place before ``start``, if that is worth it; return the time (s) at which the waveform begins."""
        if start < _SEEK_FROM_S + self.lead or not self.container.format.name.startswith(_SEEKABLE):
            return 0.0
        with suppress(FFmpegError):
            self.container.seek(round((start - _PREROLL_S + self.origin) / self.stream.time_base), stream=self.stream)
            for frame in self._decoded:
                time = None if frame.pts is None else float(frame.pts * self.stream.time_base) - self.origin
                if time is None or time > start:
                    break
                self._sought, self._decoded = True, itertools.chain([frame], self._decoded)
                self.damaged = 0  # a packet may fail for want of those before the seek
                # Begin where a sample at the new rate falls on one at the old: then the result is, sample for sample,
                # what decoding from the start would have given.
                rate = frame.sample_rate
                place = round((time - self.lead) * rate)
                self._skip = -place % (rate // math.gcd(rate, sample_rate))
                if time + self._skip / rate > start:
                    self._skip = 0
                self.seconds = (place + self._skip) / rate
                return self.seconds + self.lead
        self.close()  # no time stamps, or past the end: the slow way is always right
        self._open()
        self.frames = self.damaged = 0
        self.failed = False
        return 0.0

    def _decode(self) -> Iterator[av.AudioFrame]:
        """All frames from here on. Damaged packets are skipped and counted."""
        try:
            for packet in self.container.demux(self.stream):
                try:
                    frames = packet.decode()
                except EOFError:
                    continue
                except FFmpegError:
                    self.damaged += 1
                    continue
                self.frames += len(frames)
                yield from frames
        except EOFError:
            return
        except FFmpegError:
            self.failed = True

    def _frames(self) -> Iterator[av.AudioFrame | float]:
        """Yield the frames, and for each hole between two of them its seconds.

        Damaged pages of Ogg and clusters of Matroska vanish without an error, and cameras and screen recorders pause.
        By the time stamps, what follows stays where it was heard. Only holes within the file's length are believed.
        """
        end = (self.container.duration or 0) / av.time_base + self.origin + self.lead
        tick = float(self.stream.time_base)
        clock: float | None = None  # where the next frame should begin
        damaged = self.damaged
        for frame in self._decoded:
            if not MIN_RATE <= frame.sample_rate <= MAX_RATE:
                wrong = f"claims {frame.sample_rate} samples per second, as no recording has"
                raise MediaError(f"{printable(self.path)}: {wrong}: its header is damaged, get a whole copy")
            if frame.pts is not None:
                time = frame.pts * tick
                hole = 0.0 if clock is None else time - clock
                if hole > (HOLE_S if self.damaged == damaged else PACKET_S) and time < end:
                    if self.damaged == damaged:
                        self.missing += hole
                    yield hole
                    clock = time
                clock = time if clock is None else clock
            if clock is not None:
                clock += frame.samples / frame.sample_rate
            damaged = self.damaged
            yield frame

    def _pieces(self) -> Iterator[tuple[np.ndarray, int]]:
        """Yield (mono float32 of shape (n,), rate) and count the seconds; an MP4's last packet is cut to its length.

        AAC comes in packets of 1024 samples or more, the last one filled up; only the header tells where to stop. It
        is believed no further than that packet.
        """
        last: tuple[np.ndarray, int] | None = None
        for piece, rate in mono_pieces(self._frames()):
            if self._skip:
                piece, self._skip = piece[self._skip :], max(0, self._skip - len(piece))
            if last is not None:
                yield last
            last = piece, rate
            self.seconds += len(piece) / rate
        if last is None:
            return
        piece, rate = last
        promised = promised_seconds(Path(self.path), self.container, self.stream)
        excess = 0
        if promised is not None and self.container.format.name.startswith("mov"):
            excess = round((self.seconds - promised) * rate)
        yield (piece[:-excess] if 0 < excess <= _LAST_PACKET else piece), rate

    def waveform(self, sample_rate: int) -> Iterator[np.ndarray]:
        """Yield mono float32 chunks of shape (n,), each a second or so; concatenated they have no gap."""
        if not self._sought:
            yield from silence(self.lead, sample_rate)
        resampler: Resampler | None = None
        try:
            for piece, rate in self._pieces():
                if resampler is None or resampler.rate != rate:  # a stream may change its rate half-way
                    if resampler is not None:
                        yield resampler.finish()
                    resampler = Resampler(rate, sample_rate)
                yield resampler.push(piece)
            if resampler is not None:
                yield resampler.finish()
        except FFmpegError as error:
            raise MediaError(
                f"{printable(self.path)}: its sound cannot be converted ({error.strerror}): convert it to WAV"
            ) from None

    def check_sense(self) -> None:
        """Raise MediaError if nothing was decoded, or so little of so much that the file is not what it seemed.

        A few bytes that look like an MP3 or AAC header are found in any noise, and now and then they even decode.
        """
        if not self.frames:
            raise MediaError(
                f"{printable(self.path)}: no sound could be decoded: it is empty or damaged; get a whole copy"
            )
        if self.damaged > self.frames:
            found = f"{self.damaged} of {self.damaged + self.frames} packets cannot be decoded"
            raise MediaError(
                f"{printable(self.path)}: not a recording, or damaged beyond use: {found}; get a whole copy"
            )

    def warning(self) -> str | None:
        """Return one line on what was lost, or None. Only after the waveform has been read to its end."""
        parts = []
        promised = promised_seconds(Path(self.path), self.container, self.stream)
        # Headers round, and encoders count their padding: a tenth of a second is no loss.
        if promised is not None and self.seconds < promised - 0.1 - promised / 1000:
            parts.append(f"ends early: decoded {self.seconds:.1f} s of {promised:.1f} s")
        elif self.failed or was_cut(Path(self.path), self.container):
            parts.append(f"ends early: decoded {self.seconds:.1f} s, the rest cannot be read")
        if self.damaged and (self.damaged > 1 or not parts):  # a cut leaves one packet in two
            parts.append(f"skipped {self.damaged} damaged packet{'s' if self.damaged > 1 else ''}")
        if self.missing:
            parts.append(f"put silence where {self.missing:.1f} s are missing")
        return f"{printable(self.path)}: {'; '.join(parts)}" if parts else None
